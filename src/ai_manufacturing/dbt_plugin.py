"""The dbt-duckdb plugin of profiles.yml: lets SQL ask which extract set a run reads."""

from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection

from ai_manufacturing import landing, settings


class Plugin(BasePlugin):
    """Registers `current_extract_set()`."""

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Add the function to a new connection."""
        conn.create_function("current_extract_set", current_extract_set, [], "VARCHAR")


def current_extract_set() -> str:
    """Return the name of the extract set that EXTRACTS_DIR holds."""
    return landing.extract_set(settings.extracts_dir()).name
