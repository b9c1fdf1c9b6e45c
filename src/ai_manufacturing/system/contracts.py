"""Columns of Python models, as their property files declare them; dbt enforces contracts of SQL models only."""

from functools import cache
from pathlib import Path

import pyarrow as pa
import yaml

from ai_manufacturing import settings

TYPES = {
    "varchar": pa.string(),
    "double": pa.float64(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
    "struct(period varchar, valid_from_delivery bigint, valid_until_delivery bigint)[]": pa.list_(
        pa.struct({"period": pa.string(), "valid_from_delivery": pa.int64(), "valid_until_delivery": pa.int64()})
    ),
}


def schema(model: str) -> pa.Schema:
    """Return the columns of a model of python_models, or of a gate.

    Raises
    ------
    KeyError
        If no property file names the model.
    """
    columns = _models(settings.project_root())[model]["columns"]
    return pa.schema([(column["name"], TYPES[column["data_type"]]) for column in columns])


@cache
def _models(root: Path) -> dict[str, dict[str, list[dict[str, str]]]]:
    files = [*(root / "python_models").rglob("_*__models.yml"), *(root / "models/gates").glob("_*__models.yml")]
    return {model["name"]: model for path in files for model in yaml.safe_load(path.read_text("utf-8"))["models"]}
