"""Exceptions raised while reading source declarations and importing delivered files."""


class LandingError(Exception):
    """Raised if files or declarations are invalid; the message has one line per error."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))


# N818 is ignored, because callers convert this internal exception to a LandingError.
class FileFault(Exception):  # noqa: N818
    """Raised if a file is invalid, with the sheet, row and column of the error."""

    def __init__(
        self,
        problem: str,
        *,
        sheet: str | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem, self.sheet, self.row, self.column = problem, sheet, row, column

    def format_line(self, path: str) -> str:
        """Return the error as one line: file path, sheet, row, column and problem."""
        places = {"sheet": self.sheet, "row": self.row, "column": self.column}
        location = [f"{kind} {value}" for kind, value in places.items() if value is not None]
        # Remove line breaks, which column headings and library messages may contain.
        return " ".join(f"{', '.join([path, *location])}: {self.problem}".split())
