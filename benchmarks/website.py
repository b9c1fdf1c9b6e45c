"""The site and its query page: build time, weight of the first page, time to the first result on a slow line."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ai_manufacturing import serve
from benchmarks import measuring
from benchmarks.measuring import Runs, Scratch, Section

# WebPageTest's "4G": 9 Mbit/s each way and 170 ms there and back.
LINE = {"offline": False, "latency": 170, "downloadThroughput": 9e6 / 8, "uploadThroughput": 9e6 / 8}
QUERY = "select year, sum(ai_firm_count) as firms from fct_city_year_panel group by year order by year"
ROWS = 11


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder as `make serve` does."""
    with serve.server(folder, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def browsed(url: str, act: Callable[..., object], *, slow: bool) -> tuple[float, float]:
    """Open an address in a browser that knows nothing of it.

    Parameters
    ----------
    url : str
    act : callable
        What to do on the page, which it is given; it returns when the reader sees what was asked for.
    slow : bool
        On LINE, or as fast as this machine serves.

    Returns
    -------
    seconds, size : float
        From the first request to the end of `act`, and the bytes that came.
    """
    from playwright.sync_api import sync_playwright

    from tests.python.site_reader import ARGUMENTS, CHROMIUM

    size = 0.0

    def came(event: dict[str, float]) -> None:
        nonlocal size
        size += event["encodedDataLength"]

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(locale="en-US")
        page.set_default_timeout(600_000)
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.loadingFinished", came)
        if slow:
            session.send("Network.emulateNetworkConditions", LINE)
        started = time.perf_counter()
        page.goto(url, wait_until="load")
        act(page)
        seconds = time.perf_counter() - started
        browser.close()
    return seconds, size


def run_query(page: object) -> None:
    """Ask the query page for QUERY, and wait for its rows."""
    page.locator("#sql").fill(QUERY)  # type: ignore[attr-defined]
    page.get_by_role("button", name="Run").click()  # type: ignore[attr-defined]
    page.locator("#result tbody tr").nth(ROWS - 1).wait_for()  # type: ignore[attr-defined]


def settle(page: object) -> None:
    """Wait until nothing more comes."""
    page.wait_for_load_state("networkidle")  # type: ignore[attr-defined]


def measure(quick: bool = False) -> Section:
    """Publish the sample, build its site, and open it."""
    section = Section(
        "Site and query page",
        "The site of the sample from its published release. The weight is what a browser loads to show the first "
        "page, packed as `make serve` sends it. The query page is timed from its address to the eleven rows of a sum "
        "by year, on a line of 9 Mbit/s and 170 ms (Chromium's emulation), with nothing cached: the page, DuckDB and "
        "the whole release come over the line.",
    )
    repeats = 1 if quick else 3
    times = Runs()
    with measuring.scratch() as folder:
        ours = Scratch(folder / "ours", measuring.sample(folder / "sample"))
        ours.emptied()
        ours.command("refresh")
        site = folder / "site"
        for _ in range(repeats):
            shutil.rmtree(site, ignore_errors=True)
            times.clock("build", ours.command, "report", "--out", site)
        section.add(f"site of the sample, {len([*site.glob('*.html')])} pages", times["build"], limit="≤ 15 s")
        try:
            from tests.python.site_reader import CHROMIUM
        except ModuleNotFoundError as error:
            CHROMIUM, absent = None, f"{error.name} is not installed"  # noqa: N806
        else:
            absent = "Chromium is not installed"
        if CHROMIUM is None:
            section.skipped.append(f"weight and query page: {absent}.")
            return section
        with served(site) as address:
            weights = [browsed(f"{address}/index.html", settle, slow=False)[1] for _ in range(repeats)]
            section.add("first page, loaded", weights, limit="≤ 1 MB", unit="B")
            if (site / "query.html").exists():
                answered = [browsed(f"{address}/query.html", run_query, slow=True) for _ in range(repeats)]
                section.add("query page to the first result", [seconds for seconds, _ in answered])
                section.add("query page to the first result, loaded", [size for _, size in answered], unit="B")
            else:
                section.skipped.append("query page: it is not bundled; `make query-page` does it, with npm.")
    return section


if __name__ == "__main__":
    measuring.main(measure)
