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

# Arrow type for each `data_type` in the dbt property files.
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


def read_schema(model: str) -> pa.Schema:
    """Return the Arrow schema that a property file declares for a dbt Python model.

    Raises
    ------
    KeyError
        If no property file declares the model.
    """
    columns = _read_models(settings.project_folders())[model]["columns"]
    return pa.schema([(column["name"], TYPES[column["data_type"]]) for column in columns])


def build_table(model: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Convert rows to the Arrow table that a dbt model declares, and reject duplicate keys.

    Raises
    ------
    ValueError
        If two rows have the same key; nulls count as equal.
    """
    key = _read_models(settings.project_folders())[model]["config"]["meta"]["key"]
    result = pa.Table.from_pylist(rows, schema=read_schema(model))
    key_counts = (
        result.group_by(key).aggregate([([], "count_all")]).rename_columns([*key, "row_count"])
    )
    for duplicate in key_counts.filter(pc.field("row_count") > 1).slice(length=1).to_pylist():
        values = ", ".join(f"{name} {value}" for name, value in duplicate.items())
        raise ValueError(f"The model {model} has more than one row with the same key: {values}")
    return result


@cache
def _read_models(roots: tuple[Path, ...]) -> dict[str, dict[str, Any]]:
    files = [path for root in roots for path in (root / "python_models").rglob("_*__models.yml")]
    # PyYAML's C loader is ten times as fast as its pure Python loader.
    contents = [yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader) for path in files]
    return {model["name"]: model for content in contents for model in content["models"]}
