"""Tests for the front page and the credibility page of the site."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.site import findings
from ai_manufacturing.site.release import Release
from ai_manufacturing.system.text import Catalogue
from tests.python.conftest import Build
from tests.python.site_reader import Page

Pages = Callable[..., Page]
HEADLINE = "specification_id = 'table_1_col_1'"


def test_a_reader_of_the_first_page_alone_answers_five_questions(
    public_page: Pages, public_build: Build
) -> None:
    page, chinese = public_page("index"), public_page("index", "zh")
    text = {name: page.text(f"#answer-{name}") for name in ("ai", "cause", "doubtful", "unjudged")}

    # The claim summarises the finding in sentences without numbers.
    assert page.text("#claim") == (
        "In these data, GDP rises with the paper's AI measure where cities are compared within"
        " their province. Where cities are compared across the country: cannot tell, too imprecise."
        " AI counts add nothing detectable beyond total counts. †"
    )
    assert "在省内城市之间比较，GDP随论文的人工智能融合指标上升" in chinese.text("#claim")
    # The page gives the reason for each design, and says that it was declared after the results
    # were known.
    reasons = page.text("#reasons")
    assert "declared on 2026-12-01, after their results were known" in reasons
    # A referee who recomputed the estimate within provinces found 2,180 city-years.
    assert "The sample has 2,180 observations and 276 cities." in reasons
    for (reason,) in public_build.rows(
        "select reason_en from seeds.claim_designs where question <> 'reading'"
    ):
        assert reason in reasons
    # The answer about AI reports the estimate for AI counts, the detectable effect, and the
    # estimate with a second vendor's counts as instrument.
    for name, words in {
        "ai": "Is AI the reason? The counts show no effect as large as printed. Controlling for all"
        " firms, the coefficient of AI firms is 0.008 (standard error 0.021, CRV3 by province). An"
        " effect of 0.060 would probably have been detected; the paper prints 0.125. With a second"
        " vendor's counts as instrument, it is -0.014 (standard error 0.026, CRV3 by province).",
        "cause": "Is the effect causal? This is an association, not a causal effect:",
        "doubtful": "Does it depend on doubtful values? No. Without the city-years that data",
    }.items():
        assert text[name].startswith(words)
    # The colour of an answer depends on its meaning for the claim, not on its wording.
    colours = [page.all(f"#answer-{name}")[0].get("class") for name in text]
    colours += [cell.get("class") for cell in page.all("#design-table//tbody/tr/td[5]")]
    assert " ".join(colours) == "bad open good open open good bad bad"
    # Each verdict belongs to one of two claims.
    assert [cells[:2] for cells in page.rows("#design-table//tbody/tr")][::3] == [
        ["GDP rises with the measure"],
        ["AI counts matter beyond total counts"],
    ]
    # The strip chart shows the estimates of the other readings in ascending order, with intervals.
    strip = page.drawn("strip").round(2)
    assert [*strip["estimate"]] == [0.07, 0.15, 0.16, 0.20, 0.37]
    assert [*strip["says"]] == ["open", "differs", "open", "open", "differs"]
    assert strip[["conf_low", "conf_high"]].iloc[1].tolist() == [0.08, 0.23]
    # Table columns without data are listed separately from the claims.
    without = re.findall(r"Table (\d)([^;.]*)", page.text("#headline//tr.without"))
    listed = [(table, int(one)) for table, columns in without for one in re.findall(r"\d", columns)]
    assert listed == public_build.rows(
        "select table_id[-1], column_number from reports.rpt_claims where cause = 'no_data'"
        " order by all"
    )
    # The note marked with a dagger lists every substituted variable of the claim.
    providers, substitutes, trust = page.texts("#about//li")
    claimed = f"select substitutions from reports.rpt_verdicts where {HEADLINE}"
    assert substitutes.startswith("†")
    assert all(words in substitutes for words in public_build.value(claimed).split("; "))
    # The page says that no provider is an official source.
    assert providers.startswith(
        "Providers: 6 (5 republished by a third party, 1 commercial vendor). "
        "Official: none. With a stated licence: none."
    )
    assert trust.startswith(
        "Use these results to check the paper's method, not as a basis for policy."
    )
    assert "官方发布： 无。注明许可： 无。" in chinese.text("#about")
    assert "不可作为决策依据" in chinese.text("#trust")


def unfolded(page: Page) -> str:
    """Return the text of a page that is visible while all details are folded."""
    text = page.text("#main")
    for folded in page.texts("//details/*[not(self::summary)]"):
        text = text.replace(folded, "", 1)
    return text


def test_the_first_page_is_short_in_both_languages(public_page: Pages, sample_page: Pages) -> None:
    for page in (public_page, sample_page):
        assert len(unfolded(page("index")).split()) <= 500
        chinese = unfolded(page("index", "zh"))
        # The limit of 500 English words corresponds to about 750 Chinese characters.
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
    """The trust statement depends on who published the files.

    A provider without a declaration counts as neither official nor licensed.
    """
    licences = ["CC0", "none stated by the republisher"]
    release = SimpleNamespace(
        fetch_sources=lambda: [
            {"provider": provider, "provenance_class": class_, "licence": licence}
            for provider, class_, licence in zip("ab", classes, licences, strict=True)
        ],
        manifest=SimpleNamespace(origin=Origin("a_set", kind)),
    )
    about = findings.summarise_sources(cast(Release, release), Catalogue.load())
    assert (about["trust"], about["providers"], about["licensed"]) == (trust, 2, 1)
    assert about["official"] == classes.count("official")
    assert {f"trust_{trust}", f"trust_{trust}_why"} <= Catalogue.load().texts.keys()


def test_the_forest_has_the_printed_interval_beside_both_of_here(
    public_page: Pages, public_build: Build
) -> None:
    forest = public_page("index").drawn("forest")
    numbers = forest.iloc[:3].set_index("whose")[["estimate", "conf_low", "conf_high"]]
    by_city, by_province = (
        public_build.rows(f"select estimate, conf_low, conf_high from reports.{table}")[0]
        for table in (
            f"rpt_coefficients where {HEADLINE} and term = 'ai_firms'",
            f"rpt_verdicts where {HEADLINE}",
        )
    )
    assert [*numbers.loc["here_city"]] == pytest.approx(by_city)
    assert [*numbers.loc["here_province"]] == pytest.approx(by_province)
    assert [*numbers.loc["printed"].round(4)] == [0.125, 0.1054, 0.1446]
    # The chart omits columns whose regressor is computed from the outcome, since their estimates
    # would stretch the axis.
    assert forest["claim_en"].nunique() == public_build.value(
        "select count(estimate) from reports.rpt_verdicts where design_order = 1 and cause is"
        " distinct from 'mechanical'"
    )
    assert "Table 4 (2) Log GDP, more controls †" in {*forest["claim_en"]}


def test_the_first_page_of_the_sample_says_the_same_of_itself_with_its_mark(
    sample_page: Pages,
) -> None:
    page = sample_page("index")
    # Each sentence with numbers is tagged as synthetic. Tables and charts have a mark on every
    # page.
    numbers = page.all("#claim | //section[starts-with(@id, 'answer-')]/p[1] | #headline//th[3]")
    assert [len(one.xpath(".//*[@class='tag']")) for one in numbers] == [1] * 6
    for words in (
        "The data checks flag none of the 2,858 city-years.",
        "Providers: 1 (1 generated by a program). Official: none.",
        "A program generated all numbers, so they test the pipeline and not the paper.",
    ):
        assert words in page.text("#main")


def test_a_claim_leads_to_its_checks_and_columns_without_data_share_a_line_of_their_reason(
    public_page: Pages, public_build: Build
) -> None:
    page = public_page("credibility")
    (claim, *_) = public_page("index").all("#headline//tbody/tr[td and not(@class)]")
    assert claim.xpath("td[4]/a/@href") == ["credibility.html#table_1_col_1"]
    reasons, judged = public_build.rows(
        "select count(distinct s.reason) filter (v.cause = 'no_data'),"
        " count(*) filter (v.cause is distinct from 'no_data') from reports.rpt_specifications as s"
        " inner join reports.rpt_verdicts as v using (specification_id) where v.design_order = 1"
    )[0]
    assert len(page.texts("#verdict-table//tr.without")) == reasons
    (line,) = page.texts("#verdict-table//tr.without[.//*[@id='table_1_col_2']]")
    assert "Table 3 (2): cannot tell: no data. Not delivered: " in line
    assert len(page.all("//section[starts-with(@id, 'table_')]")) == judged


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
    # P-values have three digits, and a difference that is only rounding is shown as 0.
    for number, words in {
        1: "The two slopes differ by 0. Errors in [ ]: CRV3 by province.",
        3: "p-value of Hansen's test is 0.007",
        # The public data lack R&D personnel, so two of four sentences are omitted.
        5: "The effect on log science spending is 0.524 [0.450] (p 0.253).",
    }.items():
        assert words in answers[number]
    assert "R&D" not in answers[5]
    # Answer 9 omits firm exits, which the gate rejects before the event. Answers 8 and 12 need
    # patents and registers, which the public data lack.
    assert "exits" not in answers[9]
    assert answers[8] is answers[12] is None
    assert not [answer for answer in answers.values() if answer and re.search(r"[{|]", answer)]
    page = public_page("credibility")
    assert all("Not estimable" in page.texts(f"#remark-{number}/p")[0] for number in (8, 12))
