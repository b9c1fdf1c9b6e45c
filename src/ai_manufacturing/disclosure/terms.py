"""Decide which values a public copy may contain, based on the licence of each provider.

The site, the downloads and the replication packages use the same rule. Delivered files of a
restricted provider are never published, and neither are values of a single city, firm or record
that come from them. Estimates are published, and sums over cities if they do not reveal a single
value (see paper/disclosure.py).
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from ai_manufacturing.disclosure import published_numbers, withholding
from ai_manufacturing.disclosure.published_numbers import ColumnPrecision, PublishedNumbers
from ai_manufacturing.releases.contents import SCHEMAS, copy_comments
from ai_manufacturing.system import duckdb_client, study_package, trusted_files
from ai_manufacturing.system.sql_text import (
    build_create_table,
    build_insert,
    load_statements,
    quote_identifier,
    quote_literal,
)

SQL = load_statements(__file__)

EVERY_SCHEMA = (*SCHEMAS, "release")  # the schema "release" also contains restricted values

# Licences that permit redistribution of a provider's own data. The licence of a republisher is
# ignored, because a republisher cannot license data that belong to someone else.
OPEN_LICENCE = r"(CC0|CC[- ]BY([- ]SA)?|ODC-By|ODbL|PDDL|MIT|public domain)([- ]v?\d+(\.\d+)*)?"
MAY_BE_PASSED_ON = (
    "coalesce(provenance_class in ('official', 'generated') or (republished_by is null and"
    " provenance_class <> 'republished' and regexp_full_match(licence,"
    f" {quote_literal(OPEN_LICENCE)}, 'i')), false)"
)
"""SQL condition on raw.deliveries or marts.fct_deliveries; false for an undeclared file.

Official statistics and generated data may always be redistributed.
"""

# Columns that identify a city, firm or delivered record. A table with such a column contains values
# of single units, unless TABLES_WITHOUT_VALUES lists the table.
UNIT_COLUMNS = ("city_id", "city_code", "id")
# Tables with a column of UNIT_COLUMNS but without values of single units. Ranks do not count as
# values (docs/decisions/disclosure.md).
TABLES_WITHOUT_VALUES = (
    "marts.dim_city",
    "marts.fct_rows_set_aside",
    "estimates.estimation_samples",
    "reports.rpt_city_standing",
)
# Columns in the schema `release` that a public copy contains in every row, so that readers can see
# which rows exist; in restricted rows, the other columns are null. Other tables declare such
# columns in their dbt property files.
KEY_COLUMNS = {
    "release.changes": ["change_kind", "city_id", "year", "column_name"],
    "release.series_values": ["series", "scope", "city_id", "year", "quantity", "provider"],
}
DICTIONARY = "marts.data_dictionary"
# Row counts in this table are summed over the files of a restricted register, because a register
# has one file per province, and some provinces consist of a single city.
ACCOUNTING = "marts.fct_row_accounting"
FILE_COUNT_TABLES = ("marts.fct_deliveries", "marts.fct_register_placement")
NOT_RESTRICTED_REGISTER = (
    "not coalesce(provider in (from restricted_providers) and entity like '%_register', false)"
)
PANEL = "marts.fct_city_year_panel"  # city-year panel with one column per variable
FAILING_ROWS = "failing_rows"  # JSON column with the rows that failed a data test
VALIDATION_RESULT = "validation_result"  # column that also contains values that failed a data test
QUESTIONS = "release.questions"  # table that exists in releases but not in warehouses

# Prefixes of tables whose text columns must not contain numbers with too many digits.
COMPUTED_SCHEMAS = ("estimates.", "gates.", "reports.")
DATA_LICENCE = "LICENSE_DATA.md"  # licence file that accompanies every published data set


class Licence(NamedTuple):
    """A licence, with the properties that Data Package and RO-Crate metadata use."""

    name: str
    title: str
    address: str
    sentence: str


ESTIMATES_LICENCE = Licence(
    name="CC-BY-4.0",
    title="Creative Commons Attribution 4.0",
    address="https://creativecommons.org/licenses/by/4.0/",
    sentence=(
        "The results of this project (estimates, sums over cities, tables and figures) are under"
        " CC BY 4.0, https://creativecommons.org/licenses/by/4.0/."
    ),
)


def add_permissions(deliveries: pa.Table) -> pa.Table:
    """Return deliveries with the column `may_be_passed_on` computed from their provenance."""
    name = "may_be_passed_on"
    with duckdb_client.connect() as connection:
        permissions = connection.from_arrow(deliveries).project(f"{MAY_BE_PASSED_ON} as {name}")
        column = permissions.to_arrow_table()[name]
    return deliveries.set_column(deliveries.column_names.index(name), name, column)


def read_restricted_providers(release: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return the data providers in an open database that do not permit redistribution.

    Returns
    -------
    list of dict
        provider, licence, whence (the holder of the files), citation_en and citation_zh, sorted by
        provider.
    """
    return duckdb_client.fetch_rows(release, SQL["restricted"])


def format_data_licence(release: duckdb.DuckDBPyConnection) -> str:
    """Return the data licences of an open release or warehouse as a Markdown document.

    The data licences differ from the licence of the code.
    """
    sources = duckdb_client.fetch_rows(release, SQL["sources"])
    names = list(sources[0]) if sources else []
    lines = [
        "# Licence of the data",
        "",
        (
            "Code and text are under the MIT licence. The data are not: the terms of its"
            " publisher apply to each delivered file, and to the values of single cities from it."
        ),
        "",
        ESTIMATES_LICENCE.sentence,
        "",
        f"| {' | '.join(name.replace('_', ' ') for name in names)} |",
        f"|{'---|' * len(names)}",
    ]
    for row in sources:
        cells = (*list(row.values())[:-1], "yes" if row["may_be_passed_on"] else "no")
        lines.append(f"| {' | '.join(str(cell or '–').replace('|', '/') for cell in cells)} |")
    return "\n".join([*lines, ""])


def write_public_copy(
    database: Path, target: Path, landing: Sequence[Path] = ()
) -> list[dict[str, Any]]:
    """Write a copy of a release or warehouse that does not contain restricted values.

    The copy contains every released table. Rows of restricted providers are omitted or reduced to
    their keys, and the panel contains only columns with a value. The table release.withheld and the
    comments list the omissions. If no provider is restricted, the copy is identical.

    Parameters
    ----------
    database : Path
        A release, or a built warehouse that no process is writing to.
    target : Path
        The file to write. It must be a new file, because deleted rows leave their blocks in a file.
    landing : sequence of Path
        Landing stores that the views of the warehouse read.

    Returns
    -------
    list of dict
        Rows of release.withheld, with the keys of withholding.COMMENTS.

    Raises
    ------
    RefusedError
        See duckdb_client.attach and require_views.
    """
    with duckdb_client.open_read_only(database, allowed_folders=landing) as release:
        providers = [row["provider"] for row in read_restricted_providers(release)]
    if not providers:
        shutil.copyfile(database, target)
        return []
    with duckdb_client.open_attached(
        target.with_name("spill"), {"built": database}, new_file=target, allowed_folders=landing
    ) as connection:
        connection.execute("use built")
        for schema in EVERY_SCHEMA:
            connection.execute(f"create schema new.{schema}")
        rows = connection.execute(SQL["tables"], {"schemas": [*EVERY_SCHEMA]}).fetchall()
        tables = [name for (name,) in rows]
        _create_restriction_tables(
            connection, providers, has_series_values="release.series_values" in tables
        )
        duckdb_client.require_views(connection, "built", database, tables)
        # A public copy is already rounded, and lacks the city values needed to check the sums.
        is_copy = withholding.TABLE in tables
        connection.execute(published_numbers.SQL["macros"])
        numbers = PublishedNumbers([]) if is_copy else published_numbers.read_published_numbers()
        sums = {} if is_copy else _find_shown_sums(connection)
        if "release.manifest" not in tables:
            _record_extract_set(connection)
        key_columns = (
            dict(connection.execute(SQL["kept_columns"]).fetchall()) if DICTIONARY in tables else {}
        )
        copy = _Copy(connection, providers, numbers, KEY_COLUMNS | key_columns, is_copy=is_copy)
        withheld_rows: list[dict[str, Any]] = []
        for table in tables:
            withheld_rows += copy.copy_table(table, sums.get(table, {}))
        if not is_copy:
            published_numbers.reformat_cells(connection)
            published_numbers.write_precisions(connection, copy.precisions)
            _write_withheld_rows(connection, withheld_rows)
            if QUESTIONS in tables:
                _offer_answerable_questions(connection)
        note = f"WITHHELD here: values of {', '.join(providers)}; see release.withheld. "
        copy_comments(
            connection, tables, dict.fromkeys((row["table_name"] for row in withheld_rows), note)
        )
        connection.execute("detach new")
    if trusted_files.is_trusted(database):
        trusted_files.record_file(target)
    return withheld_rows


def _create_restriction_tables(
    connection: duckdb.DuckDBPyConnection, providers: list[str], *, has_series_values: bool
) -> None:
    """Create temporary tables that list the restricted providers, series and variables."""
    connection.execute(SQL["restricted_providers"], {"providers": providers})
    # Also restrict the providers of series that are computed from registers, not delivered.
    connection.execute(SQL["counted_providers"])
    connection.execute(SQL["restricted_series"])
    # Also restrict series for which a restricted provider supplied only some of the years.
    if has_series_values:
        connection.execute(SQL["more_restricted_series"])
    connection.execute(SQL["restricted_variables"])
    connection.execute(SQL["open_variables"])


def _find_shown_sums(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Return the SQL condition for publishing each sum over cities, by table and column."""
    name = study_package.read_constant("SUMS_OVER_CITIES", None)
    return study_package.load_module(name).select_publishable_rows(connection) if name else {}


def _record_extract_set(connection: duckdb.DuckDBPyConnection) -> None:
    """Write the name and kind of the extract set to a copy of a warehouse.

    A warehouse does not have a manifest, so commands read both from raw.deliveries, which a public
    copy does not contain otherwise.
    """
    connection.execute("create schema new.raw")
    connection.execute(
        "create table new.raw.deliveries as select distinct extract_set, extract_set_kind from"
        " built.raw.deliveries"
    )


class _Copy:
    """Copies tables from the database `built` to `new` without restricted values.

    Rows are sorted by the shown columns, because their original order reveals withheld values and
    ranks.

    Attributes
    ----------
    precisions : dict
        Rounding expression by table and column.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        providers: list[str],
        numbers: PublishedNumbers,
        key_columns: dict[str, list[str]],
        *,
        is_copy: bool,
    ) -> None:
        self._connection, self._providers = connection, providers
        self._numbers, self._key_columns, self._is_copy = numbers, key_columns, is_copy
        self.precisions: dict[str, dict[str, ColumnPrecision]] = {}

    def copy_table(self, name: str, sums: dict[str, str]) -> list[dict[str, Any]]:
        """Copy a table without restricted values; return its rows for the table release.withheld.

        `sums` contains the condition under which each sum over cities is shown, by column.
        """
        types = {
            column: type_
            for column, type_, *_ in self._connection.execute(f"describe built.{name}").fetchall()
        }
        units = [column for column in types if column in UNIT_COLUMNS]
        has_computed_numbers = not units or name in TABLES_WITHOUT_VALUES
        if not self._is_copy:
            self.precisions[name] = self._numbers.find_precisions(
                name, types, is_computed=has_computed_numbers
            )
        if name == ACCOUNTING:
            return self._copy_accounting([*types])
        if name == PANEL:
            return self._copy_panel([*types])
        if units and name not in self._key_columns and not has_computed_numbers:
            condition = _format_open_condition([*types], units)
            self._create_table(name, {}, condition)
            return self._count_withheld_values(name, {None: f"not ({condition})"})
        return self._copy_rows(
            name,
            sums or _find_shown_conditions(name, [*types], units, self._key_columns.get(name, [])),
        )

    def _copy_rows(self, name: str, conditions: dict[str, str]) -> list[dict[str, Any]]:
        """Copy all rows of a table, with nulls where the condition of a column is false."""
        precisions = self.precisions.get(name, {})
        expressions, withheld_conditions = {}, {}
        for column in dict.fromkeys([*conditions, *precisions]):
            cell = (
                precisions[column].expression if column in precisions else quote_identifier(column)
            )
            condition = conditions.get(column, "true")
            expressions[column] = f"case when {condition} then {cell} end"
            withheld_condition = (
                precisions[column].withheld_condition if column in precisions else "false"
            )
            if condition != "true" or withheld_condition != "false":
                withheld_conditions[column] = (
                    f"{quote_identifier(column)} is not null and"
                    f" (not ({condition}) or {withheld_condition})"
                )
        self._create_table(name, expressions)
        return self._count_withheld_values(name, withheld_conditions)

    def _create_table(
        self, name: str, expressions: dict[str, str], condition: str = "true"
    ) -> None:
        replacements = ", ".join(
            f"{expression} as {quote_identifier(column)}"
            for column, expression in expressions.items()
        )
        columns = f"* replace ({replacements})" if replacements else "*"
        self._connection.execute(
            f"create table new.{name} as select {columns} from built.{name} where {condition}"
            " order by all"
        )
        if name in self.precisions and name.startswith(COMPUTED_SCHEMAS):
            published_numbers.require_short_numbers(self._connection, f"new.{name}")

    def _copy_panel(self, columns: list[str]) -> list[dict[str, Any]]:
        """Copy the city-year panel with its key columns and its publishable columns."""
        count_expressions = ", ".join(f"count({quote_identifier(column)})" for column in columns)
        (counts,) = self._connection.execute(
            f"select {count_expressions} from built.{PANEL}"
        ).fetchall()
        open_columns = {
            name for (name,) in self._connection.execute("from open_variables").fetchall()
        } | {*self._key_columns[PANEL]}
        shown_columns = ", ".join(
            quote_identifier(column)
            for column, count in zip(columns, counts, strict=True)
            if column in self._key_columns[PANEL] or (count and column in open_columns)
        )
        self._connection.execute(
            f"create table new.{PANEL} as select {shown_columns} from built.{PANEL} order by all"
        )
        withheld_conditions = {
            column: f"{quote_identifier(column)} is not null"
            for column in columns
            if column not in open_columns
        }
        return self._count_withheld_values(PANEL, withheld_conditions)

    def _copy_accounting(self, columns: list[str]) -> list[dict[str, Any]]:
        """Copy the row counts of each file, summed over the files of a restricted register."""
        file_columns = ("delivery_number", "file_path")
        group_columns = ", ".join(
            column for column in columns if column not in (*file_columns, "row_count")
        )
        self._connection.execute(
            f"create table new.{ACCOUNTING} as from built.{ACCOUNTING}"
            f" where {NOT_RESTRICTED_REGISTER} union all by name"
            f" select {group_columns}, cast(sum(row_count) as bigint) as row_count"
            f" from built.{ACCOUNTING} where not {NOT_RESTRICTED_REGISTER}"
            " group by all order by all"
        )
        return self._count_withheld_values(
            ACCOUNTING, dict.fromkeys(file_columns, f"not {NOT_RESTRICTED_REGISTER}")
        )

    def _count_withheld_values(
        self, name: str, conditions: dict[str, str] | dict[None, str]
    ) -> list[dict[str, Any]]:
        """Count the withheld values by column, or the withheld rows for the column None."""
        if not conditions:
            return []
        count_expressions = ", ".join(
            f"count(case when {condition} then 1 end),"
            f" count({'*' if column is None else quote_identifier(column)})"
            for column, condition in conditions.items()
        )
        (counts,) = self._connection.execute(
            f"select {count_expressions} from built.{name}"
        ).fetchall()
        providers = ", ".join(self._providers)
        return [
            dict(
                zip(
                    withholding.COMMENTS,
                    (name, column, withheld_count, value_count - withheld_count, providers),
                    strict=True,
                )
            )
            for column, withheld_count, value_count in zip(
                conditions, counts[::2], counts[1::2], strict=True
            )
            if withheld_count
        ]


def _find_shown_conditions(
    name: str, columns: list[str], units: list[str], key_columns: list[str]
) -> dict[str, str]:
    """Return, for each restricted column, an SQL condition for the rows to publish."""
    if name in FILE_COUNT_TABLES:
        return {column: NOT_RESTRICTED_REGISTER for column in columns if column.endswith("_count")}
    if name in TABLES_WITHOUT_VALUES:
        return {}
    if units:
        condition = _format_open_condition(columns, units)
        return {column: condition for column in columns if column not in key_columns}
    if FAILING_ROWS not in columns:
        return {}
    # Failing rows are published only if they describe a delivered file, because all others contain
    # values of single cities, as may the median in a validation result. Text with numbers that have
    # too many digits, such as shares, is withheld as well.
    safe_conditions = [f"contains({FAILING_ROWS}, '\"file_path\"')"]
    safe_conditions += [f"not contains({FAILING_ROWS}, '\"{unit}\"')" for unit in UNIT_COLUMNS]
    safe, long = " and ".join(safe_conditions), published_numbers.LONG_NUMBER
    return {
        column: f"coalesce({safe} and not regexp_matches({column}, '{long}'), false)"
        for column in (FAILING_ROWS, VALIDATION_RESULT)
        if column in columns
    }


def _format_open_condition(columns: list[str], units: list[str]) -> str:
    """Return an SQL condition that excludes the rows with values of a restricted provider.

    In a table without a provider or variable, these are the rows that do not describe a unit.
    """
    pair_columns = [column for column in ("first_provider", "second_provider") if column in columns]
    if provider_columns := pair_columns or [column for column in columns if column == "provider"]:
        conditions = [
            f"coalesce({column} not in (from restricted_providers), false)"
            for column in provider_columns
        ]
    elif "variable" in columns:
        conditions = ["variable not in (from restricted_variables)", "value is not null"]
    else:
        conditions = [f"{column} is null" for column in units]
    # A comparison with a restricted variable would reveal the value of that variable.
    if "compared_with" in columns:
        conditions.append(
            "not list_has_any(string_split(compared_with, '+'), coalesce((select list(variable)"
            " from restricted_variables), []))"
        )
    return " and ".join(conditions)


def _write_withheld_rows(connection: duckdb.DuckDBPyConnection, rows: list[dict[str, Any]]) -> None:
    counts = ("row_count", "shown_count")
    columns = {
        name: ("bigint" if name in counts else "varchar", text)
        for name, text in withholding.COMMENTS.items()
    }
    comment = "One row per table or column whose values may not be passed on."
    table = f"new.{withholding.TABLE}"
    connection.execute(build_create_table(table, columns, comment))
    for row in rows:
        connection.execute(build_insert(table, len(row)), [*row.values()])
    connection.execute(SQL["described_columns"], {"panel": PANEL})
    # Mark withheld columns in the data dictionary, which the codebook is generated from.
    connection.execute(SQL["withheld_columns"])


def _offer_answerable_questions(connection: duckdb.DuckDBPyConnection) -> None:
    """Delete the example questions in release.questions that the public copy cannot answer."""
    with duckdb_client.open_cursor(connection, "new") as copy:
        connection.execute(
            "delete from new.release.questions where list_contains(?, question)",
            [withholding.find_unanswered_questions(copy)],
        )
