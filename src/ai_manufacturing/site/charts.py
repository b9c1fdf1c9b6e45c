"""Build Vega-Lite charts with texts in English and Chinese."""

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
CHART = alt.Chart(TABLE)  # base chart from which layers are derived
BLUE, LIGHT_BLUE, ORANGE, GREY, GREEN = "#1f5a96", "#5e9bd1", "#b8500b", "#6b6b6b", "#2c7a4b"
# Colours of value classes from zero to the highest, distinguishable in greyscale.
CLASSES = ("#cfd4da", "#7db3e0", "#e08a2e", "#a3161a")
# Maximum width of row labels in pixels. Labels that are truncated on phones are shown in full in
# the tooltip and in the data table.
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
    "legend": {
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": 500,
        "orient": "top",
        "layout": {"anchor": "end"},
    },
    "view": {"stroke": None},
}


@dataclass(frozen=True)
class Figure:
    """A chart with its data, caption and one Vega-Lite specification per language.

    Attributes
    ----------
    id : str
        Identifier, unique on the page; also the name of downloaded files.
    title : Markup
        Caption, in both languages.
    data : DataFrame
        Data of the chart, and of its table and CSV file.
    specifications : dict of str to dict
        Vega-Lite specification by language for the data set `table`; its description is the
        alternative text.
    note : Markup
        Note below the chart.
    shared : DataFrame or None
        Attributes that rows of `data` share, such as the names of a city, stored once for each
        value of the first column.
    """

    id: str
    title: Markup | str
    data: pd.DataFrame
    specifications: dict[str, dict[str, Any]]
    note: Markup | str = ""
    shared: pd.DataFrame | None = None

    @property
    def payload(self) -> Markup:
        """Chart specifications and data as JSON, for embedding in a script element."""
        data = convert_to_columns(self.data)
        if self.shared is not None:
            data |= {"key": self.shared.columns[0], "shared": convert_to_columns(self.shared)}
        return encode_json({"specifications": self.specifications, "data": data})


def make_tooltips(*fields: tuple[str, ...]) -> list[alt.Tooltip]:
    """Return Altair tooltips for fields given as (name, title) or (name, title, format)."""
    return [
        alt.Tooltip(name, title=title, format=form[0] if form else alt.Undefined)
        for name, title, *form in fields
    ]


def make_drop_down(name: str, options: list[Any], labels: list[str], value: Any, title: str) -> Any:
    """Return an Altair parameter that is bound to a drop-down list."""
    return alt.param(
        name=name, value=value, bind=alt.binding_select(options=options, labels=labels, name=title)
    )


def make_rule(color: str, *dashes: int, **channel: Any) -> alt.Chart:
    """Return a straight line across a chart at a given `x` or `y` value."""
    ((name, at),) = channel.items()
    datum = {"x": alt.XDatum, "y": alt.YDatum}[name](at)
    dash = list(dashes) or alt.Undefined
    return CHART.mark_rule(color=color, strokeDash=dash).encode(**{name: datum})


def build_label_expression(field: str, words: dict[str, str]) -> str:
    """Return a Vega expression that replaces a field's values with labels where available."""
    return f"({json.dumps(words, ensure_ascii=False)})[{field}] || {field}"


def make_square_legend(title: str, **options: Any) -> alt.Legend:
    """Return a legend of coloured squares instead of a colour gradient.

    A gradient legend uses a reference that browsers block on pages opened from a file.
    """
    return alt.Legend(title=title, type="symbol", symbolType="square", **options)


def choose_ticks(low: float, high: float) -> list[float]:
    """Return at most nine round axis ticks between `low` and `high`."""
    step = 10 ** math.floor(math.log10(high - low))
    step = next(step * part for part in (0.1, 0.2, 0.5, 1, 2) if (high - low) / (step * part) <= 8)
    return [
        round(step * number, 10)
        for number in range(math.ceil(low / step), math.floor(high / step) + 1)
    ]


def draw_figure(
    id_: str,
    title: Markup | str,
    data: pd.DataFrame,
    draw: Callable[[str], alt.TopLevelMixin],
    descriptions: Sequence[str],
    note: Markup | str = "",
    shared: pd.DataFrame | None = None,
) -> Figure:
    """Draw a chart once per language, and return it as a Figure.

    Parameters
    ----------
    id_, title, data, note, shared
        As in Figure.
    draw : callable
        Takes a language, and returns a chart of TABLE.
    descriptions : sequence of str
        Alternative text of the chart in every language.
    """
    specifications = {}
    for language, description in zip(LANGUAGES, descriptions, strict=True):
        # Skip altair's schema validation, which takes longer than creating the chart.
        with debug_mode(False):
            specification = draw(language).to_dict(validate=False)
        specification.pop("$schema", None)
        specifications[language] = {**specification, "config": CONFIG, "description": description}
    return Figure(id_, title, data, specifications, note, shared)


def convert_to_columns(data: pd.DataFrame) -> dict[str, Any]:
    """Return a data frame as a dict of columns, which is more compact in JSON than records."""
    is_finite = data.notna() & ~data.isin([math.inf, -math.inf])
    values = data.astype(object).where(is_finite, None)
    return {
        "names": list(values),
        "columns": [values[name].tolist() for name in values],
    }


def encode_json(content: Any) -> Markup:
    """Encode data as JSON that can be embedded safely in a script element."""
    text = json.dumps(
        content, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str
    )
    return Markup(text.replace("<", "\\u003c"))
