"""How exactly a public copy shows each number that is computed from restricted values.

Every estimate is an equation in the values behind it. With enough digits and enough equations,
whoever has all other series solves for them. So a public copy shows the digits that carry
information, and seeds/published_numbers.csv declares them for each released column. A column that
is not declared is refused. docs/decisions/disclosure.md has the attacks that the digits withstand.
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

import duckdb

from ai_manufacturing.releases.errors import BadConfigurationError
from ai_manufacturing.system import settings
from ai_manufacturing.system.sql_text import beside, create_table, identifier, insert

SQL = beside(__file__)

SEED = "seeds/published_numbers.csv"
EVERY_TABLE = "*"
MOST_DECIMALS = 3  # of an estimate, as the tables of the paper print it
WITHOUT_ERROR = 2  # decimals of an estimate that has no error
SMALLEST_P = 0.0004  # stands for every smaller p-value, and is printed as <0.001
MOST_DIGITS = 4  # significant digits after the decimal point of a number within a text
LONG_NUMBER = f"[0-9]+[.]0*[1-9][0-9]{{{MOST_DIGITS},}}"
"""Regular expression of a number in a text that has more."""
NOT_NUMBERS = ("BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
CELLS = "reports.rpt_table_cells"
TABLE = "published_numbers"
TABLE_COMMENT = (
    "One row per column of numbers that are computed from restricted values: how exactly this copy"
    " shows them. The full digits are in the private release."
)
TABLE_COLUMNS = {
    "table_name": ("varchar", "Schema and name of a table of this file."),
    "column_name": ("varchar", "Column of numbers."),
    "precision": ("varchar", "How exactly they are shown."),
    "number_count": (
        "bigint",
        "Different numbers in the column; 0 if all of them follow from other columns.",
    ),
}


class UndeclaredNumberError(BadConfigurationError):
    """A released column of numbers, for which nobody has declared how exactly it is published."""


class Declared(NamedTuple):
    """A row of the seed: how exactly some columns are shown, in the rows that it names."""

    table_name: str
    columns: str
    rule: str
    places: str
    beside: str
    rows_shown: str
    numbers: str
    note: str


class Rule(NamedTuple):
    """A way to show a number less exactly.

    Attributes
    ----------
    shown : function
        Takes a column, its places and the SQL in `beside`, and returns the SQL of the shown number.
    words : str
        Describes the rule to a reader; {places} and {beside} are replaced.
    """

    shown: Callable[[str, str, str], str]
    words: str


RULES = {
    "exact": Rule(lambda column, places, beside: column, "exact"),
    "decimals": Rule(
        lambda column, places, beside: f"to_decimals({column}, {places})",
        "{places} decimals, or 2 digits of a number that these would show as zero",
    ),
    "digits": Rule(
        lambda column, places, beside: f"rounded({column}, places_of({column}, {places}))",
        "{places} significant digits",
    ),
    "error": Rule(
        lambda column, places, beside: (
            f"rounded({column}, least({MOST_DECIMALS},"
            f" coalesce(places_of(nullif({beside}, 0), {places}), {WITHOUT_ERROR})))"
        ),
        f"the decimals of {{places}} significant digits of {{beside}}, at most {MOST_DECIMALS}",
    ),
    "p": Rule(
        lambda column, places, beside: (
            f"case when {column} < 0.0005 then {SMALLEST_P}"
            f" else below_level({column}, least(3, places_of({column}, {places}))) end"
        ),
        "{places} significant digits, at most 3 decimals",
    ),
    "bands": Rule(
        lambda column, places, beside: (
            f"case when {column} <= {places} then {column} when {column} > {places} then 1 +"
            f" greatest({places}, cast(ceil(floor(({column} - 1.0) * {places} / {beside})"
            f" * {beside} / {places}) as bigint)) end"
        ),
        "the first {places} ranks, then the first rank of one of {places} bands of {beside}",
    ),
    "bins": Rule(
        # equal numbers have no range to divide, and are shown with the decimals of an estimate
        lambda column, places, beside: (
            "coalesce(round(round({0} / {1}) * {1}, 12), to_decimals({0}, {2}))".format(
                column,
                f"bin_width(min({column}) over ({beside}), max({column}) over ({beside}),"
                f" {places})",
                MOST_DECIMALS,
            )
        ),
        "the middle of one of about {places} bins ({beside})",
    ),
    "order": Rule(
        lambda column, places, beside: (
            f"case when {column} is not null then row_number() over ({beside}) end"
        ),
        "numbered anew ({beside})",
    ),
    "withheld": Rule(lambda column, places, beside: "null", "withheld"),
}


class Shown(NamedTuple):
    """How a copy shows a column.

    Attributes
    ----------
    expression : str
        SQL of what is shown, on the rows of the private table.
    withheld : str
        SQL of the rows in which nothing is shown.
    precision : str
        The same in words.
    is_function : bool
        Whether it gives numbers that follow from no other column.
    """

    expression: str
    withheld: str
    precision: str
    is_function: bool


class PublishedNumbers:
    """The declared list, by table and column.

    Parameters
    ----------
    declared : sequence of Declared
        Rows of the seed. Of several for one column the first whose rows_shown holds counts.
    """

    def __init__(self, declared: list[Declared]) -> None:
        self._by_column: defaultdict[tuple[str, str], list[Declared]] = defaultdict(list)
        for row in declared:
            if row.rule not in RULES:
                raise UndeclaredNumberError(
                    f"{SEED}, table {row.table_name}, columns {row.columns!r}: there is no rule"
                    f" {row.rule!r}. The rules are {', '.join(RULES)}."
                )
            for column in row.columns.split():
                self._by_column[row.table_name, column].append(row)

    def of_table(
        self, table: str, types: Mapping[str, str], *, is_computed: bool
    ) -> dict[str, Shown]:
        """Return how a table's columns are shown; a column that is shown as it is may be absent.

        Parameters
        ----------
        table : str
            Schema and name.
        types : mapping of str to str
            DuckDB's type of each column.
        is_computed : bool
            Whether the table has computed numbers, each of which must be declared, or values of
            cities, which terms.py withholds.

        Raises
        ------
        UndeclaredNumberError
            If a column of numbers is not declared.
        """
        shown = {}
        for column, type_ in types.items():
            own = self._by_column.get((table, column), [])
            if not own and (is_text(type_) or type_ in NOT_NUMBERS or not is_computed):
                continue
            declared = own or self._by_column.get((EVERY_TABLE, column))
            if not declared:
                raise UndeclaredNumberError(
                    f"{table}, column {column}: a public copy cannot be made, because nobody has"
                    f" declared how exactly it may show these numbers. Add the column to {SEED}:"
                    " rule exact if no restricted value enters it, else the digits that readers"
                    " need. docs/decisions/disclosure.md says what they may tell."
                )
            shown[column] = _shown(identifier(column), type_, declared)
        return shown


def read() -> PublishedNumbers:
    """Read the seed, which is the engine's."""
    with (settings.engine_root() / SEED).open(encoding="utf-8", newline="") as file:
        return PublishedNumbers([Declared(**row) for row in csv.DictReader(file)])


def is_rounded(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether an open file is a public copy, whose numbers are rounded."""
    found = connection.execute(
        "from duckdb_tables() where database_name = current_database() and schema_name = 'release'"
        f" and table_name = '{TABLE}'"
    )
    return found.fetchone() is not None


def is_text(type_: str) -> bool:
    """Whether a type of DuckDB is a text."""
    return type_ == "VARCHAR"


def require_short_numbers(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Refuse a text of a copied table that holds a number of more digits than are printed.

    Parameters
    ----------
    connection : DuckDBPyConnection
    table : str
        Catalogue, schema and name.

    Raises
    ------
    UndeclaredNumberError
        If a text has one.
    """
    texts = [name for name, type_, *_ in describe(connection, table) if is_text(type_)]
    longest = [f"any_value(regexp_extract({identifier(name)}, '{LONG_NUMBER}'))" for name in texts]
    found = [
        f"{one} filter (regexp_matches({identifier(name)}, '{LONG_NUMBER}'))"
        for one, name in zip(longest, texts, strict=True)
    ]
    if not texts:
        return
    (numbers,) = connection.execute(f"select {', '.join(found)} from {table}").fetchall()
    for name, number in zip(texts, numbers, strict=True):
        if number:
            raise UndeclaredNumberError(
                f"{table.partition('.')[2]}, column {name}: a public copy cannot be made, because a"
                f" text has the number {number}. Print it with at most {MOST_DIGITS} digits, or"
                f" withhold the column in {SEED}."
            )


def print_anew(connection: duckdb.DuckDBPyConnection) -> None:
    """Print the cells of a copy, attached as `new`, from its numbers.

    Cells of the paper's own columns have the digits of the paper, and stay.
    """
    connection.execute(f"""
        update new.{CELLS}
        set cell = concat(
            opening,
            case when is_p_value and value < 0.0005 then '<0.001' else format('{{:g}}', value) end,
            closing
        )
        where is_rounded and value is not null and reading <> 'default'
    """)


def describe(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, ...]]:
    """Return name and type of each column of a table."""
    return connection.execute(f"describe {table}").fetchall()


def record(connection: duckdb.DuckDBPyConnection, shown: Mapping[str, Mapping[str, Shown]]) -> None:
    """Write the table of the copy, attached as `new`, that says how exactly numbers are shown.

    Parameters
    ----------
    connection : DuckDBPyConnection
    shown : mapping
        By table and column.
    """
    connection.execute(create_table(f"new.release.{TABLE}", TABLE_COLUMNS, TABLE_COMMENT))
    for table, columns in shown.items():
        listed = {
            name: one
            for name, one in columns.items()
            if one.precision != "exact" or one.is_function
        }
        if not listed:
            continue
        counted = ", ".join(
            f"count(distinct {identifier(name)}) filter ({one.is_function})"
            for name, one in listed.items()
        )
        (counts,) = connection.execute(f"select {counted} from new.{table}").fetchall()
        connection.executemany(
            insert(f"new.release.{TABLE}", len(TABLE_COLUMNS)),
            [
                [table, name, one.precision, count]
                for (name, one), count in zip(listed.items(), counts, strict=True)
            ],
        )


def _shown(column: str, type_: str, declared: list[Declared]) -> Shown:
    """Return how a column, named as SQL, is shown by its rows of the seed."""
    cases, hidden, words = [], [], []
    for row in declared:
        rows = row.rows_shown or "true"
        rule = RULES[row.rule]
        cases.append(f"when {rows} then {rule.shown(column, row.places, row.beside)}")
        hidden.append(f"when {rows} then {row.rule == 'withheld'}")
        where = f" where {row.rows_shown}" if row.rows_shown else ""
        words.append(rule.words.format(places=row.places, beside=row.beside) + where)
    is_partly = any(row.rule == "withheld" for row in declared) or all(
        row.rows_shown for row in declared
    )
    return Shown(
        expression=f"cast(case {' '.join(cases)} end as {type_})",
        withheld=f"case {' '.join(hidden)} else true end" if is_partly else "false",
        precision="; else ".join(words),
        is_function=any(row.numbers == "1" for row in declared),
    )
