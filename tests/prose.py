"""Find hard-to-read English in the lines that changed since a commit.

`python -m tests.prose COMMIT` reads the comments, docstrings and error messages of Python, the
comments of SQL, Markdown, and the texts of YAML, and prints each sentence that uses a construction
of PATTERNS, with the way out. ALLOWED contains sentences that are right as they are.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
ALLOWED = PROJECT / "tests/fixtures/prose_allowed.txt"
PATTERNS = {
    r"\b(?:what|whoever) (?!if\b|about\b|kind\b|happens\b)\w+ ": "name the thing",
    r"(?:^|[.;:] )Who [^?]*$": "name the person",
    r"(?<![Tt]here )\b(?:is|are|was|were) no (?!longer|more|need)\w+": 'write "is not a …"',
    r"\b(?:that|those) of\b": "repeat the noun, or use a possessive",
    r"\b(?:of which|of whom|from whom|by whom|whereof)\b": "make it a sentence of its own",
    r"\b(?:stands|stood|goes|went|bears|tells?|told|lies?)\b": "use the verb of the action",
}
COMMENTS = {".py": r"(?:^|\s)#[: ]\s*(.*)", ".sql": r"--\s?(.*)"}
YAML_TEXT = r"(?:description|title|note|en):\s+[\"'>|]?(.*)"
# Matches the underlined heading of a docstring section, such as Returns.
HEADING = re.compile(r"^ *\w+\n *---+$", re.MULTILINE)
Texts = Iterator[tuple[range, str]]


def joined(lines: Iterable[tuple[int, str]]) -> Texts:
    """Join the texts of adjacent lines into paragraphs; an empty text separates paragraphs."""
    start, last, block = 0, 0, ""
    for number, text in lines:
        if number != last + 1 or not text:
            yield range(start, last + 1), block
            block = ""
        start, last = start if block else number, number
        block = f"{block} {text}".strip()
    yield range(start, last + 1), block


def texts(path: Path) -> Texts:
    """Yield the English texts of a file, each with its range of line numbers."""
    content = path.read_text(encoding="utf-8")
    lines = [*enumerate(content.splitlines(), start=1)]
    if path.suffix in COMMENTS:
        found = ((at, re.search(COMMENTS[path.suffix], line)) for at, line in lines)
        yield from joined((at, match[1]) for at, match in found if match)
    if path.suffix == ".md":
        prose = re.sub(r"```.*?```", lambda code: "\n" * code[0].count("\n"), content, flags=re.S)
        # Treat each table cell as a sentence of its own.
        rows = prose.replace("|", ". ").splitlines()
        yield from joined(enumerate(map(str.strip, rows), start=1))
    if path.suffix == ".yml":
        found = ((at, re.search(YAML_TEXT, line)) for at, line in lines)
        yield from ((range(at, at + 1), match[1]) for at, match in found if match)
    for node in ast.walk(ast.parse(content)) if path.suffix == ".py" else ():
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                text = HEADING.sub("\n", text)
            case ast.Raise(exc=ast.Call(args=strings)):
                parts = (
                    one.value
                    for each in strings
                    for one in ast.walk(each)
                    if isinstance(one, ast.Constant)
                )
                text = " ".join(one for one in parts if isinstance(one, str))
            case _:
                continue
        span = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        yield from ((span, one) for one in text.split("\n\n"))


def faults(path: Path, changed: set[int]) -> Iterator[str]:
    """Yield a message for each hard-to-read sentence in the changed lines of a file."""
    allowed = set(ALLOWED.read_text(encoding="utf-8").splitlines())
    for span, text in texts(path):
        if changed.isdisjoint(span):
            continue
        for sentence in re.split(r"(?<=[.!?])\s+", " ".join(text.split())):
            for pattern, way_out in PATTERNS.items():
                if sentence in allowed or len(sentence.split()) < 4:
                    continue
                if match := re.search(pattern, sentence):
                    name = path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path
                    yield f'{name}:{span.start}: "{match[0].strip()}" in "{sentence}": {way_out}'


def changed_lines(commit: str) -> dict[Path, set[int]]:
    """Return the numbers of the lines in each file that changed since a commit."""
    command = ("git", "diff", "--unified=0", "--no-prefix", "--diff-filter=d", commit)
    diff = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    changed: dict[Path, set[int]] = {}
    for line in diff.splitlines():
        if line.startswith("+++ "):
            lines = changed.setdefault(PROJECT / line[4:].rstrip("\t"), set())
        elif hunk := re.match(r"@@ \S+ \+(\d+)(?:,(\d+))? @@", line):
            lines.update(range(int(hunk[1]), int(hunk[1]) + int(hunk[2] or 1)))
    return changed


def main() -> None:
    """Print hard-to-read sentences in changed lines, and exit with 1 if there are any."""
    (commit,) = sys.argv[1:]
    suffixes = {*COMMENTS, ".md", ".yml"}
    files = {
        path: lines for path, lines in changed_lines(commit).items() if path.suffix in suffixes
    }
    messages = [message for path, lines in files.items() for message in faults(path, lines)]
    print("\n".join(messages))
    sys.exit(bool(messages))


if __name__ == "__main__":
    main()
