"""Fixtures that render single pages of the site, or open them in a browser."""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import pytest
from lxml import html

from ai_manufacturing import site
from ai_manufacturing.disclosure import terms
from ai_manufacturing.refresh import writer
from ai_manufacturing.site.release import Release
from ai_manufacturing.system import duckdb_client
from tests.python.chromium import ARGUMENTS, CHROMIUM
from tests.python.conftest import PROJECT, Build, made_once
from tests.python.release_store import changed, described
from tests.python.waiting import LAST_RESORT

# Playwright is only installed for the long tests.
if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator
    from playwright.sync_api import Page as OpenPage

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 380, "height": 800}
# JavaScript that finds text which must not appear on a Chinese page: English sentences outside
# code, elements marked as English, and raw program values such as None.
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
# Folder for screenshots of the pages, to be inspected by eye.
SCREENSHOTS = PROJECT / "build" / "screenshots"


def release(build: Build, folder: Path, kind: str) -> Path:
    """Write a release file from a built warehouse, without the other steps of a refresh."""
    path = folder / f"{kind}.duckdb"
    with duckdb_client.open_read_only(build.warehouse) as warehouse:
        content = writer.read_manifest_content(warehouse)
    manifest = {
        **described("000001"),
        **content,
        "published_at": "2026-01-02T03:04:05+00:00",
        "extract_set_kind": kind,
        "delivery_hashes": dict(
            build.rows("select distinct file_path, delivery_id from raw.deliveries")
        ),
    }
    writer.write_release(build.warehouse, path, manifest, None)
    return path


def released(build: Build, folder: Path, kind: str) -> Path:
    """Write the release file of a build once for all test workers, and return its path."""
    return made_once(folder, partial(release, build, folder, kind)) / f"{kind}.duckdb"


@pytest.fixture(scope="session")
def sample_release(sample_build: Build, shared: Path) -> Path:
    return released(sample_build, shared / "sample_release", "synthetic")


class Restricted(NamedTuple):
    """A release with city values that may not be redistributed, and its public copy."""

    release: Path
    copy: Path


@pytest.fixture(scope="session")
def restricted_sample(sample_release: Path, shared: Path) -> Restricted:
    folder = shared / "restricted_sample"
    files = Restricted(folder / "release.duckdb", folder / "copy.duckdb")

    def make() -> None:
        changed(
            sample_release,
            files.release,
            "update marts.fct_deliveries set may_be_passed_on = false,"
            " provenance_class = 'commercial_vendor',"
            " licence = 'For subscribers', publisher = 'A Vendor'",
        )
        terms.write_public_copy(*files)

    made_once(folder, make)
    return files


@pytest.fixture(scope="session")
def public_release(public_build: Build, shared: Path) -> Path:
    return released(public_build, shared / "public_release", "delivered")


# Codes of cities from all regions, which the reduced sample contains.
CITIES = ("110000", "130100", "140100", "210100", "340100", "440300", "500000")


@pytest.fixture(scope="session")
def few(light_build: Build, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Return a copy of the sample build with few cities, specifications and curve points."""
    path = changed(
        light_build.warehouse,
        tmp_path_factory.mktemp("few") / "few.duckdb",
        f"delete from marts.fct_city_year_panel where city_id not in {CITIES}",
        f"delete from marts.fct_city_year_values where city_id not in {CITIES}",
        "delete from reports.rpt_coefficients where table_id <> 'table_1'",
        "delete from estimates.est_specification_curve where hash(curve_id) % 100 <> 0",
    )
    return replace(light_build, warehouse=path)


class Page:
    """An HTML page as shown in one language, without its scripts.

    Attributes
    ----------
    markup : str
        Content of the HTML file.
    tree : html.HtmlElement
        Elements that a reader of the language sees.
    """

    def __init__(self, markup: str, language: str = "en") -> None:
        self.markup = markup
        self.tree = html.fromstring(markup, parser=html.HTMLParser(huge_tree=True))
        self._scripts = {
            one.get("id") or one.getparent().get("id"): one.text for one in self.tree.iter("script")
        }
        other = {"en": "zh", "zh": "en"}[language]
        for hidden in self.tree.xpath(f"//script | //*[@class='{other}']"):
            hidden.drop_tree()
        for line in self.tree.iter("br", "h2", "h3", "p", "li", "td", "th", "summary"):
            line.tail = f" {line.tail or ''}"

    def all(self, path: str) -> list[html.HtmlElement]:
        """Return the elements that match an XPath with the CSS shorthands `#id` and `.class`."""
        path = re.sub(r"#([\w-]+)", r"//*[@id='\1']", path)
        path = re.sub(r"\.([a-z][\w-]+)", r"[contains(concat(' ', @class, ' '), ' \1 ')]", path)
        return list(self.tree.xpath(path))

    def texts(self, path: str) -> list[str]:
        """Return the text of each element that matches an XPath."""
        return [said(element) for element in self.all(path)]

    def text(self, path: str) -> str:
        """Return the text of the only element that matches an XPath."""
        (text,) = self.texts(path)
        return text

    def rows(self, path: str) -> list[list[str]]:
        """Return the cell texts of each table row that matches an XPath."""
        return [[said(cell) for cell in row.xpath("td | th")] for row in self.all(path)]

    def figure(self, name: str) -> dict[str, Any]:
        """Return the specification of a chart, which the page embeds as JSON."""
        return self.script(f"figure-{name}")

    def script(self, name: str) -> dict[str, Any]:
        """Return the parsed JSON of a script element, by its own ID or the ID of its parent."""
        payload: dict[str, Any] = json.loads(self._scripts[name])
        return payload

    def drawn(self, name: str) -> pd.DataFrame:
        """Return the data of a chart as a DataFrame."""
        data = self.figure(name)["data"]
        return pd.DataFrame(dict(zip(data["names"], data["columns"], strict=True)))


def said(element: html.HtmlElement) -> str:
    """Return the text of an HTML element on one line."""
    return " ".join(element.text_content().split())


def pages_of(path: Path, with_restricted: bool) -> Callable[..., Page]:
    """Return a function that renders the site's pages from a release and caches them."""

    @cache
    def markup(name: str) -> str:
        with Release(path) as opened:
            text = opened.load_catalogue()
            environment = site.make_environment(opened, text, with_restricted=with_restricted)
            return site.render_page(environment, name, site.build_page_content(name, opened, text))

    return cache(lambda name, language="en": Page(markup(name), language))


@pytest.fixture(scope="session")
def sample_page(sample_release: Path) -> Callable[..., Page]:
    return pages_of(sample_release, with_restricted=False)


@pytest.fixture(scope="session")
def public_page(public_release: Path) -> Callable[..., Page]:
    """Return a function that renders pages of the public data, including restricted values."""
    return pages_of(public_release, with_restricted=True)


@pytest.fixture(scope="session")
def sample_site(sample_release: Path, shared: Path) -> Path:
    folder = shared / "sample_site"
    return made_once(folder, partial(site.build, sample_release, folder / "site")) / "site"


@pytest.fixture(scope="session")
def public_site(public_release: Path, shared: Path) -> Path:
    """Build the site of the public data for authorised readers, including restricted values."""
    folder = shared / "public_site"
    build = partial(site.build, public_release, folder / "site", with_restricted=True)
    return made_once(folder, build) / "site"


@pytest.fixture(scope="session")
def given_away(public_release: Path, shared: Path) -> Path:
    """Build the default site of the public data, which omits restricted values."""
    folder = shared / "given_away"
    return made_once(folder, partial(site.build, public_release, folder / "site")) / "site"


ONE_PAGE, ONE_FORMAT = {"use": site.use}, ("csv",)
"""One page and one export format, enough to test how site folders are handled."""


@pytest.fixture
def one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restrict the site to one page and one export format, to save time."""
    monkeypatch.setattr(site, "PAGES", ONE_PAGE)
    monkeypatch.setattr(site.downloads, "FORMATS", ONE_FORMAT)


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=LAST_RESORT * 1000)
    if CHROMIUM is None:
        pytest.skip(
            "Chromium is not here; install the package chromium to test the site as a reader"
            " meets it"
        )
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


def packed_size(files: set[Path]) -> int:
    return sum(len(gzip.compress(path.read_bytes())) for path in files)


def first_rows_only(page: "OpenPage") -> None:
    """Remove repeated rows and sections of a page after the first 24.

    With all of them, axe needs half a minute per page.
    """
    page.evaluate(
        "document.querySelectorAll('[data-filtered]:nth-child(n + 25)').forEach(one =>"
        " one.remove())"
    )


def accessibility_faults(page: "OpenPage") -> list[tuple[str, list[Any]]]:
    """Return the accessibility violations that axe finds on a page."""
    import axe_playwright_python

    first_rows_only(page)
    script = Path(axe_playwright_python.__file__).parent / "axe.min.js"
    page.evaluate(script.read_text(encoding="utf-8"))
    # Disable the rule `region`, which never finds a violation but takes a quarter of the time.
    settings = "{resultTypes: ['violations'], preload: false, rules: {region: {enabled: false}}}"
    found = page.evaluate(f"axe.run(document, {settings})")["violations"]
    return [(fault["id"], [node["target"] for node in fault["nodes"]][:3]) for fault in found]


class Reader:
    """A browser page whose error messages and network requests are recorded."""

    def __init__(self, page: "OpenPage") -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on(
            "console",
            lambda message: self.complaints.append(message.text) if message.type != "log" else None,
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, folder: Path, name: str, fragment: str = "") -> "OpenPage":
        """Open a page from its HTML file, and wait until its charts are drawn."""
        self.page.goto(f"{(folder / f'{name}.html').as_uri()}{fragment}")
        self.page.wait_for_selector("html[data-drawn=all]", state="attached")
        return self.page

    def loaded(self, folder: Path) -> set[Path]:
        """Return the site files that the browser loaded, after checking for other requests."""
        asked = {re.split("[?#]", url)[0] for url in self.requests if not url.startswith("data:")}
        own = f"{folder.as_uri()}/"
        assert [url for url in asked if not url.startswith(own)] == []
        return {folder / url.removeprefix(own) for url in asked}

    def open_everywhere(self, folder: Path, name: str) -> set[Path]:
        """Check a page at two sizes in both languages and colour schemes; return the files loaded.

        The page must fit the width, log no errors, and have no accessibility faults. Each size is
        checked in light and in dark colours.
        """
        for size in (DESK, PHONE):
            self.page.set_viewport_size(size)
            for language in ("en", "zh-CN"):
                # Clear earlier console errors, because axe causes one when it reads the style
                # sheet.
                self.complaints.clear()
                is_dark = (size == DESK) == (language != "en")
                self.page.emulate_media(color_scheme="dark" if is_dark else "light")
                self.open(folder, name, f"?language={language}")
                assert self.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
                assert language == "en" or self.page.evaluate(STRAY) == []
                assert self.complaints == []
                assert accessibility_faults(self.page) == [], (size, language)
        return self.loaded(folder)

    def downloaded(self, place: "Locator", button: str) -> tuple[str, str]:
        """Click a download button, and return the content and name of the downloaded file."""
        with self.page.expect_download() as download:
            place.get_by_role("button", name=button).click()
        content = Path(download.value.path()).read_text(encoding="utf-8-sig")
        return content, download.value.suggested_filename

    def reaches_nothing(self) -> None:
        """Check that the page's content security policy blocks requests to other addresses."""
        reached = self.page.evaluate(
            "fetch('http://127.0.0.1:9/').then(() => true, (error) => String(error))"
        )
        assert "Failed to fetch" in str(reached)
        assert any(re.search("connect-src|default-src", words) for words in self.complaints)


@pytest.fixture
def reader(browser: "Browser") -> Iterator[Reader]:
    context = browser.new_context(viewport=DESK, locale="en-US")
    context.set_default_timeout(LAST_RESORT * 1000)
    yield Reader(context.new_page())
    context.close()
