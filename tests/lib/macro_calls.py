"""Call the project's macros outside of dbt, on a DuckDB in memory."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import agate
import duckdb
import jinja2

from tests.project_copy import PROJECT


class ReturnedError(Exception):
    """Carries the value that a macro returns, as in dbt."""


class CompilerError(Exception):
    """Raised by a macro that refuses to go on."""


class Macros:
    """Calls of the project's macros, and the statements that they ran.

    Parameters
    ----------
    engine : str
        Prefix of the macros to which calls are dispatched: "default" (DuckDB) or "spark".

    Attributes
    ----------
    environment : jinja2.Environment
        Its globals are the functions and variables of dbt.
    connection : DuckDBPyConnection
        Runs the queries, unless `answers` is set.
    answers : dict of str to list of tuple, or None
        Rows to return for a query that contains the text; other queries return no rows.
    statements, messages, configured : list
        Queries, log messages and configurations of models, without line breaks.
    """

    def __init__(self, engine: str) -> None:
        self.connection = duckdb.connect()
        self.statements: list[str] = []
        self.messages: list[str] = []
        self.configured: list[dict[str, Any]] = []
        self.answers: dict[str, list[tuple[Any, ...]]] | None = None
        self.macros: dict[str, Callable[..., Any]] = {}
        self.environment = jinja2.Environment(extensions=["jinja2.ext.do"])
        relation = SimpleNamespace(create=lambda schema, identifier, **_: f"{schema}.{identifier}")
        self.environment.globals |= {
            "adapter": SimpleNamespace(
                dispatch=lambda name: self.macros[f"{engine}__{name}"],
                quote='"{}"'.format,
                cache_added=lambda _: None,
                get_relation=lambda *_: None,
                get_columns_in_relation=self._list_columns,
                convert_type=lambda *_: "varchar",
                add_query=lambda query, **_: self._record(query),
            ),
            "api": SimpleNamespace(Relation=relation),
            "config": lambda **options: self.configured.append(options) or "",
            "env_var": lambda name, default: {"EXTRACTS_DIR": "set", "LANDING_DIR": "land"}.get(
                name, default
            ),
            "exceptions": SimpleNamespace(raise_compiler_error=self._refuse),
            "execute": True,
            "flags": SimpleNamespace(WHICH="build"),
            "is_incremental": lambda: True,
            "load_relation": str,
            "local_md5": "md5 of {}".format,
            "log": lambda message, **_: self.messages.append(message),
            "modules": SimpleNamespace(re=re),
            "none": None,
            "period": {"first_year": 2010, "last_year": 2020}.__getitem__,
            "ref": str,
            "return": self._return,
            "rules_key": lambda: "rules",
            "run_query": self._run,
            "this": "counts",
            "zip": zip,
        }
        for path in PROJECT.glob("macros/**/*.sql"):
            text = path.read_text("utf-8")
            for macro in re.findall(r"{% macro .+?{%-? endmacro %}", text, re.DOTALL):
                name = re.match(r"{% macro (\w+)", macro)[1]  # type: ignore[index]
                self.macros[name] = self._define(name, macro)
                self.environment.globals.setdefault(name, self.macros[name])

    def _define(self, name: str, macro: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            # Under its own name, a recursive macro would call itself past the exception below.
            text = macro.replace(f"macro {name}(", "macro called(", 1)
            module: Any = self.environment.from_string(text).make_module()
            try:
                return str(module.called(*arguments))
            except ReturnedError as returned:
                return returned.args[0]

        return call

    def call(self, name: str, *arguments: Any) -> Any:
        """Return the value of a macro, and the text of a macro without line breaks."""
        value = self.macros[name](*arguments)
        return " ".join(value.split()) if isinstance(value, str) else value

    def _return(self, value: Any) -> None:
        raise ReturnedError(value)

    def _refuse(self, message: str) -> None:
        raise CompilerError(message)

    def _record(self, query: str) -> str:
        self.statements.append(" ".join(query.split()))
        return self.statements[-1]

    def _run(self, query: str) -> agate.Table:
        said = self._record(query)
        if self.answers is not None:
            rows = next((rows for key, rows in self.answers.items() if key in said), [])
            names = [f"column_{place}" for place in range(len(rows[0]) if rows else 1)]
        else:
            found = self.connection.execute(query)
            rows, names = found.fetchall(), [column[0] for column in found.description or ()]
        is_number = [
            all(isinstance(row[place], int) for row in rows) for place in range(len(names))
        ]
        kinds = [agate.Number() if one and rows else agate.Text() for one in is_number]
        return agate.Table(rows, names, kinds)

    def _list_columns(self, relation: str) -> list[SimpleNamespace]:
        rows = self.connection.execute(f"describe {relation}").fetchall()
        return [SimpleNamespace(name=row[0]) for row in rows]
