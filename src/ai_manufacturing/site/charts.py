"""Charts: data once, a Vega-Lite specification by language, and a text in place of them."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
from altair.utils.schemapi import debug_mode
from markupsafe import Markup

from ai_manufacturing.system.text import LANGUAGES

TABLE = alt.NamedData(name="table")
CHART = alt.Chart(TABLE)  # of which each part of a chart is a copy
BLUE, LIGHT_BLUE, ORANGE, GREY, GREEN = "#1f5a96", "#5e9bd1", "#b8500b", "#6b6b6b", "#2c7a4b"
# Classes by number, none first, pale to dark; the steps can be told apart in grey too.
CLASSES = ("#cfd4da", "#7db3e0", "#e08a2e", "#a3161a")
# Names of rows: whole on a screen, cut on a phone, where the tooltip and the table of values have
# them whole.
LABEL_LIMIT = alt.ExprRef("windowSize()[0] < 600 ? 150 : 420")
CONFIG = {
    "font": (
        "system-ui, -apple-system, 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif"
    ),
    "axis": {
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": 500,
        "gridColor": "#e7e7e7",
    },
    "legend": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 500, "orient": "top"},
    "view": {"stroke": None},
}


@dataclass(frozen=True)
class Figure:
    """A chart on a page.

    Attributes
    ----------
    id : str
        Unique on its page; the name of downloaded files.
    title : Markup
        Caption, in both languages.
    data : DataFrame
        What is drawn, and what the table and the CSV show.
    specifications : dict of str to dict
        Vega-Lite by language, reading the data set `table`; their description is what the chart
        shows, in words.
    note : Markup
        What to know beside it.
    shared : DataFrame or None
        What all rows of one value of its first column share, such as the names of a city; kept
        once.
    """

    id: str
    title: Markup | str
    data: pd.DataFrame
    specifications: dict[str, dict[str, Any]]
    note: Markup | str = ""
    shared: pd.DataFrame | None = None

    @property
    def payload(self) -> Markup:
        """Return what the script needs, as JSON that a script element can hold."""
        data = columnar(self.data)
        if self.shared is not None:
            data |= {"key": self.shared.columns[0], "shared": columnar(self.shared)}
        return in_script({"specifications": self.specifications, "data": data})


def tips(*fields: tuple[str, ...]) -> list[alt.Tooltip]:
    """Return what stands under the pointer.

    Of each field its name and type, its title, and perhaps its format.
    """
    return [
        alt.Tooltip(name, title=title, format=form[0] if form else alt.Undefined)
        for name, title, *form in fields
    ]


def select(name: str, options: list[Any], labels: list[str], value: Any, title: str) -> Any:
    """Return a choice that a reader of a chart has, as a list."""
    return alt.param(
        name=name, value=value, bind=alt.binding_select(options=options, labels=labels, name=title)
    )


def line(color: str, *dashes: int, **channel: Any) -> alt.Chart:
    """Return a line across a chart, at a value of a channel."""
    ((name, at),) = channel.items()
    datum = {"x": alt.XDatum, "y": alt.YDatum}[name](at)
    dash = list(dashes) or alt.Undefined
    return CHART.mark_rule(color=color, strokeDash=dash).encode(**{name: datum})


def words_for(field: str, words: dict[str, str]) -> str:
    """Return an expression of Vega that puts words in the place of values that have some."""
    return f"({json.dumps(words, ensure_ascii=False)})[{field}] || {field}"


def squares(title: str, **options: Any) -> alt.Legend:
    """Return a legend of shades.

    A gradient is a reference that a page opened from a file may not follow.
    """
    return alt.Legend(title=title, type="symbol", symbolType="square", **options)


def round_numbers(low: float, high: float) -> list[float]:
    """Return the round numbers between two, at most nine, for the ticks of an axis."""
    step = 10 ** math.floor(math.log10(high - low))
    step = next(step * part for part in (0.1, 0.2, 0.5, 1, 2) if (high - low) / (step * part) <= 8)
    return [
        round(step * number, 10)
        for number in range(math.ceil(low / step), math.floor(high / step) + 1)
    ]


def figure(
    id_: str,
    title: Markup | str,
    data: pd.DataFrame,
    draw: Callable[[str], alt.TopLevelMixin],
    described: Sequence[str],
    note: Markup | str = "",
    shared: pd.DataFrame | None = None,
) -> Figure:
    """Draw a chart in every language.

    Parameters
    ----------
    id_, title, data, note, shared
        As in Figure.
    draw : callable
        Takes a language and returns a chart of TABLE.
    described : sequence of str
        The chart in words, in every language.
    """
    specifications = {}
    for language, description in zip(LANGUAGES, described, strict=True):
        with debug_mode(
            False
        ):  # altair would check each part as it is made, which takes longer than making it
            specification = draw(language).to_dict(validate=False)
        specification.pop("$schema", None)
        specifications[language] = {**specification, "config": CONFIG, "description": description}
    return Figure(id_, title, data, specifications, note, shared)


def columnar(data: pd.DataFrame) -> dict[str, Any]:
    """Return a table as names and columns, a third of the size of a list of objects."""
    is_known = data.notna() & ~data.isin([math.inf, -math.inf])
    known = data.astype(object).where(is_known, None)
    return {
        "names": list(known),
        "columns": [known[name].tolist() for name in known],
    }


def in_script(content: Any) -> Markup:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(
        content, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str
    )
    return Markup(text.replace("<", "\\u003c"))
