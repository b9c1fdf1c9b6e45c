"""Build the site's home page, which summarises the findings on the paper's claims."""

from collections import Counter
from typing import Any

import altair as alt
import pandas as pd
from scipy import stats

from ai_manufacturing.releases import headlines
from ai_manufacturing.site.charts import (
    BLUE,
    CHART,
    GREY,
    LABEL_LIMIT,
    LIGHT_BLUE,
    ORANGE,
    Figure,
    build_label_expression,
    draw_figure,
    make_rule,
    make_tooltips,
)
from ai_manufacturing.site.credibility import read_paper_columns
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import LANGUAGES, SUBSTITUTE_MARK, Catalogue

SQL = load_statements(__file__)

# Height of a row in pixels.
ROW_HEIGHT = 28
# Colours and shapes of points in the forest plot: printed in the paper, or estimated here with
# standard errors clustered by city or by province.
POINTS = {
    "printed": (ORANGE, "diamond"),
    "here_city": (LIGHT_BLUE, "circle"),
    "here_province": (BLUE, "circle"),
}
# Whether the state of a finding or the verdict on a research design supports the paper's claim. All
# other values are "open". The answer shown can differ: "No" supports the claim if the question is
# whether it depends on doubtful data.
MEANINGS = {
    **dict.fromkeys(("passes", "yes", "holds"), "good"),
    **dict.fromkeys(("fails", "no", "fails_check", "not_found", "opposite_sign"), "bad"),
}
# Colours of specifications by the conclusion from their confidence intervals.
READINGS = {"differs": BLUE, "open": GREY, "excludes": ORANGE}
# Legends are stacked on a phone.
LEGEND_COLUMNS = alt.ExprRef("windowSize()[0] < 600 ? 1 : 3")
COMMA = {"en": ", ", "zh": "，"}
HALF_WIDTH = stats.norm.ppf(0.975)  # half-width of a 95 % confidence interval, in standard errors

NO_LICENCE = "none stated"  # placeholder for a class or licence that is not stated


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the template variables of the home page."""
    claims = read_paper_columns(release)
    # Exclude columns whose regressor is computed from the outcome: their estimates are
    # uninformative and would dominate the axis.
    plotted_claims = [
        row for row in claims if row["estimate"] is not None and row["cause"] != "mechanical"
    ]
    return {
        "findings": {
            row["finding"]: row | {"meaning": MEANINGS.get(row["state"], "open")}
            for row in release.fetch_rows("from reports.rpt_findings")
        },
        "claims": [row for row in claims if row["cause"] != "no_data"],
        "without_data": [row for row in claims if row["cause"] == "no_data"],
        "main": claims[0],
        "designs": [
            row | {"class": MEANINGS.get(row["verdict"], "open")}
            for row in release.fetch_rows(
                SQL["designs"],
                table_id=claims[0]["table_id"],
                column_number=claims[0]["column_number"],
            )
        ],
        "strip": _draw_strip(release, text, claims[0]),
        "headlines": headlines.read_headlines(release.connection),
        "period": release.fetch_period(),
        "forest": _draw_forest(plotted_claims, text) if plotted_claims else None,
        "about": summarise_sources(release, text),
    }


def summarise_sources(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the number of data providers by type and licence, and a rating of the data."""
    sources = release.fetch_sources()
    classes = {(row["provider"], row["provenance_class"] or NO_LICENCE) for row in sources}
    open_providers = {
        row["provider"]
        for row in sources
        if not (row["licence"] or NO_LICENCE).startswith(NO_LICENCE)
    }
    counts = {
        "providers": len({provider for provider, _ in classes}),
        "official": sum(class_ == "official" for _, class_ in classes),
        "licensed": len(open_providers),
    }
    by_class = Counter(class_ for _, class_ in sorted(classes, key=lambda pair: pair[1]))
    official, providers = counts["official"], counts["providers"]
    trust = "official" if official == providers else "partly" if official else "copies"
    return {
        **counts,
        "classes": [(count, text.find_labels(class_)) for class_, count in by_class.most_common()],
        "trust": "synthetic" if release.manifest.origin.is_synthetic else trust,
    }


def _draw_strip(release: Release, text: Catalogue, claim: dict[str, Any]) -> Figure | None:
    """Draw the main estimate under each specification, with province-clustered intervals."""
    data = release.fetch_frame(
        SQL["strip"],
        table_id=claim["table_id"],
        column_number=claim["column_number"],
    )
    if not len(data):
        return None

    def draw(language: str) -> alt.TopLevelMixin:
        names = {says: text.format_text(f"reading_{says}", language) for says in READINGS}
        legend = alt.Legend(
            title=None,
            labelExpr=build_label_expression("datum.label", names),
            labelLimit=300,
            orient="top",
            columns=LEGEND_COLUMNS,
        )
        base = CHART.encode(
            y=alt.Y(
                f"reading_{language}:N",
                sort=None,
                title=None,
                axis=alt.Axis(labelLimit=LABEL_LIMIT, labelPadding=6, domain=False),
            ),
            color=alt.Color(
                "says:N",
                scale=alt.Scale(domain=[*READINGS], range=[*READINGS.values()]),
                legend=legend,
            ),
            tooltip=make_tooltips(
                (f"reading_{language}:N", text.format_text("reading", language)),
                ("estimate:Q", text.format_text("estimate", language), ".3~f"),
                ("std_error:Q", text.format_text("error_by_province", language), ".3~f"),
            ),
        )
        x = alt.X("conf_low:Q", title=text.format_text("estimate_with_interval", language))
        return alt.layer(
            make_rule(GREY, x=0),
            make_rule(GREY, 4, 3, x=claim["printed_value"]),
            base.mark_rule(strokeWidth=2).encode(x=x, x2=alt.X2("conf_high:Q")),
            base.mark_point(filled=True, size=60, opacity=1).encode(x="estimate:Q"),
            base.mark_text(dy=-9, fontSize=12).encode(
                x="estimate:Q", text=alt.Text("estimate:Q", format=".2f")
            ),
            width="container",
            height=ROW_HEIGHT * len(data),
        )

    descriptions = text.format_words(
        "alt_strip",
        low=f"{data['estimate'].min():.3f}",
        high=f"{data['estimate'].max():.3f}",
        printed=f"{claim['printed_value']:.3f}",
    )
    return draw_figure(
        "strip",
        text.render_text("strip_title"),
        data,
        draw,
        descriptions,
        text.render_text("strip_note"),
    )


def _draw_forest(claims: list[dict[str, Any]], text: Catalogue) -> Figure:
    """Draw a forest plot of printed and reproduced estimates with confidence intervals."""
    rows, main = [], claims[0]["regressor_en"]
    for claim in claims:
        labels = []
        for language, table in zip(LANGUAGES, text.find_labels(claim["table_id"]), strict=True):
            label = f"{table} ({claim['column_number']}) {claim[f'outcome_{language}']}"
            if claim["variant_en"]:
                label += COMMA[language] + claim[f"variant_{language}"]
            if claim["regressor_en"] not in (None, main):
                label += f" ← {claim[f'regressor_{language}']}"
            labels.append(f"{label} {SUBSTITUTE_MARK}" if claim["substitutions"] else label)
        value, here = claim["printed_value"], claim["estimate"]
        half = HALF_WIDTH * float(claim["printed_std_error_text"] or "nan")
        rows.append((*labels, "printed", value, value - half, value + half))
        by_city = claim["city_conf_low"], claim["city_conf_high"]
        if by_city[0] is not None:  # event-year averages have no city-clustered standard errors
            rows.append((*labels, "here_city", here, *by_city))
        rows.append((*labels, "here_province", here, claim["conf_low"], claim["conf_high"]))
    columns = ["claim_en", "claim_zh", "whose", "estimate", "conf_low", "conf_high"]
    data = pd.DataFrame(rows, columns=columns)

    def draw(language: str) -> alt.TopLevelMixin:
        names = {whose: text.format_text(f"forest_{whose}", language) for whose in POINTS}
        colours, shapes = (
            alt.Scale(domain=[*POINTS], range=[*part])
            for part in zip(*POINTS.values(), strict=True)
        )
        legend = alt.Legend(
            title=None,
            labelExpr=build_label_expression("datum.label", names),
            labelLimit=300,
            columns=LEGEND_COLUMNS,
        )
        estimate, interval = (
            text.format_text(key, language) for key in ("estimate_with_interval", "interval")
        )
        axis = alt.Axis(
            labelLimit=LABEL_LIMIT, labelPadding=6, grid=True, tickBand="extent", domain=False
        )
        base = CHART.encode(
            y=alt.Y(f"claim_{language}:N", sort=None, title=None, axis=axis),
            yOffset=alt.YOffset("whose:N", scale=alt.Scale(domain=[*POINTS], paddingOuter=0.4)),
            color=alt.Color("whose:N", scale=colours, legend=legend),
            tooltip=make_tooltips(
                (f"claim_{language}:N", text.format_text("claim", language)),
                ("estimate:Q", text.format_text("estimate", language), ".3~f"),
                ("conf_low:Q", f"{interval} ←", ".3~f"),
                ("conf_high:Q", f"{interval} →", ".3~f"),
            ),
        )
        x = alt.X("conf_low:Q", title=estimate, axis=alt.Axis(tickCount=6))
        return alt.layer(
            make_rule(GREY, x=0),
            base.mark_rule(strokeWidth=2).encode(x=x, x2=alt.X2("conf_high:Q")),
            base.mark_point(filled=True, size=45, opacity=1).encode(
                x=alt.X("estimate:Q"), shape=alt.Shape("whose:N", scale=shapes, legend=legend)
            ),
            width="container",
            height=ROW_HEIGHT * len(claims),
        )

    zero = sum(
        claim["conf_low"] <= 0 <= claim["conf_high"]
        for claim in claims
        if claim["conf_low"] is not None
    )
    descriptions = text.format_words("alt_forest", count=len(claims), zero=zero)
    return draw_figure(
        "forest",
        text.render_text("forest_title"),
        data,
        draw,
        descriptions,
        text.render_text("forest_note"),
    )
