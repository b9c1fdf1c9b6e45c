"""The dbt-duckdb plugin of profiles.yml: the folder of the warehouse, and the extract set that a run reads."""

from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError
from duckdb import DuckDBPyConnection

from ai_manufacturing import landing, settings
from ai_manufacturing.landing import registers

UNESCAPED = "'\";"


class Plugin(BasePlugin):
    """Makes the folder of the DuckDB file, and registers `current_extract_set()` and the paths of registers."""

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:
        """Make the folder that DuckDB does not make by itself, just before it connects.

        Raises
        ------
        DbtRuntimeError
            If the file has a name that dbt-duckdb, which names the catalog after it, would not escape.
        """
        path = Path(creds.path)
        if set(path.name) & set(UNESCAPED):
            raise DbtRuntimeError(
                f"WAREHOUSE_PATH: the file is named {path.name}, and dbt cannot use a name with one of {UNESCAPED}. "
                "Rename the file; its folders may have any name."
            )
        path.parent.mkdir(parents=True, exist_ok=True)

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Add the functions to a new connection."""
        conn.create_function("current_extract_set", current_extract_set, [], "VARCHAR")
        conn.create_function("declared_register_path", registers.declared_path, ["VARCHAR"], "VARCHAR")
        conn.create_function("landed_register_path", registers.landed_path, ["VARCHAR"], "VARCHAR")


def current_extract_set() -> str:
    """Return the name of the extract set that EXTRACTS_DIR holds."""
    return landing.extract_set(settings.extracts_dir()).name
