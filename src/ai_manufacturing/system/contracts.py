"""Enforce the columns and keys that property files declare for Python models.

dbt enforces contracts for SQL models only.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from ai_manufacturing.system import settings

# Arrow type for each type in property files.
TYPES = {
    "varchar": pa.string(),
    "double": pa.float64(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
    "struct(period varchar, valid_from_delivery bigint, valid_until_delivery bigint)[]": pa.list_(
        pa.struct(
            {
                "period": pa.string(),
                "valid_from_delivery": pa.int64(),
                "valid_until_delivery": pa.int64(),
            }
        )
    ),
    (
        "struct(provider varchar, series varchar, scope varchar, first_year integer,"
        " last_year integer)[]"
    ): pa.list_(
        pa.struct(
            {
                "provider": pa.string(),
                "series": pa.string(),
                "scope": pa.string(),
                "first_year": pa.int32(),
                "last_year": pa.int32(),
            }
        )
    ),
}


def schema(model: str) -> pa.Schema:
    """Return the declared columns of a model in python_models, or of a gate.

    Raises
    ------
    KeyError
        If no property file declares the model.
    """
    columns = _models(settings.project_folders())[model]["columns"]
    return pa.schema([(column["name"], TYPES[column["data_type"]]) for column in columns])


def table(model: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Convert rows to the table of a model, checking the key that it declares in `meta.key`.

    Raises
    ------
    ValueError
        If two rows have the same key; nulls count as equal.
    """
    key = _models(settings.project_folders())[model]["config"]["meta"]["key"]
    made = pa.Table.from_pylist(rows, schema=schema(model))
    counted = made.group_by(key).aggregate([([], "count_all")]).rename_columns([*key, "row_count"])
    for repeated in counted.filter(pc.field("row_count") > 1).slice(length=1).to_pylist():
        words = ", ".join(f"{name} {value}" for name, value in repeated.items())
        raise ValueError(f"{model} has several rows of one key: {words}")
    return made


@cache
def _models(roots: tuple[Path, ...]) -> dict[str, dict[str, Any]]:
    files = [path for root in roots for path in (root / "python_models").rglob("_*__models.yml")]
    # The C parser is ten times as fast as the Python one.
    read = [yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader) for path in files]
    return {model["name"]: model for properties in read for model in properties["models"]}
