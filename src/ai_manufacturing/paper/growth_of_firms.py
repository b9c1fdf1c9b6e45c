"""AI firms against all firms on the first page: M_AI takes their ratio as constant."""

from typing import Any

import altair as alt

from ai_manufacturing.paper.concentration import lines
from ai_manufacturing.site.charts import BLUE, ORANGE, figure, tips
from ai_manufacturing.site.release import Release
from ai_manufacturing.text import Catalogue


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return AI firms against all firms as a figure, both 100 in the first year.

    There is none where either was not delivered.
    """
    data = release.frame(
        # all firms of the country follow from its AI firms and their share: sums may be passed on,
        # cities may not
        "with national as (select c.year, c.national_count as ai_firms, cast(round(c.national_count"
        " / nullif(t.national_share, 0)) as bigint) as firms from marts.fct_spatial_concentration"
        " as c inner join reports.rpt_fixed_ratio_test as t on c.measure = t.measure and c.year ="
        " t.year where c.measure = 'ai_firms' and t.national_share > 0), counts as (unpivot"
        " national on ai_firms, firms into name series value count) select year, series, count,"
        " round(100.0 * count / first_value(count) over of_series, 1) as index from counts window"
        " of_series as (partition by series order by year) order by series, year"
    )
    if data["year"].nunique() < 2:
        return {"firms": None}
    first, last = data["year"].min(), data["year"].max()
    of_last = data[data["year"] == last].set_index("series")["index"] / 100
    numbers = {
        "first": first,
        "last": last,
        "ai_times": f"{of_last['ai_firms']:.1f}",
        "all_times": f"{of_last['firms']:.1f}",
    }

    def draw(language: str) -> alt.TopLevelMixin:
        names = {
            "ai_firms": text.plain_label("ai_firms", language),
            "firms": text.plain_label("firm_count", language),
        }
        index = text.plain("firms_index", language, first=first)
        return lines(
            "series",
            alt.Y("index:Q", title=index),
            {"ai_firms": BLUE, "firms": ORANGE},
            names,
            tips(
                ("year:Q", text.plain("year", language)),
                ("count:Q", text.plain("count", language), ",d"),
                ("index:Q", index, ".1f"),
            ),
            label_limit=340,
            height=230,
        )

    title, note = (text.both(key, **numbers) for key in ("firms_title", "firms_note"))
    described = text.words("alt_firms", **numbers)
    return {"firms": figure("firms", title, data, draw, described, note)}
