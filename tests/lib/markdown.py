"""Tables of Markdown pages."""

import re


def rows(text: str) -> list[list[str]]:
    """Return the cells of each line of the tables in a text, with their headings."""
    lines = re.findall(r"^\|(.*)\|$", text, flags=re.MULTILINE)
    return [
        [cell.strip() for cell in line.split("|")]
        for line in lines
        if not re.fullmatch(r"[ |:-]+", line)
    ]
