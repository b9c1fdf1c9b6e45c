"""Files beside the pages, at paths that stay: data with metadata, quick starts, citation, feed of releases."""

import json
import re
import string
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml

from ai_manufacturing import settings
from ai_manufacturing.releases.contents import HEADLINE, SCHEMAS
from ai_manufacturing.releases.manifest import Manifest
from ai_manufacturing.releases.origin import SYNTHETIC
from ai_manufacturing.site.release import Release
from ai_manufacturing.system import duckdb_client, integrity
from ai_manufacturing.system.sql_text import identifier, literal
from ai_manufacturing.tables import exports
from ai_manufacturing.tables.formats import latex_text

HERE = Path(__file__).parent
FOLDER = "data"
RELEASE = "ai_manufacturing.duckdb"
METADATA, FEED, BIBLIOGRAPHY = "datapackage.json", "releases.atom", "citation.bib"
FORMATS = ("csv", "dta", "xlsx")  # Parquet has a file per table instead
QUICK_STARTS = {"Stata": "headline.do", "R": "headline.R", "Python": "headline.py", "DuckDB": "headline.sql"}
ATOM = "http://www.w3.org/2005/Atom"
# Types of Data Package (Table Schema) by those of DuckDB.
TYPES = {"VARCHAR": "string", "BOOLEAN": "boolean", "DOUBLE": "number", "INTEGER": "integer", "BIGINT": "integer"}


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
    tables = _write_tables(release_path, release, data)
    (data / BIBLIOGRAPHY).write_text(bibliography(release.manifest), encoding="utf-8")
    for name, text in quick_starts(release).items():
        (data / name).write_text(text, encoding="utf-8")
    _write_feed(release, data / FEED)
    found = [_described(path) for path in sorted(data.iterdir())]
    _write_metadata(release.manifest, tables, {file.name: file for file in found}, data)
    found += [_described(data / METADATA)]
    integrity.record_folder(data)
    return found


def bibliography(manifest: Manifest) -> str:
    """Return BibTeX of this release and of the paper, from CITATION.cff."""
    cited = yaml.safe_load((settings.project_root() / "CITATION.cff").read_text(encoding="utf-8"))
    paper = cited["references"][0]
    year, month, day = manifest.published_at[:10].split("-")
    mark = " SYNTHETIC DATA: its numbers are not real." if manifest.extract_set_kind == SYNTHETIC else ""
    commit = f", code at commit {manifest.git_commit}" if manifest.git_commit else ""
    key = re.sub("[^A-Za-z0-9_-]", "_", f"ai_manufacturing_{manifest.extract_set}_{manifest.release_id}")
    authors = " and ".join(f"{author['family-names']}, {author['given-names']}" for author in paper["authors"])
    extract_set = latex_text(manifest.extract_set)
    return (
        f"@misc{{{key},\n"
        f"  author = {{{{{latex_text(cited['authors'][0]['name'])}}}}},\n"
        f"  title = {{{latex_text(cited['title'])}}},\n"
        f"  year = {{{year}}},\n"
        f"  version = {{release {manifest.release_id} of {year}-{month}-{day}}},\n"
        f"  note = {{Version {cited['version']} of the package{commit}; extract set {extract_set}.{mark}}}\n"
        "}\n\n"
        f"@article{{zhu_leng_zhang_{paper['year']},\n"
        f"  author = {{{latex_text(authors)}}},\n"
        f"  title = {{{latex_text(paper['title'])}}},\n"
        f"  journal = {{{latex_text(paper['journal'])}}},\n"
        f"  year = {{{paper['year']}}}\n"
        "}\n"
    )


def quick_starts(release: Release) -> dict[str, str]:
    """Return programs that give the number of Table 1 column 1 from the files beside them, by file name."""
    (row,) = release.rows("select * from reports.rpt_specifications where specification_id = ?", HEADLINE)
    regressor = f"{row['transform']}_{row['regressor']}_scaled"
    words = {
        "outcome": row["outcome"],
        "regressor": regressor,
        "controls": (row["controls"] or "").split(),
        "first_year": row["sample_first_year"] or row["first_year"],
        "last_year": row["sample_last_year"] or row["last_year"],
    }
    values = {
        **words,
        "stata_controls": " ".join(words["controls"]),
        "r_controls": "".join(f" + {name}" for name in words["controls"]),
        "listed": ", ".join(f'"{name}"' for name in [row["outcome"], regressor, *words["controls"]]),
        "specification": HEADLINE,
    }
    return {
        name: string.Template((HERE / "quick_starts" / f"{name}.template").read_text(encoding="utf-8")).substitute(
            values
        )
        for name in QUICK_STARTS.values()
    }


def history(release: Release) -> list[dict[str, Any]]:
    """Return the releases of this extract set up to this one, the newest first, each with the headline."""
    # releases of earlier code do not have the table
    if not release.rows("from duckdb_tables() where schema_name = 'release' and table_name = 'history'"):
        return []
    return release.rows("select * from release.history order by release_id desc")


def _described(path: Path) -> Download:
    return Download(path.name, path.stat().st_size, integrity.sha256(path))


def _write_tables(release_path: Path, release: Release, data: Path) -> list[dict[str, Any]]:
    """Write every released table as Parquet, and return its metadata but for the file's."""
    tables = release.rows(
        "select schema_name, table_name, comment, estimated_size as row_count from duckdb_tables() "
        "where list_contains(?, schema_name) and database_name = current_database() order by table_name, schema_name",
        list(SCHEMAS),
    )
    columns = release.rows(
        "select c.schema_name, c.table_name, c.column_name, c.data_type, d.unit, d.label_en, d.label_zh, "
        "coalesce(d.description_en, c.comment) as description_en, d.description_zh, d.source, d.licence, "
        "d.citation_en, d.citation_zh from duckdb_columns() as c left join marts.data_dictionary as d "
        "on c.schema_name = d.table_schema and c.table_name = d.table_name and c.column_name = d.column_name "
        "where list_contains(?, c.schema_name) and c.database_name = current_database() order by c.column_index",
        list(SCHEMAS),
    )
    with duckdb_client.in_memory(data / "spill") as connection:
        connection.execute(f"attach {literal(str(release_path))} as built (read_only)")
        for table in tables:
            name = f"built.{identifier(table['schema_name'])}.{identifier(table['table_name'])}"
            target = data / f"{table['table_name']}.parquet"
            connection.execute(f"copy (from {name}) to {literal(str(target))} (format parquet, compression zstd)")
    for table in tables:
        if providers := release.withheld_from(f"{table['schema_name']}.{table['table_name']}"):
            table["withheld"] = [row["provider"] for row in providers]
        english, _, chinese = (table["comment"] or "").partition("\n\n")
        table["description"], table["description_zh"] = english, chinese
        table["fields"] = [
            {
                "name": column["column_name"],
                "type": TYPES.get(column["data_type"], "any"),
                **{
                    said: column[name]
                    for said, name in {
                        "title": "label_en",
                        "title_zh": "label_zh",
                        "description": "description_en",
                        "description_zh": "description_zh",
                        "unit": "unit",
                        "source": "source",
                        "licence": "licence",
                        "citation": "citation_en",
                        "citation_zh": "citation_zh",
                    }.items()
                    if column[name] is not None
                },
            }
            for column in columns
            if (column["schema_name"], column["table_name"]) == (table["schema_name"], table["table_name"])
        ]
    return tables


def _write_metadata(manifest: Manifest, tables: list[dict[str, Any]], files: dict[str, Download], data: Path) -> None:
    """Write a Data Package (frictionless), and each of its resources beside the Parquet file."""
    common = {
        "release": manifest.release_id,
        "published_at": manifest.published_at,
        "extract_set": manifest.extract_set,
        "is_synthetic": manifest.extract_set_kind == SYNTHETIC,
    }
    resources = []
    for table in tables:
        file = files[f"{table['table_name']}.parquet"]
        resource = {
            "name": table["table_name"],
            "path": file.name,
            "format": "parquet",
            "mediatype": "application/vnd.apache.parquet",
            "bytes": file.size,
            "hash": f"sha256:{file.sha256}",
            "rows": table["row_count"],
            "schema_in_release": table["schema_name"],
            "description": table["description"],
            "description_zh": table["description_zh"],
            **common,
            **({"withheld": table["withheld"]} if "withheld" in table else {}),
            "schema": {"fields": table["fields"]},
        }
        resources.append(resource)
        text = json.dumps(resource, ensure_ascii=False, indent=1)
        (data / f"{table['table_name']}.json").write_text(text, encoding="utf-8")
    package = {"name": "ai-manufacturing", "version": manifest.release_id, **common, "resources": resources}
    (data / METADATA).write_text(json.dumps(package, ensure_ascii=False, indent=1), encoding="utf-8")


def _write_feed(release: Release, path: Path) -> None:
    """Write an Atom feed of the releases; addresses are relative, as the site may lie anywhere."""
    ElementTree.register_namespace("", ATOM)

    def add(parent: ElementTree.Element, name: str, text: str = "", **attributes: str) -> ElementTree.Element:
        element = ElementTree.SubElement(parent, f"{{{ATOM}}}{name}", attributes)
        element.text = text or None
        return element

    manifest = release.manifest
    feed = ElementTree.Element(f"{{{ATOM}}}feed")
    add(feed, "id", _urn(manifest.extract_set))
    add(feed, "title", f"AI and manufacturing: releases of extract set {manifest.extract_set}")
    add(feed, "updated", manifest.published_at)
    add(add(feed, "author"), "name", "The maintainers of ai-manufacturing")
    add(feed, "link", rel="self", href=FEED)
    add(feed, "link", rel="alternate", href="../use.html")
    mark = "SYNTHETIC DATA. " if manifest.extract_set_kind == SYNTHETIC else ""
    for row in history(release):
        entry = add(feed, "entry")
        add(entry, "id", _urn(f"{manifest.extract_set} {row['release_id']} {row['fingerprint']}"))
        add(entry, "title", f"Release {row['release_id']}")
        add(entry, "updated", row["published_at"])
        add(entry, "link", rel="alternate", href="../use.html#releases")
        said = "not estimable" if row["estimate"] is None else f"{row['estimate']:.3f} ({row['std_error']:.3f})"
        add(entry, "summary", f"{mark}Table 1 column 1: {said}; {row['verdict_en'] or 'no verdict'}.")
    ElementTree.ElementTree(feed).write(path, encoding="utf-8", xml_declaration=True)


def _urn(text: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_OID, text).urn
