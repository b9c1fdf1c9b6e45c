"""Parse tables in Markdown pages."""

import re


def rows(text: str) -> list[list[str]]:
    """Return the cells of every table row in a text, heading rows included."""
    lines = re.findall(r"^\|(.*)\|$", text, flags=re.MULTILINE)
    return [
        [cell.strip() for cell in line.split("|")]
        for line in lines
        if not re.fullmatch(r"[ |:-]+", line)
    ]
