"""A project of one declaration and one extracts folder, for tests that call landing without dbt."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from ai_manufacturing import landing

FIRMS = """
    [[sources]]
    name = "firms"
    entity = "firms"
    files = "firms/*"
    key = ["城市代码", "年份"]
    [sources.columns]
    "城市代码" = "text"
    "年份" = "integer"
    "企业数" = "integer"
    "产值" = "number"
"""
REGISTER = """
    [[registers]]
    name = "register"
    entity = "firm_register"
    covers = "complete"
    files = "register/*"
    [registers.columns]
    "编号" = "text"
    "经营范围" = "text"
"""
PROVENANCE = """
    [provenance]
    class = "republished"
    publisher = "not stated"
    republished_by = "a tester"
    licence = "none stated"
    address = "https://example.org/numbers"
    looked_up = 2026-11-28
    interpolated = []
    citation_en = "A tester: invented numbers."
    citation_zh = "测试者：虚构数据。"
"""
PROJECT = Path(__file__).resolve().parents[2]
HEADER = ("城市代码", "年份", "企业数", "产值")
GOOD = ("110000", 2020, 12, 3.5)

Cells = Sequence[Sequence[Any]]


@dataclass
class Project:
    root: Path

    def declare(self, toml: str, provider: str = "vendor", provenance: str = PROVENANCE) -> None:
        folder = self.root / "models" / "staging" / provider
        folder.mkdir(parents=True, exist_ok=True)
        declared = textwrap.dedent(toml) + textwrap.dedent(provenance)
        (folder / f"{provider}.toml").write_text(declared, encoding="utf-8")

    def deliver(self, file_path: str, content: bytes | str) -> Path:
        path = self.root / "extracts" / file_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def deliver_workbook(self, file_path: str, **sheets: Cells) -> Path:
        path = self.deliver(file_path, b"")
        book = openpyxl.Workbook()
        book.remove(book.active)
        for name, rows in sheets.items():
            sheet = book.create_sheet(name)
            for row in rows:
                sheet.append(list(row))
        book.save(path)
        return path

    def store_folders(self) -> list[Path]:
        """Return those of the landed files, which are named by a hash."""
        return sorted(path for path in (self.root / "landing").iterdir() if len(path.name) == 64)


def made_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project in a folder, to which the settings lead."""
    monkeypatch.setenv("DBT_PROJECT_DIR", str(folder))
    monkeypatch.setenv("EXTRACTS_DIR", "extracts")
    monkeypatch.setenv("LANDING_DIR", "landing")
    (folder / "python_models").symlink_to(PROJECT / "python_models")  # has the columns of raw_deliveries
    made = Project(folder)
    made.declare(FIRMS)
    return made


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return made_in(tmp_path, monkeypatch)


def fault() -> str:
    with pytest.raises(landing.LandingError) as raised:
        landing.deliveries()
    return str(raised.value)


def rejected() -> list[tuple[Any, ...]]:
    """Return sheet, row, column, value and reason of each record that is set aside."""
    rows = landing.rejected_rows(landing.deliveries()).read_all().to_pylist()
    return [tuple(row[name] for name in ("sheet_name", "row_number", "column_name", "value", "reason")) for row in rows]


def csv_text(*rows: Sequence[Any], header: Sequence[str] = HEADER) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in (header, *rows))


def lines(log: Path) -> list[dict[str, Any]]:
    """Return the lines of a log as they stand in its file."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
