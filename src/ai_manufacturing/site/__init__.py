"""Build the static website of a release."""

import re
import shutil
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import vl_convert
from markupsafe import Markup

from ai_manufacturing.disclosure import terms
from ai_manufacturing.site import (
    cities,
    credibility,
    downloads,
    event_studies,
    findings,
    heterogeneity,
    metadata,
    paper_tables,
    quality,
    query,
    readings,
    specification_curve,
    use,
)
from ai_manufacturing.site.charts import encode_json
from ai_manufacturing.site.release import Release
from ai_manufacturing.system import settings, study_package
from ai_manufacturing.system.disk import (
    describe_failure,
    make_folder,
    open_to_readers,
    private_folder,
    put_in_place,
    replace_bytes,
)
from ai_manufacturing.system.integrity import record_folder
from ai_manufacturing.system.text import SUBSTITUTE_MARK, Catalogue, render_pair
from ai_manufacturing.tables import exports

HERE = Path(__file__).parent
# Files to omit from SHA256SUMS, because `make catalogue` can replace them in a finished site.
EXTERNAL_FILES = ("catalogue.html",)
PAGES = {
    "index": findings,
    "credibility": credibility,
    "tables": paper_tables,
    "specification_curve": specification_curve,
    "readings": readings,
    "event_studies": event_studies,
    "heterogeneity": heterogeneity,
    **{name: study_package.load_module(name) for name in study_package.read_constant("PAGES", ())},
    "cities": cities,
    "quality": quality,
    "use": use,
}

# Content security policy: pages may load only files of the site. `file:` is needed because 'self'
# does not match local files in all browsers, and 'unsafe-inline' because tables and charts use
# style attributes. The query page also needs WebAssembly and fetches the release file.
POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file: 'unsafe-inline'; img-src"
    " 'self' file: data:; base-uri 'none'; form-action 'none'"
)
QUERY_POLICY = (
    POLICY.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")
    + "; connect-src 'self'; worker-src 'self'"
)


class SiteError(Exception):
    """Raised if the website cannot be built; the message suggests a remedy."""


def build(
    release_path: Path, out: Path, catalogue: Path | None = None, *, with_restricted: bool = False
) -> list[str]:
    """Build the website of a release, and move it into place atomically.

    Parameters
    ----------
    release_path : Path
        Release file published by `ai-manufacturing refresh`; opened read-only.
    out : Path
        Folder of the site. A folder with other content is not changed.
    catalogue : Path or None
        Page from `dbt docs generate --static` to include in the site.
    with_restricted : bool
        Whether to include values that may not be redistributed, with a notice on every page.

    Returns
    -------
    list of str
        Names of the pages.

    Raises
    ------
    SiteError
        If `out` contains something other than a site, the release was built by earlier code, the
        disk is not writable or full, or a file of the project is missing.
    RefreshError
        If the file is not a release, or CITATION.cff is invalid.
    """
    out = out.resolve()
    # The folder may contain catalogue.html even if the site has not been built yet.
    others = {entry.name for entry in out.glob("*")} - {*EXTERNAL_FILES}
    if others and not (out / "assets" / "site.js").exists():
        raise SiteError(
            f"{out} is not empty and does not contain a site. Empty this folder, or name"
            " another folder with --out."
        )
    try:
        make_folder(out.parent)
        with private_folder(out) as incoming:
            names = _write_site(release_path, incoming, catalogue, with_restricted)
            open_to_readers(incoming)
            record_folder(incoming, EXTERNAL_FILES)
            put_in_place(incoming, out)
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        reason = str(error).splitlines()[0]
        raise SiteError(
            f"{release_path} was built by an earlier version of the code and lacks data that the"
            f" pages need ({reason}). Refresh, or name a newer release with --database."
        ) from error
    except (OSError, duckdb.IOException, exports.ExportError) as error:
        cause = error.__cause__ or error
        reason, remedy = f"{out}: {str(error).splitlines()[0]}", "Free disk space"
        if isinstance(cause, OSError):
            reason, remedy = describe_failure(cause, out)
        raise SiteError(
            f"The site could not be written ({reason}). The old site is unchanged. {remedy}, or"
            " name another folder with --out."
        ) from error
    return names


def _write_site(
    release_path: Path, folder: Path, catalogue: Path | None, with_restricted: bool
) -> list[str]:
    (folder / "assets").mkdir(parents=True)
    (folder / downloads.FOLDER).mkdir()
    # Build the whole site from this copy, so that no page or download can contain a value that was
    # removed from it.
    public_release = folder / downloads.FOLDER / downloads.RELEASE
    if with_restricted:
        # Copy the file: through a link, users with write access to the site could change the
        # published release.
        shutil.copyfile(release_path, public_release)
    else:
        terms.write_public_copy(release_path, public_release)
    for source in study_package.list_folders(HERE):
        for asset in (source / "assets").glob("*"):
            shutil.copyfile(asset, folder / "assets" / asset.name)
    shutil.copyfile(_bundle_vega(), folder / "assets" / "vega.js")
    if catalogue is not None:
        shutil.copyfile(catalogue, folder / "catalogue.html")
    pages = PAGES | ({"query": query} if query.write_bundle(public_release, folder) else {})
    with Release(public_release) as release:
        text = release.load_catalogue()
        files = downloads.write_downloads(public_release, release, text)
        contents = {name: build_page_content(name, release, text) for name in pages}
        contents = {name: page_content for name, page_content in contents.items() if page_content}
        environment = make_environment(
            release,
            text,
            pages=contents,
            files=files,
            with_restricted=with_restricted,
            has_catalogue=catalogue is not None,
        )
        if cities in pages.values():
            cities.write_city_scripts(release, text, folder)
        if paper_tables in pages.values():
            paper_tables.write_tables(release, folder)
        for name, page_content in contents.items():
            markup = render_page(environment, name, page_content)
            (folder / f"{name}.html").write_text(markup, encoding="utf-8")
    return [*contents]


def make_environment(
    release: Release,
    text: Catalogue,
    *,
    pages: Iterable[str] = PAGES,
    files: Iterable[metadata.Download] = (),
    with_restricted: bool = False,
    has_catalogue: bool = False,
) -> jinja2.Environment:
    """Return a Jinja environment with the global variables that all pages share."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(
            [folder / "templates" for folder in study_package.list_folders(HERE)]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    # Allow only http and https links, because an untrusted release may contain javascript: URLs.
    environment.tests["web_address"] = re.compile(r"https?://", re.IGNORECASE).match
    environment.globals |= {
        "t": text.render_text,
        "label": text.render_label,
        "render_sentences": text.render_sentences,
        "pair": render_pair,
        "render_name": text.render_name,
        "mark": SUBSTITUTE_MARK,
        "tag": _build_tag(release, text),
        "restricted": release.restricted_providers if with_restricted else [],
        "substituted": release.fetch_rows(
            "from marts.dim_labels where substitution is not null and kind = 'series' order by name"
        ),
        "plain": text.format_text,
        "is_rounded": release.is_rounded,
        "manifest": release.manifest,
        "pages": [*pages],
        "has_catalogue": has_catalogue,
        "downloads": (downloads_by_name := {file.name: file for file in files}),
        "dataset": encode_json(
            metadata.describe_dataset(release, text, downloads_by_name.values())
        ),
    }
    return environment


def build_page_content(name: str, release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the template variables of a page, including any from the study's own package.

    The result is empty if the study does not declare anything for the page to show.
    """
    page = query if name == "query" else PAGES[name]
    page_content: dict[str, Any] = page.build_content(release, text)
    if not page_content:
        return {}
    addition = study_package.read_constant("ADDITIONS", {}).get(name)
    if addition:
        page_content |= study_package.load_module(addition).build_content(release, text)
    return {**page_content, "addition": addition and f"{addition}.html"}


def render_page(environment: jinja2.Environment, name: str, page_content: dict[str, Any]) -> str:
    """Render the HTML of a page from its Jinja template."""
    policy = QUERY_POLICY if name == "query" else POLICY
    return environment.get_template(f"{name}.html").render(page=name, policy=policy, **page_content)


def _bundle_vega() -> Path:
    """Return the path of a JavaScript bundle of Vega, Vega-Lite and Vega-Embed.

    The bundle is cached, because creating it takes two seconds.
    """
    script_path = settings.project_root() / "build" / f"vega_{version('vl-convert-python')}.js"
    if not script_path.exists():
        make_folder(script_path.parent)
        replace_bytes(script_path, vl_convert.javascript_bundle().encode())  # type: ignore[call-arg]
    return script_path


def _build_tag(release: Release, text: Catalogue) -> Markup:
    """Return an HTML tag that marks numbers as synthetic, or empty markup for real data."""
    if not release.manifest.origin.is_synthetic:
        return Markup("")
    return Markup(' <span class="tag">{}</span>').format(text.render_text("synthetic_tag"))
