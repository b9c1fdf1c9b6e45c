"""Represent the paper's regression tables and prepare them for printing.

All export formats and pages use these classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ai_manufacturing.estimators.sentences import COMMAS
from ai_manufacturing.system.text import LANGUAGES, Words

# Numbers of decimals that a user can select.
DECIMALS = (2, 3, 4)
# Types of standard errors below an estimate, with their line kinds in printed_lines.csv.
ERRORS = {"city": "std_error", "province": "province_error", "wild": "wild_p_value"}
DEFAULT_ERRORS = ("city", "province")
NO_ERRORS = "none"  # option value that omits standard errors
DEFAULT_DECIMALS = 3
# Line kinds that are not printed, because they contain internal names.
INTERNAL_LINES = ("specification",)
# Line kind that starts the block below the estimates; a horizontal rule separates the two.
FIRST_BELOW_ESTIMATES = "outcome"
# English and Chinese punctuation between the head and the text of a note.
NOTE_SEPARATORS = (": ", "：")
# English and Chinese parentheses around the marks at the end of a title.
TITLE_MARKS = (" ({})", "（{}）")


class TableError(Exception):
    """Raised if a table, specification or type of standard error is unknown."""


@dataclass(frozen=True)
class Cell:
    """A table cell that contains either a number or text.

    Attributes
    ----------
    value : float or None
        The number; None if the cell contains words.
    is_rounded : bool
        Whether it is printed with decimals, unlike a count or a year.
    is_p_value : bool
        Whether it is a p-value; one that would round to zero is printed as a bound.
    before, after : str
        Brackets, stars and marks around the number.
    words : tuple of str
        Text in English and Chinese if there is no number.
    is_missing : bool
        Whether the number could not be estimated; `words` then contains a placeholder.
    most_decimals : int or None
        Number of available decimals, in files with rounded values only.
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
        """Return the cell as printed in the given language and number of decimals."""
        if self.value is None:
            return self.words[LANGUAGES.index(language)]
        if self.most_decimals is not None:
            decimals = min(decimals, self.most_decimals)
        number = self.bound(decimals) or f"{self.value:.{decimals if self.is_rounded else 0}f}"
        return f"{self.before}{number}{self.after}"

    def bound(self, decimals: int) -> str | None:
        """Return a bound such as "<0.001" for a p-value that would round to zero, or None."""
        least = 10**-decimals
        return (
            f"<{least:.{decimals}f}"
            if self.is_p_value and self.value is not None and self.value < least / 2
            else None
        )


@dataclass(frozen=True)
class Note:
    """A note to print below a regression table.

    Attributes
    ----------
    error : str or None
        Choice of standard errors with which the note appears; None for every choice.
    head, text : tuple of str
        Topic and text of the note, in English and Chinese.
    """

    error: str | None
    head: Words
    text: Words


@dataclass(frozen=True)
class Line:
    """A table line, with its kind from printed_lines.csv and its label in English and Chinese."""

    kind: str
    label: Words


@dataclass(frozen=True)
class Column:
    """One specification of a column in the paper, with its cells and notes.

    Attributes
    ----------
    specification_id : str
        Specification of the regression.
    number : int
        Number of the column in the paper.
    is_default : bool
        Whether it is the column's default reading.
    heading, reading : tuple of str
        Names of the column and of the reading, in English and Chinese.
    cells : mapping of int to Cell
        Cells by line number.
    notes : sequence of Note
        Notes on this reading.
    has_substitutes : bool
        Whether the estimate uses a substitute.
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
        """Return the bracketed column number, with the specification's name if not the default."""
        return f"({self.number}{self._reading(language)})"

    def title(self, language: str) -> str:
        """Return the column heading, with the specification's name if not the default."""
        return f"({self.number}) {self.heading[LANGUAGES.index(language)]}{self._reading(language)}"

    def _reading(self, language: str) -> str:
        place = LANGUAGES.index(language)
        return "" if self.is_default else f"{NOTE_SEPARATORS[place]}{self.reading[place]}"


@dataclass(frozen=True)
class PaperTable:
    """A regression table of the paper, with every specification of each column.

    Attributes
    ----------
    table_id : str
        Name in regression_specifications.csv, such as table_1.
    title, name : tuple of str
        Title, and name such as "Table 1", in English and Chinese.
    lines : mapping of int to Line
        Lines by number, in order.
    columns : sequence of Column
        All readings, in the order of the paper.
    common_notes : mapping of str to tuple of str
        Sentences common to all tables, by key: the source of the numbers, and the meaning of stars
        and brackets.
    """

    table_id: str
    name: Words
    title: Words
    lines: Mapping[int, Line]
    columns: Sequence[Column]
    common_notes: Mapping[str, Words]

    def prepare(
        self,
        readings: Sequence[str] | None = None,
        errors: Sequence[str] = DEFAULT_ERRORS,
        language: str = "en",
        decimals: int = DEFAULT_DECIMALS,
    ) -> "PrintedTable":
        """Return a printable table with the selected specifications and standard errors.

        Parameters
        ----------
        readings : sequence of str or None
            Specifications to show, in this order. The default shows each column's default reading.
        errors : sequence of str
            Standard errors below each estimate, from city, province and wild.
        language : str
            Language code, en or zh.
        decimals : int
            Decimals of numbers other than counts: 2, 3 or 4.

        Raises
        ------
        TableError
            If a reading or standard error is unknown.
        """
        if unknown_errors := [error for error in errors if error not in ERRORS]:
            error, kinds = unknown_errors[0], ", ".join(ERRORS)
            raise TableError(
                f"{error!r} is not a kind of standard error. Choose from {kinds}, or {NO_ERRORS}."
            )
        columns = self._select_columns(readings)
        place = LANGUAGES.index(language)
        hidden = {*INTERNAL_LINES, *(kind for error, kind in ERRORS.items() if error not in errors)}
        rows = [
            Row(line.kind, line.label[place], [column.cells.get(number) for column in columns])
            for number, line in self.lines.items()
            if line.kind not in hidden and any(number in column.cells for column in columns)
        ]
        keys = ["table_synthetic"]
        if any(column.has_substitutes for column in columns):
            keys.append("table_substitutes")
        marks = [self.common_notes[key][place] for key in keys if key in self.common_notes]
        title = self.title[place]
        if marks:
            title += TITLE_MARKS[place].format(COMMAS[language].join(marks))
        return PrintedTable(
            table_id=self.table_id,
            language=language,
            decimals=decimals,
            name=self.name[place],
            title=title,
            columns=columns,
            rows=rows,
            notes=self._collect_notes(columns, errors, place),
        )

    def _select_columns(self, readings: Sequence[str] | None) -> list[Column]:
        if readings is None:
            return [column for column in self.columns if column.is_default]
        by_name = {column.specification_id: column for column in self.columns}
        names = ", ".join(by_name)
        for name in readings:
            if name not in by_name:
                raise TableError(
                    f"{name!r} is not a specification of {self.table_id}. Choose from these rows of"
                    f" regression_specifications.csv: {names}."
                )
            if readings.count(name) > 1:
                raise TableError(
                    f"The specification {name!r} is named twice. Name each one only once."
                )
        if not readings:
            raise TableError(f"No specification of {self.table_id} was named. Choose from {names}.")
        return [by_name[name] for name in readings]

    def _collect_notes(
        self, columns: Sequence[Column], errors: Sequence[str], place: int
    ) -> list[str]:
        """Return the general notes, then the specific notes with the columns they refer to."""
        language = LANGUAGES[place]
        error_choices = [error for error in ERRORS if error in errors]
        notes_by_head: dict[str, dict[str, list[str]]] = {}
        for error in (None, *error_choices):
            for column in columns:
                for note in column.notes:
                    if note.error == error:
                        texts = notes_by_head.setdefault(note.head[place], {})
                        texts.setdefault(note.text[place], []).append(column.tag(language))
        return [
            self.common_notes["table_mark"][place],
            *(self.common_notes[f"table_{error}"][place] for error in error_choices),
            self.common_notes["table_stars"][place],
            *(
                f"{head} {' '.join(tags)}{NOTE_SEPARATORS[place]}{text}"
                for head, texts in notes_by_head.items()
                for text, tags in texts.items()
            ),
        ]


@dataclass(frozen=True)
class Row:
    """A row of a printed table, with a cell for each column, or None if it has no value."""

    kind: str
    label: str
    cells: Sequence[Cell | None]


@dataclass(frozen=True)
class PrintedTable:
    """A table prepared for printing, independent of the output format.

    Attributes
    ----------
    table_id, language : str
        Name of the table, and language code.
    decimals : int
        Decimals of numbers other than counts.
    name, title : str
        Name such as "Table 1", and title with its marks.
    columns : sequence of Column
        Readings to show.
    rows : sequence of Row
        Lines of the table.
    notes : sequence of str
        Notes below the table.
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
        """Name and title of the table, separated by a colon."""
        return f"{self.name}{NOTE_SEPARATORS[LANGUAGES.index(self.language)]}{self.title}"

    @property
    def headings(self) -> list[str]:
        """Column headings in the language of the table."""
        return [column.title(self.language) for column in self.columns]

    def text(self, cell: Cell | None) -> str:
        """Return a cell as printed, or an empty string if the cell is None."""
        return "" if cell is None else cell.text(self.language, self.decimals)

    def texts(self, line: Row) -> list[str]:
        """Return the cells of a row as printed."""
        return [self.text(cell) for cell in line.cells]
