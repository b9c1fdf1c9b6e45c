"""The site as a browser opens it: release, pages, headless Chromium, and what a page complains of."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ai_manufacturing import site
from ai_manufacturing.refresh import writer
from tests.python.chromium import ARGUMENTS, CHROMIUM
from tests.python.conftest import PROJECT, Build, made_once
from tests.python.release_store import described
from tests.python.waiting import LAST_RESORT

if TYPE_CHECKING:  # the soak's environment has them
    from playwright.sync_api import Browser, Page

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 380, "height": 800}
# What has no place on a Chinese page: English sentences outside code, what is marked as English, values of programs.
STRAY = """() => {
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const { data, parentElement } = walk.currentNode;
    if (parentElement.closest("script, code, .en, textarea, #language, details.values")) continue;
    const words = /^[A-Za-z][a-z]+( [a-z]{2,}){2}|\\b(None|NaN|nan|undefined)\\b|<NA>/;
    if (parentElement.closest('[lang="en"]') || words.test(data.trim())) found.push(data);
  }
  return found;
}"""
# Where the pages' pictures are kept, to be looked at.
SCREENSHOTS = PROJECT / "build" / "screenshots"


def release(build: Build, folder: Path, kind: str) -> Path:
    """Write a release of a built warehouse, without the rest of a refresh."""
    path = folder / f"{kind}.duckdb"
    (checked,) = build.rows(
        "select count(*), count(case when not success and severity = 'critical' then 1 end), "
        "count(case when not success and severity = 'warning' then 1 end) from gates.gate_results"
    )
    manifest = {
        **described("000001"),
        "published_at": "2026-01-02T03:04:05+00:00",
        "extract_set": build.value("select max(extract_set) from raw.deliveries"),
        "extract_set_kind": kind,
        "delivery_hashes": dict(build.rows("select distinct file_path, delivery_id from raw.deliveries")),
        "gate_summary": dict(zip(("expectations", "critical", "warnings"), checked, strict=True)),
    }
    writer.write(build.warehouse, path, manifest, None)
    return path


@pytest.fixture(scope="session")
def sample_site(sample_build: Build, shared: Path) -> Path:
    folder = shared / "sample_site"
    made_once(folder, lambda: site.build(release(sample_build, folder, "synthetic"), folder / "site"))
    return folder / "site"


@pytest.fixture(scope="session")
def public_site(public_build: Build, shared: Path) -> Path:
    """Return the site of the public set as behind a door: with the values that may not be passed on."""
    folder = shared / "public_site"
    made_once(
        folder,
        lambda: site.build(release(public_build, folder, "delivered"), folder / "site", with_restricted=True),
    )
    return folder / "site"


ONE_PAGE, ONE_FORMAT = {"use": site.use}, ("csv",)
"""A page and a format of exports, which do for what becomes of folders."""


@pytest.fixture
def one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a site be one page with one format of exports."""
    monkeypatch.setattr(site, "PAGES", ONE_PAGE)
    monkeypatch.setattr(site.downloads, "FORMATS", ONE_FORMAT)


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=LAST_RESORT * 1000)
    if CHROMIUM is None:
        pytest.skip("Chromium is not here; install the package chromium to test the site as a reader meets it")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


def packed_size(files: set[Path]) -> int:
    return sum(len(gzip.compress(path.read_bytes())) for path in files)


def axe() -> str:
    """Return the script that judges a page."""
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def serious_faults(page: "Page") -> list[tuple[str, list[Any]]]:
    """Return what axe finds, of the first rows and sections that are alike: with all of them it takes half a minute."""
    page.evaluate("document.querySelectorAll('[data-filtered]:nth-child(n + 25)').forEach(one => one.remove())")
    page.evaluate(axe())
    # what the rule on regions finds is never serious, and it is a quarter of the time
    settings = "{resultTypes: ['violations'], rules: {region: {enabled: false}}}"
    found = page.evaluate(f"axe.run(document, {settings})")["violations"]
    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    return [(fault["id"], [node["target"] for node in fault["nodes"]][:3]) for fault in serious]


class Reader:
    """A page, with all that it complained about and all that it asked of the network."""

    def __init__(self, page: "Page") -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, folder: Path, name: str, fragment: str = "") -> "Page":
        """Open a page from the file, and wait for its charts."""
        self.page.goto(f"{(folder / f'{name}.html').as_uri()}{fragment}")
        self.page.wait_for_selector("html[data-drawn=all]", state="attached")
        return self.page

    def loaded(self, folder: Path) -> set[Path]:
        """Return the files of a site that were loaded; nothing else was asked for."""
        asked = {re.split("[?#]", url)[0] for url in self.requests if not url.startswith("data:")}
        own = f"{folder.as_uri()}/"
        assert [url for url in asked if not url.startswith(own)] == []
        return {folder / url.removeprefix(own) for url in asked}

    def open_everywhere(self, folder: Path, name: str) -> set[Path]:
        """Open a page at a desk and on a phone, in both languages, find no fault, and return the files it loaded."""
        for size in (DESK, PHONE):
            self.page.set_viewport_size(size)
            for language in ("en", "zh-CN"):
                self.complaints.clear()  # axe reads the style sheet
                self.open(folder, name, f"?language={language}")
                assert self.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
                assert language == "en" or self.page.evaluate(STRAY) == []
                assert self.complaints == []
                assert serious_faults(self.page) == [], (size, language)
        return self.loaded(folder)


@pytest.fixture
def reader(browser: "Browser") -> Iterator[Reader]:
    context = browser.new_context(viewport=DESK, locale="en-US")
    context.set_default_timeout(LAST_RESORT * 1000)
    yield Reader(context.new_page())
    context.close()
