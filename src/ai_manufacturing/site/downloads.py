"""Files beside the pages, at paths that stay.

Data with metadata, quick starts, citation, feed of releases.
"""

import json
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from ai_manufacturing import citation, settings, terms
from ai_manufacturing.releases.contents import SCHEMAS
from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.site.release import Release
from ai_manufacturing.system import duckdb_client, integrity
from ai_manufacturing.system.sql_text import literal
from ai_manufacturing.tables import exports
from ai_manufacturing.tables.formats import latex_text

HERE = Path(__file__).parent
FOLDER = "data"
RELEASE = "ai_manufacturing.duckdb"
METADATA, FEED, BIBLIOGRAPHY = "datapackage.json", "releases.atom", "citation.bib"
FORMATS = ("csv", "dta", "xlsx")  # Parquet has a file per table instead
QUICK_STARTS = {
    "Stata": "headline.do",
    "R": "headline.R",
    "Python": "headline.py",
    "Python, pyfixest": "headline_pyfixest.py",
    "DuckDB": "headline.sql",
}
COMPUTED = ("estimates", "reports")  # schemas
OWN_LICENCE = {
    "name": terms.ESTIMATES_LICENCE.name,
    "path": terms.ESTIMATES_LICENCE.address,
    "title": terms.ESTIMATES_LICENCE.title,
}
# Types of Data Package (Table Schema) by those of DuckDB.
TYPES = {
    "VARCHAR": "string",
    "BOOLEAN": "boolean",
    "DOUBLE": "number",
    "INTEGER": "integer",
    "BIGINT": "integer",
}
# What is said of each column, by the names of Table Schema.
FIELDS = """
    select
        concat(c.schema_name, '.', c.table_name) as in_table,
        c.column_name as name,
        c.data_type as type,
        d.label_en as title,
        d.label_zh as title_zh,
        coalesce(d.description_en, c.comment) as description,
        d.description_zh,
        d.unit,
        d.source,
        d.licence,
        d.citation_en as citation,
        d.citation_zh
    from duckdb_columns() as c
    left join marts.data_dictionary as d
        on
            c.schema_name = d.table_schema
            and c.table_name = d.table_name
            and c.column_name = d.column_name
    where c.database_name = current_database()
    order by c.column_index
"""


@dataclass(frozen=True)
class Download:
    """A file beside the pages.

    Attributes
    ----------
    name : str
        Below data.
    size : int
        Bytes.
    sha256 : str
        Of its content.
    """

    name: str
    size: int
    sha256: str


def write(release_path: Path, release: Release) -> list[Download]:
    """Write the folder of data and return its files.

    Parameters
    ----------
    release_path : Path
        The release file that is downloaded, in the folder of data.
    release : Release
        The same, open.
    """
    data = release_path.parent
    exports.export(release_path, data, *FORMATS)
    for left in data.glob(".export*"):
        left.unlink()
    _write_tables(release_path, release, data)
    manifest = release.manifest
    texts = {
        BIBLIOGRAPHY: bibliography(manifest),
        terms.DATA_LICENCE: terms.data_licence(release.connection),
        FEED: _filled(FEED, manifest=manifest, history=history(release)),
        **quick_starts(release),
    }
    for name, text in texts.items():
        (data / name).write_text(text, encoding="utf-8")
    files = [_described(path) for path in sorted(data.iterdir())]
    integrity.record_folder(data)
    return files


def bibliography(manifest: Manifest) -> str:
    """Return BibTeX of this release and of the paper, from CITATION.cff."""
    cited = citation.read(settings.project_root())
    key = re.sub(
        "[^A-Za-z0-9_-]", "_", f"ai_manufacturing_{manifest.extract_set}_{manifest.release_id}"
    )
    return _filled(BIBLIOGRAPHY, key=key, manifest=manifest, cited=cited, names=citation.names)


def quick_starts(release: Release) -> dict[str, str]:
    """Return programs that give the main estimate from the files beside them, by file name."""
    (row,) = release.rows(
        """
        select
            specification_id as specification,
            outcome,
            concat(transform, '_', regressor, '_scaled') as regressor,
            controls,
            coalesce(sample_first_year, first_year) as first_year,
            coalesce(sample_last_year, last_year) as last_year
        from reports.rpt_specifications
        where specification_id in (select specification_id from reports.rpt_findings)
        """
    )
    row["controls"] = (row["controls"] or "").split()
    return {name: _filled(name, **row) for name in QUICK_STARTS.values()}


def history(release: Release) -> list[dict[str, Any]]:
    """Return the releases of the set up to this one, the newest first, with their headline."""
    return release.rows("select * from release.history order by release_id desc")


def _filled(name: str, **values: Any) -> str:
    """Return a text file out of its template."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "files"),
        autoescape=jinja2.select_autoescape(["atom.template"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "latex": latex_text,
        "urn": lambda text: uuid.uuid5(uuid.NAMESPACE_OID, text).urn,
    }
    return environment.get_template(f"{name}.template").render(**values)


def _described(path: Path) -> Download:
    return Download(path.name, path.stat().st_size, integrity.sha256(path))


def _write_tables(release_path: Path, release: Release, data: Path) -> None:
    """Write each released table as Parquet with its metadata, and a Data Package of all."""
    manifest = release.manifest
    columns = release.grouped("in_table", FIELDS)
    common = {
        "release": manifest.release_id,
        "published_at": manifest.published_at,
        "extract_set": manifest.extract_set,
        "is_synthetic": manifest.origin.is_synthetic,
    }
    resources = []
    with duckdb_client.attached(
        data / "spill", {"built": release_path}, reaches=[data]
    ) as connection:
        for table in release.rows(
            """
            select
                concat(schema_name, '.', table_name) as name,
                schema_name,
                table_name,
                comment,
                estimated_size as row_count
            from duckdb_tables()
            where list_contains(?, schema_name) and database_name = current_database()
            order by table_name, schema_name
            """,
            list(SCHEMAS),
        ):
            name = table["name"]
            path = data / f"{table['table_name']}.parquet"
            connection.execute(
                f"copy built.{name} to {literal(path)} (format parquet, compression zstd)"
            )
            file, providers = _described(path), release.withheld_from(name)
            english, _, chinese = (table["comment"] or "").partition("\n\n")
            resource = {
                "name": table["table_name"],
                "path": file.name,
                "format": "parquet",
                "mediatype": "application/vnd.apache.parquet",
                "bytes": file.size,
                "hash": f"sha256:{file.sha256}",
                "rows": table["row_count"],
                "schema_in_release": table["schema_name"],
                "description": english,
                "description_zh": chinese,
                **common,
                **({"withheld": [row["provider"] for row in providers]} if providers else {}),
                **({"licenses": [OWN_LICENCE]} if _is_computed(table, columns[name]) else {}),
                "schema": {"fields": [_field(column) for column in columns[name]]},
            }
            resources.append(resource)
            _write_json(path.with_suffix(".json"), resource)
    package = {
        "name": "ai-manufacturing",
        "version": manifest.release_id,
        "licenses": [
            {
                "path": terms.DATA_LICENCE,
                "title": "The terms of each provider; the code's are others",
            },
            OWN_LICENCE,
        ],
        **({"homepage": address} if (address := citation.site_url()) else {}),
        **common,
        "resources": resources,
    }
    _write_json(data / METADATA, package)


def _is_computed(table: dict[str, Any], columns: list[dict[str, Any]]) -> bool:
    """Whether a table has estimates alone, and no figure of a single city."""
    names = {column["name"] for column in columns}
    return table["schema_name"] in COMPUTED and names.isdisjoint(terms.OF_ONE_UNIT)


def _field(column: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of a column, as Table Schema names it."""
    known = {key: value for key, value in column.items() if value is not None and key != "in_table"}
    return {**known, "type": TYPES.get(column["type"], "any")}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
