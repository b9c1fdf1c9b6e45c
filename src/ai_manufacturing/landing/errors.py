"""Errors of deliveries and declarations: place, state, value, way out."""


class LandingError(Exception):
    """Deliveries or declarations that cannot be landed; one line for each faulty file."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))


# N818: it never leaves the package, as faults are collected into one LandingError
class FileFault(Exception):  # noqa: N818
    """One file's fault and the way out of it."""

    def __init__(
        self,
        what: str,
        *,
        sheet: str | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what, self.sheet, self.row, self.column = what, sheet, row, column

    def line(self, path: str) -> str:
        """Return the fault as one line of a LandingError."""
        places = {"sheet": self.sheet, "row": self.row, "column": self.column}
        at = [f"{kind} {value}" for kind, value in places.items() if value is not None]
        # a header or a library's message may hold line breaks
        return " ".join(f"{', '.join([path, *at])}: {self.what}".split())
