"""Time the build of the website, its first page, and a query result on a slow connection."""

import functools
import gzip
import http.server
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from playwright.sync_api import Page, sync_playwright

from ai_manufacturing.site import serve
from ai_manufacturing.system import duckdb_client
from benchmarks import measuring
from benchmarks.measuring import PROJECT, Runs, Scratch, Section
from tests.python.chromium import ARGUMENTS, CHROMIUM

# WebPageTest's "4G" profile: a bandwidth of 9 Mbit/s and a round trip of 170 ms.
BYTES_PER_SECOND, ROUND_TRIP = 9e6 / 8, 0.17
CHUNK = 16_384
QUERY = (
    "select year, sum(ai_firm_count) as firms from fct_city_year_panel group by year order by year"
)
ROWS = 11
PEER = PROJECT / "benchmarks/peers/observable"
WHY = "The peer has one page in one language."
WHY_QUERY = "The peer loads only one table."


@functools.cache
def packed(path: Path) -> bytes:
    """Return the gzipped content of a file, as a web host would send it, from a cache."""
    return gzip.compress(path.read_bytes(), 6)


class Line(serve.Handler):
    """HTTP handler that counts bytes and limits the bandwidth that all connections share.

    A browser's own emulation of a slow network does not apply to its workers.
    """

    is_slow = False
    sent = 0
    lock = threading.Lock()

    def send_head(self) -> IO[bytes] | None:  # type: ignore[override]
        """Delay the response by a round trip, and compress WebAssembly files as web hosts do."""
        if Line.is_slow:
            time.sleep(ROUND_TRIP)
        path = Path(self.translate_path(self.path))
        if (
            path.suffix == ".wasm"
            and path.is_file()
            and "gzip" in self.headers.get("Accept-Encoding", "")
        ):
            return self._send(200, packed(path), path, {"Content-Encoding": "gzip"})
        return super().send_head()

    def copyfile(self, source: IO[bytes], outputfile: IO[bytes]) -> None:  # type: ignore[override]
        """Send the body of a response at the limited bandwidth."""
        while chunk := source.read(CHUNK):
            with Line.lock:
                Line.sent += len(chunk)
                if Line.is_slow:
                    time.sleep(len(chunk) / BYTES_PER_SECOND)
            outputfile.write(chunk)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder with the bandwidth-limiting handler, and yield its URL."""
    handler = functools.partial(Line, directory=os.fspath(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def browsed(url: str, act: Callable[[Page], object], *, is_slow: bool) -> tuple[float, float]:
    """Open a URL in a browser with an empty cache, and return the seconds and bytes used.

    Parameters
    ----------
    url : str
    act : callable
        Acts on the page, and returns once the reader sees the result.
    is_slow : bool
        Whether the line is limited to BYTES_PER_SECOND.

    Returns
    -------
    seconds, size : float
        Seconds from the first request to the end of `act`, and bytes sent.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(locale="en-US")
        page.set_default_timeout(600_000)
        Line.is_slow, Line.sent = is_slow, 0
        started = time.perf_counter()
        page.goto(url, wait_until="load")
        act(page)
        seconds, size = time.perf_counter() - started, Line.sent
        browser.close()
    return seconds, float(size)


def switch_language(page: Page) -> None:
    """Switch the first page to Chinese, and wait for its heading and charts."""
    page.get_by_role("button", name="中文").click()
    page.get_by_role("heading", name="主要发现", level=1).wait_for()
    page.wait_for_selector("html[data-drawn=all]", state="attached")


def run_query(page: Page) -> None:
    """Run QUERY on the query page, and wait for the result rows."""
    page.locator("#sql").fill(QUERY)
    page.get_by_role("button", name="Run").click()
    page.locator("#result tbody tr").nth(ROWS - 1).wait_for()


def see_rows(page: Page) -> None:
    """Wait for the result rows of the peer's page, which runs its query on opening."""
    page.locator("table tbody tr").nth(ROWS - 1).wait_for()


def settle(page: Page) -> None:
    """Wait until the page sends no more network requests."""
    page.wait_for_load_state("networkidle")


def observable(folder: Path, warehouse: Path) -> Path | None:
    """Copy the Observable project and install its packages; return None if npm fails."""
    if shutil.which("npm") is None:
        return None
    shutil.copytree(PEER, folder)
    with duckdb_client.connect(str(warehouse), read_only=True, reads_files=True) as connection:
        connection.table("marts.fct_city_year_panel").to_csv(str(folder / "src/panel.csv"))
    install: list[str | Path] = [
        "npm",
        "install",
        "--prefix",
        folder,
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
    ]
    try:
        measuring.run(install)
    except SystemExit as error:
        print(error)
        return None
    return folder


def measure(repeats: int, *, quick: bool) -> Section:
    """Publish the sample, build its website, and time its pages."""
    section = Section(
        "Site and query page",
        "The website is built from a published release of the sample. The size of the first"
        " page includes everything that `make serve` sends until the browser makes no more"
        " requests. Pages are opened with an empty cache, at 9 Mbit/s and with a delay of 170 ms"
        " before each response. The first page is timed until a reader has switched the language"
        " and all charts are drawn again. The time and size of the query page include everything"
        " until the page shows a sum by year in eleven rows. The query page loads DuckDB and the"
        " whole release. The peer is a page built with Observable Framework, which loads DuckDB"
        " and one CSV table.",
    )
    times = Runs()
    with measuring.scratch() as folder:
        ours = Scratch(folder / "ours", measuring.sample(folder / "sample"))
        ours.emptied()
        ours.command("refresh")
        (release,) = (folder / "ours/releases").glob("*.duckdb")
        peer = None if quick else observable(folder / "observable", release)
        site, name = folder / "site", "Observable Framework"
        for _ in range(repeats):
            shutil.rmtree(site, ignore_errors=True)
            times.clock("build", ours.command, "report", "--out", site)
            if peer is not None:
                in_peer = {**os.environ, "OBSERVABLE_TELEMETRY_DISABLE": "true"}
                times.clock(
                    "peer", measuring.run, ["npm", "run", "build", "--prefix", peer], in_peer
                )
        script = str(PEER.relative_to(PROJECT) / "src/index.md")
        pages = len([*site.glob("*.html")])
        section.add(
            f"site of the sample, {pages} pages",
            times["build"],
            name,
            times["peer"],
            script,
            "≤ 15 s",
            why=WHY,
        )
        if peer is None:
            section.skipped.append(
                "The comparison with Observable Framework was skipped, because npm is missing or"
                " could not install it."
            )
        if CHROMIUM is None:
            section.skipped.append("The pages were not measured, because Chromium is missing.")
            return section
        if not (site / "query.html").exists():
            section.skipped.append(
                "The query page was skipped, because it is not bundled. `make query-page` bundles"
                " it with npm."
            )
        found: dict[str, list[tuple[float, float]]] = {
            "first": [],
            "switched": [],
            "query": [],
            "peer": [],
        }
        for program in (folder / "observable/dist").rglob("*.wasm"):
            packed(program)
        with served(site) as address, served(folder / "observable/dist") as beside:
            for _ in range(repeats):
                found["first"].append(browsed(f"{address}/index.html", settle, is_slow=False))
                found["switched"].append(
                    browsed(f"{address}/index.html", switch_language, is_slow=True)
                )
                if (site / "query.html").exists():
                    found["query"].append(browsed(f"{address}/query.html", run_query, is_slow=True))
                    if peer is not None:
                        found["peer"].append(
                            browsed(f"{beside}/index.html", see_rows, is_slow=True)
                        )
    section.add(
        "first page, bytes sent", [size for _, size in found["first"]], limit="≤ 500 kB", unit="B"
    )
    section.add(
        "first page after a switch of language",
        [s for s, _ in found["switched"]],
        limit="≤ 2 s",
    )
    if found["query"]:
        for place, unit, work in (
            (0, "s", "query page until the first result"),
            (1, "B", "query page, bytes sent"),
        ):
            ours_found, theirs = ([run[place] for run in found[of]] for of in ("query", "peer"))
            section.add(work, ours_found, name, theirs, script, unit=unit, why=WHY_QUERY)
    return section


if __name__ == "__main__":
    measuring.main(measure)
