"""The dbt-duckdb plugin of profiles.yml: the warehouse's folder, and how its file opens."""

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

from ai_manufacturing.system import duckdb_client, own_files, settings, workers
from ai_manufacturing.system.sql_text import literal

UNESCAPED = "'\";"


class Plugin(BasePlugin):
    """Places and opens the DuckDB file, and starts the workers."""

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, Any]) -> None:
        """Make the folder that DuckDB does not make, and set how the file is opened.

        Paths are relative to the project, as in `ai-manufacturing`, also where --project-dir names
        it from elsewhere.

        Raises
        ------
        DbtRuntimeError
            If the file has a name that dbt-duckdb, which names the catalog after it, would not
            escape, the project lies in a folder of which it would not escape the path of a seed, or
            another process has the file open.
        """
        root = str(settings.project_root())
        os.environ["DBT_PROJECT_DIR"] = root
        if "'" in root:
            raise DbtRuntimeError(
                f"{root}: dbt loads no seed from a path with a quotation mark ('). Rename the"
                " folder, or move the project to another. Folders that settings name may have one."
            )
        # the profile has the name alone, because dbt parses the whole project again for another
        # path
        configured = Path(os.environ.get("WAREHOUSE_PATH") or "build/warehouse.duckdb")
        path = settings.project_root() / (
            configured if creds.path == configured.name else creds.path
        )
        if set(path.name) & set(UNESCAPED):
            raise DbtRuntimeError(
                f"WAREHOUSE_PATH: dbt cannot use the file name {path.name}, because of one of"
                f" {UNESCAPED}. Rename the file; folder names are not limited."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        creds.path = str(path)
        # dbt's connection may read files: landed tables and registers lie in Parquet
        config.update(
            duckdb_client.SETTINGS, storage_compatibility_version=duckdb_client.STORAGE_VERSION
        )
        # dbt would print a traceback for DuckDB's error
        if process := duckdb_client.holder(path, config):
            raise DbtRuntimeError(
                f"{path} is open in {process}, so that dbt cannot write to it: close it there, or"
                " name another file in WAREHOUSE_PATH (of the target dev in DEV_WAREHOUSE_PATH)."
            )

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Attach what dev defers to, and start the workers of a run of everything."""
        deferred = os.environ.get("DEFER_TO")
        # the profile does not name the file, because dbt parses the whole project again for another
        if deferred and self.creds and self.creds.schema == "dev":
            conn.execute(
                f"attach {literal(settings.project_root() / deferred)} as warehouse (read_only)"
            )
        flags: Any = get_flags()  # type: ignore[no-untyped-call]
        if flags.WHICH in ("build", "run") and not flags.SELECT:
            workers.pool()
        if flags.WHICH in ("build", "run", "seed") and self.creds:
            atexit.register(_record, Path(self.creds.path))
        # What dbt has parsed stays for the run: collection need not walk it again and again.
        gc.freeze()


def _record(warehouse: Path) -> None:
    """Record the warehouse as the user's own. Only now does dbt close it, which writes its end."""
    DuckDBConnectionManager.env().close()  # type: ignore[no-untyped-call]
    if warehouse.is_file():
        own_files.record(warehouse, settings.landing_dir())
