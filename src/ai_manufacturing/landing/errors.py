"""Exceptions raised while reading declarations and landing deliveries."""


class LandingError(Exception):
    """Deliveries or declarations that cannot be landed; one message line per faulty file."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))


# N818: internal only, because callers collect all faults into one LandingError
class FileFault(Exception):  # noqa: N818
    """A fault in one file, with its location in the file and a remedy in the message."""

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
        """Return the fault as one line of a LandingError."""
        places = {"sheet": self.sheet, "row": self.row, "column": self.column}
        location = [f"{kind} {value}" for kind, value in places.items() if value is not None]
        # Headers and library messages may contain line breaks.
        return " ".join(f"{', '.join([path, *location])}: {self.problem}".split())
