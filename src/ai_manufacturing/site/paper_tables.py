"""Tables 1 to 6 as a journal prints them, each estimate beside the printed number and linked to its specification."""

from typing import Any

import great_tables
import pandas as pd
from markupsafe import Markup

from ai_manufacturing.site.release import Release
from ai_manufacturing.site.text import MARK, Catalogue, pair

TABLES = tuple(f"table_{number}" for number in range(1, 7))
# Rows of rpt_table_N that become the heading of a column, or a note below the table.
HEADINGS = ("Outcome", "Specification")
STANDS_IN, NOT_ESTIMABLE = "What stands in for what", "Not estimable"
NOTES = (STANDS_IN, "Warnings", NOT_ESTIMABLE)


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the tables as markup, and the distribution of 2020 beside them."""
    # Terms of an event study in the order of its years.
    scorecard = release.frame(
        "select * from reports.rpt_replication_scorecard where item_kind = 'coefficient' order by "
        "coalesce(try_cast(replace(replace(term, 'before', '-'), 'after', '') as integer), 0), term"
    )
    outcomes = {row["specification_id"]: row for row in release.rows("select * from reports.rpt_specifications")}
    tables = []
    for name in TABLES:
        rows = release.frame(f"select * from reports.rpt_{name} order by row_number")
        columns = [column for column in rows.columns if column.startswith("column_")]
        facts = rows[rows["label_en"].isin((*HEADINGS, *NOTES))].set_index("label_en")
        tables.append(
            {
                "id": name,
                "html": _printed(name, rows, columns, scorecard[scorecard["table_id"] == name], outcomes, text),
                "notes": _notes(facts, columns),
            }
        )
    return {
        "tables": tables,
        "spatial": release.rows("select * from reports.rpt_spatial_classes order by row_number"),
        "facts": release.rows(
            "select * from reports.rpt_replication_scorecard where item_kind = 'fact' "
            "order by item_id like 'cities%', cast(printed_text as double)"
        ),
    }


def _notes(facts: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    """Return each text below the table once, with the columns that it is said of."""
    said: dict[tuple[str, str], list[str]] = {}
    for label in NOTES:
        for column in columns if label in facts.index else []:
            value = facts.loc[label, column]
            is_moot = label == STANDS_IN and NOT_ESTIMABLE in facts.index and facts.loc[NOT_ESTIMABLE, column]
            if value and not is_moot:
                said.setdefault((label, value), []).append(f"({column.removeprefix('column_')})")
    return [
        {
            "mark": MARK if label == STANDS_IN else "",
            "label": pair(label, facts.loc[label, "label_zh"]),
            "columns": " ".join(numbers),
            "text": value,
        }
        for (label, value), numbers in said.items()
    ]


def _printed(
    name: str,
    rows: pd.DataFrame,
    columns: list[str],
    scorecard: pd.DataFrame,
    outcomes: dict[str, dict[str, Any]],
    text: Catalogue,
) -> Markup:
    """Set one table with great-tables: for each column of the paper, the estimate and what is printed."""
    specifications = dict(zip(columns, rows.loc[rows["label_en"] == "Specification", columns].iloc[0], strict=True))
    printed = _printed_cells(scorecard)
    body = _with_terms_not_estimated(rows[~rows["label_en"].isin((*HEADINGS, *NOTES))], scorecard)
    cells: dict[str, list[str]] = {"row": []}
    for column in columns:
        cells |= {column: [], f"{column}_printed": []}
    terms = set(scorecard["label_en"])
    facts = rows.set_index("label_en")
    substituted = {column for column in columns if STANDS_IN in facts.index and facts.loc[STANDS_IN, column]}
    term = ""
    above_controls = True
    for row in body:
        term = row["label_en"] or term
        above_controls = above_controls and term != "Controls"
        is_error = not row["label_en"]
        cells["row"].append("" if is_error else str(text.named(row["label_en"], row["label_zh"])))
        for column in columns:
            number = int(column.removeprefix("column_"))
            beside = printed.get((number, term, is_error), "")
            cells[f"{column}_printed"].append(beside)
            is_estimate = term in terms and not is_error
            is_missing = is_estimate and beside and outcomes[specifications[column]]["status"] == "not_estimable"
            value = "not_estimable" if is_missing else row[column]
            is_marked = above_controls and not is_error and value and not is_missing and column in substituted
            mark = f" {MARK}" if is_marked else ""
            cells[column].append(_cell(value, specifications[column], text) + mark)
    table = (
        great_tables.GT(pd.DataFrame(cells), id=name)
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
        number = int(column.removeprefix("column_"))
        specification = outcomes[specifications[column]]
        outcome = text.named(specification["outcome_label_en"], specification["outcome_label_zh"])
        if specification["estimator"] == "event_study":
            outcome = Markup("{} ({})").format(outcome, text.label(specification["transform"]))
        table = table.tab_spanner(
            label=great_tables.html(Markup("({}) {}").format(number, outcome)),
            columns=[column, f"{column}_printed"],
            id=f"spanner_{number}",
        ).cols_label(
            {
                column: great_tables.html(text.both("estimate")),
                f"{column}_printed": great_tables.html(text.both("printed")),
            }
        )
    return Markup(table.as_raw_html())


def _cell(value: str | None, specification_id: str, text: Catalogue) -> str:
    if value is None:
        return ""
    if value in text.labels and value != "not_estimable":
        return str(text.label(value))
    return str(Markup('<a href="specifications.html#{}">{}</a>').format(specification_id, text.label(value)))


def _with_terms_not_estimated(body: pd.DataFrame, scorecard: pd.DataFrame) -> list[dict[str, Any]]:
    """Add rows, below the estimates, for what the paper prints and no column of the table estimates."""
    missing = scorecard[~scorecard["label_en"].isin(body["label_en"])].drop_duplicates("label_en")
    empty = dict.fromkeys(body.columns)
    added = [
        {**empty, "label_en": label_en, "label_zh": label_zh}
        for row in missing.to_dict("records")
        for label_en, label_zh in ((row["label_en"], row["label_zh"]), ("", ""))
    ]
    rows = body.to_dict("records")
    labels = [row["label_en"] for row in rows]
    position = labels.index("Controls") if "Controls" in labels else 0
    return [*rows[:position], *added, *rows[position:]]


def _printed_cells(scorecard: pd.DataFrame) -> dict[tuple[int, str, bool], str]:
    """Return the paper's numbers by column, row label and whether the row holds errors."""
    cells = {}
    for row in scorecard.to_dict("records"):
        column = int(row["column_number"])
        cells[column, row["label_en"], False] = f"{row['printed_text']}{row['printed_stars'] or ''}"
        cells[column, row["label_en"], True] = f"({row['printed_std_error_text']})"
        if row["printed_observation_count"] is not None:
            cells[column, "Observations", False] = str(row["printed_observation_count"])
        if row["printed_r2_text"] is not None:
            cells[column, "R2 (effects included)", False] = row["printed_r2_text"]
    return cells
