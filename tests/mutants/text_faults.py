"""Faults of SQL, which is partly Jinja, and of data: found by patterns in the raw text."""

import re

from tests.mutants.edits import Edit, number_edits, swapped, swaps_of, word_edits

COMMENTS = re.compile(r"--[^\n]*|\{#.*?#\}|select \*|\(\*\)|\bbetween \S+ and\b", re.DOTALL)
STRINGS = re.compile(r"'(?:[^']|'')*'|\"[^\"\n]*\"")
JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
WORDS = swaps_of(
    "left_join:inner_join inner_join:left_join is_null:is_not_null is_not_null:is_null in:not_in"
    " not_in:in not: distinct: desc: true:false false:true <:<=|> <=:< >:>=|< >=:> =:<> <>:= ==:!="
    " and:or or:and +:- -:+ *:/ /:* sum:max max:min min:max avg:median median:avg lag:lead lead:lag"
    " bool_or:bool_and greatest:least least:greatest first_value:last_value"
)
WORD = rf"(?<=[\s(])(?:{'|'.join(map(re.escape, sorted(WORDS, reverse=True)))})(?=[\s(),])"
DROPPED = (
    ("condition dropped", r"\n +(?:and|or|qualify|having) [^\n()]*(?:\([^\n()]*\)[^\n()]*)*$", ""),
    ("condition dropped", r"\bwhere [^\n()]+$(?!\n +(?:and|or)\b)", "where true"),
    ("join key dropped", r"\busing \(\w+, ", "using ("),
    ("coalesce dropped", r"\bcoalesce\(([\w.]+), [^(),]+\)", r"\1"),
    ("else dropped", r" else [\w.]+(?= end\b)", ""),
    ("order reversed", r"(partition by [^()]* order by [\w.]+)(?=[\n)])", r"\1 desc"),
)
NUMBER = re.compile(r"(?<![\w.$:])\d+(?:\.\d+)?(?![\w.])")
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
    """Replace what a pattern matches by spaces, so that all positions stay valid."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def pattern_edits(rules: tuple[tuple[str, str, str], ...], text: str) -> list[Edit]:
    """Replace each match of the rules' patterns."""
    return [
        Edit(operator, *match.span(), match.expand(new))
        for operator, pattern, new in rules
        for match in re.finditer(pattern, text, re.MULTILINE)
    ]


def sql_faults(text: str) -> list[Edit]:
    """Return the possible faults of a file of SQL or of a macro."""
    code = blank(COMMENTS, text)
    words = blank(STRINGS, code)
    edits = pattern_edits(DROPPED, words) + word_edits(WORD, WORDS, words, 0, len(words))
    for match in NUMBER.finditer(words):
        edits += number_edits(match[0], match.start())
    groups: dict[str, list[tuple[int, str]]] = {}
    for match in (*COLUMN.finditer(blank(JINJA, words)), *LABEL.finditer(blank(JINJA, code))):
        groups.setdefault(match[1], []).append((match.start(2), match[2]))
    return edits + [edit for one in groups.values() for edit in swapped("name swapped", one)]


def expectation_faults(text: str) -> list[Edit]:
    """Return the possible faults of a suite of expectations."""
    numbers = re.finditer(r'(?<=": )\d+(?:\.\d+)?(?=[,}])', text)
    edits = [edit for match in numbers for edit in number_edits(match[0], match.start())]
    return edits + pattern_edits(EXPECTATION, text)


def seed_faults(text: str) -> list[Edit]:
    """Return the possible faults of a seed."""
    lines = [*re.finditer(r".+\n", text)]
    names = [cell[1] for cell in CELL.finditer(lines[0][0].rstrip())]
    edits = [Edit("row dropped", *line.span(), "") for line in lines[1:]]
    columns: dict[str, list[tuple[int, str]]] = {}
    for line in lines[1:]:
        for name, cell in zip(names, CELL.finditer(line[0].rstrip()), strict=False):
            if WORDING.fullmatch(name):
                continue
            if re.fullmatch(r"\d{1,5}(\.\d+)?", cell[1]):
                edits += number_edits(cell[1], line.start() + cell.start(1))
            elif cell[1] and cell[1][0] != '"':
                columns.setdefault(name, []).append((line.start() + cell.start(1), cell[1]))
    return edits + [edit for one in columns.values() for edit in swapped("cell swapped", one)]
