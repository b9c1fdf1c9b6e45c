"""Firms on the first page: AI firms against all, whose ratio M_AI takes as constant; registers."""

from typing import Any

import altair as alt

from ai_manufacturing.paper.concentration import lines
from ai_manufacturing.site.charts import BLUE, ORANGE, Figure, figure, tips
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.sql_text import beside
from ai_manufacturing.system.text import Catalogue

SQL = beside(__file__)


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return AI firms against all firms as a figure, and the registers."""
    return {"firms": _growth(release, text), "registers": _registers(release)}


def _growth(release: Release, text: Catalogue) -> Figure | None:
    """Draw AI firms and all firms, both 100 in the first year.

    There is nothing to draw where either was not delivered.
    """
    data = release.frame(
        # all firms of the country follow from its AI firms and their share: sums may be passed on,
        # cities may not
        SQL["growth"]
    )
    if data["year"].nunique() < 2:
        return None
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
    return figure("firms", title, data, draw, described, note)


def _registers(release: Release) -> list[dict[str, Any]]:
    """Return each register of firms: its rows, what it holds, and its firms in three ways."""
    sources = release.rows(SQL["registers"])
    for source in sources:
        source["groups"] = {
            name: release.rows(
                f"""
                select
                    {columns},
                    cast(sum(firm_count) as bigint) as firm_count,
                    cast(sum(ai_firm_count) as bigint) as ai_firm_count
                {table}
                where provider = $provider and source_name = $source_name
                group by all
                order by {order}
                """,
                provider=source["provider"],
                source_name=source["source_name"],
            )
            for name, columns, table, order in (
                ("year", "entry_year as part", "from reports.rpt_scope_vintage", "part"),
                (
                    "province",
                    "coalesce(province_name_en, 'not known') as part,"
                    " coalesce(province_name_zh, '未知') as part_zh",
                    "from marts.fct_register_entries",
                    "firm_count desc, part",
                ),
                ("section", "section as part", "from marts.fct_register_entries", "part"),
            )
        }
        source["withheld"] = release.withheld_from("marts.fct_register_entries")
    return sources
