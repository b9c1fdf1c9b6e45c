"""The paper's tables with a choice of readings, errors, language and decimals.

One model for every format and page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ai_manufacturing.estimators.sentences import COMMAS
from ai_manufacturing.system.text import LANGUAGES, Words

DECIMALS = (2, 3, 4)
# Errors below an estimate, by the name that a reader chooses, and their kind of line in
# printed_lines.csv.
ERRORS = {"city": "std_error", "province": "province_error", "wild": "wild_p_value"}
DEFAULT_ERRORS = ("city", "province")
NO_ERRORS = "none"
DEFAULT_DECIMALS = 3
# Kinds of lines that are names of the data, which a printed table has no use for.
NAMES = ("specification",)
FIRST_BELOW_ESTIMATES = "outcome"
# Punctuation by language: before what is said of a head, and around the marks of a title.
COLONS = (": ", "：")
IN_BRACKETS = (" ({})", "（{}）")


class TableError(Exception):
    """A table, reading or error that does not exist; the message names the choices."""


@dataclass(frozen=True)
class Cell:
    """What a table prints at a line of a column.

    Attributes
    ----------
    value : float or None
        The number; None of words.
    is_rounded : bool
        Whether it is printed to decimals, unlike a count or a year.
    is_p_value : bool
        Whether it is never printed as zero: what would be is printed as a bound.
    before, after : str
        Bracket, stars and marks.
    words : tuple of str
        What is printed where there is no number, in English and Chinese.
    is_missing : bool
        Whether the line asks for a number that does not exist; the words then say so.
    most_decimals : int or None
        Decimals that the value has, in a file that has only rounded values.
    """

    value: float | None
    is_rounded: bool
    is_p_value: bool
    before: str
    after: str
    words: Words
    is_missing: bool = False
    most_decimals: int | None = None

    def text(self, language: str, decimals: int) -> str:
        """Return the cell as printed."""
        if self.value is None:
            return self.words[LANGUAGES.index(language)]
        if self.most_decimals is not None:
            decimals = min(decimals, self.most_decimals)
        number = self.bound(decimals) or f"{self.value:.{decimals if self.is_rounded else 0}f}"
        return f"{self.before}{number}{self.after}"

    def bound(self, decimals: int) -> str | None:
        """Return what is printed of a p-value that would be zero."""
        least = 10**-decimals
        return (
            f"<{least:.{decimals}f}"
            if self.is_p_value and self.value is not None and self.value < least / 2
            else None
        )


@dataclass(frozen=True)
class Note:
    """A sentence below a table.

    Attributes
    ----------
    error : str or None
        With which choice of errors it is said; None: with every one.
    head, text : tuple of str
        What it is about and what it says, in English and Chinese.
    """

    error: str | None
    head: Words
    text: Words


@dataclass(frozen=True)
class Line:
    """A line of a table: its kind in printed_lines.csv and its label in English and Chinese."""

    kind: str
    label: Words


@dataclass(frozen=True)
class Column:
    """A reading of a column of the paper.

    Attributes
    ----------
    specification_id : str
        The regression.
    number : int
        Number of the column in the paper.
    is_default : bool
        Whether the column shows it unless another is asked for.
    heading, reading : tuple of str
        What the column and the reading are called, in English and Chinese.
    cells : mapping of int to Cell
        By the number of the line.
    notes : sequence of Note
        What a reader must know of it.
    has_substitutes : bool
        Whether a substitute feeds the estimate.
    """

    specification_id: str
    number: int
    is_default: bool
    heading: Words
    reading: Words
    cells: Mapping[int, Cell]
    notes: Sequence[Note]
    has_substitutes: bool

    def tag(self, language: str) -> str:
        """Return the column's number for notes, and its reading unless it is the default."""
        return f"({self.number}{self._reading(language)})"

    def title(self, language: str) -> str:
        """Return the heading of the column."""
        return f"({self.number}) {self.heading[LANGUAGES.index(language)]}{self._reading(language)}"

    def _reading(self, language: str) -> str:
        place = LANGUAGES.index(language)
        return "" if self.is_default else f"{COLONS[place]}{self.reading[place]}"


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper with all its readings.

    Attributes
    ----------
    table_id : str
        Its name in regression_specifications.csv, such as table_1.
    title, name : tuple of str
        What it is about, and its number in words, in English and Chinese.
    lines : mapping of int to Line
        The lines in order, by their number.
    columns : sequence of Column
        All readings, in the order of the paper.
    said : mapping of str to tuple of str
        Sentences that every table has, by key: whose numbers they are, what stars and brackets
        mean.
    """

    table_id: str
    name: Words
    title: Words
    lines: Mapping[int, Line]
    columns: Sequence[Column]
    said: Mapping[str, Words]

    def chosen(
        self,
        readings: Sequence[str] | None = None,
        errors: Sequence[str] = DEFAULT_ERRORS,
        language: str = "en",
        decimals: int = DEFAULT_DECIMALS,
    ) -> "Printed":
        """Return the table as printed with a choice of readings and errors.

        Parameters
        ----------
        readings : sequence of str or None
            Specifications to show, in this order. Default: that of each column of the paper.
        errors : sequence of str
            Lines below each estimate: of city, province and wild.
        language : str
            en or zh.
        decimals : int
            Decimals of numbers that are not counts: 2, 3 or 4.

        Raises
        ------
        TableError
            If a reading or an error does not exist.
        """
        if unknown := [error for error in errors if error not in ERRORS]:
            raise TableError(
                f"{unknown[0]!r} is no error. Choose from {', '.join(ERRORS)}, or {NO_ERRORS}."
            )
        columns = self._columns(readings)
        place = LANGUAGES.index(language)
        hidden = {*NAMES, *(kind for error, kind in ERRORS.items() if error not in errors)}
        rows = [
            Row(line.kind, line.label[place], [column.cells.get(number) for column in columns])
            for number, line in self.lines.items()
            if line.kind not in hidden and any(number in column.cells for column in columns)
        ]
        keys = ["table_synthetic"]
        if any(column.has_substitutes for column in columns):
            keys.append("table_substitutes")
        marks = [self.said[key][place] for key in keys if key in self.said]
        title = self.title[place]
        if marks:
            title += IN_BRACKETS[place].format(COMMAS[language].join(marks))
        return Printed(
            table_id=self.table_id,
            language=language,
            decimals=decimals,
            name=self.name[place],
            title=title,
            columns=columns,
            rows=rows,
            notes=self._notes(columns, errors, place),
        )

    def _columns(self, readings: Sequence[str] | None) -> list[Column]:
        if readings is None:
            return [column for column in self.columns if column.is_default]
        known = {column.specification_id: column for column in self.columns}
        for name in readings:
            if name not in known:
                raise TableError(
                    f"{name!r} is no reading of {self.table_id}. Its readings"
                    f" (regression_specifications.csv): {', '.join(known)}."
                )
            if readings.count(name) > 1:
                raise TableError(f"{name!r} is named twice among the readings. Name it once.")
        if not readings:
            raise TableError(
                f"No reading of {self.table_id} is named. Its readings: {', '.join(known)}."
            )
        return [known[name] for name in readings]

    def _notes(self, columns: Sequence[Column], errors: Sequence[str], place: int) -> list[str]:
        """Return the notes on set, errors and stars, then each text with its columns."""
        language = LANGUAGES[place]
        shown = [error for error in ERRORS if error in errors]
        said: dict[str, dict[str, list[str]]] = {}
        for error in (None, *shown):
            for column in columns:
                for note in column.notes:
                    if note.error == error:
                        texts = said.setdefault(note.head[place], {})
                        texts.setdefault(note.text[place], []).append(column.tag(language))
        return [
            self.said["table_mark"][place],
            *(self.said[f"table_{error}"][place] for error in shown),
            self.said["table_stars"][place],
            *(
                f"{head} {' '.join(tags)}{COLONS[place]}{text}"
                for head, texts in said.items()
                for text, tags in texts.items()
            ),
        ]


@dataclass(frozen=True)
class Row:
    """A line of a printed table: its kind, its label, and a cell or None in each column."""

    kind: str
    label: str
    cells: Sequence[Cell | None]


@dataclass(frozen=True)
class Printed:
    """A table as it is printed, before it has a format.

    Attributes
    ----------
    table_id, language : str
        Which table, in which language.
    decimals : int
        Of numbers that are not counts.
    name, title : str
        Number of the table in words, and its caption with its marks.
    columns : sequence of Column
        The readings shown.
    rows : sequence of Row
        The lines.
    notes : sequence of str
        What stands below.
    """

    table_id: str
    language: str
    decimals: int
    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: Sequence[str]

    @property
    def caption(self) -> str:
        """Number and title."""
        return f"{self.name}{COLONS[LANGUAGES.index(self.language)]}{self.title}"

    @property
    def headings(self) -> list[str]:
        """Headings of the columns."""
        return [column.title(self.language) for column in self.columns]

    def text(self, cell: Cell | None) -> str:
        """Return a cell as printed; nothing where the column has no such line."""
        return "" if cell is None else cell.text(self.language, self.decimals)

    def texts(self, line: Row) -> list[str]:
        """Return the cells of a line as printed."""
        return [self.text(cell) for cell in line.cells]
