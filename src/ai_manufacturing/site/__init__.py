"""The static site: pages for those who look rather than query, built from a release file alone."""

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
from ai_manufacturing.site.charts import in_script
from ai_manufacturing.site.release import Release
from ai_manufacturing.system import settings, study
from ai_manufacturing.system.disk import (
    make_folder,
    open_to_readers,
    private_folder,
    put_in_place,
    refusal,
    replace_bytes,
)
from ai_manufacturing.system.integrity import record_folder
from ai_manufacturing.system.text import MARK, Catalogue, pair
from ai_manufacturing.tables import exports

HERE = Path(__file__).parent
WRITTEN_BY_OTHERS = (
    "catalogue.html",
)  # SHA256SUMS says nothing of it: `make catalogue` replaces it in a whole site
PAGES = {
    "index": findings,
    "credibility": credibility,
    "tables": paper_tables,
    "specification_curve": specification_curve,
    "readings": readings,
    "event_studies": event_studies,
    "heterogeneity": heterogeneity,
    **{name: study.module(name) for name in study.declared("PAGES", ())},
    "cities": cities,
    "quality": quality,
    "use": use,
}

# The pages load what lies beside them and nothing else. `file:` is there because 'self' does not
# cover a page that is opened from the file in every browser; tables and charts have styles in
# attributes. DuckDB on the query page is WebAssembly, and fetches the release.
POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file: 'unsafe-inline'; img-src"
    " 'self' file: data:; base-uri 'none'; form-action 'none'"
)
QUERY_POLICY = (
    POLICY.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")
    + "; connect-src 'self'; worker-src 'self'"
)


class SiteError(Exception):
    """The site could not be built; the message says what to do."""


def build(
    release_path: Path, out: Path, catalogue: Path | None = None, *, with_restricted: bool = False
) -> list[str]:
    """Build the site of a release and move it into place whole.

    Parameters
    ----------
    release_path : Path
        A file that `ai-manufacturing refresh` published; opened read-only.
    out : Path
        The folder of the site. One that is no site is left alone.
    catalogue : Path or None
        What `dbt docs generate --static` wrote, to put beside the pages.
    with_restricted : bool
        Whether the site holds values that may not be passed on, and says so on every page.

    Returns
    -------
    list of str
        Names of the pages.

    Raises
    ------
    SiteError
        If `out` holds something other than a site, the release is of earlier code, the disk
        refuses, or a file of the project is missing.
    RefreshError
        If the file is no release, or CITATION.cff no citation.
    """
    out = out.resolve()
    # `make catalogue` may have been there first.
    others = {entry.name for entry in out.glob("*")} - {*WRITTEN_BY_OTHERS}
    if others and not (out / "assets" / "site.js").exists():
        raise SiteError(f"{out} is not empty and is not a site. Name another folder, or empty it.")
    try:
        make_folder(out.parent)
        with private_folder(out) as incoming:
            names = _write(release_path, incoming, catalogue, with_restricted)
            open_to_readers(incoming)
            record_folder(incoming, WRITTEN_BY_OTHERS)
            put_in_place(incoming, out)
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise SiteError(
            f"{release_path}: made by earlier code, it lacks what the pages read"
            f" ({str(error).splitlines()[0]}). Refresh, or name a newer release with --database."
        ) from error
    except (OSError, duckdb.IOException, exports.ExportError) as error:
        cause = error.__cause__ or error
        what, remedy = f"{out}: {str(error).splitlines()[0]}", "Make room"
        if isinstance(cause, OSError):
            what, remedy = refusal(cause, out)
        raise SiteError(
            f"{what}; the site that was there is unchanged. {remedy}, or name another folder with"
            " --out."
        ) from error
    return names


def _write(
    release_path: Path, folder: Path, catalogue: Path | None, with_restricted: bool
) -> list[str]:
    (folder / "assets").mkdir(parents=True)
    (folder / downloads.FOLDER).mkdir()
    # All that follows reads this file, so that no page and no download can show what it does not
    # hold.
    shown = folder / downloads.FOLDER / downloads.RELEASE
    if with_restricted:
        # a link would let whoever may write here write to the published file
        shutil.copyfile(release_path, shown)
    else:
        terms.public_copy(release_path, shown)
    for room in study.folders(HERE):
        for asset in (room / "assets").glob("*"):
            shutil.copyfile(asset, folder / "assets" / asset.name)
    shutil.copyfile(_vega(), folder / "assets" / "vega.js")
    if catalogue is not None:
        shutil.copyfile(catalogue, folder / "catalogue.html")
    pages = PAGES | ({"query": query} if query.write(shown, folder) else {})
    with Release(shown) as release:
        text = release.catalogue()
        files = downloads.write(shown, release, text)
        contents = {name: content(name, release, text) for name in pages}
        contents = {name: told for name, told in contents.items() if told}
        environment = environment_of(
            release,
            text,
            pages=contents,
            files=files,
            with_restricted=with_restricted,
            has_catalogue=catalogue is not None,
        )
        if cities in pages.values():
            cities.write(release, text, folder)
        if paper_tables in pages.values():
            paper_tables.write(release, folder)
        for name, told in contents.items():
            markup = rendered(environment, name, told)
            (folder / f"{name}.html").write_text(markup, encoding="utf-8")
    return [*contents]


def environment_of(
    release: Release,
    text: Catalogue,
    *,
    pages: Iterable[str] = PAGES,
    files: Iterable[metadata.Download] = (),
    with_restricted: bool = False,
    has_catalogue: bool = False,
) -> jinja2.Environment:
    """Return the templates of the pages, with what all pages of a release share."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([room / "templates" for room in study.folders(HERE)]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    # a link of a release from elsewhere may be a program for the browser
    environment.tests["web_address"] = re.compile(r"https?://", re.IGNORECASE).match
    environment.globals |= {
        "t": text.both,
        "label": text.label,
        "said": text.said,
        "pair": pair,
        "named": text.named,
        "mark": MARK,
        "tag": _tag(release, text),
        "restricted": release.restricted if with_restricted else [],
        "substituted": release.rows(
            "from marts.dim_labels where substitution is not null and kind = 'series' order by name"
        ),
        "plain": text.plain,
        "is_rounded": release.is_rounded,
        "manifest": release.manifest,
        "pages": [*pages],
        "has_catalogue": has_catalogue,
        "downloads": (listed := {file.name: file for file in files}),
        "dataset": in_script(metadata.dataset(release, text, listed.values())),
    }
    return environment


def content(name: str, release: Release, text: Catalogue) -> dict[str, Any]:
    """Return what a page shows, with what the paper's room adds to it, and the template of that.

    It is empty where the study declares nothing that the page is for.
    """
    page = query if name == "query" else PAGES[name]
    shown: dict[str, Any] = page.content(release, text)
    if not shown:
        return {}
    added = study.declared("ADDITIONS", {}).get(name)
    if added:
        shown |= study.module(added).content(release, text)
    return {**shown, "added": added and f"{added}.html"}


def rendered(environment: jinja2.Environment, name: str, content: dict[str, Any]) -> str:
    """Return the markup of a page."""
    policy = QUERY_POLICY if name == "query" else POLICY
    return environment.get_template(f"{name}.html").render(page=name, policy=policy, **content)


def _vega() -> Path:
    """Return Vega, Vega-Lite and what embeds them as one script, which is kept.

    Bundling it takes two seconds.
    """
    kept = settings.project_root() / "build" / f"vega_{version('vl-convert-python')}.js"
    if not kept.exists():
        make_folder(kept.parent)
        replace_bytes(kept, vl_convert.javascript_bundle().encode())  # type: ignore[call-arg]
    return kept


def _tag(release: Release, text: Catalogue) -> Markup:
    """Return the mark beside numbers of a synthetic set; nothing for another set."""
    if not release.manifest.origin.is_synthetic:
        return Markup("")
    return Markup(' <span class="tag">{}</span>').format(text.both("synthetic_tag"))
