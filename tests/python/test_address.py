"""The release and its tables at an address: read in parts over HTTP, by the clients that the page names."""

import functools
import http.server
import io
import re
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect

from ai_manufacturing.site import downloads, query, serve, use
from tests.python.conftest import Build, environment_of_its_own, made_once
from tests.python.site_reader import Reader

HEADLINE = "from reports.rpt_coefficients where specification_id = 'table_1_col_1' and term_order = 1"


class Address:
    """A served site: its address, and what each request asked for and was sent."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.requests: list[tuple[str, int, int]] = []

    def parts_of(self, name: str) -> list[int]:
        """Return the bytes of each part of a file that was sent; a whole file fails."""
        sent = [(status, size) for path, status, size in self.requests if path.endswith(name) and size]
        assert sent
        assert {status for status, _ in sent} == {206}, sent
        return [size for _, size in sent]


@pytest.fixture
def address(sample_site: Path) -> Iterator[Address]:
    """Serve the site of the sample as `make serve` does."""

    class Recording(serve.Handler):
        def send_head(self) -> IO[bytes] | None:
            head = super().send_head()
            served.requests.append((self.path, self.status, self.size if self.command == "GET" else 0))
            return head

        def send_response(self, code: int, message: str | None = None) -> None:
            self.status, self.size = code, 0
            super().send_response(code, message)

        def send_header(self, keyword: str, value: str) -> None:
            if keyword == "Content-Length":
                self.size = int(value)
            super().send_header(keyword, value)

        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Recording, directory=str(sample_site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        served = Address(f"http://127.0.0.1:{server.server_port}", sample_site)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield served
        server.shutdown()


class Remote(io.RawIOBase):
    """A file at an address, read by ranges."""

    def __init__(self, url: str) -> None:
        self.url, self.place = url, 0
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD")) as answer:
            self.size, self.version = int(answer.headers["Content-Length"]), answer.headers["ETag"]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence]
        return self.place

    def read(self, size: int = -1) -> bytes:
        last = self.size - 1 if size < 0 else min(self.place + size, self.size) - 1
        asked = {"Range": f"bytes={self.place}-{last}"}
        with urllib.request.urlopen(urllib.request.Request(self.url, headers=asked)) as answer:
            assert answer.headers["ETag"] == self.version
            content: bytes = answer.read()
        self.place += len(content)
        return content


def test_a_column_of_a_table_is_read_without_the_others(address: Address, sample_build: Build) -> None:
    url = f"{address.url}/{downloads.FOLDER}/fct_city_year_panel.parquet"
    read = pq.ParquetFile(pa.PythonFile(Remote(url), mode="r")).read(columns=["city_id", "year", "gdp_100m_cny"])
    expected = sample_build.frame("select city_id, year, gdp_100m_cny from marts.fct_city_year_panel")
    keys = ["city_id", "year"]
    pd.testing.assert_frame_equal(
        read.to_pandas().sort_values(keys, ignore_index=True),
        expected.sort_values(keys, ignore_index=True),
        check_dtype=False,
    )
    size = (address.folder / downloads.FOLDER / "fct_city_year_panel.parquet").stat().st_size
    assert sum(address.parts_of("fct_city_year_panel.parquet")) < size / 4
    whole = pd.read_parquet(url)
    assert len(whole) == len(expected)


def test_a_file_that_was_replaced_has_another_version_and_gives_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "release.duckdb"
    path.write_bytes(b"old" * 10)
    with serve.server(tmp_path, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/release.duckdb"
        with urllib.request.urlopen(url) as answer:
            version = answer.headers["ETag"]
        part = {"Range": "bytes=3-5", "If-Range": version}
        with urllib.request.urlopen(urllib.request.Request(url, headers=part)) as answer:
            assert (answer.status, answer.headers["ETag"], answer.read()) == (206, version, b"old")
        path.write_bytes(b"newer" * 10)
        with urllib.request.urlopen(urllib.request.Request(url, headers=part)) as answer:
            assert (answer.status, answer.read()) == (200, b"newer" * 10)
            assert answer.headers["ETag"] != version
        server.shutdown()


def pasted(page: str, url: str) -> str:
    """Return the lines that the page gives, with the address of the site."""
    (lines,) = re.findall(r'id="address".*?<code>(.*?)</code>', page, re.DOTALL)
    return str(lines).replace("&#39;", "'").replace("https://…/", f"{url}/")


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_the_page_shows_its_own_address_to_paste(reader: Reader, address: Address, language: str) -> None:
    reader.page.goto(f"{address.url}/use.html?language={language}")
    shown = reader.page.locator("#address ~ pre").first
    expect(shown).to_have_text(pasted((address.folder / "use.html").read_text(encoding="utf-8"), address.url))
    expect(shown).to_contain_text(f"ATTACH '{address.url}/data/ai_manufacturing.duckdb'")
    assert reader.complaints == []
    reader.open(address.folder, "use")
    expect(shown).to_have_text(use.ADDRESS_LINES)  # a file has no address that another could read


def test_duckdb_in_a_browser_attaches_the_release_and_reads_parts_of_it(
    reader: Reader, address: Address, sample_build: Build
) -> None:
    if not all((query.bundle_dir() / name).exists() for name in query.BUNDLE):
        pytest.skip("the query page is not bundled; `make query-page` does it, with npm")
    page = reader.page
    page.goto(f"{address.url}/query.html")
    attach = f"attach '{address.url}/{downloads.FOLDER}/{downloads.RELEASE}' as far (read_only)"
    page.locator("#sql").fill(f"{attach};\nselect estimate {HEADLINE.replace('from ', 'from far.')}")
    page.locator("#sql").press("Control+Enter")
    estimate = sample_build.value(f"select estimate {HEADLINE}")
    expect(page.locator("#result tbody tr")).to_have_text(str(estimate))
    size = (address.folder / downloads.FOLDER / downloads.RELEASE).stat().st_size
    assert sum(address.parts_of(f"/{downloads.RELEASE}")) < size / 2


READ = """
import pathlib, sys
import duckdb, duckdb_extension_httpfs
url, lines = sys.argv[1:]
connection = duckdb.connect()
# what a client with a network loads by itself
(extension,) = pathlib.Path(duckdb_extension_httpfs.__file__).parent.rglob("*.duckdb_extension")
connection.load_extension(str(extension))
for line in filter(str.strip, lines.split(";")):
    connection.execute(line)
for table in ("ai_manufacturing.reports.rpt_coefficients", f"'{url}/data/rpt_coefficients.parquet'"):
    where = "where specification_id = 'table_1_col_1' and term_order = 1"
    print(connection.execute(f"select estimate from {table} {where}").fetchall()[0][0])
"""


@pytest.mark.soak
@pytest.mark.parametrize("version", ["1.2.2", "1.5.5", "2.0.1"])
def test_a_client_of_any_version_pastes_the_lines(
    version: str, address: Address, shared: Path, sample_build: Build
) -> None:
    # A wheel stands for what DuckDB loads from the web. For 2.0 there is none yet, so that it is skipped.
    folder = shared / f"httpfs_{version}"
    packages = (f"duckdb=={version}", f"duckdb-extension-httpfs=={version}")
    made_once(folder, lambda: environment_of_its_own(folder / "venv", *packages))
    lines = pasted((address.folder / "use.html").read_text(encoding="utf-8"), address.url)
    run = subprocess.run(
        [str(folder / "venv/bin/python"), "-c", READ, address.url, lines], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    estimate = sample_build.value(f"select estimate {HEADLINE}")
    assert [float(line) for line in run.stdout.split()] == [estimate, estimate]
    size = (address.folder / downloads.FOLDER / downloads.RELEASE).stat().st_size
    assert sum(address.parts_of(f"/{downloads.RELEASE}")) < size / 2
