"""What a reader learns from the first page in two minutes, and the pages that fold."""

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.python.conftest import Build
from tests.python.site_reader import Reader

HEADLINE = "specification_id = 'table_1_col_1'"


def test_the_first_page_of_the_public_set_says_whether_it_is_ai_whether_it_is_robust_and_what_is_unjudged(
    reader: Reader, public_site: Path, public_build: Build
) -> None:
    page = reader.open(public_site, "index")
    text = {
        name: page.locator(f"#answer-{name}").inner_text().replace("\n\n", "\n")
        for name in ("next_year", "ai", "robust", "unjudged")
    }

    # Is it AI's? The measure cannot tell, and the shares of other cities do as well.
    slopes = public_build.frame(f"select estimate from estimates.est_permuted_weights where {HEADLINE}")["estimate"]
    assert text["ai"].startswith("Is the effect AI's?\nCannot be told. This measure cannot tell AI from firms.")
    assert (
        "Only 0.19 % of its variation is not the growth of all firms, and 61 % of that lies in 20 cities." in text["ai"]
    )
    assert f"region and size give {np.mean(slopes):.3f} on average, own ones 0.160 (permutation p = 0.69" in text["ai"]
    assert page.locator("#figure-permuted svg").inner_html().count("own shares 0.160") == 1
    expect(page.locator("#figure-permuted svg")).to_contain_text("printed 0.125")

    # Does next year's measure do as well? It does better.
    assert text["next_year"].startswith("Does next year's measure do as well?\nYes. No cause can lie after its effect.")
    assert "next year's has 0.321 (p = 0.014), this year's -0.119." in text["next_year"]
    assert "On 1,954 of the column's 2,230 city-years; its own estimate on them is 0.158." in text["next_year"]

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

    # What cannot be judged? Every such column is in the box, and so is every substitute of the claim.
    verdicts = public_build.rows(
        "select 'Table ' || table_id[-1] || ' (' || column_number || ')', verdict from reports.rpt_verdicts"
    )
    unjudged = {column for column, verdict in verdicts if verdict == "cannot_tell"}
    assert f"{len(unjudged)} of the {len(verdicts)} printed columns." in text["unjudged"]
    assert unjudged == set(re.findall(r"Table \d \(\d\)", page.locator("#unjudged + ul").inner_text()))
    for words in ("science spending", "registered firms of all industries", "AI firms of all industries by keyword"):
        expect(page.locator("#limits")).to_contain_text(words)

    # What else a referee would tell; each fact leads to its page.
    facts = [re.sub(r" †.*", "", fact) for fact in page.locator("#also + ul li").all_inner_texts()]
    assert facts == [
        "Without controls the coefficient is 0.368 on 2,926 city-years. "
        "On the 2,230 city-years shared with the paper's reading it is 0.275, and that reading's is 0.160.",
        "With AI firms as counted in each year the coefficient is 0.070 on 2,777 city-years. "
        "On the 2,230 city-years shared with the paper's reading it is 0.072, and that reading's is 0.160.",
        "With the AI shares of 2012, the first year delivered, which nothing later can have moved, "
        "the coefficient is 0.158 on 2,230 city-years.",
        "In 2012 the AI share of all firms was 0.38 of that of 2020; the measure takes it as constant.",
        "In cities above the median income the coefficient differs by -0.113 (p < 0.001), with year effects of each "
        "income group by -0.146 (p = 0.084); the paper finds it larger there.",
        "The five cities with most AI firms hold 34.8 % of them in 2010, 27.6 % in 2020.",
    ]

    # What the data say: the size, the interval by province, and what is in it.
    assert page.locator("#claim").inner_text() == (
        "These data cannot tell whether GDP rises with the paper's AI measure: 0.160, by province from -0.047 to "
        "0.366. "
        "Zero is in that interval, and so is the printed 0.125. †"
    )
    page.get_by_role("button", name="中文").click()
    expect(page.locator("#claim")).to_contain_text(
        "本数据无法判断GDP是否随论文的人工智能融合指标上升", use_inner_text=True
    )
    assert page.locator("#how + ul li").count() == 3
    assert reader.complaints == []


def test_the_first_page_of_the_sample_says_the_same_of_itself_with_its_mark(reader: Reader, sample_site: Path) -> None:
    page = reader.open(sample_site, "index")
    for name, answer in (("next_year", "No."), ("robust", "Yes.")):
        expect(page.locator(f"#answer-{name} strong")).to_have_text(answer, use_inner_text=True)
    # Beside each sentence with numbers; tables and charts are marked on every page.
    numbers = page.locator("#claim, .answers p:first-of-type, .claims th:nth-child(3), .remark > p:not(.without)")
    marked = numbers.filter(has=page.locator(".tag", has_text="synthetic"))
    assert marked.count() == numbers.count() > 10
    expect(page.locator("#limits")).to_contain_text("All files of this set are synthetic")


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
        "select estimate from reports.rpt_coefficients where term = 'L.ln_gdp' and reading = 'default'"
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
    page = reader.open(public_site, "index")
    page.emulate_media(media="print")
    for number, answer in answers.items():
        lines = page.locator(f"#remark-{number} > p")
        expect(lines.first).to_be_visible()
        expect(lines.first).to_contain_text(answer or "Not estimable", use_inner_text=True)
    for name in ("next_year", "ai", "robust", "unjudged"):
        expect(page.locator(f"#answer-{name} p").first).to_be_visible()


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
    assert page.evaluate("document.documentElement.scrollHeight") < 10_000
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
