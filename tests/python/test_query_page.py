"""The query page over HTTP: DuckDB in the browser, on the release, with every type, chart and link."""

import csv
import gzip
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from ai_manufacturing.site import query, query_book, serve
from tests.python.conftest import PROJECT, Build
from tests.python.site_reader import AXE, PHONE, SCREENSHOTS, STRAY, Reader


@pytest.fixture(scope="session")
def served_site(sample_site: Path) -> Iterator[str]:
    if not all((query.bundle_dir() / name).exists() for name in query.BUNDLE):
        pytest.skip("the query page is not bundled; `make query-page` does it, with npm")

    with serve.server(sample_site, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_query_page_answers_from_the_release_and_asks_nothing_of_the_network(
    reader: Reader, served_site: str, sample_build: Build
) -> None:
    page = reader.page
    page.goto(f"{served_site}/query.html")
    assert not [url for url in reader.requests if "query_page" in url]  # the engine waits for a query
    book = (PROJECT / "docs/queries.md").read_text(encoding="utf-8")
    assert page.locator("#question option").all_text_contents() == re.findall(r"^## (.+)$", book, re.M)
    expect(page.locator("#sql")).to_have_value(re.compile("from (marts|reports)"))
    page.locator("#sql").fill(
        "select year, sum(ai_firm_count) as firms from fct_city_year_panel group by year order by 1"
    )
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#query-status")).to_have_text("11 rows")
    # What is large comes packed, and the page said how much of it had come.
    loaded = [url.rsplit("/", 1)[-1] for url in reader.requests if "query_page/" in url]
    assert {"duckdb.wasm.gz", "ai_manufacturing.duckdb.gz"} <= set(loaded)
    assert not {"duckdb.wasm", "ai_manufacturing.duckdb"} & set(loaded)
    total = sample_build.value("select sum(ai_firm_count) from marts.fct_city_year_panel where year = 2020")
    expect(page.locator("#result tbody tr").last).to_have_text(f"2020{total}")
    expect(page.locator("#result-chart svg")).to_be_visible()
    page.screenshot(path=SCREENSHOTS / "query.png")
    page.get_by_label("Draw").select_option("firms")
    page.locator("#sql").fill("select nothing from nowhere")
    page.locator("#sql").press("Control+Enter")
    expect(page.locator("#query-status")).to_contain_text("nowhere does not exist")
    expect(page.locator("#query-status")).to_contain_text("LINE 1: select nothing from nowhere")
    # Nothing of the last result is left beside the message.
    expect(page.locator("#result")).to_be_empty()
    expect(page.locator("#result-chart")).to_be_hidden()
    expect(page.get_by_role("button", name="CSV")).to_be_disabled()
    for number, entry in enumerate(query_book.entries(book)):
        page.locator("#question").select_option(str(number))
        page.get_by_role("button", name="Run").click()
        expect(page.locator("#query-status")).to_have_text(f"{entry.answer.count(chr(10)) - 2} rows")
        if re.search(r"\| -?[\d.,]+ \|", entry.answer):  # words alone have nothing to draw
            expect(page.locator("#result-chart svg")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].startswith("series,provider,")
    assert not [words for words in reader.complaints if "Content Security Policy" in words]
    assert [url for url in reader.requests if not url.startswith((served_site, "data:", "blob:"))] == []


# Each type with what DuckDB's own command line prints for it.
TYPES = {
    "date '2020-02-29'": "2020-02-29",
    "timestamp '2020-02-29 12:34:56.789'": "2020-02-29 12:34:56.789",
    "timestamp_ns '2020-02-29 12:34:56.123456789'": "2020-02-29 12:34:56.123456789",
    "timestamptz '2020-02-29 12:34:56+00'": "2020-02-29 12:34:56+00",
    "time '12:34:56'": "12:34:56",
    "interval '1 month 2 days'": "1 month 2 days",
    "1.10::decimal(10, 2)": "1.10",
    "9007199254740993::bigint": "9007199254740993",
    "123456789012345678901234567890::hugeint": "123456789012345678901234567890",
    "uuid '00000000-0000-0000-0000-00000000000a'": "00000000-0000-0000-0000-00000000000a",
    "'a\\xFF'::blob": "a\\xFF",
    "[1, 2, null]": "[1, 2, NULL]",
    "{'a': 1, 'b': 'x'}": "{'a': 1, 'b': x}",
    "map {'k': 1}": "{k=1}",
    "'x'::enum ('x', 'y')": "x",
    "true": "true",
    "0.1::double": "0.1",
    "-0.5": "-0.5",
    "''": "",
    "null": "",
}


def test_the_query_page_shows_every_type_caps_rows_and_says_which_statement_it_shows(
    reader: Reader, served_site: str, sample_build: Build
) -> None:
    page = reader.page
    page.goto(f"{served_site}/query.html")
    sql, status, cells = page.locator("#sql"), page.locator("#query-status"), page.locator("#result tbody td")
    sql.fill("select " + ", ".join(f"{value} as c{number}" for number, value in enumerate(TYPES)))
    sql.press("Control+Enter")
    expect(status).to_have_text("1 rows", timeout=60_000)
    assert cells.all_text_contents() == list(TYPES.values())
    missing = "cell => getComputedStyle(cell, '::before').content"
    assert [cells.nth(place).evaluate(missing) for place in (-2, -1)] == ["none", '"NULL"']
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as file:
        header, values = csv.reader(file)
    assert header[-2:] == ["extract_set", "is_synthetic"]
    assert values[:-2] == list(TYPES.values())

    sql.fill("select city_id, year from fct_city_year_panel order by city_id desc, year")
    sql.press("Meta+Enter")
    expect(status).to_have_text("4,037 rows; the first 1,000 are shown; the CSV has all")
    expect(page.locator("#result tbody tr")).to_have_count(1000)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    assert download.value.suggested_filename == "query_sample.csv"
    rows = Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()
    expected = sample_build.rows("select city_id, year from marts.fct_city_year_panel order by city_id desc, year")
    assert rows[1:] == [f"{city},{year},sample,true" for city, year in expected]

    sql.fill("select 1 as a; -- one; two\nselect ';' as b, $$;$$ as c")
    sql.press("Control+Enter")
    expect(status).to_have_text("1 rows; of 2 statements, all of which ran, the last is shown")
    assert cells.all_text_contents() == [";", ";"]
    sql.fill("describe dim_city")  # what is no table of its own
    sql.press("Control+Enter")
    expect(status).to_have_text(f"{sample_build.value('select count(*) from (describe marts.dim_city)')} rows")


CHARTED = """
select specification_id, estimate, conf_low, conf_high, observation_count
from reports.rpt_coefficients where table_id = 'table_1' and term = regressor and status = 'estimated'
"""


@pytest.mark.parametrize(("width", "language"), [(1280, "en"), (PHONE["width"], "zh-CN")])
def test_a_link_brings_the_query_whose_result_is_drawn_as_points_and_intervals(
    reader: Reader, served_site: str, sample_build: Build, width: int, language: str
) -> None:
    page = reader.page
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"{served_site}/query.html?language={language}")
    page.locator("#sql").fill(CHARTED)
    page.locator("#share").click()
    link = page.url
    assert link.startswith(f"{served_site}/query.html?language={language}#sql=")  # what no server sees
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator("#sql")).to_have_value(CHARTED)
    page.locator("#sql").press("Control+Enter")
    rows = sample_build.rows(CHARTED)
    expect(page.locator("#result tbody tr")).to_have_count(len(rows))
    marks, chart = page.locator("#result-chart svg .mark-symbol.role-mark path"), page.locator("#chart-kind")
    assert [option.get_attribute("value") for option in chart.locator("option").all()] == [
        "auto",
        "scatter",
        "intervals",
    ]
    chart.select_option("scatter")
    page.locator("#chart-against").select_option("observation_count")
    expect(marks).to_have_count(len(rows))
    expect(page.locator("#result-chart")).to_have_attribute("aria-label", "estimate / observation_count")
    chart.select_option("intervals")
    expect(page.locator("#result-chart svg .mark-rule.role-mark line")).to_have_count(len(rows))
    expect(page.locator("#result-chart")).to_have_attribute("aria-label", "estimate [conf_low, conf_high]")
    page.locator("#schema summary").first.click()
    page.locator("#schema-filter").fill("FDI panel")
    english = language == "en"
    description = sample_build.value(
        f"select description_{'en' if english else 'zh'} from marts.data_dictionary "
        "where table_name = 'fct_city_year_panel' and column_name = 'fdi_1m_usd'"
    )
    expect(page.locator("#schema-tree li", has_text="fdi_1m_usd double").first).to_contain_text(description)
    page.locator("#sql").fill("select ")
    page.locator("#schema-tree").get_by_role("button", name="fdi_1m_usd", exact=True).click()
    expect(page.locator("#sql")).to_have_value("select fdi_1m_usd")
    page.screenshot(path=SCREENSHOTS / f"query_{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert english or page.evaluate(STRAY) == []
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations'], preload: false})")["violations"]
    assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == []
    assert reader.complaints == []


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """Serve a folder with a text and some bytes."""
    (tmp_path / "index.html").write_text("text " * 1000, encoding="utf-8")
    (tmp_path / "release.duckdb").write_bytes(bytes(range(100)))
    with serve.server(tmp_path, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("path", ["/", "/index.html?language=en"])
def test_a_text_is_sent_packed_to_who_unpacks_it(served: str, path: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(served + path, headers={"Accept-Encoding": "gzip"})) as answer:
        packed = answer.read()
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Content-Type"] == "text/html"
    assert len(packed) < 200
    assert gzip.decompress(packed) == b"text " * 1000
    with urllib.request.urlopen(served + path) as answer:
        assert answer.headers["Content-Encoding"] is None
        assert answer.read() == b"text " * 1000


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=10-19", 10, 19),
        ("bytes=90-", 90, 99),
        ("bytes=-5", 95, 99),
        ("bytes=95-500", 95, 99),
        ("bytes=0-0", 0, 0),
    ],
)
def test_a_part_of_a_file_is_sent_alone(served: str, asked: str, first: int, last: int) -> None:
    request = urllib.request.Request(f"{served}/release.duckdb", headers={"Range": asked})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/100"
        assert answer.read() == bytes(range(first, last + 1))
    with urllib.request.urlopen(f"{served}/release.duckdb") as answer:
        assert answer.status == 200
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.read() == bytes(range(100))


@pytest.mark.parametrize(
    ("path", "asked", "status"),
    [("/release.duckdb", "bytes=100-", 416), ("/nothing", "bytes=0-1", 404), ("/../../etc/passwd", "bytes=0-1", 404)],
)
def test_a_part_that_is_not_there_is_refused(served: str, path: str, asked: str, status: int) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(served + path, headers={"Range": asked}))
    with refused.value as answer:
        assert answer.code == status
