"""Parse the tables of Markdown documents."""

import re


def rows(text: str) -> list[list[str]]:
    """Return the cells of all table rows in a Markdown text, including header rows."""
    lines = re.findall(r"^\|(.*)\|$", text, flags=re.MULTILINE)
    return [
        [cell.strip() for cell in line.split("|")]
        for line in lines
        if not re.fullmatch(r"[ |:-]+", line)
    ]
