"""Browser tests of a served site: SQL queries on the release, and code examples to paste."""

import csv
import functools
import http.server
import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from playwright.sync_api import expect

from ai_manufacturing import site
from ai_manufacturing.site import downloads, query, query_book, serve, use
from ai_manufacturing.site.release import Release
from tests.python.conftest import PROJECT, Build
from tests.python.release_store import read
from tests.python.site_reader import (
    PHONE,
    SCREENSHOTS,
    STRAY,
    Reader,
    Restricted,
    accessibility_faults,
)

pytestmark = [pytest.mark.door, pytest.mark.soak]
HEADLINE = "rpt_coefficients where specification_id = 'table_1_col_1' and term_order = 1"
is_bundled = pytest.mark.skipif(
    not all((query.bundle_dir() / name).exists() for name in query.BUNDLE),
    reason="the query page is not bundled; `make query-page` does it, with npm",
)


class Address:
    """A served site: the URL, the folder, and the path and status of each response."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.answers: list[tuple[str, int]] = []


@contextmanager
def served_from(folder: Path) -> Iterator[Address]:
    """Serve a site in the same way as `make serve`, and record the responses."""

    class Recording(serve.Handler):
        def log_request(self, code: int | str = 0, size: int | str = 0) -> None:
            served.answers.append((self.path, int(code)))

    handler = functools.partial(Recording, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        served = Address(f"http://127.0.0.1:{server.server_port}", folder)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield served
        server.shutdown()


@pytest.fixture
def address(sample_site: Path) -> Iterator[Address]:
    with served_from(sample_site) as served:
        yield served


def test_the_page_shows_its_own_address_to_paste(reader: Reader, address: Address) -> None:
    reader.page.goto(f"{address.url}/use.html")
    shown = reader.page.locator("#address ~ pre").first
    expect(shown).to_have_text(use.ADDRESS_LINES.replace("https://…", address.url))
    assert reader.complaints == []
    reader.open(address.folder, "use")
    # A page opened from a file shows a placeholder, because the file has no public address.
    expect(shown).to_have_text(use.ADDRESS_LINES)


@is_bundled
def test_the_query_page_answers_from_the_release_and_asks_nothing_of_the_network(
    reader: Reader, address: Address
) -> None:
    page = reader.page
    page.goto(f"{address.url}/query.html")
    # DuckDB is only loaded when the first query runs.
    assert not [url for url in reader.requests if "query_page" in url]
    sql, status = page.locator("#sql"), page.locator("#query-status")
    chart, questions = page.locator("#result-chart"), page.locator("#question")
    run = page.get_by_role("button", name="Run")
    book = (PROJECT / "docs/questions.md").read_text(encoding="utf-8")
    expect(sql).to_have_value(re.compile("from (marts|reports)"))
    sql.fill(
        "select year, sum(ai_firm_count) as firms from fct_city_year_panel group by all order by 1"
    )
    run.click()
    expect(status).to_have_text("11 rows")
    # The browser downloads the gzip-compressed versions of large files.
    loaded = {url.rsplit("/", 1)[-1] for url in reader.requests if "query_page/" in url}
    assert {"duckdb.wasm.gz", "ai_manufacturing.duckdb.gz"} <= loaded
    assert loaded.isdisjoint({"duckdb.wasm", "ai_manufacturing.duckdb"})
    expect(chart.locator("svg")).to_be_visible()
    sql.fill("select nothing from nowhere")
    sql.press("Control+Enter")
    expect(status).to_contain_text("nowhere does not exist")
    # The error message replaces the result of the previous query.
    expect(page.locator("#result")).to_be_empty()
    expect(chart).to_be_hidden()
    expect(page.get_by_role("button", name="CSV")).to_be_disabled()
    for number, entry in enumerate(query_book.parse_entries(book)):
        questions.select_option(str(number))
        run.click()
        expect(status).to_have_text(f"{entry.answer.count(chr(10)) - 2} rows")
        # Only results that contain numbers are drawn as a chart.
        if re.search(r"\| -?[\d.,]+ \|", entry.answer):
            expect(chart.locator("svg")).to_be_visible()
    assert not [words for words in reader.complaints if "Content Security Policy" in words]
    own = (address.url, "data:", "blob:")
    assert [url for url in reader.requests if not url.startswith(own)] == []


# SQL expressions, and the text that DuckDB's command-line client prints for each of them.
TYPES = {
    "date '2020-02-29'": "2020-02-29",
    "timestamp_ns '2020-02-29 12:34:56.123456789'": "2020-02-29 12:34:56.123456789",
    "timestamptz '2020-02-29 12:34:56+00'": "2020-02-29 12:34:56+00",
    "time '12:34:56'": "12:34:56",
    "interval '1 month 2 days'": "1 month 2 days",
    "1.10::decimal(10, 2)": "1.10",
    "123456789012345678901234567890::hugeint": "123456789012345678901234567890",
    "uuid '00000000-0000-0000-0000-00000000000a'": "00000000-0000-0000-0000-00000000000a",
    "'a\\xFF'::blob": "a\\xFF",
    "[1, 2, null]": "[1, 2, NULL]",
    "{'a': 1, 'b': 'x'}": "{'a': 1, 'b': x}",
    "map {'k': 1}": "{k=1}",
    "0.1::double": "0.1",
    "-0.5": "-0.5",
    "''": "",
    "null": "",
}


@is_bundled
def test_the_query_page_shows_every_type_caps_rows_and_says_which_statement_it_shows(
    reader: Reader, address: Address, sample_build: Build
) -> None:
    page = reader.page
    page.goto(f"{address.url}/query.html")
    status, cells = page.locator("#query-status"), page.locator("#result tbody td")

    def runs(sql: str, says: str, key: str = "Control+Enter") -> None:
        page.locator("#sql").fill(sql)
        page.locator("#sql").press(key)
        expect(status).to_have_text(says)

    columns = [f"{value} as c{number}" for number, value in enumerate(TYPES)]
    runs(f"select {', '.join(columns)}", "1 rows")
    assert cells.all_text_contents() == [*TYPES.values()]
    missing = "cell => getComputedStyle(cell, '::before').content"
    assert [cells.nth(place).evaluate(missing) for place in (-2, -1)] == ["none", '"NULL"']
    content, _ = reader.downloaded(page.locator("body"), "CSV")
    header, values = csv.reader(content.splitlines())
    assert header[-2:] == ["extract_set", "is_synthetic"]
    assert values[:-2] == [*TYPES.values()]

    rows = "city_id, year from {}fct_city_year_panel order by city_id desc, year"
    says = "4,037 rows; the page shows the first 1,000 rows, and the CSV file contains all rows"
    runs(f"select {rows.format('')}", says, "Meta+Enter")
    expect(page.locator("#result tbody tr")).to_have_count(1000)
    content, name = reader.downloaded(page.locator("body"), "CSV")
    assert name == "query_sample.csv"
    expected = sample_build.rows(f"select {rows.format('marts.')}")
    assert content.splitlines()[1:] == [f"{city},{year},sample,true" for city, year in expected]

    says = "1 rows; 2 statements were run, and the page shows the result of the last one"
    runs("select 1 as a; -- one; two\nselect ';' as b, $$;$$ as c", says)
    assert cells.all_text_contents() == [";", ";"]
    columns_of_city = sample_build.value("select count(*) from (describe marts.dim_city)")
    # Statements other than `select` return rows, too.
    runs("describe dim_city", f"{columns_of_city} rows")


CHARTED = """
select specification_id, estimate, conf_low, conf_high, observation_count
from reports.rpt_coefficients
where table_id = 'table_1' and term = regressor and status = 'estimated'
"""


@is_bundled
@pytest.mark.parametrize(("width", "language"), [(1280, "en"), (PHONE["width"], "zh-CN")])
def test_a_link_brings_the_query_whose_result_is_drawn_as_points_and_intervals(
    reader: Reader, address: Address, sample_build: Build, width: int, language: str
) -> None:
    page = reader.page
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{address.url}/query.html?language={language}")
    sql = page.locator("#sql")
    sql.fill(CHARTED)
    page.locator("#share").click()
    link = page.url
    # The query is stored in the URL fragment, which browsers do not send to the server.
    assert link.startswith(f"{address.url}/query.html?language={language}#sql=")
    page.goto("about:blank")
    page.goto(link)
    expect(sql).to_have_value(CHARTED)
    sql.press("Control+Enter")
    rows = sample_build.rows(CHARTED)
    expect(page.locator("#result tbody tr")).to_have_count(len(rows))
    drawn, kind = page.locator("#result-chart"), page.locator("#chart-kind")
    kind.select_option("scatter")
    page.locator("#chart-against").select_option("observation_count")
    expect(drawn.locator("svg .mark-symbol.role-mark path")).to_have_count(len(rows))
    kind.select_option("intervals")
    expect(drawn.locator("svg .mark-rule.role-mark line")).to_have_count(len(rows))
    expect(drawn).to_have_attribute("aria-label", "estimate [conf_low, conf_high]")
    page.locator("#schema summary").first.click()
    page.locator("#schema-filter").fill("FDI panel")
    description = sample_build.value(
        f"select description_{language[:2]} from marts.data_dictionary "
        "where table_name = 'fct_city_year_panel' and column_name = 'fdi_1m_usd'"
    )
    tree = page.locator("#schema-tree")
    column = tree.locator("li", has_text="fdi_1m_usd double").first
    expect(column).to_contain_text(description)
    page.screenshot(path=SCREENSHOTS / f"query_{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert language == "en" or page.evaluate(STRAY) == []
    assert accessibility_faults(page) == []
    assert reader.complaints == []


@is_bundled
def test_duckdb_in_a_browser_attaches_the_release_and_reads_parts_of_it(
    reader: Reader, address: Address, sample_build: Build
) -> None:
    page = reader.page
    page.goto(f"{address.url}/query.html")
    release = f"{address.url}/{downloads.FOLDER}/{downloads.RELEASE}"
    attach = f"attach '{release}' as far (read_only)"
    page.locator("#sql").fill(f"{attach};\nselect estimate from far.reports.{HEADLINE}")
    page.locator("#sql").press("Control+Enter")
    estimate = sample_build.value(f"select estimate from reports.{HEADLINE}")
    expect(page.locator("#result tbody tr")).to_have_text(str(estimate))
    file = f"/{downloads.RELEASE}"
    assert {code for path, code in address.answers if path.endswith(file)} == {206}


# JavaScript stub of the DuckDB bundle that forwards queries to Python, to test without npm.
ENGINE = """
var duckdbWasm = {
  LogLevel: {},
  ConsoleLogger: class {},
  AsyncDuckDB: class {
    async instantiate() {}
    async open() {}
    async registerFileBuffer() {}
    async connect() {
      return {
        query: async (sql) => {
          const { names, rows, error } = await window.ask(sql);
          if (error) throw new Error(error);
          const valued = (row) => Object.fromEntries(names.map((name, i) => [name, row[i]]));
          const fields = names.map((name) => ({ name }));
          return { schema: { fields }, toArray: () => rows.map(valued) };
        },
      };
    }
  },
};
"""


def test_the_query_page_of_a_public_copy_says_what_is_withheld(
    reader: Reader,
    restricted_sample: Restricted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle, folder = tmp_path / "bundle", tmp_path / "site"
    bundle.mkdir()
    folder.mkdir()
    for name in query.BUNDLE:
        (bundle / name).write_text(ENGINE if name == "duckdb.js" else "", encoding="utf-8")
    monkeypatch.setattr(query, "bundle_dir", lambda: bundle)
    assert query.write_bundle(restricted_sample.copy, folder)
    shutil.copytree(site.HERE / "assets", folder / "assets")
    with Release(restricted_sample.copy) as release:
        text = release.load_catalogue()
        environment = site.make_environment(release, text, pages=["query"])
        markup = site.render_page(
            environment, "query", site.build_page_content("query", release, text)
        )
    (folder / "query.html").write_text(markup, encoding="utf-8")
    ((count,),) = read(restricted_sample.release, "select count(*) from marts.fct_doubtful_values")
    page, copy = reader.page, restricted_sample.copy
    with duckdb.connect() as engine, served_from(folder) as served:

        def ask(sql: str) -> dict[str, Any]:
            own = sql.replace("attach 'ai_manufacturing.duckdb'", f"attach if not exists '{copy}'")
            try:
                cursor = engine.execute(own)
            except duckdb.Error as error:
                return {"error": str(error)}
            names = [column[0] for column in cursor.description or []]
            return {"names": names, "rows": json.loads(json.dumps(cursor.fetchall(), default=str))}

        page.expose_function("ask", ask)
        page.goto(f"{served.url}/query.html")
        status = page.locator("#query-status")

        def says(sql: str, expected: str) -> None:
            page.locator("#sql").fill(sql)
            page.locator("#sql").press("Control+Enter")
            expect(status).to_have_text(re.compile(f"^{expected}"))

        withheld = rf"This public copy withholds marts\.fct_doubtful_values \(all {count} rows\)"
        lost = f"{withheld}, because they contain or would reveal values of vendor"
        says("select count(*) from fct_doubtful_values", lost)
        expect(page.locator("#result")).to_be_empty()
        says("create temp table mine as from fct_doubtful_values; select count(*) from mine", lost)
        left_out = (
            r"This public copy withholds marts\.fct_city_year_panel\.ln_gdp \(all [\d,]+ values\)"
        )
        says("select max(p.ln_gdp) from fct_city_year_panel as p", left_out)
        says("select count(*) as n from dim_city", "1 rows$")
        blank = r"This public copy withholds reports\.rpt_coefficients\.hansen_statistic \(all"
        says("select hansen_statistic from reports.rpt_coefficients limit 1", f"1 rows; {blank}")
        page.locator("#schema summary").first.click()
        page.locator("#schema-filter").fill("fct_doubtful_values")
        listed = page.locator("#schema-tree summary", has_text="marts.fct_doubtful_values")
        expect(listed).to_have_text(f"marts.fct_doubtful_values (withheld, all {count} rows)")
        page.goto(f"{served.url}/query.html?language=zh-CN")
        says("from fct_doubtful_values", "本公开副本不提供marts.fct_doubtful_values")
