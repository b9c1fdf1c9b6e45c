"""Write the files that users can download from the site.

They are the data with metadata, example programs, a citation and a feed of releases, at paths that
are the same in every release.
"""

import json
import re
import uuid
from pathlib import Path
from typing import Any

import jinja2

from ai_manufacturing.disclosure import terms
from ai_manufacturing.releases import citation
from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.site import metadata
from ai_manufacturing.site.metadata import FOLDER as FOLDER
from ai_manufacturing.site.metadata import Download, Table
from ai_manufacturing.site.release import Release
from ai_manufacturing.system import duckdb_client, integrity, settings
from ai_manufacturing.system.sql_text import load_statements, quote_literal
from ai_manufacturing.system.text import Catalogue
from ai_manufacturing.tables import exports
from ai_manufacturing.tables.formats import escape_latex

SQL = load_statements(__file__)

HERE = Path(__file__).parent
RELEASE = "ai_manufacturing.duckdb"
PACKAGE, CROISSANT = "datapackage.json", "croissant.json"
FEED, BIBLIOGRAPHY = "releases.atom", "citation.bib"
# Export formats of the main data files. All tables are also available as Parquet.
FORMATS = ("csv", "dta", "xlsx")
QUICK_STARTS = {
    "Stata": "headline.do",
    "R": "headline.R",
    "Python": "headline.py",
    "Python, pyfixest": "headline_pyfixest.py",
    "DuckDB": "headline.sql",
}


def write_downloads(release_path: Path, release: Release, text: Catalogue) -> list[Download]:
    """Write the downloads next to the release file, and return an entry for each file.

    Parameters
    ----------
    release_path : Path
        Release file in the folder of downloads.
    release : Release
        The same release, opened.
    text : Catalogue
        Texts of the pages.
    """
    data = release_path.parent
    exports.export(release_path, data, *FORMATS)
    manifest, tables = release.manifest, metadata.read_tables(release)
    parquet = _write_tables(release_path, data, tables)
    about = metadata.describe_dataset(release, text, folder="")
    entries = build_bibliography(manifest)
    texts = {
        **({BIBLIOGRAPHY: entries} if entries else {}),
        PACKAGE: _encode_json(metadata.describe_package(release, about, tables)),
        CROISSANT: _encode_json(metadata.describe_croissant(about, tables, parquet, entries)),
        terms.DATA_LICENCE: terms.format_data_licence(release.connection),
        FEED: _render_template(
            FEED, manifest=manifest, history=fetch_history(release), cited=_read_citation()
        ),
        **build_quick_starts(release),
    }
    for name, content in texts.items():
        (data / name).write_text(content, encoding="utf-8")
    files = [_describe_file(path) for path in sorted(data.iterdir())]
    integrity.record_folder(data)
    return files


def build_bibliography(manifest: Manifest) -> str | None:
    """Return BibTeX entries for the release and the paper, or None if the study has no citation."""
    study_citation = _read_citation()
    if study_citation.absence:
        return None
    key = re.sub(
        "[^A-Za-z0-9_-]", "_", f"ai_manufacturing_{manifest.extract_set}_{manifest.release_id}"
    )
    return _render_template(
        BIBLIOGRAPHY, key=key, manifest=manifest, cited=study_citation, citation=citation
    )


def _read_citation() -> citation.Citation:
    return citation.read_citation(settings.project_root())


def build_quick_starts(release: Release) -> dict[str, str]:
    """Return example programs that reproduce the main estimate, by file name."""
    (row,) = release.fetch_rows(SQL["main_estimate"])
    row["controls"] = (row["controls"] or "").split()
    return {name: _render_template(name, **row) for name in QUICK_STARTS.values()}


def fetch_history(release: Release) -> list[dict[str, Any]]:
    """Return past and current releases of the same data with their main results, newest first."""
    return release.fetch_rows("select * from release.history order by release_id desc")


def _render_template(name: str, **values: Any) -> str:
    """Render the text of a downloadable file from its Jinja template."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "files"),
        autoescape=jinja2.select_autoescape(["atom.template"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "latex": escape_latex,
        "urn": lambda text: uuid.uuid5(uuid.NAMESPACE_OID, text).urn,
    }
    return environment.get_template(f"{name}.template").render(**values)


def _describe_file(path: Path) -> Download:
    return Download(path.name, path.stat().st_size, integrity.sha256(path))


def _write_tables(release_path: Path, data: Path, tables: list[Table]) -> dict[str, Download]:
    """Write each table of the release as Parquet and CSV, and return the Parquet files by name."""
    with duckdb_client.open_attached(
        data / "spill", {"built": release_path}, allowed_folders=[data]
    ) as connection:
        for table in tables:
            for name, form in (
                (table.parquet, "format parquet, compression zstd"),
                # Provide CSV as well, because Frictionless is slow at validating Parquet: a table
                # with 286,627 rows takes 384 s of CPU time as Parquet and 11 s as CSV, since each
                # cell converts the whole row to a dictionary.
                (table.csv, "format csv, compression gzip"),
            ):
                connection.execute(
                    f"copy built.{table.schema}.{table.name} to {quote_literal(data / name)}"
                    f" ({form})"
                )
    return {table.parquet: _describe_file(data / table.parquet) for table in tables}


def _encode_json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
