"""Plugin for dbt-duckdb that locates, opens and records the warehouse file."""

import atexit
import gc
import os
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.flags import get_flags
from dbt_common.exceptions import DbtRuntimeError

from ai_manufacturing.system import duckdb_client, settings, trusted_files, workers
from ai_manufacturing.system.sql_text import quote_literal

UNESCAPED = "'\";"  # characters that dbt-duckdb does not escape in a file name


class Plugin(BasePlugin):
    """Plugin that locates the warehouse file, configures DuckDB and starts worker processes."""

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:
        """Create the warehouse folder, and configure how DuckDB opens the warehouse file.

        Paths are relative to the project folder, as in `ai-manufacturing`, even if dbt runs in
        another folder with --project-dir.

        Raises
        ------
        DbtRuntimeError
            If dbt-duckdb would not escape a character in the file name, which becomes the catalog
            name; if dbt would not escape a quotation mark in the path of a seed; or if another
            process has the file open.
        """
        root = str(settings.project_root())
        os.environ["DBT_PROJECT_DIR"] = root
        if "'" in root:
            raise DbtRuntimeError(
                f"{root}: dbt cannot load seeds from a path that contains a quotation mark (')."
                " Rename the folder, or move the project. This restriction does not apply to the"
                " folders that settings name."
            )
        # The profile contains only the file name, because dbt re-parses the whole project whenever
        # a path in the profile changes.
        default_path = Path(os.environ.get("WAREHOUSE_PATH") or "build/warehouse.duckdb")
        path = settings.project_root() / (
            default_path if creds.path == default_path.name else creds.path
        )
        if set(path.name) & set(UNESCAPED):
            raise DbtRuntimeError(
                f"WAREHOUSE_PATH: dbt cannot use the file name {path.name}, because it contains"
                f" one of the characters {UNESCAPED}. Rename the file; only folder names may"
                " contain these characters."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        creds.path = str(path)
        # External file access stays enabled, because landed tables and registers are Parquet files.
        config.update(
            duckdb_client.SETTINGS, storage_compatibility_version=duckdb_client.STORAGE_VERSION
        )
        # Check for a write lock here, because dbt would report DuckDB's lock error with a
        # traceback.
        if process := duckdb_client.find_lock_holder(path, config):
            raise DbtRuntimeError(
                f"{path} is open in {process}, so dbt cannot write to the file. Close it there, or"
                " name another file in WAREHOUSE_PATH (in DEV_WAREHOUSE_PATH for the target"
                " dev)."
            )

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Attach the warehouse to which the dev target defers, and start workers for a full run."""
        defer_to = os.environ.get("DEFER_TO")
        # Attach the warehouse named in DEFER_TO here instead of in the profile, because dbt
        # re-parses the whole project whenever the profile changes.
        if defer_to and self.creds and self.creds.schema == "dev":
            path = settings.project_root() / defer_to
            conn.execute(f"attach {quote_literal(path)} as warehouse (read_only)")
        flags: Any = get_flags()  # type: ignore[no-untyped-call]
        if flags.WHICH in ("build", "run") and not flags.SELECT:
            workers.get_pool()
        if flags.WHICH in ("build", "run", "seed") and self.creds:
            atexit.register(_record_warehouse, Path(self.creds.path))
        # Exempt the parsed project from garbage collection, because dbt needs it for the whole run.
        gc.freeze()


def _record_warehouse(warehouse: Path) -> None:
    """Close dbt's connection to flush the warehouse file, and record the file as trusted."""
    DuckDBConnectionManager.env().close()  # type: ignore[no-untyped-call]
    if warehouse.is_file():
        trusted_files.record_file(warehouse, settings.landing_dir())
