"""Notes in a file of Stata, which pandas does not write: `notes` in Stata lists them.

They are characteristics of the file (_dta) or of a variable: note0 has their number, note1 the
first. https://www.stata.com/help.cgi?dta#characteristics, format 118.
"""

import struct
from collections.abc import Mapping

WHOLE = "_dta"  # the file, and no variable
NAME_LENGTH = 129  # bytes of a name of format 118, with the zero that ends it
EMPTY = b"<characteristics></characteristics>"
MAP, MAP_END = b"<map>", b"</map>"
AFTER = 9  # of the fourteen places in the map, those from the data on come after characteristics


def add(content: bytes, notes: Mapping[str, list[str]]) -> bytes:
    """Return a little-endian file of format 118 without characteristics, with notes in it.

    Parameters
    ----------
    content : bytes
        The file, as pandas writes it.
    notes : mapping of str to list of str
        Notes by the name of a variable, or of WHOLE.
    """
    written = b"".join(
        _characteristic(name, f"note{number}", text)
        for name, texts in notes.items()
        for number, text in enumerate([str(len(texts)), *texts])
    )
    before, _, after = content.partition(EMPTY)
    head, _, rest = before.partition(MAP)
    places, _, rest = rest.partition(MAP_END)
    moved = [
        place + len(written) if number >= AFTER else place
        for number, place in enumerate(struct.unpack("<14Q", places))
    ]
    new_map = MAP + struct.pack("<14Q", *moved) + MAP_END
    filled = EMPTY.replace(b"><", b">" + written + b"<")
    return head + new_map + rest + filled + after


def _characteristic(variable: str, name: str, text: str) -> bytes:
    content = text.encode() + b"\0"
    names = b"".join(one.encode().ljust(NAME_LENGTH, b"\0") for one in (variable, name))
    return b"<ch>" + struct.pack("<I", len(names + content)) + names + content + b"</ch>"
