"""Errors of deliveries and declarations: place, state, value, way out."""


class LandingError(Exception):
    """Deliveries or declarations that cannot be landed; one line for each faulty file."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))


class FileFault(Exception):  # noqa: N818 - it never leaves the package: faults are collected into one LandingError
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
        places = [("sheet", self.sheet), ("row", self.row), ("column", self.column)]
        line = (
            ", ".join([path, *(f"{kind} {value}" for kind, value in places if value is not None)])
            + f": {self.what}"
        )
        # a header or a library's message may hold line breaks
        return " ".join(part.strip() for part in line.splitlines())
