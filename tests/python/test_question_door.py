"""Test the MCP question server: caveats, column lineage, refused queries and time limits."""

import asyncio
import inspect
import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from ai_manufacturing import cli
from ai_manufacturing.disclosure import terms
from ai_manufacturing.question_door import answer, caveats, search, tools
from ai_manufacturing.question_door.tools import Door
from ai_manufacturing.site import query_book
from ai_manufacturing.system import duckdb_client, lineage
from tests.python.conftest import PROJECT
from tests.python.release_store import changed, read
from tests.python.site_reader import Restricted

PANEL, COEFFICIENTS = "marts.fct_city_year_panel", "reports.rpt_coefficients"
SECRET = "the reader's own words"
SUBSTITUTE = "all firms substitute for those of industry"
Connection = duckdb.DuckDBPyConnection
Call = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def release(sample_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the sample's release with a substituted, an interpolated and a restricted column."""
    marked = {
        "firm_count": f"substitution = '{SUBSTITUTE}'",
        "resident_population_10k": "is_interpolated = true",
        "gdp_100m_cny": "restricted_providers = 'vendor'",
    }
    return changed(
        sample_release,
        tmp_path_factory.mktemp("marked") / "marked.duckdb",
        *(
            f"update marts.data_dictionary set {marks} where table_name = 'fct_city_year_panel'"
            f" and column_name = '{column}'"
            for column, marks in marked.items()
        ),
    )


@pytest.fixture(scope="module")
def door(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Door:
    return Door(release, tmp_path_factory.mktemp("door") / "shown.duckdb")


@pytest.fixture(scope="module")
def opened(release: Path) -> Iterator[Connection]:
    with duckdb_client.open_read_only(release) as connection:
        yield connection


# Tables of the expected lineage are named without their schema and prefix.
SHORT = re.compile(r"^(?:marts\.fct_city_year_|reports\.rpt_)(panel|coefficients)\.")
RESTS_ON: dict[str, list[set[str]]] = {
    f"select gdp_100m_cny * 1 as a, 1 as b from {PANEL}": [{"panel.gdp_100m_cny"}, set()],
    f"select name_en from {PANEL} where firm_count in"
    f" (select observation_count from {COEFFICIENTS})": [
        {"panel.name_en", "panel.firm_count", "coefficients.observation_count"}
    ],
    f"with x as (select year as y, firm_count as f from {PANEL}) select f from x where y = 2015": [
        {"panel.firm_count", "panel.year"}
    ],
    f"select max(f), sum(g) from (select gdp_100m_cny as g, firm_count as f from {PANEL})": [
        {"panel.firm_count"},
        {"panel.gdp_100m_cny"},
    ],
    f"with x as materialized (select city_id, firm_count as f, year as y from {PANEL})"
    " select a.f, b.y from x as a inner join x as b using (city_id)": [
        {"panel.firm_count", "panel.city_id"},
        {"panel.year", "panel.city_id"},
    ],
    "select (select max(estimate) from reports.rpt_coefficients as c"
    f" where c.observation_count = p.year) as m from {PANEL} as p": [
        {"panel.year", "coefficients.estimate", "coefficients.observation_count"}
    ],
    f"select firm_count, year from {PANEL} union all select estimate, 1 from {COEFFICIENTS}": [
        {"panel.firm_count", "coefficients.estimate"},
        {"panel.year"},
    ],
    f"select firm_count from {PANEL} except select estimate from {COEFFICIENTS}": [
        {"panel.firm_count", "coefficients.estimate"}
    ],
    f"select name_en from {PANEL} order by gdp_100m_cny desc limit 3": [
        {"panel.name_en", "panel.gdp_100m_cny"}
    ],
    f"select 1 from {PANEL} having max(firm_count) > 1": [{"panel.firm_count"}],
    f"select count(*) over (partition by firm_count) from {PANEL}": [{"panel.firm_count"}],
    f"select first(year order by firm_count) from {PANEL}": [{"panel.year", "panel.firm_count"}],
    f"select columns('^firm_(entry|exit)_count$') from {PANEL}": [
        {"panel.firm_entry_count"},
        {"panel.firm_exit_count"},
    ],
    f"from (pivot {PANEL} on region in ('east') using sum(firm_count) group by year)": [
        {"panel.year"},
        {"panel.year", "panel.region", "panel.firm_count"},
    ],
    f"from (unpivot (select firm_count, year from {PANEL}) on firm_count, year)": [
        {"panel.firm_count", "panel.year"},
        {"panel.firm_count", "panel.year"},
    ],
    "with recursive r as (select 1 as n, 0.0 as v union all select n + 1, gdp_100m_cny from r"
    f" inner join {PANEL} on n = year) select v from r": [{"panel.gdp_100m_cny", "panel.year"}],
    f"select x.m from marts.dim_city as c, lateral (select max(firm_count) as m from {PANEL} as p"
    " where p.city_id = c.city_id) as x": [
        {"panel.firm_count", "panel.city_id", "marts.dim_city.city_id"}
    ],
    f"from query('select firm_count from {PANEL}')": [{"panel.firm_count"}],
    f"select rowid, count(*) over () from file.{PANEL}": [set(), set()],
    "select x from range(3) as t(x), generate_series(1, x)": [set()],
}


@pytest.mark.parametrize("query", RESTS_ON)
def test_a_column_rests_on_what_it_and_its_rows_are_made_of(query: str, opened: Connection) -> None:
    opened.execute(query)
    with lineage.open_planner(opened) as planner:
        found = lineage.find_dependencies(planner, query).columns
    assert [{SHORT.sub(r"\1.", name) for name in names} for names in found] == RESTS_ON[query]


def test_what_cannot_be_told_is_said_and_has_the_caveats_of_all(
    opened: Connection,
) -> None:
    for function in (f"pragma_storage_info('{PANEL}')", "duckdb_tables()"):
        found = answer.run_query(opened, f"from {function}")
        assert found["rows"]
        read = function.partition("(")[0].upper()
        why = f"cannot tell which columns this result depends on: the query reads {read}"
        assert found["cannot_tell"].startswith(why)
        assert "rests_on" not in found
        name = found["columns"][0]
        assert name in found["caveats"][f"† {SUBSTITUTE}"]
        assert name in found["caveats"][caveats.ESTIMATE]


def test_a_caveat_follows_a_column_through_expressions(
    opened: Connection,
) -> None:
    for expression, caveat in {
        "firm_count": f"† {SUBSTITUTE}",
        "ln(firm_count + 1)": f"† {SUBSTITUTE}",
        "resident_population_10k / 2": "interpolated in some years",
        "sum(gdp_100m_cny) over ()": "values of vendor: not to be passed on",
    }.items():
        query = f"with p as (from {PANEL}) select name_en, {expression} as x from p limit 3"
        found = answer.run_query(opened, query)
        assert found["caveats"] == {caveat: ["x"]}
        assert "verdicts" not in found


def test_an_estimate_is_to_be_quoted_with_verdicts_that_stand_beside_it(
    opened: Connection,
) -> None:
    made = opened.execute(
        "select specification_id, verdict_en from reports.rpt_verdicts where design_order = 1"
    )
    expected = dict(made.fetchall())
    for source in (
        "round(2 * estimate, 3) as x from reports.rpt_coefficients",
        "max(column_1) as x from reports.rpt_table_1",
        "cell as x from reports.rpt_table_cells",
        "estimate as x from estimates.est_specification_curve",
    ):
        found = answer.run_query(opened, f"select {source}")
        assert found["caveats"][caveats.ESTIMATE] == ["x"]
        assert any(text.startswith("† in some rows: ") for text in found["caveats"])
        verdicts = {name: text.split("; ")[0] for name, text in found["verdicts"].items()}
        assert verdicts == expected, source


def test_verdicts_are_of_the_specifications_in_the_rows(opened: Connection) -> None:
    found = answer.run_query(
        opened,
        f"select specification_id, estimate from {COEFFICIENTS} where specification_id in"
        " ('table_1_col_1', 'table_1_col_1_no_controls', 'mechanism_gdp_1') and term = regressor",
    )
    names = {name for name, _ in found["rows"]}
    assert set(found["verdicts"]) == names
    own = found["verdicts"]["table_1_col_1"]
    without = found["verdicts"]["table_1_col_1_no_controls"]
    assert without.startswith(f"of its column as it reads: {own}")
    assert found["verdicts"]["mechanism_gdp_1"].startswith("no verdict, because")


def test_a_series_by_its_name_in_a_row_may_be_a_substitute(
    opened: Connection,
) -> None:
    found = answer.run_query(opened, "select variable, value from marts.fct_city_year_values")
    (caveat,) = found["caveats"]
    assert caveat.startswith("† in some rows: ")
    assert found["caveats"][caveat] == ["value"]


def of(text: str) -> dict[str, Any]:
    """Parse a JSON answer, check its release header, and return the remaining fields."""
    found: dict[str, Any] = json.loads(text)
    head = {name: found.pop(name) for name in ("release", "extract_set", "is_synthetic")}
    assert head == {
        "release": "000001",
        "extract_set": "sample (SYNTHETIC: its numbers are not real)",
        "is_synthetic": True,
    }
    assert found.pop("restriction") == "none (see marts.fct_deliveries)"
    return found


def test_the_tables_fit_in_five_kilobytes(door: Door, release: Path) -> None:
    text = door.list_tables()
    assert len(text.encode()) < 5000
    tables = of(text)["rows_one_per"]
    ((count,),) = read(release, "select count(*) from reports.rpt_verdicts")
    assert tables["reports.rpt_verdicts"] == f"{count}: claim and design"
    assert tables[PANEL].endswith(": city and year of the period")


def test_a_table_is_described_with_units_and_caveats(door: Door) -> None:
    columns = {row["column"]: row for row in of(door.describe(PANEL))["columns"]}
    assert columns[f"{PANEL}.firm_count"]["caveats"] == [f"† {SUBSTITUTE}"]
    assert columns[f"{PANEL}.gdp_100m_cny"]["label_zh"].startswith("地区生产总值")
    assert "There is no table 'panel'" in of(door.describe("panel"))["error"]


def test_findings_have_the_verdict_and_its_caveats_in_either_language(
    door: Door, opened: Connection
) -> None:
    own = "from reports.rpt_verdicts where specification_id = 'table_1_col_1'"
    for language, columns in (
        ("en", "estimate, verdict_en, meaning"),
        ("zh", "estimate, verdict_zh, meaning_zh"),
    ):
        (expected,) = opened.sql(f"select {columns} {own}").df().to_dict("records")
        found = of(door.findings(language))
        assert expected.items() <= found["verdicts"][0].items()
        assert [finding["finding"] for finding in found["findings"]][:2] == ["claim", "ai"]


def test_an_estimate_is_traced_to_its_sample_and_a_cell_to_its_file(door: Door) -> None:
    found = of(door.trace("table_1_col_1"))
    assert found["lines"][0].startswith("table_1_col_1: ")
    assert list(found["verdicts"]) == ["table_1_col_1"]
    lines = of(door.trace("table_1_col_1", "Shenzhen", 2015))["lines"]
    assert any(re.search(r"\.csv, row \d+: .+, sha256 [0-9a-f]{64}$", line) for line in lines)
    assert "Similar names: table_1_col_" in of(door.trace("table_1_col"))["error"]


WHY = "because they contain or would reveal values of vendor that may not be passed on"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("public") / "shown.duckdb"


@pytest.fixture(scope="module")
def public(restricted_sample: Restricted, shown: Path) -> Door:
    """Return a question server on a release whose city values may not be redistributed.

    It reuses a public copy, because making one takes ten seconds.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            terms,
            "write_public_copy",
            lambda _, target: shutil.copyfile(restricted_sample.copy, target),
        )
        return Door(restricted_sample.release, shown)


@pytest.fixture(scope="module")
def copy(public: Door, shown: Path) -> Iterator[Connection]:
    with duckdb_client.open_read_only(shown) as connection:
        yield connection


def test_a_public_copy_withholds_cells_and_says_whose(
    public: Door, shown: Path, restricted_sample: Restricted, tmp_path: Path
) -> None:
    described = json.loads(public.list_tables())
    assert described["restriction"] == "values of vendor: withheld (release.withheld)"
    assert "values of vendor, which are withheld" in public.trace("table_1_col_1", "深圳", 2015)
    # A trace reads the release but shows only as many digits as the public copy.
    (estimates,) = read(
        shown,
        "select estimate, std_error_province from estimates.est_coefficients"
        " where specification_id = 'table_1_col_1' and term_order = 1",
    )
    lines = "\n".join(json.loads(public.trace("table_1_col_1"))["lines"])
    assert f" {estimates[0]:g}  ({estimates[1]:g}, CRV3 by province)" in lines
    assert not re.search(r"0\.\d{5}", lines)
    whole = Door(restricted_sample.release, tmp_path / "whole.duckdb", with_restricted=True)
    assert json.loads(whole.list_tables())["restriction"] == "values of vendor: not to be passed on"
    assert "lines" in json.loads(whole.trace("table_1_col_1", "深圳", 2015))
    ((count,),) = json.loads(whole.query(f"select count(*) from {DOUBTFUL}"))["rows"]
    assert count > 0


DOUBTFUL = "marts.fct_doubtful_values"


def test_a_withheld_table_is_refused_and_never_reads_as_empty(
    public: Door, copy: Connection, restricted_sample: Restricted
) -> None:
    ((count,),) = read(restricted_sample.release, f"select count(*) from {DOUBTFUL}")
    extent = f"{DOUBTFUL} (all {count:,} rows)"
    answered = json.loads(public.query(f"select count(*) from {DOUBTFUL}; -- how many?"))
    assert "rows" not in answered
    assert answered["error"].startswith(f"This public copy withholds {extent}, {WHY}. ")
    tables = public.list_tables()
    assert json.loads(tables)["rows_one_per"][DOUBTFUL] == f"withheld, all {count:,} rows: city"
    assert len(tables.encode()) < 5000
    assert extent in json.loads(public.describe(DOUBTFUL))["withheld"]
    assert f"table {DOUBTFUL}: withheld, all {count:,} rows" in public.search("doubtful values")
    # The row counts in DuckDB's own catalogue are withheld as well.
    sized = "select estimated_size from duckdb_tables() where table_name = 'fct_doubtful_values'"
    assert extent in answer.run_query(copy, sized)["withheld"]


def test_a_column_that_is_withheld_is_named_beside_the_rest_and_refused_in_a_count(
    public: Door, copy: Connection
) -> None:
    for query, kind, words in (
        (f"select hansen_statistic from {COEFFICIENTS}", "withheld", "hansen_statistic (all "),
        (f"select count(hansen_statistic) from {COEFFICIENTS}", "error", "hansen_statistic (all "),
        # The panel in a public copy lacks the withheld columns, so selecting one is an error.
        (f"select max(gdp_100m_cny) from {PANEL}", "error", WHY),
        (f"from {PANEL}", "withheld", "ai_firm_count (all "),
    ):
        found = answer.run_query(copy, query)
        assert words in found[kind]
        assert found["rows"] if kind == "withheld" else [*found] == ["error"]
    unfilled = answer.run_query(copy, f"select hansen_statistic from {COEFFICIENTS}")
    assert {*unfilled["rows"]} == {(None,)}
    assert "withheld" not in answer.run_query(copy, f"select year, name_en from {PANEL}")
    columns = {row["column"]: row for row in json.loads(public.describe(PANEL))["columns"]}
    assert columns[f"{PANEL}.gdp_100m_cny"]["withheld"].startswith("withheld, all ")
    assert "withheld" not in columns[f"{PANEL}.year"]
    with pytest.raises(duckdb.BinderException, match="gdp_100m_yuan"):
        answer.run_query(copy, f"select gdp_100m_yuan from {PANEL}")


CONTENT = {
    "query": "rows",
    "trace": "lines",
    "describe": "columns",
    "search": "found",
    "findings": "verdicts",
    "list_tables": "rows_one_per",
}
"""Key of each tool's result in its answer."""


def answered(door: Door, release: Connection, call: Call) -> dict[str, Any]:
    """Return a tool's answer, running SQL queries in this process to avoid the start-up time."""
    tool, arguments = call
    if tool == "query":
        return answer.run_query(release, arguments["sql"])
    found: dict[str, Any] = json.loads(getattr(door, tool)(**arguments))
    return found


def test_a_public_copy_answers_each_question_of_the_docs_or_says_what_is_withheld(
    public: Door, copy: Connection
) -> None:
    page = (PROJECT / "docs/questions.md").read_text("utf-8")
    heading = "## Questions that a public copy does not answer"
    apart = calls_of(page[page.index(heading) :])
    offered = {
        name for (name,) in copy.execute("select question from release.questions").fetchall()
    }
    assert offered == calls_of(page).keys() - apart.keys()
    assert len(apart) == 9
    for question, call in calls_of(page).items():
        found = answered(public, copy, call)
        if question in apart:
            said = found.get("error") or found["withheld"]
            assert "withh" in said, question
            assert "values of vendor" in said, question
        else:
            assert found[CONTENT[call[0]]], (question, found)
            assert "tables_without_rows" not in found, question


SOUGHT = {
    # Search queries, with the start of the first result and of some later result.
    "effect of AI on GDP": ("verdict table_1_col_1: ", "column reports."),
    "What is the effect of AI firms on secondary value added?": ("verdict table_2_col_1: ", ""),
    "人工智能对GDP的影响": ("verdict table_1_col_1: ", "finding claim"),
    "Does it depend on doubtful values?": ("finding doubtful", ""),
    "the verdict of each design": ("question Which designs test a claim, and which", ""),
    "registered POPULATION": (
        "question In which table",
        f"column {PANEL}.registered_population_10k",
    ),
    "户籍人口": ("question In which table", "series registered_population_10k"),
    "licence and citation": ("question Whose numbers does a series contain", ""),
    "city standing quarter": (
        "question How does a city rank among all",
        "table reports.rpt_city_standing: ",
    ),
}


def test_a_search_returns_verdicts_and_questions_before_columns(public: Door) -> None:
    for words, (first, later) in SOUGHT.items():
        lines = json.loads(public.search(words))["found"]
        assert lines[0].startswith(first), words
        assert any(line.startswith(later) for line in lines), words
        kinds = [line.partition(" ")[0] for line in lines]
        assert kinds == sorted(kinds, key=[*search.LIMITS].index)


def test_a_search_marks_the_verdicts_with_substitutes_in_both_languages(
    sample_release: Path, tmp_path: Path
) -> None:
    name = "table_1_col_1"
    marked = changed(
        sample_release,
        tmp_path / "marked.duckdb",
        f"update reports.rpt_verdicts set substitutions = 's' where specification_id = '{name}'",
    )
    with duckdb_client.open_read_only(marked) as connection:
        entries = connection.execute(search.SQL["entries"]).fetchall()
    verdicts = [(entry[1], entry[2:4]) for entry in entries if entry[0] == "verdict"]
    assert len(verdicts) > 10
    for specification, words in verdicts:
        assert ["†" in text for text in words] == [specification == name] * 2


def test_a_search_for_any_question_fits_in_five_kilobytes_and_says_how_to_see_more(
    copy: Connection, public: Door
) -> None:
    book = query_book.parse_entries((PROJECT / "docs/questions.md").read_text("utf-8"))
    for question in (words for entry in book for words in (entry.question, entry.question_zh)):
        found = search.find_best_lines(copy, question, {})
        assert found.lines, question
        assert len(json.dumps(found.lines, ensure_ascii=False).encode()) < 4_500, question
    text = public.search("AI firms")
    assert len(text.encode()) < 5_000
    assert re.match(r"\d+ more results\. Add words", json.loads(text)["more"])
    for words in ("xyzzy", "what is the", ""):
        assert json.loads(public.search(words))["found"] == []


def test_every_table_of_the_schema_release_can_be_asked(
    opened: Connection,
) -> None:
    """The schema name `release` is a reserved word, which DuckDB quotes in query plans."""
    listed = "select table_name from duckdb_tables() where schema_name = 'release' order by all"
    names = [name for (name,) in opened.execute(listed).fetchall()]
    assert {"manifest", "history", "questions", "changes"} <= {*names}
    for name in names:
        found = answer.run_query(opened, f"select * from release.{name}")
        assert "cannot_tell" not in found
        assert found["rests_on"] == [[f"release.{name}.{column}"] for column in found["columns"]]


def test_a_process_that_fails_is_reported_with_its_error(
    sample_release: Path, tmp_path: Path
) -> None:
    door = Door(sample_release, tmp_path / "shown.duckdb")
    (tmp_path / "shown.duckdb").write_bytes(b"no database")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(door, "_format_answer", lambda **facts: json.dumps(facts))
        error = json.loads(door.query("select 1"))["error"]
    assert "memory limit" not in error
    assert error.endswith("Report it as a bug.")


def test_rows_columns_and_characters_are_limited(opened: Connection) -> None:
    for query, rows in {
        "select x from range(1000000) as t(x)": [*zip(range(200))],
        "select repeat('é', 3000) from range(9)": [("é" * 3000,)] * 6,
        "select repeat('x', 20001)": [],
        "select 1": [(1,)],
    }.items():
        found = answer.run_query(opened, query)
        assert (found["rows"], found["is_cut"]) == (rows, query != "select 1")


SINGLE = (
    "Send a single SELECT statement. The server is read-only, and runs one statement at a time."
)
REFUSED = (
    "select 1; select 2",
    "select 1; drop table reports.rpt_verdicts",
    "attach '{folder}/new.duckdb' as new",
    "copy (select 1) to '{folder}/out.csv'",
    "copy reports.rpt_verdicts from '{folder}/secret.csv'",
    "create table reports.t as select 1",
    "delete from reports.rpt_verdicts",
    "export database '{folder}/out'",
    "explain analyze select count(*) from range(1000000000000)",
    "install httpfs",
    "load httpfs",
    "pragma database_list",
    "prepare p as select 1",
    "set memory_limit = '100GB'",
    "call pragma_database_size()",
    "",
)
NOT_REACHED = (
    "from read_text('{folder}/secret.csv')",
    "from read_csv('{folder}/*.csv')",
    "from '{folder}/secret.csv'",
    "from glob('{folder}/*')",
    "from sniff_csv('{folder}/secret.csv')",
    "from read_parquet('http://127.0.0.1:9/x.parquet')",
    "from duckdb_secrets()",
    "select getenv('PATH')",
    "from query('drop table reports.rpt_verdicts')",
    "from release_of_the_caller",
)
ENDLESS = (
    "with recursive r as (select 1 as n union all select n + 1 from r) select count(*) from r",
    "select length(repeat('x', 1000000000))",
    "select count(*) from range(1000000) as a(x), range(1000000) as b(y) where hash(x, y) = 1",
    "select count(distinct x) from generate_series(1, 1000000000000) as t(x)",
)
HUGE = (
    "select list(x) from range(1000000000) as t(x)",
    "from range(1000000000) as t(x) order by hash(x)",
    "select repeat('x', 100000000) from range(1000)",
)


def test_a_query_that_is_not_one_valid_select_of_200_columns_is_refused(
    opened: Connection,
) -> None:
    for query, why in {
        **dict.fromkeys(REFUSED, SINGLE),
        f"select {'1, ' * 201}": "The query returns 201 columns. Select at most 200.",
        "select '\ud800'": "Character 9 is U+D800, half of a surrogate pair, which is not valid"
        " text. Remove it.",
    }.items():
        found = answer.run_query(opened, query.replace("{folder}", "/nowhere"))
        assert found == {"error": why}, query


def test_a_select_reaches_no_file_and_no_network(opened: Connection, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text(SECRET, "utf-8")
    for query in NOT_REACHED:
        with pytest.raises(duckdb.Error) as raised:
            answer.run_query(opened, query.replace("{folder}", str(tmp_path)))
        assert SECRET not in str(raised.value)


def children() -> set[str]:
    """Return the IDs of the running child processes of this process."""
    listed = Path("/proc/self/task").glob("*/children")
    return {pid for path in listed for pid in path.read_text("utf-8").split()}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc lists the children of a process")
def test_a_query_that_does_not_end_is_killed_and_the_next_is_answered(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = children()
    with monkeypatch.context() as limited:
        limited.setattr(answer, "PROCESSOR_LIMIT", 1)
        found = of(door.query(ENDLESS[0]))
    assert found["error"] == (
        "The query was stopped after 1 s of processor time. Ask for less data."
    )
    assert children() <= before
    assert of(door.query("select 1 as one, 'nan'::double as none"))["rows"] == [[1, None]]


def test_a_query_that_only_waits_ends_too_and_says_why(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "WAIT", 0.01)
    said = "No answer within 0.01 s; the machine is busy. Ask again later."
    assert of(door.query("select 1"))["error"] == said


def test_no_answer_names_a_folder_of_this_machine(door: Door) -> None:
    query = (
        "select name, value from duckdb_settings() where regexp_matches(name, 'director|path')"
        " union all select database_name, path from duckdb_databases()"
    )
    found = dict(of(door.query(query))["rows"])
    assert found["file"] == "shown.duckdb"
    assert found["secret_directory"] == "/.duckdb/stored_secrets"
    refused = of(door.query("from duckdb_secrets()"))["error"]
    for folder in (str(door._copy_path.parent), str(Path.home()), str(PROJECT)):
        assert folder not in json.dumps(found) + refused


@pytest.mark.soak
def test_a_query_has_its_own_memory(door: Door) -> None:
    assert "Out of Memory" in of(door.query(HUGE[0]))["error"]


@pytest.mark.soak
@pytest.mark.parametrize("query", [*ENDLESS[1:], *HUGE[1:]])
def test_a_query_of_any_size_ends(query: str, door: Door) -> None:
    found = of(door.query(query))
    # A fast machine may complete the query of 10^9 letters within the limit of ten seconds.
    assert "error" in found or found["rows"] == [[1_000_000_000]]


def test_without_the_sdk_the_command_names_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    monkeypatch.delitem(sys.modules, "ai_manufacturing.question_door.server", raising=False)
    run = CliRunner().invoke(cli.main, ["mcp"])
    assert run.exit_code == 1
    assert "Install it with `python -m pip install -e '.[mcp]'`." in run.output


def calls_of(text: str) -> dict[str, Call]:
    """Return each question in a table of the page, with the tool call that answers it."""
    rows = re.findall(r"^\| (.+?) \|(?:.*\|)? `([^`]+)` \|$", text, flags=re.MULTILINE)
    return {question: call(text) for question, text in rows}


def call(text: str) -> Call:
    tool, _, rest = text.partition(": ")
    _, *names = inspect.signature(getattr(Door, tool)).parameters
    values = rest.split(", ") if tool == "trace" else [rest] if rest else []
    arguments: dict[str, Any] = dict(zip(names, values, strict=False))
    if "year" in arguments:
        arguments["year"] = int(arguments["year"])
    return tool, arguments


def over_stdio(release: Path, folder: Path, calls: Iterable[Call]) -> list[dict[str, Any]]:
    """Start an MCP server over stdio, and return its answers to these tool calls."""
    from mcp import Client, StdioServerParameters, stdio_client

    server = StdioServerParameters(
        command=str(Path(sys.executable).parent / "ai-manufacturing"),
        args=["mcp", "--database", str(release)],
        env={"DBT_PROJECT_DIR": str(PROJECT)},
        cwd=folder,
    )

    async def ask() -> list[dict[str, Any]]:
        with (folder / "stderr").open("w", encoding="utf-8") as log:
            async with Client(stdio_client(server, errlog=log)) as client:
                listed = {tool.name for tool in (await client.list_tools()).tools}
                assert listed == CONTENT.keys()
                return [
                    json.loads((await client.call_tool(tool, arguments)).content[0].text)
                    for tool, arguments in calls
                ]

    # Use a new thread, because a browser test may have left an event loop running in this thread.
    with ThreadPoolExecutor(max_workers=1) as threads:
        return threads.submit(asyncio.run, ask()).result()


@pytest.mark.soak
def test_a_client_asks_the_fifty_questions_of_the_docs(
    sample_release: Path, tmp_path: Path
) -> None:
    questions = calls_of((PROJECT / "docs/questions.md").read_text("utf-8"))
    assert len(questions) >= 50
    answers = over_stdio(sample_release, tmp_path, questions.values())
    for (question, (tool, _)), found in zip(questions.items(), answers, strict=True):
        assert found["is_synthetic"], question
        assert "error" not in found, (question, found)
        assert "cannot_tell" not in found, question
        assert found[CONTENT[tool]], question
        if caveats.ESTIMATE in found.get("caveats", {}):
            assert found["verdicts"], question
