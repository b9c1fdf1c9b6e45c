"""Build the site's query page, which runs SQL in the browser with DuckDB-Wasm.

It works only if the site is served over HTTP.
"""

import gzip
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ai_manufacturing.disclosure import withholding
from ai_manufacturing.site import query_book
from ai_manufacturing.site.charts import encode_json
from ai_manufacturing.site.release import Release
from ai_manufacturing.system import settings
from ai_manufacturing.system.text import Catalogue

BUNDLE = ("duckdb.js", "duckdb-worker.js", "duckdb.wasm")
# Large files, which are stored compressed and decompressed in the browser. Downloads are then small
# even if the web server does not support compression.
COMPRESSED_FILES = ("duckdb.wasm", "ai_manufacturing.duckdb")
# Level 3 is a second faster than level 6, but produces files that are a tenth larger.
GZIP_LEVEL = 3
# Keys of the translated texts that query.js needs.
SCRIPT_TEXTS = (
    "loading_release",
    "running",
    "rows_found",
    "rows_shown",
    "statements_run",
    "link_copied",
    "chart_auto",
    "chart_scatter",
    "chart_intervals",
    "withheld_from_copy",
    "withheld_more",
    "withheld_part",
)


def bundle_dir() -> Path:
    """Return the folder of the DuckDB-Wasm bundle, which `make query-page` creates."""
    return settings.project_root() / "build" / "query_page"


def write_bundle(release_path: Path, folder: Path) -> bool:
    """Copy the DuckDB-Wasm bundle and the release database into the site.

    Returns False if `make query-page` has not created the bundle.
    """
    source = bundle_dir()
    if not all((source / name).exists() for name in BUNDLE):
        return False
    target = folder / "query_page"
    target.mkdir()

    def pack(path: Path, name: str) -> None:
        with (
            path.open("rb") as file,
            gzip.GzipFile(target / f"{name}.gz", "wb", GZIP_LEVEL, mtime=0) as target_file,
        ):
            shutil.copyfileobj(file, target_file, 1 << 20)

    for name in BUNDLE:
        if name not in COMPRESSED_FILES:
            shutil.copyfile(source / name, target / name)
    with ThreadPoolExecutor() as pool:
        list(pool.map(pack, (source / COMPRESSED_FILES[0], release_path), COMPRESSED_FILES))
    return True


def build_content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the example queries and the table descriptions that the query page shows.

    For a public copy, only questions that it can answer are included, and withheld values are
    listed.
    """
    book = (settings.project_root() / "docs" / "questions.md").read_text(encoding="utf-8")
    all_entries = query_book.parse_entries(book)
    answers = withholding.check_answerable(release.connection, [entry.sql for entry in all_entries])
    entries = [
        entry for entry, is_answered in zip(all_entries, answers, strict=True) if is_answered
    ]
    columns = release.fetch_groups(
        "name",
        """
        select
            concat(table_schema, '.', table_name) as name,
            [column_name, data_type, unit, description_en, description_zh] as words
        from marts.data_dictionary
        order by table_schema, table_name, column_number
        """,
    )
    facts = {
        name: (comment, width)
        for name, comment, width in release.connection.execute(
            "select concat(schema_name, '.', table_name), comment, column_count"
            " from duckdb_tables() where database_name = current_database()"
        ).fetchall()
    }
    withheld_rows = withholding.read_withheld_rows(release.connection)
    row_extents = {
        row["table_name"]: withholding.describe_extent(row)
        for row in withheld_rows
        if row["column_name"] is None
    }
    tables = [
        [
            name,
            count,
            facts.get(name, (None, 0))[0],
            [[*row["words"]] for row in columns[name]],
            row_extents.get(name),
        ]
        for name, count in sorted(release.manifest.row_counts.items())
    ]
    parts = [
        {
            "table": row["table_name"],
            "column": row["column_name"],
            "isAll": not row["shown_count"],
            "isLeftOut": row["is_left_out"],
            "width": facts[row["table_name"]][1],
            "extent": withholding.describe_extent(row),
        }
        for row in withheld_rows
    ]
    return {
        "questions": [{"en": entry.question, "zh": entry.question_zh} for entry in entries],
        "book": encode_json([entry.sql for entry in entries]),
        "words": encode_json({key: text.texts[key] for key in SCRIPT_TEXTS}),
        "tables": encode_json(tables),
        "withheld_here": encode_json(
            {"parts": parts, "providers": next((row["providers"] for row in withheld_rows), "")}
        ),
    }
