"""What the pages of a site say against the tables that they are of, or against each other."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ai_manufacturing import site
from tests.python.conftest import Build
from tests.python.site_reader import Page

# What a program leaves where it had nothing to say, and a plural of one.
LEFT_OVER = re.compile(
    r"\b(None|NaN|nan|undefined)\b|<NA>|\{\w+\}|[:：] ?[.。]|Not made\. Not made|。。"
    r"|\b1 (rows|cities|columns|checks|warnings|readings|files|provinces)\b"
)
WORDS = "//body//text()[normalize-space() and not(ancestor::code or ancestor::textarea)]"


def contradictions(
    read: Callable[[str, str], Page], build: Build, names: Iterable[str] = site.PAGES
) -> list[str]:
    """Return what is said and is not so, with its page.

    Parameters
    ----------
    read : function of a name of site.PAGES and a language
    build : Build
        The release, or the warehouse, that the pages are of.
    names : iterable of str
        Of the pages.
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


def left_over(page: Page) -> Iterator[str]:
    """Yield places of a page in which a program speaks."""
    text = " ".join(page.tree.xpath(WORDS))
    for match in LEFT_OVER.finditer(text):
        yield text[max(0, match.start() - 60) : match.end() + 30]


def bare(page: Page, handles: Sequence[str]) -> Iterator[str]:
    """Yield places in which the name of a provider's folder stands without its name in words."""
    if not handles:
        return
    text = " ".join(page.tree.xpath(WORDS))
    for match in re.finditer(rf"(?<![(（/\w])({'|'.join(handles)})(?![)）/\w-])", text):
        yield text[max(0, match.start() - 60) : match.end() + 30]


def differs(what: str, said: Any, is_so: Any) -> Iterator[str]:
    if said != is_so:
        yield f"{what}: {said!r} is said, and {is_so!r} is so"


def index(page: Page, build: Build) -> Iterator[str]:
    """The claim and its case, the columns that cannot be judged, registers."""
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
    designs = [(row[1], row[-1]) for row in page.rows("#design-table//tbody/tr")]
    yield from differs("designs", designs, estimated)
    if not estimated and "Substitutes: none" in page.text("#about"):
        yield "no substitute is said where nothing is estimated"
    # The claim stands above the answers, and its unit with the single claims.
    answers = len(findings.keys() - {"claim", "unit"})
    yield from differs("findings", len(page.all("//section[starts-with(@id, 'answer-')]")), answers)
    placed = build.rows(
        "select provider, source_name, sum(row_count)::bigint from marts.fct_row_accounting where"
        " entity = 'firm_register' group by all order by all"
    )
    for provider, source, count in [] if estimated else placed:
        said = page.text(f"#register-{provider}-{source}/p")
        yield from differs("rows", f"Firms in its rows: {count:,};" in said, True)


def causes(unjudged: list[str]) -> list[int]:
    """Return how many columns have each cause, as the page counts them."""
    counted = Counter("imprecise" if cause == "family" else cause for cause in unjudged)
    return sorted(counted.values())


def credibility(page: Page, build: Build) -> Iterator[str]:
    """How many columns have a verdict, and which checks pass."""
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
    """What the gate found, and what became of the rows."""
    totals = build.pairs(
        "select disposition, sum(row_count)::bigint from marts.fct_row_accounting group by all"
    )
    rows = page.rows("//h2[@id='accounting']/following-sibling::div[1]//tbody/tr")
    said: Counter[str] = Counter()
    for row in rows:
        said[row[2]] += int(row[-1].replace(",", ""))
    yield from differs("rows", sorted(said.values()), sorted(totals.values()))
    lost = sum(count for name, count in totals.items() if name not in KEPT)
    if "none was set aside" in page.text("//body"):
        yield from differs("rows set aside", lost, 0)
    gate = [*map(int, re.findall(r"\d+", page.text("#gate")))]
    kinds = ("passed", "failed-critical", "failed-warning", "unchecked")
    yield from differs("expectations", gate, [len(page.all(f"//tr.{kind}")) for kind in kinds])


KEPT = ("used", "in no series", "out of period", "superseded", "withdrawn", "prose", "duplicate")


def readings(page: Page, build: Build) -> Iterator[str]:
    """Each specification once, with its rows, or with its own reason."""
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
            case = f"{count} observations, {cities} cities."
            yield from differs(name, case in shown[name], True)


SPECIFICATION = "//details.specification"
PAGES = {"index": index, "credibility": credibility, "quality": quality, "readings": readings}
