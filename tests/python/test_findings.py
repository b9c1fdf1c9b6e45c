"""What a reader learns from the first page in two minutes, and from the page of checks."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.site import findings
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.text import Catalogue
from tests.python.conftest import Build
from tests.python.site_reader import Page, said

Pages = Callable[..., Page]
VARIANTS = {2: "more controls", 4: "system GMM"}
HEADLINE = "specification_id = 'table_1_col_1'"
NO_DATA = "cannot tell: no data"


def test_a_reader_of_the_first_page_alone_answers_five_questions(
    public_page: Pages, public_build: Build
) -> None:
    page = public_page("index")
    text = {name: page.text(f"#answer-{name}") for name in ("ai", "cause", "doubtful", "unjudged")}

    # What do the data say? A sentence without a number, and each design with its numbers.
    assert page.text("#claim") == (
        "In these data GDP rises with the paper's AI measure where cities are compared within their"
        " province. Where cities are compared across the country: cannot tell, too imprecise. AI"
        " counts beside all counts add nothing that shows. †"
    )
    designs = public_build.rows(
        "select design_en, format('{:.3f} [{:.3f}]', estimate, std_error),"
        " format('{:.3f}, {:.3f}', conf_low, conf_high), format('{:.3f}', detectable), verdict_en"
        " from reports.rpt_verdicts where table_id = 'table_1' and column_number = 1 order by"
        " design_order"
    )
    assert [tuple(row) for row in page.rows("#design-table//tbody/tr")] == designs
    assert [cell.get("class") for cell in page.all("#design-table//tbody/tr/td[5]")] == [
        "open",
        "good",
        "bad",
        "bad",
    ]
    assert page.text("#designs-note").startswith(
        "Errors and intervals: CRV3 by province, a jackknife"
    )
    # They are declared with a reason each, after the results were known.
    reasons = page.text("#reasons")
    assert "declared on 2026-12-01, after their results were known" in reasons
    for (reason,) in public_build.rows(
        "select reason_en from seeds.claim_designs where question <> 'reading'"
    ):
        assert reason in reasons

    # Is there one of AI? The AI counts, what would be found of them, and the second vendor's.
    assert text["ai"].startswith(
        "Is it AI? Not as far as counts show: no effect as large as printed. Beside the number of"
        " all firms, AI firms add 0.008 (CRV3 by province: error 0.021); an effect of 0.060 would"
        " have been found, and the paper prints 0.125. With a second vendor's counts as instrument"
        " it is -0.014 (CRV3 by province: error 0.026)."
    )

    # Is it a cause? What trends of cities leave of the design that holds, and a later measure.
    trend, trend_error, later, later_error = public_build.rows(
        "select t.estimate_without, t.std_error_without, l.estimate, l.std_error from"
        " estimates.est_influence as t inner join estimates.est_inference as l using"
        " (specification_id) where specification_id = 'table_1_col_1_province_years' and t.method ="
        " 'with_city_trends' and t.term = 'ai_firms' and l.method = 'later_instead' and l.setting ="
        " 'years=3' and l.term = 'ai_firms_later'"
    )[0]
    assert text["cause"].startswith("Is it a cause? An association, not a causal effect:")
    for words in (
        f"each city has a trend of its own, {trend:.3f} is left (CRV3 by province: error"
        f" {trend_error:.3f}).",
        f"put in its place, has {later:.3f} (CRV3 by province: error {later_error:.3f}).",
    ):
        assert words in text["cause"]

    # Does it hang on doubtful values? How far the design that holds moves without them.
    difference, statistic, low, high = public_build.rows(
        "select difference, statistic_difference, conf_low_difference, conf_high_difference from"
        " estimates.est_influence where specification_id = 'table_1_col_1_province_years' and"
        " method = 'leave_out_flagged' and setting = 'cluster=province'"
    )[0]
    assert text["doubtful"].startswith(
        "Does it hang on doubtful values? No. Without the city-years that checks of the data flag,"
        f" the estimate moves by {abs(difference) / 0.125:.2f} times the printed value, and at 95 %"
        f" by up to {max(-low, high) / 0.125:.2f} times it (t {statistic:.2f},"
        " jackknife by province)."
    )
    # The colour of an answer is what it means for the claim, whichever its word.
    meanings = {name: page.all(f"#answer-{name}")[0].get("class") for name in text}
    assert meanings == {"ai": "bad", "cause": "open", "doubtful": "good", "unjudged": "open"}

    # What would change it? The other readings, smallest first, each with its interval.
    strip = page.drawn("strip")
    assert [round(value, 2) for value in strip["estimate"]] == [0.07, 0.15, 0.16, 0.20, 0.37]
    assert [*strip["says"]] == ["open", "differs", "open", "open", "differs"]
    assert strip[["conf_low", "conf_high"]].map(lambda value: round(value, 3)).iloc[1].tolist() == [
        0.077,
        0.227,
    ]

    # What cannot be judged? How many columns and why; which they are, beside their claims.
    verdicts = public_build.rows(
        "select table_id[-1], column_number, association, cause from reports.rpt_claims order by"
        " all"
    )
    unjudged = [row for row in verdicts if row[2] == "cannot_tell"]
    assert f"{len(unjudged)} of the {len(verdicts)} printed columns." in text["unjudged"]
    without = re.findall(r"Table (\d)([^;.]*)", page.text("#headline//tr.without"))
    listed = [(table, int(one)) for table, columns in without for one in re.findall(r"\d", columns)]
    assert listed == [row[:2] for row in verdicts if row[3] == "no_data"]

    # What is substituted? Each substitute of the claim; what the letters and the dagger mean.
    providers, substitutes, trust = page.texts("#about//li")
    claimed = f"select substitutions from reports.rpt_verdicts where {HEADLINE}"
    for words in public_build.value(claimed).split("; "):
        assert words in substitutes
    assert substitutes.startswith("†")

    # How far to trust it, and why? As far as copies go that nobody answers for.
    assert public_build.rows(
        "select provenance_class, count(distinct provider) from marts.fct_deliveries group by all"
        " order by all"
    ) == [("commercial_vendor", 1), ("republished", 5)]
    assert providers.startswith(
        "Providers: 6 (5 republished by a third party, 1 commercial vendor). "
        "Official: none. With a stated licence: none."
    )
    assert trust.startswith(
        "Trust this as a check of the paper's method, not as a basis for policy. No office of"
    )

    chinese = public_page("index", "zh")
    assert "在省内城市之间比较，GDP随论文的人工智能融合指标上升" in chinese.text("#claim")
    assert "官方发布： 无。注明许可： 无。" in chinese.text("#about")
    assert "不可作为决策依据" in chinese.text("#trust")


def unfolded(page: Page) -> str:
    """Return what a reader of the page sees before opening anything."""
    text = page.text("#main")
    for folded in page.texts("//details/*[not(self::summary)]"):
        text = text.replace(folded, "", 1)
    return text


def test_the_first_page_is_short_in_both_languages(public_page: Pages, sample_page: Pages) -> None:
    for page in (public_page, sample_page):
        assert len(unfolded(page("index")).split()) <= 500
        chinese = unfolded(page("index", "zh"))
        # a word has one and a half
        assert len(re.findall(r"[\u4e00-\u9fff]", chinese)) <= 750


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
    licences = ["CC0", "none stated by the republisher"]
    release = SimpleNamespace(
        sources=lambda: [
            {"provider": provider, "provenance_class": class_, "licence": licence}
            for provider, class_, licence in zip("ab", classes, licences, strict=True)
        ],
        manifest=SimpleNamespace(origin=Origin("a_set", kind)),
    )
    about = findings.about(cast(Release, release), Catalogue.read())
    assert (about["trust"], about["providers"], about["licensed"]) == (trust, 2, 1)
    assert about["official"] == classes.count("official")
    assert {f"trust_{trust}", f"trust_{trust}_why"} <= Catalogue.read().texts.keys()


def test_the_pictures_of_the_first_page_show_the_numbers_of_its_tables(
    public_page: Pages, public_build: Build
) -> None:
    page = public_page("index")
    # A row a claim: printed, and here by city and by province.
    forest = page.drawn("forest")
    numbers = forest.iloc[:3].set_index("whose")[["estimate", "conf_low", "conf_high"]]
    (city,) = public_build.rows(
        f"select estimate, conf_low, conf_high from reports.rpt_coefficients where {HEADLINE} and"
        " term = 'ai_firms'"
    )
    (province,) = public_build.rows(
        f"select estimate, conf_low, conf_high from reports.rpt_verdicts where {HEADLINE}"
    )
    assert [*numbers.loc["here_city"]] == pytest.approx(city)
    assert [*numbers.loc["here_province"]] == pytest.approx(province)
    printed = (0.125, 0.125 - 1.96 * 0.01, 0.125 + 1.96 * 0.01)
    assert [*numbers.loc["printed"]] == pytest.approx(printed, abs=1e-6)
    claims = {*forest["claim_en"]}
    # A column made from the outcome would set the axis of all others.
    assert len(claims) == public_build.value(
        "select count(estimate) from reports.rpt_verdicts where design_order = 1 and cause is"
        " distinct from 'mechanical'"
    )
    assert {
        f"Table 4 ({number}) Log GDP, {words} †" for number, words in VARIANTS.items()
    } <= claims
    # AI firms against all firms of the same cities.
    counts = public_build.rows(
        "select year, sum(ai_firm_count), sum(firm_count) from marts.fct_city_year_panel "
        "where firm_count + ai_firm_count is not null group by year order by year"
    )
    shown = page.drawn("firms").pivot(index="year", columns="series", values="count")
    assert [*shown[["ai_firms", "firms"]].itertuples(name=None)] == counts
    (_, ai_first, all_first), (last, ai_last, all_last) = counts[0], counts[-1]
    assert (
        f"By {last} AI firms are {ai_last / ai_first:.1f} times, all firms"
        f" {all_last / all_first:.1f} times as many" in page.text("#figure-firms/p.note")
    )


def test_the_first_page_of_the_sample_says_the_same_of_itself_with_its_mark(
    sample_page: Pages,
) -> None:
    page = sample_page("index")
    assert page.text("#answer-doubtful//strong") == "No."
    assert "Checks of the data flag none of its 2,858 city-years." in page.text("#answer-doubtful")
    # Beside each sentence with numbers; tables and charts are marked on every page.
    numbers = page.all("#claim | //section[starts-with(@id, 'answer-')]/p[1] | #headline//th[3]")
    assert [len(one.xpath(".//*[@class='tag']")) for one in numbers] == [1] * 6
    assert "Providers: 1 (1 generated by a program). Official: none." in page.text("#about")
    trust = "A program drew the numbers, and nothing is official."
    assert trust in page.text("#trust")


def test_the_page_of_checks_has_the_verdict_on_each_claim_its_designs_and_the_permutations(
    public_page: Pages, public_build: Build
) -> None:
    index, page = public_page("index"), public_page("credibility")
    verdicts = public_build.rows(
        "select 'Table ' || table_id[-1] || ' (' || column_number || ')', verdict_en "
        "from reports.rpt_verdicts where design_order = 1 order by 1"
    )
    claims = index.all("#headline//tbody/tr[td and not(@class)]")
    shown = [tuple(map(said, row.xpath("td[1]/a | td[4]/a"))) for row in claims]
    assert shown == [row for row in verdicts if row[1] != NO_DATA]
    assert claims[0].xpath("td[4]/a/@href") == ["credibility.html#table_1_col_1"]
    checks = [
        (row[0], row[2])
        for row in page.rows("#table_1_col_1/div/table[contains(@class, 'checks')]/tbody/tr")
    ]
    assert checks == public_build.rows(
        "select if(passes, '✓ passes', '✗ fails'), concat_ws(' ', sentence, 'In simulations on the"
        " public delivery it fails, of the estimates found under each truth: ' || power_en || '.')"
        f" from reports.rpt_credibility where {HEADLINE} order by check_order"
    )
    # Columns without data are a line for each reason, and an address of one leads there.
    reasons = public_build.value(
        "select count(distinct s.reason) from reports.rpt_specifications as s "
        "inner join reports.rpt_verdicts as v using (specification_id) where v.cause = 'no_data'"
        " and v.design_order = 1"
    )
    lines = page.texts("#verdict-table//tr.without")
    assert len(lines) == reasons
    (line,) = page.texts("#verdict-table//tr.without[.//*[@id='table_1_col_2']]")
    assert f"Table 3 (2): {NO_DATA}. Not delivered: " in line
    sections = page.all("//section[starts-with(@id, 'table_')]")
    assert len(sections) == sum(verdict != NO_DATA for _, verdict in verdicts)

    permuted = page.drawn("permuted").set_index("kind")["estimate"]
    assert (round(permuted["own"], 3), permuted["printed"]) == (0.158, 0.125)
    slopes = public_build.frame(
        "select estimate from estimates.est_permuted_weights"
        f" where {HEADLINE} and permutation is not null"
    )["estimate"]
    assert np.sort(permuted["permuted"]) == pytest.approx(np.sort(slopes))
    assert "The paper prints 0.125." in page.text("#figure-permuted/p.note")


def test_the_p_value_of_the_answer_follows_from_the_permutations_that_are_drawn(
    sample_build: Build,
) -> None:
    own, p = sample_build.rows(
        f"select statistic, p_value from estimates.est_inference where {HEADLINE} "
        "and method = 'randomisation'"
    )[0]
    drawn = sample_build.frame(
        f"select statistic from estimates.est_permuted_weights where {HEADLINE}"
    )
    beyond = (drawn["statistic"].abs() >= abs(own)).sum()
    assert (1 + beyond) / (1 + len(drawn)) == pytest.approx(p)


def test_a_remark_is_an_answer_and_leaves_out_what_it_cannot_say(
    public_page: Pages, public_build: Build
) -> None:
    answers = public_build.pairs(
        "select remark_number, any_value(answer_en) from reports.rpt_paper_remarks group by all"
    )
    lag = public_build.value(
        "select estimate from reports.rpt_coefficients where specification_id = 'table_4_col_4' and"
        " term = 'L.ln_gdp'"
    )
    assert f"and lagged GDP {lag:.3f}" in answers[3]
    # p of Hansen's test has three digits, a difference in the sixteenth digit none.
    assert "p of Hansen's test is 0.007" in answers[3]
    assert "as xtabond2 does by default, lagged GDP has 0.581 [" in answers[3]
    assert "and p of Hansen's test is 0.004." in answers[3]
    assert answers[3].endswith("Errors in [ ] and 95 % intervals: sandwich by province.")
    assert answers[1].endswith("they differ by < 0.001. Errors in [ ]: CRV3 by province.")
    # R&D personnel was not delivered: two sentences are left of four. No column of patents, no
    # register: none is.
    assert answers[5].startswith("M_AI moves log unit employment by ")
    assert "R&D" not in answers[5]
    assert "moves log science spending by 0.524 [0.450] (p 0.253)." in answers[5]
    assert answers[5].endswith("Errors in [ ] and p-values: CRV3 by province.")
    # The gate voids the years of exits before the event, so no year after it has a slope.
    assert "exits" not in answers[9]
    assert answers[8] is None
    assert answers[12] is None
    assert not [answer for answer in answers.values() if answer and re.search(r"[{|]", answer)]
    page = public_page("credibility")
    for number, answer in answers.items():
        assert (answer or "Not estimable") in page.texts(f"#remark-{number}/p")[0]
