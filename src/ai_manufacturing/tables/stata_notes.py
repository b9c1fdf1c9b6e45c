"""Add notes to a Stata file written by pandas, which does not support Stata's `notes`.

Notes are stored as characteristics of the file (_dta) or of a variable: note0 contains their
number, and note1 the first note. See https://www.stata.com/help.cgi?dta#characteristics, format
118.
"""

import struct
from collections.abc import Mapping

WHOLE_FILE = "_dta"  # key for notes that apply to the file instead of a variable
NAME_LENGTH = 129  # bytes per name in format 118, including the null terminator
EMPTY = b"<characteristics></characteristics>"
MAP, MAP_END = b"<map>", b"</map>"
# The map contains 14 file offsets. Those from this index on are after the characteristics, so they
# shift when notes are inserted.
FIRST_OFFSET_AFTER = 9


def add_notes(content: bytes, notes: Mapping[str, list[str]]) -> bytes:
    """Insert notes into a Stata file of format 118 that has no characteristics.

    Parameters
    ----------
    content : bytes
        Content of a little-endian file, as pandas writes it.
    notes : mapping of str to list of str
        Notes by variable name, or by WHOLE_FILE for the file.
    """
    characteristics = b"".join(
        _encode_characteristic(name, f"note{number}", text)
        for name, texts in notes.items()
        for number, text in enumerate([str(len(texts)), *texts])
    )
    before, _, after = content.partition(EMPTY)
    head, _, rest = before.partition(MAP)
    content_map, _, rest = rest.partition(MAP_END)
    offsets = [
        place + len(characteristics) if number >= FIRST_OFFSET_AFTER else place
        for number, place in enumerate(struct.unpack("<14Q", content_map))
    ]
    new_map = MAP + struct.pack("<14Q", *offsets) + MAP_END
    section = EMPTY.replace(b"><", b">" + characteristics + b"<")
    return head + new_map + rest + section + after


def _encode_characteristic(variable: str, name: str, text: str) -> bytes:
    content = text.encode() + b"\0"
    names = b"".join(one.encode().ljust(NAME_LENGTH, b"\0") for one in (variable, name))
    return b"<ch>" + struct.pack("<I", len(names + content)) + names + content + b"</ch>"
