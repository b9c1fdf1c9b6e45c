"""Check that the pages of a site agree with the warehouse tables behind them."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from ai_manufacturing import site
from tests.python.conftest import Build
from tests.python.site_reader import Page

# Text that must not appear on a page: missing values, unfilled templates, and plurals after "1".
LEFT_OVER = re.compile(
    r"\b(None|NaN|nan|undefined)\b|<NA>|\{\w+\}|[:：] ?[.。]|Not made\. Not made|。。"
    r"|\b1 (rows|cities|columns|checks|warnings|readings|files|provinces)\b"
)
WORDS = "//body//text()[normalize-space() and not(ancestor::code or ancestor::textarea)]"


def contradictions(
    read: Callable[[str, str], Page], build: Build, names: Iterable[str] = site.PAGES
) -> list[str]:
    """Return a message for each statement on a page that contradicts the warehouse.

    Parameters
    ----------
    read : function of a name of site.PAGES and a language
    build : Build
        The release or warehouse behind the pages.
    names : iterable of str
        Names of the pages.
    """
    found = []
    labelled = (
        "select name from marts.dim_labels where kind = 'provider' and name in (select provider"
        " from marts.fct_deliveries)"
    )
    handles = [name for (name,) in build.rows(labelled)]
    for name in names:
        for language in ("en", "zh"):
            page = read(name, language)
            found += [f"{name}, {language}: left over: {words}" for words in left_over(page)]
            found += [f"{name}, {language}: no name: {words}" for words in bare(page, handles)]
        if name in PAGES:
            found += [f"{name}: {words}" for words in PAGES[name](read(name, "en"), build)]
    return found


def not_shown(name: str, page: Page, build: Build) -> Iterator[str]:
    """Yield missing table rows and sentences of a page, and compare its charts with the data."""
    for path, query in ROWS.get(name, {}).items():
        shown = page.rows(path)
        for row in build.rows(query):
            cells = [cell for cell in row if cell not in (None, "")]
            if shown and not any(is_within(cells, line) for line in shown):
                yield f"{path}: no row has {cells}"
    text = page.text("//body")
    for (sentence,) in build.rows(SENTENCES[name]) if name in SENTENCES else ():
        if sentence not in text:
            yield f"not said: {sentence}"
    for figure, query in FIGURES.get(name, {}).items():
        expected = build.frame(query)
        if len(expected) and page.all(f"//figure[@data-name='{figure}']"):
            drawn = page.drawn(figure)[[*expected]].astype(expected.dtypes)
            frames = [one.sort_values([*one], ignore_index=True) for one in (drawn, expected)]
            # Chart data are rounded to at least four decimals.
            pd.testing.assert_frame_equal(*frames, rtol=0, atol=6e-5, obj=figure)


def is_within(cells: Sequence[str], line: Iterable[str]) -> bool:
    """Return whether a table row contains the cells in this order, possibly with others between."""
    rest = iter(line)
    return all(any(f"{one} ".startswith(f"{cell} ") for one in rest) for cell in cells)


ROWS = {
    "index": {
        "#headline//tbody/tr[td and not(@class)]": """
            select
                format('Table {} ({})', table_id[-1], column_number),
                format('{:.3f}', estimate),
                verdict_en
            from reports.rpt_verdicts
            where design_order = 1 and estimate is not null
        """,
    },
    "tables": {
        f"#table_{number}//tbody/tr": f"""
            select columns(lambda name: starts_with(name, 'column_'))
            from reports.rpt_table_{number}
            where line_kind not in (
                'outcome', 'specification', 'warnings', 'substitutions', 'estimator',
                'not_estimable'
            )
        """
        for number in range(1, 7)
    },
    "readings": {
        "#table_1_col_1//details.inference//tbody/tr": """
            select
                'clusters: province',
                format('{:.3f}', estimate),
                format('{:.3f}', std_error),
                if(p_value < 0.0005, '< 0.001', format('{:.3f}', p_value)),
                format('[{:.3f}, {:.3f}]', conf_low, conf_high)
            from estimates.est_inference
            where
                specification_id = 'table_1_col_1'
                and method = 'crv3'
                and setting = 'cluster=province'
        """,
        "#table_1_col_1//details.influence//tbody/tr": """
            with units as (
                select 'city' as unit_kind, city_id as unit_id, name_en as name from marts.dim_city
                union
                select 'province', province_id, province_name_en from marts.dim_city
            )
            select
                format('Most influential {}: {}', unit_kind, name),
                format('{:.3f}', estimate_without)
            from estimates.est_influence
            inner join units using (unit_kind, unit_id)
            where specification_id = 'table_1_col_1' and rank = 1
        """,
    },
    "specification_curve": {
        "#axes/following-sibling::div[1]//tbody/tr": """
            select
                estimated_count || ' / ' || specification_count,
                coalesce(format('{:.3f}', median_estimate), '–'),
                coalesce(format('{:.1f} %', 100 * same_sign_share), '–'),
                coalesce(format('{:.1f} %', 100 * significant_by_city_share), '–'),
                coalesce(format('{:.1f} %', 100 * significant_by_province_share), '–'),
                standing || ' ' || why_en
            from reports.rpt_specification_axes
        """,
    },
    "credibility": {
        "#table_1_col_1/div/table[contains(@class, 'checks')]/tbody/tr": """
            select
                case when passes then '✓ passes' when not passes then '✗ fails' else '–' end,
                concat_ws(
                    ' ',
                    sentence,
                    'In simulations with the public data, the share of detected effects that fail'
                    || ' this check depends on the true effect: ' || power_en || '.'
                )
            from reports.rpt_credibility
            where specification_id = 'table_1_col_1'
        """,
    },
    "heterogeneity": {
        "//tbody/tr": """
            select group_name, format('{:.3f}', split_sample_estimate)
            from reports.rpt_heterogeneity
            where specification_id = 'heterogeneity_income_median'
        """,
    },
}
"""Cells that a row of a page must show in this order.

By page: the XPath of the rows, and the query of the expected cells.
"""
SENTENCES = {
    "index": """
        with years as (
            select year, sum(ai_firm_count) as ai_count, sum(firm_count) as every_count
            from marts.fct_city_year_panel
            where firm_count + ai_firm_count is not null
            group by year
        )
        select format(
            'In {}, there are {:.1f} times as many AI firms as in {}, and {:.1f} times',
            max(year),
            arg_max(ai_count, year) / arg_min(ai_count, year),
            min(year),
            arg_max(every_count, year) / arg_min(every_count, year)
        )
        from years
        having count(*) > 0
    """,
    "specification_curve": """
        select format(
            '{:t,} combinations of modelling choices. Of these combinations, {:t,} avoid dominated'
            || ' choices',
            count(distinct curve_id),
            count(distinct curve_id) filter (not is_dominated)
        )
        from estimates.est_specification_curve
        where status = 'estimated'
        having count(*) > 0
        union
        select reason from estimates.est_specification_curve_joint where reason is not null
        union
        select format(
            'this share is {:.0f} % on average (permutation p {:.3f})',
            100 * permuted_mean,
            p_value
        )
        from estimates.est_specification_curve_joint
        where
            choices = 'without_dominated'
            and errors = 'province'
            and statistic in ('share_of_sign', 'share_significant')
            and p_value is not null
    """,
    "readings": """
        select format(
            'On the {:t,} city-years that both readings use, the coefficient is {:.3f} [{:.3f}]'
            || ' for this reading and {:.3f} [{:.3f}] for',
            overlap_observation_count,
            overlap_estimate,
            overlap_std_error_province,
            overlap_default_estimate,
            overlap_default_std_error_province
        )
        from reports.rpt_coefficients
        where
            overlap_observation_count + overlap_estimate + overlap_std_error_province
            + overlap_default_estimate + overlap_default_std_error_province is not null
        qualify row_number() over (partition by specification_id order by term_order) = 1
    """,
    "credibility": """
        select distinct answer_en from reports.rpt_paper_remarks where answer_en is not null
    """,
    "measure": """
        select distinct
            format('the coefficient is {:.3f} [', fixed_ratio_estimate)
        from reports.rpt_fixed_ratio_test
        where measure = 'ai_firms' and fixed_ratio_estimate is not null
        union
        select format(
            'x is zero in {:t,} of the {:t,} city-years.',
            count(*) filter (measure_10k = 0),
            count(*)
        )
        from estimates.estimation_samples
        inner join marts.fct_ai_measure using (city_id, year)
        where
            specification_id = 'table_1_col_1'
            and measure = 'ai_firms'
            and weighting = 'fixed_ratio'
            and scope = 'industry'
        having count(*) > 0
    """,
}
FIGURES = {
    "index": {
        "firms": """
            with years as (
                select year, sum(ai_firm_count) as ai_firms, sum(firm_count) as firms
                from marts.fct_city_year_panel
                where firm_count + ai_firm_count is not null
                group by year
            )
            unpivot years on ai_firms, firms into name series value count
        """,
        "strip": """
            select estimate, std_error, conf_low, conf_high, says
            from reports.rpt_claim_readings
            where table_id = 'table_1' and column_number = 1 and says is not null
        """,
        "forest": """
            with claims as (
                select
                    verdicts.*,
                    own.conf_low as city_low,
                    own.conf_high as city_high,
                    1.959963985 * printed.std_error::double as half
                from reports.rpt_verdicts as verdicts
                inner join reports.rpt_specifications as specified using (specification_id)
                left join seeds.published_estimates as printed
                    on
                        verdicts.table_id = printed.table_id
                        and verdicts.column_number = printed.column_number
                        and specified.regressor = printed.term
                left join reports.rpt_coefficients as own
                    on
                        verdicts.specification_id = own.specification_id
                        and specified.regressor = own.term
                where
                    design_order = 1
                    and verdicts.estimate is not null
                    and cause is distinct from 'mechanical'
            )
            select
                'printed' as whose,
                printed_value as estimate,
                printed_value - half as conf_low,
                printed_value + half as conf_high
            from claims
            union all
            select 'here_city', estimate, city_low, city_high
            from claims
            where city_low is not null
            union all
            select 'here_province', estimate, conf_low, conf_high
            from claims
        """,
    },
    "readings": {
        "readings_table_1_1": """
            select
                specification_id,
                estimate,
                if(has_own_error, conf_low, conf_low_province) as conf_low,
                if(has_own_error, conf_high, conf_high_province) as conf_high,
                observation_count,
                city_count
            from (
                select *, covariance <> 'city' or conf_low_province is null as has_own_error
                from reports.rpt_coefficients
                where
                    table_id = 'table_1'
                    and column_number = 1
                    and term = regressor
                    and transform <> 'level'
                    and estimate is not null
            )
        """,
    },
    "event_studies": {
        "event_study_table_5_1": """
            with paths as (
                from reports.rpt_coefficients
                where table_id = 'table_5' and column_number = 1 and estimate is not null
            )
            select
                specification_id,
                event_time,
                paths.estimate,
                conf_low_province as conf_low,
                conf_high_province as conf_high,
                if(reading = 'default', printed.estimate::double, null) as printed_estimate
            from paths
            left join seeds.published_estimates as printed using (table_id, column_number, term)
            where event_time is not null
            union all
            select distinct specification_id, -1, 0, null, null, null
            from paths
        """,
    },
    "credibility": {
        "permuted": """
            select 'permuted' as kind, estimate
            from estimates.est_permuted_weights
            where specification_id = 'table_1_col_1' and permutation is not null
            union all
            select 'own', estimate
            from reports.rpt_verdicts
            where specification_id = 'table_1_col_1' and estimate is not null
            union all
            select 'printed', printed_text::double
            from reports.rpt_replication_scorecard
            where item_id = 'table_1_1_ai_firms' and estimated_value is not null
        """,
    },
    "heterogeneity": {
        "heterogeneity": """
            select
                specification_id,
                difference as estimate,
                difference_conf_low_province as conf_low,
                difference_conf_high_province as conf_high,
                observation_count,
                city_count
            from reports.rpt_heterogeneity
            where difference_conf_low_province is not null
        """,
    },
    "maps": {
        **{
            figure: f"select measure, year, {figure} from marts.fct_spatial_concentration"
            for figure in ("top_1_share", "top_5_share", "top_10_share", "east_share", "gini")
        },
        "morans_i": """
            select measure, year, statistic as morans_i, expected, p_value
            from estimates.est_spatial_autocorrelation
            where statistic is not null
        """,
        "map": """
            select
                d.measure,
                city_id,
                year,
                d.measure_count::double as measure_count,
                m.measure_count::double as m_ai,
                10000 * d.measure_count / p.firm_count as per_10k_firms
            from marts.fct_spatial_distribution as d
            inner join marts.fct_city_year_panel as p using (city_id, year)
            left join (
                from marts.fct_ai_measure where weighting = 'fixed_ratio' and scope = 'industry'
            ) as m using (measure, city_id, year)
            where d.measure_count is not null
        """,
        "clusters": """
            select
                year,
                city_id,
                case when p_value < 0.05 then quadrant else 'NS' end as cluster
            from estimates.est_local_spatial_autocorrelation
            where statistic is not null
        """,
    },
}


def left_over(page: Page) -> Iterator[str]:
    """Yield passages of a page that show a missing value such as NaN or an unfilled template."""
    text = " ".join(page.tree.xpath(WORDS))
    for match in LEFT_OVER.finditer(text):
        yield text[max(0, match.start() - 60) : match.end() + 30]


def bare(page: Page, handles: Sequence[str]) -> Iterator[str]:
    """Yield passages of a page that use a provider's folder name instead of its display name."""
    if not handles:
        return
    text = " ".join(page.tree.xpath(WORDS))
    for match in re.finditer(rf"(?<![(（/\w])({'|'.join(handles)})(?![)）/\w-])", text):
        yield text[max(0, match.start() - 60) : match.end() + 30]


def differs(what: str, said: Any, is_so: Any) -> Iterator[str]:
    if said != is_so:
        yield f"{what}: {said!r} is said, and {is_so!r} is so"


def index(page: Page, build: Build) -> Iterator[str]:
    """Yield a message for each wrong number or verdict on the index page."""
    findings = build.pairs("select finding, sentence from reports.rpt_findings")
    claims = build.rows("select association, cause from reports.rpt_claims")
    unjudged = [cause for association, cause in claims if association == "cannot_tell"]
    text = page.text("#answer-unjudged")
    if unjudged:
        counts = [*map(int, re.findall(r": (\d+)\.", text))]
        yield from differs("columns by cause", sorted(counts), causes(unjudged))
        yield from differs(
            "columns", re.findall(r"(\d+) of the (\d+)", text), [(f"{len(unjudged)}", "21")]
        )
    shown = page.texts("#headline//tbody/tr[td and not(@class)]/td[4]/a")
    verdicts = build.rows(
        "select cause, verdict_en from reports.rpt_verdicts where design_order = 1"
    )
    of_tables = [word for cause, word in verdicts if cause != "no_data"]
    yield from differs("verdicts", Counter(shown), Counter(of_tables))
    estimated = build.rows(
        "select format('{:.3f} [{:.3f}]', estimate, std_error), verdict_en from"
        " reports.rpt_verdicts where table_id = 'table_1' and column_number = 1 and estimate is not"
        " null order by design_order"
    )
    designs = [(row[1], row[-1]) for row in page.rows("#design-table//tbody/tr[td]")]
    yield from differs("designs", designs, estimated)
    # Exclude the findings `claim` and `unit`, which the page does not show in separate sections.
    answers = len(findings.keys() - {"claim", "unit"})
    yield from differs("findings", len(page.all("//section[starts-with(@id, 'answer-')]")), answers)
    placed = build.rows(
        "select provider, source_name, sum(row_count)::bigint from marts.fct_row_accounting where"
        " entity = 'firm_register' group by all order by all"
    )
    for provider, source, count in [] if estimated else placed:
        said = page.text(f"#register-{provider}-{source}/p")
        yield from differs("rows", f"The register lists {count:,} firms," in said, True)


def causes(unjudged: list[str]) -> list[int]:
    """Return the sorted numbers of table columns without a verdict, one number per cause."""
    counted = Counter("imprecise" if cause == "family" else cause for cause in unjudged)
    return sorted(counted.values())


def credibility(page: Page, build: Build) -> Iterator[str]:
    """Yield a message for each wrong number of verdicts or checks on the credibility page."""
    counts = build.rows(
        "select verdict_en || ' (' || count(*) || ')' from reports.rpt_verdicts where"
        " design_order = 1 group by verdict_en"
    )
    yield from differs(
        "verdicts", sorted(page.texts("#meanings//dt")), sorted(w for (w,) in counts)
    )
    checks = build.rows(
        "select specification_id, count(case when passes then 1 end), count(case when not passes"
        " then 1 end) from reports.rpt_credibility group by all"
    )
    for specification, passed, failed in checks:
        rows = [
            row[0]
            for row in page.rows(f"#{specification}/div/table[contains(@class, 'checks')]/tbody/tr")
        ]
        if rows:
            shown = [sum(word in row for row in rows) for word in ("passes", "fails")]
            yield from differs(f"checks of {specification}", shown, [passed, failed])


def quality(page: Page, build: Build) -> Iterator[str]:
    """Yield a message for each wrong gate result or row count on the quality page."""
    totals = build.pairs(
        "select disposition, sum(row_count)::bigint from marts.fct_row_accounting group by all"
    )
    rows = page.rows("//h2[@id='accounting']/following-sibling::div[1]//tbody/tr")
    said: Counter[str] = Counter()
    for row in rows:
        said[row[2]] += int(row[-1].replace(",", ""))
    yield from differs("rows", sorted(said.values()), sorted(totals.values()))
    lost = sum(count for name, count in totals.items() if name not in KEPT)
    if "No rows were set aside" in page.text("//body"):
        yield from differs("rows set aside", lost, 0)
    gate = [*map(int, re.findall(r"\d+", page.text("#gate")))]
    kinds = ("passed", "failed-critical", "failed-warning", "unchecked")
    yield from differs("expectations", gate, [len(page.all(f"//tr.{kind}")) for kind in kinds])


KEPT = ("used", "in no series", "out of period", "superseded", "withdrawn", "prose", "duplicate")


def readings(page: Page, build: Build) -> Iterator[str]:
    """Yield a message for each specification that the readings page omits or describes wrongly."""
    rows = build.rows(
        "select specification_id, any_value(status), any_value(observation_count),"
        " any_value(city_count) from reports.rpt_coefficients group by all"
    )
    shown = {one.get("id"): " ".join(one.text_content().split()) for one in page.all(SPECIFICATION)}
    yield from differs("specifications", shown.keys(), {name for name, *_ in rows})
    for name, status, count, cities in rows:
        if status == "not_estimable":
            yield from differs(name, "Not estimable" in shown[name], True)
        else:
            case = f"The sample has {count} observations and {cities} cities."
            yield from differs(name, case in shown[name], True)


SPECIFICATION = "//details.specification"
PAGES = {"index": index, "credibility": credibility, "quality": quality, "readings": readings}
