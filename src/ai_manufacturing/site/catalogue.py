"""dbt's pages on models, columns and lineage as one file, which says of which extract set it is."""

import html
import re
import tempfile
from pathlib import Path

from ai_manufacturing.releases.databases import Database
from ai_manufacturing.releases.origin import Origin
from ai_manufacturing.system import dbt_process
from ai_manufacturing.system.disk import replace_bytes

NAME = "catalogue.html"  # beside the pages of the site
META = '<meta name="{}" content="{}">'
# dbt's page is one file, whose scripts and styles are within it; it reaches no address.
POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; script-src'
    " 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' file: data:; font-src data:;"
    " base-uri 'none'; form-action 'none'\">"
)


class CatalogueError(Exception):
    """A catalogue that cannot be written, or must not be shown; the message says what to do."""


def write(database: Database, out: Path) -> None:
    """Let dbt describe a warehouse, and write its pages into one file.

    Parameters
    ----------
    database : Database
        A warehouse that no process writes to.
    out : Path
        The file; it is replaced whole.

    Raises
    ------
    CatalogueError
        If dbt fails; with the end of what it printed.
    """
    with tempfile.TemporaryDirectory() as target:
        arguments = ("docs", "generate", "--static", "--target-path", target)
        with dbt_process.started(arguments, {"WAREHOUSE_PATH": str(database.path)}) as run:
            output, _ = run.communicate()
        if run.returncode:
            printed = "\n".join(output.splitlines()[-dbt_process.PRINTED_LINES :])
            raise CatalogueError(
                f"{out}: dbt could not write it; the file is unchanged.\n{printed}"
            )
        page = (Path(target) / "static_index.html").read_text(encoding="utf-8")
    marks = "".join(
        META.format(name, html.escape(value))
        for name, value in zip(Origin._fields, database.origin, strict=True)
    )
    marked, count = re.subn(
        r"<head[^>]*>", lambda head: str(head[0]) + POLICY + marks, page, count=1
    )
    if not count:
        raise CatalogueError(
            f"{out}: dbt's page has no <head> element to mark. The file is unchanged."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_bytes(out, marked.encode())


def origin_of(path: Path) -> Origin | None:
    """Return of which extract set a catalogue is; None if it does not say so."""
    page = path.read_text(encoding="utf-8")
    marks = [re.search(META.format(name, '([^"]*)'), page) for name in Origin._fields]
    return Origin(*(html.unescape(mark[1]) for mark in marks if mark)) if all(marks) else None


def require(path: Path, origin: Origin) -> None:
    """Let no site be shown with the catalogue of another extract set.

    Raises
    ------
    CatalogueError
        Naming both.
    """
    found = origin_of(path)
    if found != origin:
        of = f"is of {found}" if found else "does not name its extract set"
        raise CatalogueError(
            f"{path}: this catalogue {of}; the release is of {origin}. Write a catalogue of the"
            " release's warehouse: ai-manufacturing catalogue --database FILE."
        )
