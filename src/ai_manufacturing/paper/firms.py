"""Build the home page's section on the growth of AI firms and on the firm registers.

The chart compares AI firms with all firms. The measure M_AI assumes that their ratio is constant.
"""

from typing import Any

import altair as alt

from ai_manufacturing.paper.concentration import draw_lines
from ai_manufacturing.site.charts import BLUE, ORANGE, Figure, draw_figure, make_tooltips
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import Catalogue

SQL = load_statements(__file__)


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return a growth chart of AI firms and all firms, and a summary of each firm register."""
    return {"firms": _draw_growth(release, text), "registers": _read_registers(release)}


def _draw_growth(release: Release, text: Catalogue) -> Figure | None:
    """Draw the numbers of AI firms and all firms by year, as indices with the first year = 100.

    Returns None if either series was not delivered.
    """
    data = release.fetch_frame(
        # Compute the national number of firms as AI firms divided by their share of all firms,
        # because the city values that sum to it may be withheld.
        SQL["growth"]
    )
    if data["year"].nunique() < 2:
        return None
    first, last = data["year"].min(), data["year"].max()
    last_index = data[data["year"] == last].set_index("series")["index"] / 100
    numbers = {
        "first": first,
        "last": last,
        "ai_times": f"{last_index['ai_firms']:.1f}",
        "all_times": f"{last_index['firms']:.1f}",
    }

    def draw(language: str) -> alt.TopLevelMixin:
        names = {
            "ai_firms": text.find_label("ai_firms", language),
            "firms": text.find_label("firm_count", language),
        }
        index = text.format_text("firms_index", language, first=first)
        return draw_lines(
            "series",
            alt.Y("index:Q", title=index),
            {"ai_firms": BLUE, "firms": ORANGE},
            names,
            make_tooltips(
                ("year:Q", text.format_text("year", language)),
                ("count:Q", text.format_text("count", language), ",d"),
                ("index:Q", index, ".1f"),
            ),
            label_limit=340,
            height=230,
        )

    title, note = (text.render_text(key, **numbers) for key in ("firms_title", "firms_note"))
    descriptions = text.format_words("alt_firms", **numbers)
    return draw_figure("firms", title, data, draw, descriptions, note)


def _read_registers(release: Release) -> list[dict[str, Any]]:
    """Return the firm registers with firm counts by year, province and industry section."""
    sources = release.fetch_rows(SQL["registers"])
    for source in sources:
        source["groups"] = {
            name: release.fetch_rows(
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
        source["withheld"] = release.find_withheld_providers("marts.fct_register_entries")
    return sources
