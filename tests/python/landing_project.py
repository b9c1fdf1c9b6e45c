"""A project of one declaration and one extracts folder, for tests that call landing without dbt."""

import hashlib
import json
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import openpyxl
import pytest

from ai_manufacturing.landing import log

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
    interpolated = []
    citation_en = "A tester: invented numbers."
    citation_zh = "测试者：虚构数据。"
"""
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


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("DBT_PROJECT_DIR", str(tmp_path))
    monkeypatch.setenv("EXTRACTS_DIR", "extracts")
    monkeypatch.setenv("LANDING_DIR", "landing")
    made = Project(tmp_path)
    made.declare(FIRMS)
    return made


def csv_text(*rows: Sequence[Any], header: Sequence[str] = HEADER) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in (header, *rows))


def lines(log: Path) -> list[dict[str, Any]]:
    """Return the lines of a log as they stand in its file."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def as_at_base(landing: Path) -> None:
    """Turn a landing store into one of commit 63ebdc3, which wrote a file for each event, sealed one by one."""
    written: dict[Path, list[dict[str, Any]]] = {}
    for line in lines(landing / log.NAME):
        if line.get("files"):
            written.setdefault(landing / "landed", []).append({"event": "landed", "files": line["files"]})
        for name, events in line.get("deliveries", {}).items():
            written.setdefault(landing / "log" / quote(name, safe="").replace(".", "%2E"), []).extend(events)
    shutil.rmtree(landing / "log")
    for folder, events in written.items():
        folder.mkdir(parents=True)
        before = None
        for number, event in enumerate(events, start=1):
            body = {"number": number} | event | {"previous_sha256": before}
            own = hashlib.sha256(json.dumps(body, ensure_ascii=False, indent=2).encode()).hexdigest()
            content = json.dumps(body | {"sha256": own}, ensure_ascii=False, indent=2).encode()
            (folder / f"{number}.json").write_bytes(content)
            before = hashlib.sha256(content).hexdigest()
