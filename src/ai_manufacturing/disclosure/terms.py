"""Determine the values that may be published, from the terms that each provider declares.

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
from ai_manufacturing.system import duckdb_client, own_files, study
from ai_manufacturing.system.sql_text import beside, create_table, identifier, insert, literal

SQL = beside(__file__)

EVERY_SCHEMA = (*SCHEMAS, "release")  # "release" contains changed cells, and all series
# Official statistics and generated data may be passed on. A provider's own data may be passed on if
# its licence is open. A republisher cannot license data that belong to someone else, so its licence
# is ignored.
OPEN_LICENCE = r"(CC0|CC[- ]BY([- ]SA)?|ODC-By|ODbL|PDDL|MIT|public domain)([- ]v?\d+(\.\d+)*)?"
MAY_BE_PASSED_ON = (
    "coalesce(provenance_class in ('official', 'generated') or (republished_by is null and"
    f" provenance_class <> 'republished' and regexp_full_match(licence, {literal(OPEN_LICENCE)},"
    " 'i')), false)"
)
"""SQL condition on raw.deliveries or marts.fct_deliveries; false for an undeclared file."""

# Columns that identify a city, firm or delivered record. A table with such a column contains values
# of single units, unless it is listed below. Ranks are not values: docs/decisions/disclosure.md.
OF_ONE_UNIT = ("city_id", "city_code", "id")
WITHOUT_VALUES = (
    "marts.dim_city",
    "marts.fct_rows_set_aside",
    "estimates.estimation_samples",
    "reports.rpt_city_standing",
)
# Columns of the schema `release` that are copied in every row, so that readers can see which rows
# exist; the other columns are blanked. Other tables declare such columns in their property files.
KEPT = {
    "release.changes": ["change_kind", "city_id", "year", "column_name"],
    "release.series_values": ["series", "scope", "city_id", "year", "quantity", "provider"],
}
DICTIONARY = "marts.data_dictionary"
# A register has one file per province, and a municipality is a single city, so its rows are counted
# by source and not by file.
ACCOUNTING = "marts.fct_row_accounting"
OF_A_FILE = ("marts.fct_deliveries", "marts.fct_register_placement")
NOT_OF_A_REGISTER = (
    "not coalesce(provider in (from restricted_providers) and entity like '%_register', false)"
)
WIDE = "marts.fct_city_year_panel"  # table with one column per variable
FAILING_ROWS = "failing_rows"  # gate column with failing rows and their values, as JSON
VALIDATION_RESULT = "validation_result"  # gate column that contains the failing values too
QUESTIONS = "release.questions"  # missing from a warehouse
COMPUTED = ("estimates.", "gates.", "reports.")  # schemas whose texts are searched for long numbers
DATA_LICENCE = "LICENSE_DATA.md"  # accompanies the data wherever they are published


class Licence(NamedTuple):
    """A licence in the terms of Data Package and RO-Crate."""

    name: str
    title: str
    address: str
    sentence: str


ESTIMATES_LICENCE = Licence(
    name="CC-BY-4.0",
    title="Creative Commons Attribution 4.0",
    address="https://creativecommons.org/licenses/by/4.0/",
    sentence=(
        "What this project computes (estimates, sums over cities, tables and figures) is under CC"
        " BY 4.0, https://creativecommons.org/licenses/by/4.0/."
    ),
)


def with_permission(deliveries: pa.Table) -> pa.Table:
    """Return rows of raw.deliveries with may_be_passed_on filled in from MAY_BE_PASSED_ON."""
    name = "may_be_passed_on"
    with duckdb_client.connect() as connection:
        judged = connection.from_arrow(deliveries).project(f"{MAY_BE_PASSED_ON} as {name}")
        column = judged.to_arrow_table()[name]
    return deliveries.set_column(deliveries.column_names.index(name), name, column)


def restricted(release: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return the providers of an open release or warehouse whose values are restricted.

    Returns
    -------
    list of dict
        provider, licence, whence (the holder of the files), citation_en and citation_zh, sorted by
        provider.
    """
    return duckdb_client.rows(release, SQL["restricted"])


def data_licence(release: duckdb.DuckDBPyConnection) -> str:
    """Return the terms of the data in an open release or warehouse as Markdown.

    They differ from the terms of the code.
    """
    sources = duckdb_client.rows(release, SQL["sources"])
    names = list(sources[0]) if sources else []
    lines = [
        "# Licence of the data",
        "",
        (
            "Code and text are under the MIT licence. The data are not: each delivered file keeps"
            " the terms of its publisher, and so do the values of single cities that come from it."
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


def public_copy(database: Path, target: Path, landing: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """Copy a release, or the released tables of a warehouse, without restricted values.

    The copy contains every table. Rows of restricted providers are omitted or reduced to their
    keys, and the panel contains only columns with a value. The table release.withheld and the
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
    with duckdb_client.reading(database, reaches=landing) as release:
        providers = [row["provider"] for row in restricted(release)]
    if not providers:
        shutil.copyfile(database, target)
        return []
    with duckdb_client.attached(
        target.with_name("spill"), {"built": database}, writes=target, reaches=landing
    ) as connection:
        connection.execute("use built")
        for schema in EVERY_SCHEMA:
            connection.execute(f"create schema new.{schema}")
        found = connection.execute(SQL["tables"], {"schemas": [*EVERY_SCHEMA]}).fetchall()
        tables = [name for (name,) in found]
        _list_restricted(connection, providers, has_series_values="release.series_values" in tables)
        duckdb_client.require_views(connection, "built", database, tables)
        # A public copy is already rounded, and lacks the city values that sums are judged by.
        is_copy = withholding.TABLE in tables
        connection.execute(published_numbers.SQL["macros"])
        numbers = PublishedNumbers([]) if is_copy else published_numbers.read_published_numbers()
        sums = {} if is_copy else _sums_over_cities(connection)
        if "release.manifest" not in tables:
            _name_the_set(connection)
        kept = (
            dict(connection.execute(SQL["kept_columns"]).fetchall()) if DICTIONARY in tables else {}
        )
        copy = _Copy(connection, providers, numbers, KEPT | kept, is_copy=is_copy)
        lost: list[dict[str, Any]] = []
        for table in tables:
            lost += copy.table(table, sums.get(table, {}))
        if not is_copy:
            published_numbers.reformat_cells(connection)
            published_numbers.write_precisions(connection, copy.shown)
            _record(connection, lost)
            if QUESTIONS in tables:
                _offer_answerable_questions(connection)
        marked = f"WITHHELD here: values of {', '.join(providers)}; see release.withheld. "
        copy_comments(
            connection, tables, dict.fromkeys((row["table_name"] for row in lost), marked)
        )
        connection.execute("detach new")
    if own_files.is_own(database):
        own_files.record(target)
    return lost


def _list_restricted(
    connection: duckdb.DuckDBPyConnection, providers: list[str], *, has_series_values: bool
) -> None:
    """Create temporary tables of the restricted providers, series and variables."""
    connection.execute(SQL["restricted_providers"], {"providers": providers})
    # Counts computed from a register have their own provider, which delivers nothing.
    connection.execute(SQL["counted_providers"])
    connection.execute(SQL["restricted_series"])
    # A provider may also feed some years of another's series. A warehouse lacks schema `release`.
    if has_series_values:
        connection.execute(SQL["more_restricted_series"])
    connection.execute(SQL["restricted_variables"])
    connection.execute(SQL["open_variables"])


def _sums_over_cities(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Return the SQL condition under which each sum is shown, by table and column."""
    name = study.declared("SUMS_OVER_CITIES", None)
    return study.module(name).shown(connection) if name else {}


def _name_the_set(connection: duckdb.DuckDBPyConnection) -> None:
    """Record the extract set in the copy of a warehouse, which has no manifest.

    Commands read it from raw.deliveries, which the copy would otherwise lack.
    """
    connection.execute("create schema new.raw")
    connection.execute(
        "create table new.raw.deliveries as select distinct extract_set, extract_set_kind from"
        " built.raw.deliveries"
    )


class _Copy:
    """Copier of tables from `built` to `new` that omits restricted values.

    Rows are sorted by the shown columns, because their original order reveals withheld values and
    ranks.

    Attributes
    ----------
    shown : dict
        How numbers are shown, by table and column.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        providers: list[str],
        numbers: PublishedNumbers,
        kept: dict[str, list[str]],
        *,
        is_copy: bool,
    ) -> None:
        self._connection, self._providers = connection, providers
        self._numbers, self._kept, self._is_copy = numbers, kept, is_copy
        self.shown: dict[str, dict[str, ColumnPrecision]] = {}

    def table(self, name: str, sums: dict[str, str]) -> list[dict[str, Any]]:
        """Copy a table, and return its rows of release.withheld.

        `sums` contains the condition under which each sum over cities is shown, by column.
        """
        types = {
            column: type_
            for column, type_, *_ in self._connection.execute(f"describe built.{name}").fetchall()
        }
        units = [column for column in types if column in OF_ONE_UNIT]
        is_computed = not units or name in WITHOUT_VALUES
        if not self._is_copy:
            self.shown[name] = self._numbers.find_precisions(name, types, is_computed=is_computed)
        if name == ACCOUNTING:
            return self._accounting([*types])
        if name == WIDE:
            return self._panel([*types])
        if units and name not in self._kept and not is_computed:
            condition = _open_rows([*types], units)
            self._create(name, {}, condition)
            return self._withheld(name, {None: f"not ({condition})"})
        return self._rows(
            name, sums or _shown_rows(name, [*types], units, self._kept.get(name, []))
        )

    def _rows(self, name: str, conditions: dict[str, str]) -> list[dict[str, Any]]:
        """Copy all rows of a table, blanking each column in rows that its condition excludes."""
        shown = self.shown.get(name, {})
        expressions, hidden = {}, {}
        for column in dict.fromkeys([*conditions, *shown]):
            cell = shown[column].expression if column in shown else identifier(column)
            condition = conditions.get(column, "true")
            expressions[column] = f"case when {condition} then {cell} end"
            withheld = shown[column].withheld_condition if column in shown else "false"
            if condition != "true" or withheld != "false":
                hidden[column] = (
                    f"{identifier(column)} is not null and (not ({condition}) or {withheld})"
                )
        self._create(name, expressions)
        return self._withheld(name, hidden)

    def _create(self, name: str, expressions: dict[str, str], condition: str = "true") -> None:
        replaced = ", ".join(
            f"{expression} as {identifier(column)}" for column, expression in expressions.items()
        )
        columns = f"* replace ({replaced})" if replaced else "*"
        self._connection.execute(
            f"create table new.{name} as select {columns} from built.{name} where {condition}"
            " order by all"
        )
        if name in self.shown and name.startswith(COMPUTED):
            published_numbers.require_short_numbers(self._connection, f"new.{name}")

    def _panel(self, columns: list[str]) -> list[dict[str, Any]]:
        """Copy the panel with its keys and with the columns that have a value to show."""
        counted = ", ".join(f"count({identifier(column)})" for column in columns)
        (counts,) = self._connection.execute(f"select {counted} from built.{WIDE}").fetchall()
        is_open = {
            name for (name,) in self._connection.execute("from open_variables").fetchall()
        } | {*self._kept[WIDE]}
        kept = ", ".join(
            identifier(column)
            for column, count in zip(columns, counts, strict=True)
            if column in self._kept[WIDE] or (count and column in is_open)
        )
        self._connection.execute(
            f"create table new.{WIDE} as select {kept} from built.{WIDE} order by all"
        )
        lost = {
            column: f"{identifier(column)} is not null"
            for column in columns
            if column not in is_open
        }
        return self._withheld(WIDE, lost)

    def _accounting(self, columns: list[str]) -> list[dict[str, Any]]:
        """Copy the row accounting, and sum the rows of a restricted register over its files."""
        of_a_file = ("delivery_number", "file_path")
        kept = ", ".join(column for column in columns if column not in (*of_a_file, "row_count"))
        self._connection.execute(
            f"create table new.{ACCOUNTING} as from built.{ACCOUNTING} where {NOT_OF_A_REGISTER}"
            f" union all by name select {kept}, cast(sum(row_count) as bigint) as row_count from"
            f" built.{ACCOUNTING} where not {NOT_OF_A_REGISTER} group by all order by all"
        )
        return self._withheld(ACCOUNTING, dict.fromkeys(of_a_file, f"not {NOT_OF_A_REGISTER}"))

    def _withheld(self, name: str, lost: dict[str, str] | dict[None, str]) -> list[dict[str, Any]]:
        """Count the withheld values of a table by column; the key None counts whole rows."""
        if not lost:
            return []
        counted = ", ".join(
            f"count(case when {rows} then 1 end),"
            f" count({'*' if column is None else identifier(column)})"
            for column, rows in lost.items()
        )
        (counts,) = self._connection.execute(f"select {counted} from built.{name}").fetchall()
        providers = ", ".join(self._providers)
        return [
            dict(
                zip(
                    withholding.COMMENTS,
                    (name, column, lacks, all_ - lacks, providers),
                    strict=True,
                )
            )
            for column, lacks, all_ in zip(lost, counts[::2], counts[1::2], strict=True)
            if lacks
        ]


def _shown_rows(name: str, columns: list[str], units: list[str], kept: list[str]) -> dict[str, str]:
    """Return the conditions under which columns with values of single units are shown."""
    if name in OF_A_FILE:
        return {column: NOT_OF_A_REGISTER for column in columns if column.endswith("_count")}
    if name in WITHOUT_VALUES:
        return {}
    if units:
        condition = _open_rows(columns, units)
        return {column: condition for column in columns if column not in kept}
    if FAILING_ROWS not in columns:
        return {}
    # A failing row that names a delivered file only describes the file. Other failing rows contain
    # city values, and so does the validation result, whose median is the value of one city. Shares
    # and percentages have more digits than are allowed in a text of a copy.
    is_safe = [f"contains({FAILING_ROWS}, '\"file_path\"')"]
    is_safe += [f"not contains({FAILING_ROWS}, '\"{unit}\"')" for unit in OF_ONE_UNIT]
    safe, long = " and ".join(is_safe), published_numbers.LONG_NUMBER
    return {
        column: f"coalesce({safe} and not regexp_matches({column}, '{long}'), false)"
        for column in (FAILING_ROWS, VALIDATION_RESULT)
        if column in columns
    }


def _open_rows(columns: list[str], units: list[str]) -> str:
    """Return an SQL condition for the rows that do not come from a restricted provider.

    In a table without a provider or variable, these are the rows that do not describe a unit.
    """
    pair = [column for column in ("first_provider", "second_provider") if column in columns]
    if by := pair or [column for column in columns if column == "provider"]:
        conditions = [
            f"coalesce({column} not in (from restricted_providers), false)" for column in by
        ]
    elif "variable" in columns:
        conditions = ["variable not in (from restricted_variables)", "value is not null"]
    else:
        conditions = [f"{column} is null" for column in units]
    # The comparison with a restricted variable would reveal its value.
    if "compared_with" in columns:
        conditions.append(
            "not list_has_any(string_split(compared_with, '+'), coalesce((select list(variable)"
            " from restricted_variables), []))"
        )
    return " and ".join(conditions)


def _record(connection: duckdb.DuckDBPyConnection, withheld: list[dict[str, Any]]) -> None:
    counts = ("row_count", "shown_count")
    columns = {
        name: ("bigint" if name in counts else "varchar", text)
        for name, text in withholding.COMMENTS.items()
    }
    comment = "One row per table or column whose values may not be passed on."
    table = f"new.{withholding.TABLE}"
    connection.execute(create_table(table, columns, comment))
    for row in withheld:
        connection.execute(insert(table, len(row)), [*row.values()])
    connection.execute(SQL["described_columns"], {"panel": WIDE})
    # the codebook shows this note beside each column, with provider, licence and citation
    connection.execute(SQL["withheld_columns"])


def _offer_answerable_questions(connection: duckdb.DuckDBPyConnection) -> None:
    """Delete the questions that the copy cannot answer; docs/questions.md lists them separately."""
    with duckdb_client.at(connection, "new") as copy:
        connection.execute(
            "delete from new.release.questions where list_contains(?, question)",
            [withholding.unanswered_questions(copy)],
        )
