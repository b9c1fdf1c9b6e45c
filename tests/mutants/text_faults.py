"""Generate faults in SQL, Jinja, seeds and expectations, using regular expressions."""

import re
from dataclasses import dataclass

Words = dict[str, list[str]]


@dataclass(frozen=True)
class Edit:
    """Faulty replacement for a span of characters in a text."""

    operator: str
    start: int
    end: int
    new: str

    def applied(self, text: str) -> str:
        """Return the text after applying the edit."""
        return text[: self.start] + self.new + text[self.end :]


def swaps_of(pairs: str) -> Words:
    """Parse word swaps such as "min:max lag:lead", in which an underscore represents a space."""
    words = [pair.replace("_", " ").split(":") for pair in pairs.split()]
    return {word: others.split("|") for word, others in words}


def word_edits(pattern: str, words: Words, text: str, start: int, end: int) -> list[Edit]:
    """Return edits that replace each word that matches a pattern by each of its alternatives."""
    return [
        Edit(f"{match[0]} to {new or 'nothing'}", *match.span(), new)
        for match in re.compile(pattern).finditer(text, start, end)
        for new in words.get(match[0], [])
    ]


def number_edits(pattern: str, text: str, start: int, end: int) -> list[Edit]:
    """Return edits that multiply numbers by ten or add one to integers.

    Zero, one and years are only increased by one.
    """
    edits = []
    for match in re.compile(pattern).finditer(text, start, end):
        value, is_decimal = float(match[0]), "." in match[0]
        new = [f"{value * 10:g}"] if is_decimal else [f"{value + 1:.0f}", f"{value * 10:.0f}"]
        used = new[:1] if value in (0, 1) or 1900 <= value <= 2100 else new
        edits += [Edit("number changed", *match.span(), one) for one in used]
    return edits


def swapped(operator: str, places: list[tuple[int, str]]) -> list[Edit]:
    """Return edits that replace each value by the nearest different value in the list."""
    edits = []
    for at, (start, value) in enumerate(places):
        others = [(abs(other - at), new) for other, (_, new) in enumerate(places) if new != value]
        edits += [Edit(operator, start, start + len(value), min(others)[1])] if others else []
    return edits


COMMENTS = re.compile(r"--[^\n]*|\{#.*?#\}|select \*|\(\*\)|\bbetween \S+ and\b", re.DOTALL)
STRINGS = re.compile(r"'(?:[^']|'')*'|\"[^\"\n]*\"")
JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
WORDS = swaps_of(
    "left_join:inner_join inner_join:left_join is_null:is_not_null is_not_null:is_null in:not_in"
    " not_in:in not: distinct: desc: true:false false:true <:<=|> <=:< >:>=|< >=:> <>:= ==:!="
    " and:or or:and +:- -:+ *:/ /:* sum:max max:min min:max avg:median median:avg lag:lead lead:lag"
    " bool_or:bool_and greatest:least least:greatest first_value:last_value"
)
WORD = rf"(?<=[\s(])(?:{'|'.join(map(re.escape, sorted(WORDS, reverse=True)))})(?=[\s(),])"
DROPPED = (
    ("condition dropped", r"\n +(?:and|or|qualify|having) [^\n()]*(?:\([^\n()]*\)[^\n()]*)*$", ""),
    ("condition dropped", r"\bwhere [^\n()]+$(?!\n +(?:and|or)\b)", "where true"),
    ("join key dropped", r"\busing \(\w+, ", "using ("),
    ("coalesce dropped", r"\bcoalesce\(([\w.]+), [^(),]+\)", r"\1"),
)
NUMBER = r"(?<![\w.$])\d+(?:\.\d+)?(?![\w.])"
COLUMN = re.compile(r"(?<![\w.])([a-z]\w*\.)([a-z]\w*)\b(?!\s*\(|\.)")
LABEL = re.compile(r"()(?<=')([a-z]\w+(?: \w+)*)(?=')")
EXPECTATION = (
    ("severity changed", r'"severity": "critical"', '"severity": "warning"'),
    ("severity changed", r'"severity": "warning"', '"severity": "critical"'),
    ("column list shortened", r'("column_list": \["\w+"), "\w+"', r"\1"),
    ("expectation dropped", r'^  \{"type": .*\},\n', ""),
)
WORDING = re.compile(
    r".*(_en|_zh|_order|_on)|.*(description|reason|note|statement|meaning|sentence)|why|date"
    r"|source|(change|correction|event)_id"
)
"""Columns of seeds that contain wording, an origin, or only the name of a row."""
CELL = re.compile(r"(?:^|(?<=,))(\"(?:[^\"]|\"\")*\"|[^,\"\n]*)(?=,|$)")


def blank(pattern: re.Pattern[str], text: str) -> str:
    """Replace the matches of a pattern by spaces, which preserves all character positions."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def pattern_edits(rules: tuple[tuple[str, str, str], ...], text: str) -> list[Edit]:
    """Return an edit for each match of each rule's pattern."""
    return [
        Edit(operator, *match.span(), match.expand(new))
        for operator, pattern, new in rules
        for match in re.finditer(pattern, text, re.MULTILINE)
    ]


def sql_faults(text: str) -> list[Edit]:
    """Return all possible faults in the text of an SQL model or macro."""
    code = blank(COMMENTS, text)
    words = blank(STRINGS, code)
    edits = pattern_edits(DROPPED, words) + word_edits(WORD, WORDS, words, 0, len(words))
    edits += number_edits(NUMBER, words, 0, len(words))
    groups: dict[str, list[tuple[int, str]]] = {}
    for match in (*COLUMN.finditer(blank(JINJA, words)), *LABEL.finditer(blank(JINJA, code))):
        groups.setdefault(match[1], []).append((match.start(2), match[2]))
    return edits + [edit for one in groups.values() for edit in swapped("name swapped", one)]


def expectation_faults(text: str) -> list[Edit]:
    """Return all possible faults in the JSON text of an expectation suite."""
    numbers = number_edits(r'(?<=": )\d+(?:\.\d+)?(?=[,}])', text, 0, len(text))
    return numbers + pattern_edits(EXPECTATION, text)


def seed_faults(text: str) -> list[Edit]:
    """Return all possible faults in the CSV text of a seed."""
    header, *rows = re.finditer(r".+\n", text)
    names = [cell[1] for cell in CELL.finditer(header[0].rstrip())]
    edits = [Edit("row dropped", *row.span(), "") for row in rows]
    columns: dict[str, list[tuple[int, str]]] = {name: [] for name in names}
    for row in rows:
        for name, cell in zip(names, CELL.finditer(row[0].rstrip()), strict=False):
            if re.fullmatch(r'[^"].*', cell[1]) and not WORDING.fullmatch(name):
                columns[name].append((row.start() + cell.start(1), cell[1]))
    for cells in columns.values():
        edits += [] if cells and cells[0][1].isdecimal() else swapped("cell swapped", cells)
        for start, value in cells:
            edits += number_edits(NUMBER, text, start, start + len(value))
    return edits
