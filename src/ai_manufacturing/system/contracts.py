"""Columns of Python models, as their property files declare them; dbt enforces contracts of SQL models only."""

from functools import cache

import pyarrow as pa
import yaml

from ai_manufacturing import settings

TYPES = {
    "varchar": pa.string(),
    "double": pa.float64(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
}


@cache
def schema(model: str) -> pa.Schema:
    """Return the columns of a model of python_models.

    Raises
    ------
    KeyError
        If no property file names the model.
    """
    return pa.schema([(column["name"], TYPES[column["data_type"]]) for column in _models()[model]["columns"]])


@cache
def _models() -> dict[str, dict[str, list[dict[str, str]]]]:
    files = (settings.project_root() / "python_models").rglob("_*__models.yml")
    return {model["name"]: model for path in files for model in yaml.safe_load(path.read_text("utf-8"))["models"]}
