"""A minimal project for testing how delivered files are landed, without running dbt."""

import io
import textwrap
import zipfile
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
CRAWL = """
    [[registers]]
    name = "crawl"
    entity = "firm_register"
    covers = "survivors"
    files = "crawl/*.zip/*.csv"
    personal = ["法人代表"]
    lacks = ["industry", "exit"]
    [registers.columns]
    "编号" = "text"
    "经营范围" = "text"
    "省" = "text"
    "市" = "text"
    [registers.place]
    credit_code = "编号"
    name = "市"
    province = "省"
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
    """A minimal project folder with declared sources, delivered files and a landing store."""

    root: Path

    def declare(self, toml: str, provider: str = "vendor", provenance: str = PROVENANCE) -> None:
        """Declare a provider's sources, followed by its provenance, in its TOML file."""
        folder = self.root / "models" / "staging" / provider
        folder.mkdir(parents=True, exist_ok=True)
        declared = textwrap.dedent(toml) + textwrap.dedent(provenance)
        (folder / f"{provider}.toml").write_text(declared, encoding="utf-8")

    def deliver(self, file_path: str, content: bytes | str) -> Path:
        path = self.root / "extracts" / file_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def deliver_rows(
        self, *rows: Sequence[Any], to: str = "firms/a.csv", header: Sequence[str] = HEADER
    ) -> Path:
        """Write a CSV file with a header and rows to the extracts folder."""
        return self.deliver(to, csv_text(*rows, header=header))

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
        """Return the folders in the landing store, which are named by a hash."""
        return sorted(path for path in (self.root / "landing").iterdir() if len(path.name) == 64)


def made_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Create a minimal project in a folder, and point the environment variables to it."""
    listed = "vars: {providers: {firms: [vendor]}, register_providers: {firm_register: []}}\n"
    (folder / "dbt_project.yml").write_text(listed, encoding="utf-8")
    monkeypatch.setenv("DBT_PROJECT_DIR", str(folder))
    monkeypatch.setenv("EXTRACTS_DIR", "extracts")
    monkeypatch.setenv("LANDING_DIR", "landing")
    # The landing code reads the columns of the table raw.deliveries from this folder.
    (folder / "python_models").symlink_to(PROJECT / "python_models")
    made = Project(folder)
    made.declare(FIRMS)
    return made


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return made_in(tmp_path, monkeypatch)


def fault() -> str:
    """Land the delivered files, which must fail, and return the error message."""
    with pytest.raises(landing.LandingError) as raised:
        landing.land_deliveries()
    return str(raised.value)


def landed(entity: str = "firms") -> list[dict[str, Any]]:
    """Land the delivered files, and return all rows of an entity, including superseded rows."""
    return landing.read_rows(entity, landing.land_deliveries()).read_all().to_pylist()


def firms() -> list[tuple[Any, ...]]:
    """Land the delivered files, and return city code, year, firm count and output of each row."""
    return [tuple(row[name] for name in HEADER) for row in landed()]


def recorded(*columns: str) -> list[tuple[Any, ...]]:
    """Land the delivered files, and return columns of raw.deliveries in order of delivery."""
    deliveries = landing.land_deliveries().sort_by("delivery_number")
    return [tuple(row[name] for name in columns) for row in deliveries.to_pylist()]


def counts() -> list[tuple[int, int, int]]:
    """Land the files, and return each delivery's numbers of records, landed and rejected rows."""
    return recorded("record_count", "landed_row_count", "rejected_row_count")


def rejected() -> list[str]:
    """Return each rejected record as one line with its place, column, value and reason."""
    return [
        " | ".join(
            (
                f"{row['sheet_name'] or ''} {row['row_number']}".strip(),
                row["column_name"] or "",
                "" if row["value"] is None else row["value"],
                row["reason"],
            )
        )
        for row in landing.read_rejected_rows(landing.land_deliveries()).read_all().to_pylist()
    ]


def csv_text(*rows: Sequence[Any], header: Sequence[str] = HEADER) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in (header, *rows))


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes | str], **named: bytes | str) -> bytes:
    """Return the bytes of a ZIP archive with the given members."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, held in (*members, *named.items()):
            archive.writestr(name, held)
    return content.getvalue()
