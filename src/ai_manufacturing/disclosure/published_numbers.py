"""Round published estimates, so that nobody can compute restricted values from them.

Every estimate is an equation in the underlying values. With enough digits and enough equations, a
reader who knows all other series can solve for those values. A public copy therefore shows only the
digits that are informative. seeds/published_numbers.csv declares them for each released column, and
a column without a declaration is rejected. docs/decisions/disclosure.md describes the attacks that
this precision withstands.
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import NamedTuple

import duckdb

from ai_manufacturing.releases.errors import BadConfigurationError
from ai_manufacturing.system import settings
from ai_manufacturing.system.sql_text import (
    build_create_table,
    build_insert,
    load_statements,
    quote_identifier,
)

SQL = load_statements(__file__)

SEED = "seeds/published_numbers.csv"
EVERY_TABLE = "*"
MAX_DECIMALS = 3  # maximum decimals of an estimate, as in the paper's tables
DECIMALS_WITHOUT_ERROR = 2  # decimal places of an estimate without a standard error
SMALLEST_P = 0.0004  # replaces all p-values below 0.0005, which are printed as <0.001
MAX_DIGITS = 4  # maximum significant digits after the decimal point in text columns
LONG_NUMBER = f"[0-9]+[.]0*[1-9][0-9]{{{MAX_DIGITS},}}"
"""Regular expression for a number in a text with more than MAX_DIGITS digits."""
# DuckDB types of columns that do not require a rounding rule.
NON_NUMERIC_TYPES = ("BOOLEAN", "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")
CELLS_TABLE = "reports.rpt_table_cells"
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
    """Raised if a published column of numbers does not have a valid rounding rule."""


class SeedRow(NamedTuple):
    """A row of seeds/published_numbers.csv: the rounding rule for some columns of a table."""

    table_name: str
    columns: str
    rule: str
    places: str
    beside: str
    rows_shown: str
    numbers: str
    note: str


class Rule(NamedTuple):
    """A rounding rule for published numbers, as an SQL expression and a description.

    Attributes
    ----------
    to_sql : function
        Returns the SQL of the shown number, from a column, its places and the SQL in `beside`.
    description : str
        Description for readers, with the placeholders {places} and {beside}.
    """

    to_sql: Callable[[str, str, str], str]
    description: str


# Rounding rules by their name in seeds/published_numbers.csv.
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
            f"rounded({column}, least({MAX_DECIMALS},"
            f" coalesce(places_of(nullif({beside}, 0), {places}), {DECIMALS_WITHOUT_ERROR})))"
        ),
        f"the decimals of {{places}} significant digits of {{beside}}, at most {MAX_DECIMALS}",
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
        # If all values are equal, the bin width is zero, so round to MAX_DECIMALS instead.
        lambda column, places, beside: (
            "coalesce(round(round({0} / {1}) * {1}, 12), to_decimals({0}, {2}))".format(
                column,
                f"bin_width(min({column}) over ({beside}), max({column}) over ({beside}),"
                f" {places})",
                MAX_DECIMALS,
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


class ColumnPrecision(NamedTuple):
    """SQL expression that rounds or withholds a column in a public copy.

    Attributes
    ----------
    expression : str
        SQL of the shown value, evaluated on the private table.
    withheld_condition : str
        SQL condition for the rows in which the value is withheld.
    description : str
        Description of the precision for readers.
    has_own_numbers : bool
        Whether the column contains numbers that do not follow from other columns.
    """

    expression: str
    withheld_condition: str
    description: str
    has_own_numbers: bool


class PublishedNumbers:
    """Rounding rules of a public copy, by table and column.

    Parameters
    ----------
    rows : list of SeedRow
        Rows of the seed. If several apply to a column, the first whose rows_shown holds is used.
    """

    def __init__(self, rows: list[SeedRow]) -> None:
        self._by_column: defaultdict[tuple[str, str], list[SeedRow]] = defaultdict(list)
        for row in rows:
            if row.rule not in RULES:
                rules = ", ".join(RULES)
                raise UndeclaredNumberError(
                    f"{SEED}, table {row.table_name}, columns {row.columns!r}: the rule"
                    f" {row.rule!r} is unknown. Choose one of the rules {rules}."
                )
            for column in row.columns.split():
                self._by_column[row.table_name, column].append(row)

    def find_precisions(
        self, table: str, types: Mapping[str, str], *, is_computed: bool
    ) -> dict[str, ColumnPrecision]:
        """Return the rounding expression of each column; columns that do not change may be absent.

        Parameters
        ----------
        table : str
            Schema and name.
        types : mapping of str to str
            DuckDB type of each column.
        is_computed : bool
            Whether the table contains computed numbers, which must all be declared, rather than
            city values, which terms.py withholds.

        Raises
        ------
        UndeclaredNumberError
            If a column of numbers is not declared.
        """
        precisions = {}
        for column, type_ in types.items():
            own_rows = self._by_column.get((table, column), [])
            if not own_rows and (is_text(type_) or type_ in NON_NUMERIC_TYPES or not is_computed):
                continue
            rows = own_rows or self._by_column.get((EVERY_TABLE, column))
            if not rows:
                raise UndeclaredNumberError(
                    f"{table}, column {column}: the public copy cannot be written, because {SEED}"
                    " does not declare how these numbers are rounded. Add the column to this file."
                    " Use the rule `exact` if the numbers do not depend on restricted values;"
                    " otherwise choose a rule that keeps the digits that readers need."
                    " docs/decisions/disclosure.md explains which digits are safe."
                )
            precisions[column] = _combine_rows(quote_identifier(column), type_, rows)
        return precisions


def read_published_numbers() -> PublishedNumbers:
    """Read the rounding rules from seeds/published_numbers.csv, which all studies share."""
    with (settings.engine_root() / SEED).open(encoding="utf-8", newline="") as file:
        return PublishedNumbers([SeedRow(**row) for row in csv.DictReader(file)])


def has_rounded_numbers(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether the open database is a public copy with rounded numbers."""
    tables = connection.execute(
        "from duckdb_tables() where database_name = current_database() and schema_name = 'release'"
        f" and table_name = '{TABLE}'"
    )
    return tables.fetchone() is not None


def is_text(type_: str) -> bool:
    """Return whether a DuckDB column type is text."""
    return type_ == "VARCHAR"


def require_short_numbers(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Raise UndeclaredNumberError if a text column contains a number with too many digits.

    Parameters
    ----------
    connection : DuckDBPyConnection
    table : str
        Catalogue, schema and name.

    Raises
    ------
    UndeclaredNumberError
        If a text contains such a number.
    """
    texts = [name for name, type_, *_ in describe_columns(connection, table) if is_text(type_)]
    examples = [
        f"any_value(regexp_extract({quote_identifier(name)}, '{LONG_NUMBER}'))" for name in texts
    ]
    expressions = [
        f"{example} filter (regexp_matches({quote_identifier(name)}, '{LONG_NUMBER}'))"
        for example, name in zip(examples, texts, strict=True)
    ]
    if not texts:
        return
    (numbers,) = connection.execute(f"select {', '.join(expressions)} from {table}").fetchall()
    for name, number in zip(texts, numbers, strict=True):
        if number:
            table_name = table.partition(".")[2]
            raise UndeclaredNumberError(
                f"{table_name}, column {name}: the public copy cannot be written, because a text in"
                f" this column contains the number {number}, which has more than {MAX_DIGITS}"
                f" digits. Print the number with at most {MAX_DIGITS} digits, or withhold the"
                f" column in {SEED}."
            )


def reformat_cells(connection: duckdb.DuckDBPyConnection) -> None:
    """Rewrite the formatted table cells in the database `new` from their rounded numbers.

    Cells of the paper's own columns keep the digits of the paper.
    """
    connection.execute(f"""
        update new.{CELLS_TABLE}
        set cell = concat(
            opening,
            case when is_p_value and value < 0.0005 then '<0.001' else format('{{:g}}', value) end,
            closing
        )
        where is_rounded and value is not null and reading <> 'default'
    """)


def describe_columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, ...]]:
    """Return the name, type and other properties of each column of a table."""
    return connection.execute(f"describe {table}").fetchall()


def write_precisions(
    connection: duckdb.DuckDBPyConnection, precisions: Mapping[str, Mapping[str, ColumnPrecision]]
) -> None:
    """Write the rounding rule of each column to release.published_numbers in database `new`.

    Parameters
    ----------
    connection : DuckDBPyConnection
    precisions : mapping
        Rounding expression by table and column.
    """
    connection.execute(build_create_table(f"new.release.{TABLE}", TABLE_COLUMNS, TABLE_COMMENT))
    for table, columns in precisions.items():
        reported_columns = {
            name: precision
            for name, precision in columns.items()
            if precision.description != "exact" or precision.has_own_numbers
        }
        if not reported_columns:
            continue
        count_expressions = ", ".join(
            f"count(distinct {quote_identifier(name)}) filter ({precision.has_own_numbers})"
            for name, precision in reported_columns.items()
        )
        (counts,) = connection.execute(f"select {count_expressions} from new.{table}").fetchall()
        connection.executemany(
            build_insert(f"new.release.{TABLE}", len(TABLE_COLUMNS)),
            [
                [table, name, precision.description, count]
                for (name, precision), count in zip(reported_columns.items(), counts, strict=True)
            ],
        )


def _combine_rows(column: str, type_: str, rows: list[SeedRow]) -> ColumnPrecision:
    """Combine a column's rounding rules into one SQL CASE expression and description."""
    cases, withheld_cases, descriptions = [], [], []
    for row in rows:
        condition = row.rows_shown or "true"
        rule = RULES[row.rule]
        cases.append(f"when {condition} then {rule.to_sql(column, row.places, row.beside)}")
        withheld_cases.append(f"when {condition} then {row.rule == 'withheld'}")
        where = f" where {row.rows_shown}" if row.rows_shown else ""
        descriptions.append(rule.description.format(places=row.places, beside=row.beside) + where)
    is_partial = any(row.rule == "withheld" for row in rows) or all(row.rows_shown for row in rows)
    withheld_condition = f"case {' '.join(withheld_cases)} else true end"
    return ColumnPrecision(
        expression=f"cast(case {' '.join(cases)} end as {type_})",
        withheld_condition=withheld_condition if is_partial else "false",
        description="; else ".join(descriptions),
        has_own_numbers=any(row.numbers == "1" for row in rows),
    )
