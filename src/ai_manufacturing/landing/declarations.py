"""Declarations of what each provider delivers, in TOML beside its staging SQL."""

import difflib
import fnmatch
import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ai_manufacturing import settings
from ai_manufacturing.landing.errors import FileFault, LandingError

TYPES = ("text", "integer", "number")
REQUIRED = {"name", "entity", "files", "key", "columns"}
AGES = ("warn_after_days", "fail_after_days")


@dataclass(frozen=True)
class Source:
    """One kind of file that a provider delivers.

    `key` names the columns that identify a record, `period` the one of them that holds the statistical year: a later
    delivery replaces an earlier one's records of a period if it repeats one of them. `sheets` are patterns of the names
    of the sheets to read, all of them where it is empty. `column_sum` is what each column of numbers of a file adds to.
    `headings` are the other headings under which some files hold a column, by column. `feeds` are the series that its
    staging model makes of it, so that who lacks its file knows what it holds.
    """

    provider: str
    name: str
    entity: str
    files: str
    file_name: str | None
    key: tuple[str, ...]
    columns: dict[str, str]
    period: str | None = None
    sheets: tuple[str, ...] = ()
    column_sum: float | None = None
    headings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    feeds: tuple[str, ...] = ()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that the declaration says of a file, in its order."""
        # what a declaration does not say leaves the keys of its files in the store as they are
        added = ("column_sum", "headings")
        values = {name: value for name, value in asdict(self).items() if name != "feeds"}
        return {name: value for name, value in values.items() if name not in added or value not in (None, {})}

    @property
    def file_name_columns(self) -> list[str]:
        """The columns that the file's name holds."""
        return list(re.compile(self.file_name).groupindex) if self.file_name else []

    @property
    def read_columns(self) -> list[str]:
        """The columns that the file itself holds."""
        return [column for column in self.columns if column not in self.file_name_columns]

    @property
    def read_headings(self) -> dict[str, str]:
        """The columns that the file itself holds, by each heading under which it may hold them."""
        return {heading: column for column in self.read_columns for heading in (column, *self.headings.get(column, ()))}

    @property
    def read_key(self) -> list[str]:
        """The key columns that the file itself holds."""
        return [column for column in self.key if column in self.read_columns]


@dataclass(frozen=True)
class AllowedAge:
    """Days without a delivery after which a provider is late, then stale; None is never."""

    warn_after_days: float | None = None
    fail_after_days: float | None = None


def files() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each file `<provider>/<provider>.toml` of the project, and what it holds.

    Raises
    ------
    LandingError
        If one is not TOML.
    """
    for path in sorted((settings.project_root() / "models" / "staging").glob("*/*.toml")):
        try:
            yield path, tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise LandingError(
                f"{path.parent.name}/{path.name}: not TOML: {error}. Correct the declaration."
            ) from error


def read() -> list[Source]:
    """Read the declarations of deliveries.

    Returns
    -------
    list of Source
        By provider, then in the order of the file.

    Raises
    ------
    LandingError
        With one line for each declaration that cannot be understood, and for each header that two declarations
        of one entity give different types.
    """
    sources: list[Source] = []
    faults: list[str] = []
    for path, declared in files():
        for entry in declared.get("sources", []):
            if wrong := _fault(entry):
                where = f"{path.parent.name}/{path.name}, source {entry.get('name', '?')}"
                faults.append(f"{where}: {wrong}. Correct the declaration.")
                continue
            values = {name: entry.get(name) for name in ("file_name", "period", "column_sum")}
            values |= {name: entry[name] for name in ("name", "entity", "files", "columns")}
            values |= {"key": tuple(entry["key"])}
            values |= {name: tuple(entry.get(name, ())) for name in ("sheets", "feeds")}
            headings = {column: tuple(others) for column, others in entry.get("headings", {}).items()}
            sources.append(Source(provider=path.parent.name, headings=headings, **values))
    faults.extend(_conflicts(sources))
    if faults:
        raise LandingError(*faults)
    return sources


def allowed_ages() -> dict[str, AllowedAge]:
    """Return for how many days a provider may deliver nothing, by provider; those that declare it.

    Raises
    ------
    LandingError
        With one line for each declaration that cannot be understood.
    """
    ages: dict[str, AllowedAge] = {}
    faults: list[str] = []
    for path, declared in files():
        if "freshness" not in declared:
            continue
        freshness = declared["freshness"]
        unknown = sorted(freshness.keys() - set(AGES))
        wrong = sorted(name for name, days in freshness.items() if type(days) not in (int, float))
        if unknown or wrong:
            where = f"{path.parent.name}/{path.name}, freshness"
            faults.append(f"{where}: unknown: {unknown}, not a number of days: {wrong}. Give {' and '.join(AGES)}.")
        else:
            ages[path.parent.name] = AllowedAge(**freshness)
    if faults:
        raise LandingError(*faults)
    return ages


def entity_columns(sources: Sequence[Source], entity: str) -> dict[str, str]:
    """Return the columns of an entity and their types: the union over its sources, in declaration order."""
    return {
        column: declared for source in sources if source.entity == entity for column, declared in source.columns.items()
    }


def claiming(names: list[str], sources: list[Source]) -> list[tuple[Source, dict[str, str]]]:
    """Return the declarations that one of a file's names answers to, and what the name says to each.

    One provider may declare a file once for each entity that it feeds.
    """
    paths = [name.split("/") for name in names]
    declared = [source for source in sources if any(_matches(path, source.files.split("/")) for path in paths)]
    if len({source.entity for source in declared}) < len(declared) or len({source.provider for source in declared}) > 1:
        both = " and ".join(f"{source.provider}.{source.name}" for source in declared)
        raise FileFault(f"declared twice, by {both}. Make their `files` patterns exclude each other.")
    return [(source, _file_name_values(names, source)) for source in declared]


def _file_name_values(names: list[str], source: Source) -> dict[str, str]:
    if not source.file_name:
        return {}
    for name in names:
        if match := re.fullmatch(source.file_name, name.rsplit("/", 1)[-1]):
            return match.groupdict(default="")
    raise FileFault(
        f"the name does not fit file_name of {source.provider}.{source.name}, {source.file_name}. "
        "Rename the file, or correct the declaration."
    )


def nearest(file_path: str, sources: list[Source]) -> str | None:
    """Return the declaration that a file nearly answers to: by its name in any folder or ending, or by its folder."""

    def parts(path: str) -> tuple[str, str]:
        folder, _, name = unicodedata.normalize("NFKC", path).casefold().rpartition("/")
        return folder, name.removesuffix(".gz").rsplit(".", 1)[0]

    folder, stem = parts(file_path)
    near = [
        (
            fnmatch.fnmatchcase(stem, pattern) and pattern != "*",
            difflib.SequenceMatcher(None, stem, pattern).ratio(),
            at,
        )
        for at, (of_pattern, pattern) in enumerate(parts(source.files) for source in sources)
        if of_pattern == folder or (fnmatch.fnmatchcase(stem, pattern) and pattern != "*")
    ]
    if not near:
        return None
    source = sources[max(near)[-1]]
    return (
        f"No declaration claims this name; {source.provider}.{source.name} reads {source.files}. "
        "Rename the file, or correct `files`."
    )


def _fault(entry: dict[str, Any]) -> str | None:
    missing = sorted(REQUIRED - entry.keys())
    unknown = sorted(
        entry.keys() - REQUIRED - {"file_name", "period", "sheets", "provenance", "column_sum", "headings", "feeds"}
    )
    if missing or unknown:
        return f"settings missing: {missing}, unknown: {unknown}"
    for column, declared in entry["columns"].items():
        if declared not in TYPES:
            return f'column {column} is of type "{declared}", not one of {", ".join(TYPES)}'
    for setting in ("sheets", "feeds"):
        names = entry.get(setting, ["*"])
        if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
            return f"{setting} is {names!r}, not a list of names"
    column_sum = entry.get("column_sum", 1)
    if isinstance(column_sum, bool) or not isinstance(column_sum, int | float):
        return f"column_sum is {column_sum!r}, not a number"
    if not entry["files"] or entry["files"].startswith("/"):
        return f'files is "{entry["files"]}"; it must be a pattern below the extracts folder'
    try:
        file_name_columns = set(re.compile(entry.get("file_name", "")).groupindex)
    except re.error as error:
        return f"file_name is not a regular expression: {error}"
    undeclared = sorted((file_name_columns | set(entry["key"])) - entry["columns"].keys())
    if undeclared:
        return f"[sources.columns] lacks {', '.join(undeclared)}, which key or file_name uses"
    if entry.get("period", entry["key"][0]) not in entry["key"]:
        return f'period is "{entry["period"]}", which is not a column of the key'
    if entry["columns"].get(entry.get("period")) == "number":
        return f'period {entry["period"]} is of type "number"; declare integer or text'
    if wrong := _headings_fault(entry.get("headings", {}), entry["columns"], file_name_columns):
        return wrong
    if not set(entry["key"]) - file_name_columns:
        return "no key column is read from the file, so landing cannot tell prose from records; declare one"
    return None


def _headings_fault(headings: Any, columns: dict[str, str], file_name_columns: set[str]) -> str | None:
    """Return what is wrong with the other headings of columns."""
    if not isinstance(headings, dict):
        return f"headings is {headings!r}, not a table [sources.headings]"
    claimed = {column: column for column in columns}
    for column, others in headings.items():
        if column not in columns or column in file_name_columns:
            return f"[sources.headings] has {column}, which is no column of [sources.columns] that a file holds"
        if not isinstance(others, list) or not others or not all(isinstance(name, str) and name for name in others):
            return f"[sources.headings] gives {others!r} for {column}, not a list of headings"
        for other in others:
            if other in claimed:
                return f"[sources.headings] gives {other} for {column}, and it is a heading of {claimed[other]} already"
            claimed[other] = column
    return None


def _conflicts(sources: list[Source]) -> list[str]:
    first: dict[tuple[str, str], Source] = {}
    faults = []
    for source in sources:
        for column, declared in source.columns.items():
            other = first.setdefault((source.entity, column), source)
            if other.columns[column] != declared:
                faults.append(
                    f"{source.provider}/{source.provider}.toml, source {source.name}, column {column}: {declared} "
                    f"here, {other.columns[column]} in source {other.name} of {other.provider}, and both land in "
                    f"raw_{source.entity}. Declare one type."
                )
    return faults


def _matches(parts: list[str], patterns: list[str]) -> bool:
    """Whether a path fits a pattern, as Path.glob has it: a star stays inside a folder, two stars do not."""
    if not patterns:
        return not parts
    first, *others = patterns
    if first == "**":
        return any(_matches(parts[start:], others) for start in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], first) and _matches(parts[1:], others)
