"""Test that the prose lint finds hard constructions in each kind of text, in changed lines only."""

from pathlib import Path

import pytest

from tests import prose

FILES = {
    "a.py": '"""Sums.\n\nA value of a province is that\nof each of its cities."""\n\nx = 1\n',
    "b.py": "x = 1  # what a build changes of it\n",
    "c.py": 'def f():\n    raise ValueError("line 3: this is no number at all")\n',
    "d.sql": "-- Rows stand\n-- as they were, so nobody is told of them.\nselect 1\n",
    "e.md": "A heading\n\n```\nwhat a build is\n```\n\nA city, the weight of which is null.\n",
    "f.yml": "models:\n  - name: a\n    description: What a city carries of its name.\n",
}
LINES = {"a.py": 1, "b.py": 1, "c.py": 2, "d.sql": 1, "e.md": 7, "f.yml": 3}


@pytest.mark.parametrize("name", FILES)
def test_a_hard_construction_is_named_with_its_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(FILES[name].replace("What a", "See what a"), encoding="utf-8")
    (message,) = prose.faults(path, {*range(1, 9)})
    assert message.startswith(f"{path}:{LINES[name]}: ")
    assert [*prose.faults(path, {20})] == []


def test_plain_and_allowed_sentences_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.md"
    path.write_text("There is no limit. It tells them apart quite well.", encoding="utf-8")
    assert len([*prose.faults(path, {1})]) == 1
    monkeypatch.setattr(prose, "ALLOWED", tmp_path / "allowed")
    prose.ALLOWED.write_text("It tells them apart quite well.\n", encoding="utf-8")
    assert [*prose.faults(path, {1})] == []
