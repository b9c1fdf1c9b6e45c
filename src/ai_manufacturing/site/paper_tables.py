"""Tables 1 to 6 as a journal prints them, each estimate beside the printed number and linked to its specification."""

from typing import Any

import great_tables
import pandas as pd
from markupsafe import Markup

from ai_manufacturing.site.release import Release
from ai_manufacturing.text import MARK, Catalogue, pair

TABLES = tuple(f"table_{number}" for number in range(1, 7))
# Kinds of lines of rpt_table_N that become the heading of a column, or a note below the table.
HEADINGS = ("outcome", "specification")
ERRORS = ("std_error", "province_error")
ESTIMATED = ("estimate", *ERRORS)
# ... and the column of rpt_coefficients that has the words, in both languages.
NOTES = {"substitutions": "substitutions", "warnings": "warnings", "not_estimable": "reason"}


def content(release: Release, text: Catalogue) -> dict[str, Any]:
    """Return the tables as markup, and the distribution of the base year beside them."""
    # Terms of an event study in the order of its years.
    scorecard = release.frame(
        "select * from reports.rpt_replication_scorecard where item_kind = 'coefficient' order by "
        "coalesce(try_cast(replace(replace(term, 'before', '-'), 'after', '') as integer), 0), term"
    )
    outcomes = {row["specification_id"]: row for row in release.rows("select * from reports.rpt_specifications")}
    said = {
        row["specification_id"]: row
        for row in release.rows(
            "select specification_id, substitutions, substitutions_zh, warnings, warnings_zh, reason, reason_zh "
            "from reports.rpt_coefficients where term_order = 1"
        )
    }
    tables = []
    for name in TABLES:
        rows = release.frame(f"select * from reports.rpt_{name} order by row_number")
        columns = [column for column in rows.columns if column.startswith("column_")]
        facts = rows[rows["line_kind"].isin((*HEADINGS, *NOTES))].set_index("line_kind")
        tables.append(
            {
                "id": name,
                "html": _printed(name, rows, facts, columns, scorecard[scorecard["table_id"] == name], outcomes, text),
                "notes": _notes(facts, columns, said),
            }
        )
    return {
        "tables": tables,
        "period": release.period(),
        "spatial": release.rows("select * from reports.rpt_spatial_classes order by row_number"),
        "facts": release.rows(
            "select * from reports.rpt_replication_scorecard where item_kind = 'fact' "
            "order by item_id like 'cities%', cast(printed_text as double)"
        ),
    }


def _notes(facts: pd.DataFrame, columns: list[str], said: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each text below the table once, with the columns that it is said of."""
    notes: dict[tuple[str, tuple[str, str]], list[str]] = {}
    for kind, words in NOTES.items():
        for column in columns:
            row = said[facts.loc["specification", column]]
            is_moot = kind == "substitutions" and row["reason"]
            if row[words] and not is_moot:
                notes.setdefault((kind, (row[words], row[f"{words}_zh"])), []).append(
                    f"({column.removeprefix('column_')})"
                )
    return [
        {
            "mark": MARK if kind == "substitutions" else "",
            "label": pair(*facts.loc[kind, ["label_en", "label_zh"]]),
            "columns": " ".join(numbers),
            "text": value,
        }
        for (kind, value), numbers in notes.items()
    ]


def _printed(
    name: str,
    rows: pd.DataFrame,
    facts: pd.DataFrame,
    columns: list[str],
    scorecard: pd.DataFrame,
    outcomes: dict[str, dict[str, Any]],
    text: Catalogue,
) -> Markup:
    """Set one table with great-tables: for each column of the paper, the estimate and what is printed."""
    specifications = facts.loc["specification", columns]
    printed = _printed_cells(scorecard)
    body = _with_terms_not_estimated(rows[~rows["line_kind"].isin(facts.index)], scorecard)
    cells: dict[str, list[str]] = {"row": []}
    for column in columns:
        cells |= {column: [], f"{column}_printed": []}
    substituted = {
        column for column in columns if "substitutions" in facts.index and facts.loc["substitutions", column]
    }
    term = ""
    for row in body:
        kind = row["line_kind"]
        term = row["label_en"] if kind == "estimate" else term
        is_error = kind in ERRORS
        cells["row"].append("" if is_error else str(text.named(row["label_en"], row["label_zh"])))
        for column in columns:
            number = int(column.removeprefix("column_"))
            beside = printed.get((number, kind, term if kind in ESTIMATED else ""), "")
            cells[f"{column}_printed"].append(beside)
            is_missing = kind == "estimate" and beside and outcomes[specifications[column]]["status"] == "not_estimable"
            value = "not_estimable" if is_missing else row[column]
            is_marked = kind == "estimate" and value and not is_missing and column in substituted
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
        {**empty, "line_kind": kind, "label_en": row["label_en"], "label_zh": row["label_zh"]}
        for row in missing.to_dict("records")
        for kind in ESTIMATED
    ]
    rows = body.to_dict("records")
    position = sum(row["line_kind"] in ESTIMATED for row in rows)
    return [*rows[:position], *added, *rows[position:]]


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
