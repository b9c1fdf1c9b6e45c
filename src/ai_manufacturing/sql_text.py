"""Identifiers and texts as SQL writes them: nothing from a path or a header reaches a statement unescaped."""


def identifier(name: str) -> str:
    """Return an SQL identifier in quotation marks."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """Return the text of a value as an SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"
