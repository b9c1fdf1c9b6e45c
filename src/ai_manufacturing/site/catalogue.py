"""Generate dbt's documentation as a single HTML page that names its data in meta tags."""

import html
import re
import tempfile
from pathlib import Path

from ai_manufacturing.releases.databases import Database
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.system import dbt_process
from ai_manufacturing.system.disk import replace_bytes

NAME = "catalogue.html"  # file name in the site's folder
META_TAG = '<meta name="{}" content="{}">'
# Content security policy: dbt's page uses inline scripts and styles, but no network access.
POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; script-src'
    " 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' file: data:; font-src data:;"
    " base-uri 'none'; form-action 'none'\">"
)


class CatalogueError(Exception):
    """Raised if dbt's documentation cannot be written, or describes other data than the site."""


def write_catalogue(database: Database, out: Path) -> None:
    """Generate dbt's documentation of a warehouse as a single HTML file.

    Parameters
    ----------
    database : Database
        A warehouse that no process is writing to.
    out : Path
        File to write; it is replaced atomically.

    Raises
    ------
    CatalogueError
        If dbt fails; the message contains the end of its output.
    """
    with tempfile.TemporaryDirectory() as target:
        arguments = ("docs", "generate", "--static", "--target-path", target)
        with dbt_process.start_dbt(arguments, {"WAREHOUSE_PATH": str(database.path)}) as run:
            output, _ = run.communicate()
        if run.returncode:
            last_lines = "\n".join(output.splitlines()[-dbt_process.PRINTED_LINES :])
            raise CatalogueError(f"dbt could not write {out}, which is unchanged:\n{last_lines}")
        page = (Path(target) / "static_index.html").read_text(encoding="utf-8")
    marks = "".join(
        META_TAG.format(name, html.escape(value))
        for name, value in zip(Origin._fields, database.origin, strict=True)
    )
    content, count = re.subn(
        r"<head[^>]*>", lambda head: str(head[0]) + POLICY + marks, page, count=1
    )
    if not count:
        raise CatalogueError(
            f"{out}: the page that dbt wrote has no <head> element, in which the security policy"
            " must be inserted. The file is unchanged."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_bytes(out, content.encode())


def read_origin(path: Path) -> Origin | None:
    """Return the extract set named in the meta tags of a catalogue page, or None."""
    page = path.read_text(encoding="utf-8")
    marks = [re.search(META_TAG.format(name, '([^"]*)'), page) for name in Origin._fields]
    return Origin(*(html.unescape(mark[1]) for mark in marks if mark)) if all(marks) else None


def require_origin(path: Path, origin: Origin) -> None:
    """Raise CatalogueError if a catalogue page describes other data than the release.

    Raises
    ------
    CatalogueError
        If the extract sets differ; the message names both.
    """
    actual = read_origin(path)
    if actual != origin:
        extract_set = str(actual) if actual else "an extract set that it does not name"
        raise CatalogueError(
            f"The catalogue {path} belongs to {extract_set}, but the release belongs to {origin}."
            " Write a catalogue of the release's warehouse with `ai-manufacturing catalogue"
            " --database FILE`."
        )
