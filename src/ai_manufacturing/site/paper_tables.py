"""Tables 1 to 6 as a journal prints them, each estimate beside the printed number and linked to its specification."""

from collections.abc import Sequence
from typing import Any

import great_tables
import pandas as pd
from markupsafe import Markup, escape

from ai_manufacturing.site.release import Release
from ai_manufacturing.tables import (
    DEFAULT_DECIMALS,
    DEFAULT_ERRORS,
    ERRORS,
    NAMES,
    Cell,
    Column,
    Line,
    PaperTable,
)
from ai_manufacturing.text import LANGUAGES, Catalogue, pair

ESTIMATED = ("estimate", *(ERRORS[error] for error in DEFAULT_ERRORS))
# The heads of the columns name the dependent variable here.
HIDDEN = (*NAMES, "outcome", *(kind for kind in ERRORS.values() if kind not in ESTIMATED))


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the tables as markup, and the distribution of the base year beside them."""
    # Terms of an event study in the order of its years.
    scorecard = release.frame(
        "select * from reports.rpt_replication_scorecard where item_kind = 'coefficient' order by "
        "coalesce(try_cast(replace(replace(term, 'before', '-'), 'after', '') as integer), 0), term"
    )
    outcomes = {row["specification_id"]: row for row in release.rows("select * from reports.rpt_specifications")}
    tables = [
        {
            "id": name,
            "html": _printed(table, scorecard[scorecard["table_id"] == name], outcomes, text),
            "notes": {language: table.chosen(language=language).notes for language in LANGUAGES},
        }
        for name, table in release.tables.items()
    ]
    return {
        "tables": tables,
        "period": release.period(),
        "spatial": release.rows("select * from reports.rpt_spatial_classes order by row_number"),
        "facts": release.rows(
            "select * from reports.rpt_replication_scorecard where item_kind = 'fact' "
            "order by item_id like 'cities%', cast(printed_text as double)"
        ),
    }


def _printed(
    table: PaperTable, scorecard: pd.DataFrame, outcomes: dict[str, dict[str, Any]], text: Catalogue
) -> Markup:
    """Set one table with great-tables: for each column of the paper, the estimate and what is printed."""
    columns = table.chosen().columns
    beside = _printed_cells(scorecard)
    cells: dict[str, list[str]] = {"row": []}
    for column in columns:
        cells |= {f"column_{column.number}": [], f"column_{column.number}_printed": []}
    term = ""
    for number, line in _lines(table, columns, scorecard):
        term = line.label[0] if line.kind == "estimate" else term
        cells["row"].append(str(text.named(*line.label)) if line.label[0] else "")
        for column in columns:
            cell = column.cells.get(number)
            key = (column.number, line.kind, term if line.kind in ESTIMATED else "")
            cells[f"column_{column.number}"].append("" if cell is None else _cell(cell, column.specification_id))
            cells[f"column_{column.number}_printed"].append(beside.get(key, ""))
    set_table = (
        great_tables.GT(pd.DataFrame(cells), id=table.table_id)
        .fmt(lambda cell: cell)
        .cols_align("left", columns="row")
        .cols_align("center", columns=[column for column in cells if column != "row"])
        .cols_label(row="")
        .tab_options(
            table_font_size="14px",
            table_width="auto",
            container_overflow_x="auto",
            table_border_top_color="#1c2024",
            table_border_bottom_color="#1c2024",
            column_labels_border_top_color="#1c2024",
            column_labels_border_bottom_color="#1c2024",
            table_body_border_top_color="#1c2024",
            table_body_border_bottom_color="#1c2024",
        )
    )
    for column in columns:
        specification = outcomes[column.specification_id]
        outcome = text.named(specification["outcome_label_en"], specification["outcome_label_zh"])
        if specification["estimator"] == "event_study":
            outcome = Markup("{} ({})").format(outcome, text.label(specification["transform"]))
        name = f"column_{column.number}"
        set_table = set_table.tab_spanner(
            label=great_tables.html(Markup("({}) {}").format(column.number, outcome)),
            columns=[name, f"{name}_printed"],
            id=f"spanner_{column.number}",
        ).cols_label(
            {
                name: great_tables.html(text.both("estimate")),
                f"{name}_printed": great_tables.html(text.both("printed")),
            }
        )
    return Markup(set_table.as_raw_html())


def _cell(cell: Cell, specification_id: str) -> str:
    """Return a cell as markup; an estimate, a number or that there is none leads to the specification."""
    english, chinese = (cell.text(language, DEFAULT_DECIMALS) for language in LANGUAGES)
    shown = escape(english) if english == chinese else pair(english, chinese)
    if cell.value is None and not cell.is_missing:
        return str(shown)
    return str(Markup('<a href="specifications.html#{}">{}</a>').format(specification_id, shown))


def _lines(table: PaperTable, columns: Sequence[Column], scorecard: pd.DataFrame) -> list[tuple[int, Line]]:
    """Return the lines that the columns have, and below the estimates what the paper prints and none of them has."""
    shown = [
        (number, line)
        for number, line in table.lines.items()
        if line.kind not in HIDDEN and any(number in column.cells for column in columns)
    ]
    known = {line.label[0] for _, line in shown}
    missing = scorecard[~scorecard["label_en"].isin(known)].drop_duplicates("label_en")
    added = [
        (0, Line(kind, (row["label_en"], row["label_zh"]) if kind == "estimate" else ("", "")))
        for row in missing.to_dict("records")
        for kind in ESTIMATED
    ]
    position = sum(line.kind in ESTIMATED for _, line in shown)
    return [*shown[:position], *added, *shown[position:]]


def _printed_cells(scorecard: pd.DataFrame) -> dict[tuple[int, str, str], str]:
    """Return the paper's numbers by column, kind of line and, of a line of estimates or errors, label of the term."""
    cells = {}
    for row in scorecard.to_dict("records"):
        column = int(row["column_number"])
        cells[column, "estimate", row["label_en"]] = f"{row['printed_text']}{row['printed_stars'] or ''}"
        cells[column, "std_error", row["label_en"]] = f"({row['printed_std_error_text']})"
        if row["printed_observation_count"] is not None:
            cells[column, "observations", ""] = str(row["printed_observation_count"])
        if row["printed_r2_text"] is not None:
            cells[column, "r2_inclusive", ""] = row["printed_r2_text"]
    return cells
