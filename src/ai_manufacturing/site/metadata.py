"""Describe the downloads in the schema.org, Data Package and Croissant formats."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ai_manufacturing.disclosure import terms, withholding
from ai_manufacturing.releases import citation
from ai_manufacturing.releases.contents import SCHEMAS
from ai_manufacturing.site.release import Release, Row
from ai_manufacturing.system import settings
from ai_manufacturing.system.sql_text import load_statements
from ai_manufacturing.system.text import Catalogue

SQL = load_statements(__file__)

# Name of the download folder in the site.
FOLDER = "data"
# Media types by file suffix. The schema.org metadata lists only these downloads; Croissant lists
# each table as Parquet, and the Data Package as compressed CSV.
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".dta": "application/x-stata-dta",
    ".duckdb": "application/vnd.duckdb",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
PARQUET = "application/x-parquet"
OWN_LICENCE = {
    "name": terms.ESTIMATES_LICENCE.name,
    "path": terms.ESTIMATES_LICENCE.address,
    "title": terms.ESTIMATES_LICENCE.title,
}
# Table Schema type and Croissant type of each DuckDB type.
TYPES = {
    "VARCHAR": ("string", "sc:Text"),
    "BOOLEAN": ("boolean", "sc:Boolean"),
    "DOUBLE": ("number", "sc:Float"),
    "INTEGER": ("integer", "sc:Integer"),
    "BIGINT": ("integer", "sc:Integer"),
    "DATE": ("date", "sc:Date"),
}
# Tables that other tables reference by foreign key, in an order that prevents circular references.
# Each value lists tables in which a column has the name of the key but is not a foreign key.
REFERENCE_EXCEPTIONS = {
    # City codes are as delivered, and may belong to cities that have merged since.
    "dim_city": ("fct_delivered_values",),
    # A value in these tables may list several series.
    "dim_series": ("dim_variable", "dim_specification_series"),
    # A value in these tables may also be an interaction term, or the ratio of two variables.
    "dim_variable": ("dim_specification_series", "observation_losses", "rpt_city_standing"),
    "fct_deliveries": (),
    "rpt_specifications": (),
    "rpt_column_specifications": (),
}
ESTIMATE_SCHEMAS = ("estimates", "reports")  # schemas with estimates
CROISSANT = "http://mlcommons.org/croissant/"
# All terms of the JSON-LD context in the Croissant specification.
TERMS = """
    citeAs column equivalentProperty extract field fileObject fileProperty fileSet format includes
    isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace
    samplingRate separator source subField transform
"""
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": CROISSANT,
    "rai": f"{CROISSANT}RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"cr:{name}" for name in TERMS.split()},
}


@dataclass(frozen=True)
class Download:
    """A downloadable file with its size and checksum.

    Attributes
    ----------
    name : str
        File name within FOLDER.
    size : int
        Size in bytes.
    sha256 : str
        SHA-256 of the content.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Table:
    """A released table.

    Attributes
    ----------
    schema, name : str
        Schema and name in the release.
    row_count : int
    description, description_zh : str
    columns : list of dict
        Result rows of SQL["columns"].
    key : list of str
        Columns that identify a row; empty if one of them is withheld.
    withheld : list of str
        Providers whose values are withheld.
    """

    schema: str
    name: str
    row_count: int
    description: str
    description_zh: str
    columns: list[Row]
    key: list[str]
    withheld: list[str]

    @property
    def parquet(self) -> str:
        """File name of the table's Parquet download."""
        return f"{self.name}.parquet"

    @property
    def csv(self) -> str:
        """File name of the table's compressed CSV download."""
        return f"{self.name}.csv.gz"

    @property
    def is_computed(self) -> bool:
        """Whether the table contains only estimates, and no rows of individual cities."""
        names = {column["name"] for column in self.columns}
        return self.schema in ESTIMATE_SCHEMAS and names.isdisjoint(terms.UNIT_COLUMNS)


def read_tables(release: Release) -> list[Table]:
    """Return all tables of a release with their columns and keys."""
    columns = release.fetch_groups("in_table", SQL["columns"])
    withheld_rows = withholding.read_withheld_rows(release.connection)
    tables = []
    for row in release.fetch_rows(SQL["tables"], schemas=[*SCHEMAS]):
        name = row["in_table"]
        english, _, chinese = (row["comment"] or "").partition("\n\n")
        withheld_columns = {
            one["column_name"] for one in withheld_rows if one["table_name"] == name
        }
        key = [column["name"] for column in columns[name] if column["is_key"]]
        tables.append(
            Table(
                schema=row["schema_name"],
                name=row["table_name"],
                row_count=release.count_rows(name),
                description=english,
                description_zh=chinese,
                columns=columns[name],
                key=key if withheld_columns.isdisjoint(key) else [],
                withheld=[
                    provider["provider"] for provider in release.find_withheld_providers(name)
                ],
            )
        )
    return tables


def find_references(table: Table, others: Iterable[Table]) -> list[tuple[str, list[str]]]:
    """Return a table's foreign keys as (referenced table, key columns).

    A table in REFERENCE_EXCEPTIONS can only refer to tables before it, which prevents circular
    references.
    """
    keys = {other.name: other.key for other in others}
    columns = {column["name"] for column in table.columns}
    references = []
    for name, exceptions in REFERENCE_EXCEPTIONS.items():
        if name == table.name:
            break
        key = keys.get(name)
        if key and columns.issuperset(key) and table.name not in exceptions:
            references.append((name, key))
    return references


def describe_dataset(
    release: Release,
    text: Catalogue,
    files: Iterable[Download] = (),
    folder: str = f"{FOLDER}/",
) -> dict[str, Any]:
    """Describe a release as a schema.org Dataset.

    Downloads are listed if their suffix is in MEDIA_TYPES.

    Parameters
    ----------
    release : Release
    text : Catalogue
        Texts of the pages.
    files : iterable of Download
    folder : str
        Relative path to the downloads, used if the URL of the site is not known.
    """
    study_citation = citation.read_citation(settings.project_root())
    manifest, period = release.manifest, release.fetch_period()
    synthetic = manifest.origin.is_synthetic
    words = text.format_text(
        "about_release",
        "en",
        title=study_citation.title or manifest.extract_set,
        release=manifest.release_id,
        set=manifest.extract_set,
    )
    keywords = [*study_citation.keywords, *(["synthetic data"] if synthetic else [])]
    mark = f"{text.format_text('synthetic_mark', 'en')} {text.format_text('synthetic_text', 'en')} "
    (place,) = release.fetch_rows(
        """
        select concat_ws(
            ' ', min(latitude), min(longitude), max(latitude), max(longitude)
        ) as box
        from marts.dim_city
        """
    )
    optional = {
        "keywords": keywords,
        "url": study_citation.url,
        "identifier": study_citation.doi and citation.RESOLVER + study_citation.doi,
        "creator": citation.format_makers(study_citation.authors),
        "citation": study_citation.paper and citation.format_article(study_citation.paper),
    }
    base_address = _build_address(study_citation.url) or folder
    return {
        "@context": "https://schema.org/",
        "@type": "Dataset",
        "name": f"{study_citation.title} ({manifest.extract_set})"
        if study_citation.title
        else manifest.extract_set,
        "description": (mark if synthetic else "") + words,
        "version": manifest.release_id,
        "datePublished": manifest.published_at,
        **{name: value for name, value in optional.items() if value},
        "license": [terms.ESTIMATES_LICENCE.address, f"{base_address}{terms.DATA_LICENCE}"],
        # A release is freely accessible if restricted values were removed or did not exist.
        "isAccessibleForFree": bool(release.withheld_tables) or not release.restricted_providers,
        "temporalCoverage": f"{period['first_year']}/{period['last_year']}",
        "spatialCoverage": {
            "@type": "Place",
            "geo": {"@type": "GeoShape", "box": place["box"]},
        },
        "variableMeasured": [
            {
                "@type": "PropertyValue",
                **{name: value for name, value in variable.items() if value is not None},
            }
            for variable in release.fetch_rows(SQL["panel_columns"], panel=terms.PANEL)
        ],
        "distribution": [
            {
                "@type": "DataDownload",
                "contentUrl": f"{base_address}{file.name}",
                "encodingFormat": MEDIA_TYPES[PurePath(file.name).suffix],
                "contentSize": f"{file.size} B",
                "sha256": file.sha256,
            }
            for file in files
            if PurePath(file.name).suffix in MEDIA_TYPES
        ],
    }


def describe_package(
    release: Release, about: dict[str, Any], tables: list[Table]
) -> dict[str, Any]:
    """Describe the CSV files as a Data Package.

    `about` is the result of describe_dataset.
    """
    manifest = release.manifest
    optional = {
        "homepage": about.get("url"),
        "id": about.get("identifier"),
        "keywords": about.get("keywords"),
        "contributors": [
            {"title": maker["name"], "role": "author"} for maker in about.get("creator", [])
        ],
    }
    return {
        "title": about["name"],
        "description": about["description"],
        "version": manifest.release_id,
        "created": manifest.published_at,
        **{name: value for name, value in optional.items() if value},
        "licenses": [
            {
                "path": terms.DATA_LICENCE,
                "title": "The terms of each provider; the code has its own licence",
            },
            OWN_LICENCE,
        ],
        "sources": [_describe_source(row) for row in release.fetch_sources()],
        "extract_set": manifest.extract_set,
        "is_synthetic": manifest.origin.is_synthetic,
        "resources": [_describe_resource(table, tables) for table in tables],
    }


def describe_croissant(
    about: dict[str, Any],
    tables: list[Table],
    files: dict[str, Download],
    bibliography: str | None,
) -> dict[str, Any]:
    """Describe the Parquet files in the Croissant format.

    `about` is the result of describe_dataset, and `files` contains the Parquet files by name.
    """
    base_address = _build_address(about.get("url"))
    return {
        **about,
        "@context": CONTEXT,
        "conformsTo": f"{CROISSANT}1.0",
        **({"citeAs": bibliography} if bibliography else {}),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": table.parquet,
                "name": table.parquet,
                "contentUrl": f"{base_address}{table.parquet}",
                "encodingFormat": PARQUET,
                "contentSize": f"{files[table.parquet].size} B",
                "sha256": files[table.parquet].sha256,
            }
            for table in tables
        ],
        "recordSet": [_describe_record_set(table, tables) for table in tables],
    }


def _build_address(site: str | None) -> str:
    """Return the URL of the download folder, or an empty string if the site has no known URL."""
    return f"{site.rstrip('/')}/{FOLDER}/" if site else ""


def _describe_source(row: Row) -> dict[str, Any]:
    """Describe a data provider as a Data Package source, with title, URL and licence."""
    address, *_ = (row["links"] or "").split() or [None]
    description = {
        "title": row["citation_en"] or row["publisher"] or row["provider"],
        "path": address,
        "provider": row["provider"],
        "licence": row["licence"],
        "may_be_passed_on": row["may_be_passed_on"],
    }
    return {name: value for name, value in description.items() if value is not None}


def _describe_resource(table: Table, others: list[Table]) -> dict[str, Any]:
    """Describe a table as a Data Package resource.

    If all columns have the same source, it is given once for the table.
    """
    sources = {column["source"] for column in table.columns}
    has_gaps = any(column["missing_share"] for column in table.columns if column["is_key"])
    description: dict[str, Any] = {
        "name": table.name,
        "path": table.csv,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "rows": table.row_count,
        "schema_in_release": table.schema,
        "description": table.description,
        "description_zh": table.description_zh,
    }
    if table.withheld:
        description["withheld"] = table.withheld
    if table.is_computed:
        description["licenses"] = [OWN_LICENCE]
    names = ["name", "title", "title_zh", "description", "description_zh", "unit"]
    if len(sources) == 1:
        description["made_of"] = sources.pop()
    else:
        names.append("source")
    schema: dict[str, Any] = {
        "fields": [
            {
                "type": TYPES[column["type"]][0],
                **{name: column[name] for name in names if column[name] is not None},
            }
            for column in table.columns
        ]
    }
    # A primary key must not contain missing values, so declare a unique key instead.
    if table.key and has_gaps:
        schema["uniqueKeys"] = [table.key]
    elif table.key:
        schema["primaryKey"] = table.key
    if references := find_references(table, others):
        schema["foreignKeys"] = [
            {"fields": key, "reference": {"resource": name, "fields": key}}
            for name, key in references
        ]
    return {**description, "schema": schema}


def _describe_record_set(table: Table, others: list[Table]) -> dict[str, Any]:
    """Describe a table as a Croissant RecordSet.

    References are limited to keys with a single column. In Croissant a reference belongs to a
    field, so a key of two columns would become two references, and a reader that joins on the first
    would duplicate rows.
    """
    references_by_column = {
        key[0]: {"references": {"field": {"@id": f"{name}/{key[0]}"}}}
        for name, key in find_references(table, others)
        if len(key) == 1
    }
    key = [{"@id": f"{table.name}/{column}"} for column in table.key]
    return {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": table.description,
        **({"key": key} if key else {}),
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{table.name}/{column['name']}",
                "name": column["name"],
                "description": column["description"],
                "dataType": TYPES[column["type"]][1],
                "source": {
                    "fileObject": {"@id": table.parquet},
                    "extract": {"column": column["name"]},
                },
                **references_by_column.get(column["name"], {}),
            }
            for column in table.columns
        ],
    }
