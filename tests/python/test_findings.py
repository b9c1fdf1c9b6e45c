"""What a reader learns from the first page in two minutes, and the pages that fold."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import duckdb
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from ai_manufacturing.site import findings
from ai_manufacturing.site.release import Release
from ai_manufacturing.text import Catalogue
from tests.python.conftest import Build
from tests.python.site_reader import Reader

ANSWERS = ("ai", "robust", "unjudged")
VARIANTS = {2: "more controls", 3: "another scaling series", 4: "system GMM"}
HEADLINE = "specification_id = 'table_1_col_1'"


def without_charts(page: Page) -> str:
    """Return what a reader of the open page reads, but for the texts in its pictures."""
    page.evaluate("document.querySelectorAll('main .view').forEach(one => one.remove())")
    return page.locator("main").inner_text()


def test_a_reader_of_the_first_page_alone_answers_five_questions(
    reader: Reader, public_site: Path, public_build: Build
) -> None:
    page = reader.open(public_site, "index")
    text = {name: page.locator(f"#answer-{name}").inner_text().replace("\n\n", "\n") for name in ANSWERS}

    # Is it AI's? The measure cannot tell, and the shares of other cities do as well.
    slopes = public_build.frame(f"select estimate from estimates.est_permuted_weights where {HEADLINE}")["estimate"]
    assert text["ai"].startswith("Is the effect AI's?\nCannot be told. This measure cannot tell AI from firms.")
    assert "Only 0.19 % of its variation is not the growth of all firms, and 61 % of that lies in" in text["ai"]
    assert f"region and size give {np.mean(slopes):.3f} on average, own ones 0.160 (permutation p = 0.69" in text["ai"]

    # Is it robust? Three checks that the claim needs fail.
    assert text["robust"].startswith(
        "Is it robust?\nNo. Of the 3 checks that the claim needs 3 fail: Next year's measure"
    )
    assert "By city, the paper's errors, p < 0.001; by province p = 0.126." in text["robust"]
    count, share = public_build.rows(
        "with one as (select curve_id, min(estimate) as estimate, min(p_value) filter (errors = 'province') as p "
        "from estimates.est_specification_curve where status = 'estimated' group by curve_id) "
        "select count(*), avg(cast(p < 0.05 and estimate > 0 as integer)) from one"
    )[0]
    assert f"Of {count:,} combinations of choices" in text["robust"]
    assert f"{100 * share:.0f} % by province" in text["robust"]

    # What cannot be judged? How many columns and why; which they are, beside their claims.
    verdicts = public_build.rows("select table_id[-1], column_number, verdict, cause from reports.rpt_verdicts")
    unjudged = [row for row in verdicts if row[2] == "cannot_tell"]
    assert f"{len(unjudged)} of the {len(verdicts)} printed columns." in text["unjudged"]
    without = re.findall(r"Table (\d)([^;.]*)", page.locator("#headline tr.without").inner_text())
    assert [(table, int(column)) for table, columns in without for column in re.findall(r"\d", columns)] == sorted(
        (table, column) for table, column, _, cause in verdicts if cause == "no_data"
    )
    shown = page.locator("#headline tbody tr td:last-child", has_text="cannot tell").count()
    assert shown + sum(cause == "no_data" for *_, cause in verdicts) == len(unjudged)

    # What is substituted? Each substitute of the claim; what the letters and the dagger mean stands beside them.
    providers, substitutes, trust = page.locator("#about li").all_inner_texts()
    for words in public_build.value(f"select substitutions from reports.rpt_verdicts where {HEADLINE}").split("; "):
        assert words in substitutes
    assert "Sections B–E are mining, manufacturing and utilities" in substitutes
    assert "†: fed by a substitute" in page.locator("#how").inner_text()

    # How far to trust it, and why? As far as copies go that nobody answers for.
    counts = public_build.rows(
        "select provenance_class, count(distinct provider) from marts.fct_deliveries group by all order by all"
    )
    assert counts == [("commercial_vendor", 1), ("republished", 5)]
    assert providers.startswith(
        "Providers: 6 (5 republished by a third party, 1 commercial vendor). "
        "Official: none. With a stated licence: none."
    )
    assert trust.startswith("Trust this as a check of the paper's method, not as a basis for policy. No office of")

    # What the data say: one sentence without a p-value.
    assert page.locator("#claim").inner_text() == (
        "These data cannot tell whether GDP rises with the paper's AI measure: 0.160, by province from -0.047 to "
        "0.366. "
        "Zero is in that interval, and so is the printed 0.125. †"
    )
    page.get_by_role("button", name="中文").click()
    expect(page.locator("#claim")).to_contain_text(
        "本数据无法判断GDP是否随论文的人工智能融合指标上升", use_inner_text=True
    )
    expect(page.locator("#about")).to_contain_text("官方发布： 无。注明许可： 无。", use_inner_text=True)
    expect(page.locator("#trust")).to_contain_text("不可作为决策依据", use_inner_text=True)
    assert reader.complaints == []


@pytest.mark.parametrize("folder", ["public_site", "sample_site"])
def test_the_first_page_is_short_in_both_languages(reader: Reader, folder: str, request: pytest.FixtureRequest) -> None:
    page = reader.open(request.getfixturevalue(folder), "index")
    page.get_by_role("button", name="中文").click()
    chinese = without_charts(page)
    page.get_by_role("button", name="English").click()
    assert len(without_charts(page).split()) <= 700
    assert len(re.findall(r"[\u4e00-\u9fff]", chinese)) <= 1050  # a word has one and a half


@pytest.mark.parametrize(
    ("kind", "classes", "trust"),
    [
        ("delivered", ["official", "official"], "official"),
        ("delivered", ["official", "republished"], "partly"),
        ("delivered", ["republished", None], "copies"),
        ("synthetic", ["generated", "generated"], "synthetic"),
    ],
)
def test_how_far_to_trust_follows_from_who_published_the_files(
    kind: str, classes: list[str | None], trust: str
) -> None:
    """A provider without a declaration is neither official nor licensed."""
    with duckdb.connect() as connection:
        connection.execute("create schema marts")
        connection.execute(
            "create table marts.fct_deliveries as select unnest(['a', 'b']) as provider, "
            "unnest(?::varchar[]) as provenance_class, unnest(['CC0', 'none stated by the republisher']) as licence",
            [classes],
        )
        release = SimpleNamespace(
            frame=lambda query: connection.execute(query).df(), manifest=SimpleNamespace(extract_set_kind=kind)
        )
        about = findings.about(cast(Release, release), Catalogue.read())
    assert (about["trust"], about["providers"], about["licensed"]) == (trust, 2, 1)
    assert about["official"] == classes.count("official")
    assert {f"trust_{trust}", f"trust_{trust}_why"} <= Catalogue.read().texts.keys()


def test_the_pictures_of_the_first_page_show_the_numbers_of_its_tables(
    reader: Reader, public_site: Path, public_build: Build
) -> None:
    page = reader.open(public_site, "index")
    # A row a claim: printed, and here by city and by province.
    drawn = values(page, "forest")
    first = {row["whose"]: [float(row[name]) for name in ("estimate", "conf_low", "conf_high")] for row in drawn[:3]}
    (city,) = public_build.rows(
        f"select estimate, conf_low, conf_high from reports.rpt_coefficients where {HEADLINE} and term = 'ai_firms'"
    )
    (province,) = public_build.rows(f"select estimate, conf_low, conf_high from reports.rpt_verdicts where {HEADLINE}")
    assert first["here_city"] == pytest.approx(city)
    assert first["here_province"] == pytest.approx(province)
    assert first["printed"] == pytest.approx([0.125, 0.125 - 1.96 * 0.01, 0.125 + 1.96 * 0.01], abs=1e-6)
    claims = {row["claim_en"] for row in drawn}
    assert len(claims) == public_build.value("select count(estimate) from reports.rpt_verdicts")
    assert {f"Table 4 ({number}) Log GDP, {variant} †" for number, variant in VARIANTS.items()} <= claims
    # AI firms against all firms of the same cities.
    counts = public_build.rows(
        "select year, sum(ai_firm_count), sum(firm_count) from marts.fct_city_year_panel "
        "where firm_count is not null and ai_firm_count is not null group by year order by year"
    )
    (_, ai_first, all_first), (last, ai_last, all_last) = counts[0], counts[-1]
    shown = {(row["series"], int(row["year"])): int(row["count"]) for row in values(page, "firms")}
    assert [(shown["ai_firms", year], shown["firms", year]) for year, *_ in counts] == [row[1:] for row in counts]
    expect(page.locator("#figure-firms .note")).to_contain_text(
        f"By {last} AI firms are {ai_last / ai_first:.1f} times, all firms {all_last / all_first:.1f} times as many",
        use_inner_text=True,
    )


def values(page: Page, figure: str) -> list[dict[str, str]]:
    """Return the table of values below a chart."""
    page.locator(f"#figure-{figure} details.values summary").click()
    lines = page.locator(f"#figure-{figure} details.values tr")
    expect(lines).not_to_have_count(0)
    names, *rows = lines.evaluate_all("rows => rows.map(row => [...row.cells].map(cell => cell.textContent))")
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_the_first_page_of_the_sample_says_the_same_of_itself_with_its_mark(reader: Reader, sample_site: Path) -> None:
    page = reader.open(sample_site, "index")
    expect(page.locator("#answer-robust strong")).to_have_text("Yes.", use_inner_text=True)
    # Beside each sentence with numbers; tables and charts are marked on every page.
    numbers = page.locator("#claim, .answers p:first-of-type, .claims th:nth-child(3)")
    marked = numbers.filter(has=page.locator(".tag", has_text="synthetic"))
    assert marked.count() == numbers.count() == 5
    expect(page.locator("#about")).to_contain_text(
        "Providers: 1 (1 generated by a program). Official: none.", use_inner_text=True
    )
    expect(page.locator("#trust")).to_contain_text("A program drew the numbers, and nothing is official.")


def test_the_page_of_checks_has_next_year_the_permutations_and_the_remarks(reader: Reader, public_site: Path) -> None:
    page = reader.open(public_site, "credibility")
    next_year = page.locator("#answer-next_year").inner_text().replace("\n\n", "\n")
    assert next_year.startswith("Does next year's measure do as well?\nYes. No cause can lie after its effect.")
    assert "next year's has 0.321 (p = 0.014), this year's -0.119." in next_year
    assert "On 1,954 of the column's 2,230 city-years; its own estimate on them is 0.158." in next_year
    assert page.locator("#figure-permuted svg").inner_html().count("own shares 0.160") == 1
    expect(page.locator("#figure-permuted .note")).to_contain_text("The paper prints 0.125.", use_inner_text=True)


def test_the_p_value_of_the_answer_follows_from_the_permutations_that_are_drawn(sample_build: Build) -> None:
    own, p = sample_build.rows(
        f"select statistic, p_value from estimates.est_inference where {HEADLINE} "
        "and method = 'randomisation' and setting = 'strata=region_size'"
    )[0]
    drawn = sample_build.frame(f"select strata, statistic from estimates.est_permuted_weights where {HEADLINE}")
    assert set(drawn["strata"]) == {"region_size"}
    assert (1 + (drawn["statistic"].abs() >= abs(own)).sum()) / (1 + len(drawn)) == pytest.approx(p)


def test_a_remark_is_an_answer_on_the_screen_and_on_paper_and_leaves_out_what_it_cannot_say(
    reader: Reader, public_site: Path, public_build: Build
) -> None:
    answers = dict(
        public_build.rows("select remark_number, any_value(answer_en) from reports.rpt_paper_remarks group by all")
    )
    lag = public_build.value(
        "select estimate from reports.rpt_coefficients where specification_id = 'table_4_col_4' and term = 'L.ln_gdp'"
    )
    assert f"and lagged GDP {lag:.3f}" in answers[3]
    # p of Hansen's test has three digits, a difference in the sixteenth digit none.
    assert "p of Hansen's test is 0.008" in answers[3]
    assert answers[1].endswith("they differ by < 0.001.")
    # R&D personnel was not delivered: two sentences are left of four. No column of patents, no register: none is.
    assert answers[5].startswith("M_AI moves log unit employment by ")
    assert "R&D" not in answers[5]
    assert "moves log science spending" in answers[5]
    assert answers[8] is None
    assert answers[12] is None
    assert not [answer for answer in answers.values() if answer and ("{" in answer or "|" in answer)]
    page = reader.open(public_site, "credibility")
    page.emulate_media(media="print")
    for number, answer in answers.items():
        lines = page.locator(f"#remark-{number} > p")
        expect(lines.first).to_be_visible()
        expect(lines.first).to_contain_text(answer or "Not estimable", use_inner_text=True)
    expect(page.locator("#answer-next_year p").first).to_be_visible()


def test_event_studies_have_one_axis_and_a_choice_of_readings(
    reader: Reader, sample_site: Path, sample_build: Build
) -> None:
    page = reader.open(sample_site, "event_studies")
    assert page.locator("figure.chart").count() == 6
    axes = [
        page.locator(f"#figure-event_study_table_5_{column} svg .role-axis-label").nth(1).text_content()
        for column in (1, 2, 3)
    ]
    assert axes[0] == axes[1] == axes[2]
    figure = page.locator("#figure-event_study_table_5_1")
    points = figure.locator("svg .mark-symbol.role-mark path[aria-label]")
    before = points.evaluate_all("all => all.map(one => one.getAttribute('d') + one.getAttribute('transform'))")
    figure.get_by_role("combobox").select_option("table_5_col_1_level")
    expect(points.first).to_be_visible()
    after = points.evaluate_all("all => all.map(one => one.getAttribute('d') + one.getAttribute('transform'))")
    assert before != after
    # The address has the reading of this chart alone, and a link opens it in the reader's language.
    expect(page).to_have_url(re.compile(r"\?event_study_table_5_1=table_5_col_1_level$"))
    page = reader.open(sample_site, "event_studies", "?event_study_table_5_1=table_5_col_1_level&language=zh-CN")
    expect(figure.get_by_role("combobox")).to_have_value("table_5_col_1_level")
    expect(page.locator("#figure-event_study_table_5_2").get_by_role("combobox")).to_have_value("table_5_col_2")
    readings = sample_build.value(
        "select count(distinct specification_id) from reports.rpt_coefficients where estimator = 'event_study' "
        "and table_id = 'table_5' and column_number = 1 and status <> 'not_estimable'"
    )
    assert figure.get_by_role("combobox").locator("option").count() == readings
    page = reader.open(sample_site, "heterogeneity")
    expect(page).to_have_url(re.compile(r"\?language=zh-CN$"))
    assert reader.complaints == []


def test_specifications_and_dictionary_fold_open_by_address_and_by_search(reader: Reader, sample_site: Path) -> None:
    page = reader.open(sample_site, "readings")
    assert page.locator("details.specification[open]").count() == 0
    above = "document.getElementById('specifications').offsetTop"
    assert page.evaluate(f"document.documentElement.scrollHeight - {above}") < 10_000
    page = reader.open(sample_site, "readings", "#trace-table_1_col_1")
    page.reload()
    expect(page.locator("#table_1_col_1")).to_have_attribute("open", "")
    expect(page.locator("#trace-table_1_col_1")).to_contain_text("trace --specification table_1_col_1")
    expect(page.locator("#trace-table_1_col_1")).to_be_in_viewport()

    page = reader.open(sample_site, "use")
    assert page.evaluate("document.documentElement.scrollHeight") < 20_000
    page.get_by_label("Show those that contain").fill("placebo_mean")
    expect(page.locator("details.group:visible")).to_have_count(2)
    expect(page.locator("#est_placebo tbody tr:visible")).to_have_count(1)
    page.get_by_label("Show those that contain").fill("")
    expect(page.locator("details.group[open]")).to_have_count(1)


def test_groups_the_fixed_ratio_and_neighbours_have_a_place(
    reader: Reader, public_site: Path, public_build: Build
) -> None:
    page = reader.open(public_site, "measure")
    fixed, observed = public_build.rows(
        "select any_value(fixed_ratio_estimate), any_value(observed_estimate) from reports.rpt_fixed_ratio_test "
        "where measure = 'ai_firms'"
    )[0]
    expect(page.locator("main")).to_contain_text(
        f"with the fixed ratio the coefficient is {fixed:.3f} (0.042), with the counts of each year {observed:.3f}",
        use_inner_text=True,
    )
    page = reader.open(public_site, "heterogeneity")
    alone = public_build.value(
        "select split_sample_estimate from reports.rpt_heterogeneity "
        "where specification_id = 'heterogeneity_income_median' and group_name = 'above'"
    )
    row = page.locator("tbody tr", has_text=f"{alone:.3f}").first
    expect(row).to_contain_text("above")
    page = reader.open(public_site, "maps")
    count = public_build.value(
        "select count(*) from estimates.est_local_spatial_autocorrelation "
        "where measure = 'ai_firms' and year = 2020 and quadrant = 'HH' and p_value < 0.05"
    )
    row = page.locator("#local + p + .scroll tbody tr", has_text="many among many")
    expect(row.locator("td.number")).to_have_text(f"{count} †", use_inner_text=True)
