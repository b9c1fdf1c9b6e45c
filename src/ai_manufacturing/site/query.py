"""The query page: DuckDB compiled to WebAssembly over the release file. It needs the site served."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_manufacturing import settings
from ai_manufacturing.site.charts import in_script
from ai_manufacturing.site.release import Release
from ai_manufacturing.site.text import Catalogue

BUNDLE = ("duckdb.js", "duckdb-worker.js", "duckdb.wasm")
FIRST_QUESTION = "Where are the AI firms?"
FIRST_SQL = """select name_zh, ai_firm_count
from marts.fct_city_year_panel
where year = 2020
order by ai_firm_count desc nulls last
limit 10"""


@dataclass(frozen=True)
class Question:
    """A question of the query book and its SQL."""

    title: str
    sql: str


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
    """Return the questions to start from."""
    book = settings.project_root() / "docs" / "queries.md"
    questions = read_book(book.read_text(encoding="utf-8")) if book.exists() else [Question(FIRST_QUESTION, FIRST_SQL)]
    return {
        "questions": questions,
        "sql": in_script([question.sql for question in questions]),
        "tables": sorted(release.manifest.row_counts.items()),
    }


def read_book(markdown: str) -> list[Question]:
    """Return the questions of the query book: `## N. question`, and the first SQL block below each."""
    return [
        Question(title.strip(), sql.strip())
        for title, sql in re.findall(r"^## (\d+\. .+?)\n.*?^```sql\n(.*?)^```", markdown, flags=re.M | re.S)
    ]
