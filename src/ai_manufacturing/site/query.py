"""The query page: DuckDB compiled to WebAssembly over the release file. It needs the site served."""

import shutil
from pathlib import Path
from typing import Any

from ai_manufacturing import query_book, settings
from ai_manufacturing.site.charts import in_script
from ai_manufacturing.site.release import Release
from ai_manufacturing.site.text import LANGUAGES, Catalogue

BUNDLE = ("duckdb.js", "duckdb-worker.js", "duckdb.wasm")


def bundle_dir() -> Path:
    """Return where `make query-page` puts the bundle."""
    return settings.project_root() / "build" / "query_page"


def write(release_path: Path, folder: Path) -> bool:
    """Put the bundle and the release beside the pages; return False where `make query-page` has not made a bundle."""
    source = bundle_dir()
    if not all((source / name).exists() for name in BUNDLE):
        return False
    target = folder / "query_page"
    target.mkdir()
    for name in BUNDLE:
        shutil.copyfile(source / name, target / name)
    shutil.copyfile(release_path, target / "ai_manufacturing.duckdb")
    return True


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the questions of the query book to start from."""
    book = (settings.project_root() / "docs" / "queries.md").read_text(encoding="utf-8")
    questions = query_book.entries(book)
    return {
        "questions": [dict(zip(LANGUAGES, (entry.question, entry.question_zh), strict=True)) for entry in questions],
        "sql": in_script([entry.sql for entry in questions]),
        "tables": sorted(release.manifest.row_counts.items()),
    }
