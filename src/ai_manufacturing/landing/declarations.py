"""Read and validate the TOML files that declare which data files each provider delivers."""

import csv
import difflib
import fnmatch
import json
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from ai_manufacturing.landing.errors import FileFault, LandingError
from ai_manufacturing.landing.provenance import Provenance
from ai_manufacturing.system import settings
from ai_manufacturing.system.declared import (
    Declared,
    Many,
    Names,
    Text,
    describe_errors,
    require_pattern,
)

GUIDES = "docs/how_to/add_a_provider.md and add_a_register.md"
WAY_OUT = f"Correct the declaration; {GUIDES} describe its fields."
COVERS = {
    "complete": "all firms, including those that no longer exist",
    "survivors": "all firms that existed on one day, without exits",
    "sample": "some firms of each year, which yield shares but no counts",
}
"""Values of a register's `covers`, with their meanings."""
# Fields of `Source` that the declaration of a register must not contain.
SOURCE_ONLY_FIELDS = {"file_name", "key", "period", "sheets", "column_sum", "headings", "feeds"}


class Source(Declared):
    """Declaration of one kind of data file: its name pattern, columns, key and provenance.

    `key` names the columns that identify a record. `period` is the key column with the statistical
    year: a later delivery that repeats a key replaces all earlier records of that period. `sheets`
    are patterns for the names of the sheets to read; if empty, all are read. `column_sum` is the
    required sum of each number column in a file. `headings` lists alternative headings, by column.
    `feeds` names the series that its staging model computes, so that people without a file know
    its contents.
    """

    types: ClassVar[tuple[str, ...]] = ("text", "integer", "number")

    provider: str
    name: Text
    entity: Text
    files: Annotated[str, require_pattern("[^/].*", "a pattern of paths below the extracts folder")]
    columns: dict[str, str]
    key: Names
    file_name: re.Pattern[str] | None = None
    period: str | None = None
    sheets: Names = ()
    column_sum: float | None = None
    headings: dict[str, Names] = Field({})
    feeds: Names = ()
    provenance: Provenance

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Settings of the declaration that determine the rows read from a file."""
        return self.model_dump(mode="json", exclude={"feeds", "provenance", "covers"})

    @property
    def file_name_columns(self) -> list[str]:
        """Columns whose values are parsed from the file name."""
        return list(self.file_name.groupindex) if self.file_name else []

    @property
    def read_columns(self) -> list[str]:
        """Columns that are read from the file's content, not from its name."""
        return [column for column in self.columns if column not in self.file_name_columns]

    @property
    def read_headings(self) -> dict[str, str]:
        """Mapping from every accepted heading, including alternatives, to its declared column."""
        return {
            heading: column
            for column in self.read_columns
            for heading in (column, *self.headings.get(column, ()))
        }

    @property
    def read_key(self) -> list[str]:
        """Key columns that are read from the file's content, not from its name."""
        return [column for column in self.key if column in self.read_columns]

    @field_validator("columns")
    @classmethod
    def _check_types(cls, columns: dict[str, str]) -> dict[str, str]:
        for column, column_type in columns.items():
            if column_type not in cls.types:
                types = ", ".join(cls.types)
                raise ValueError(
                    f'column {column} has the unknown type "{column_type}"; choose one of {types}'
                )
        return columns

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        self._require_columns({*self.file_name_columns, *self.key}, "`key` or `file_name`")
        if self.period is not None and self.period not in self.key:
            raise ValueError(f'period must name a column of the key, but it names "{self.period}"')
        if self.period is not None and self.columns[self.period] == "number":
            raise ValueError(
                f'the period column {self.period} has type "number"; declare it as integer or text'
            )
        column_by_heading = {column: column for column in self.columns}
        for column, others in self.headings.items():
            if column not in self.read_columns:
                raise ValueError(
                    f"`headings` names the column {column}, but no such column is read from the"
                    " file"
                )
            for heading in others:
                if heading in column_by_heading:
                    owner = column_by_heading[heading]
                    raise ValueError(
                        f"headings.{column}: {heading} is already a heading of the column {owner};"
                        " delete one of the two headings"
                    )
                column_by_heading[heading] = column
        if not self.read_key:
            raise ValueError(
                "no key column is read from the file, so records cannot be distinguished from"
                " notes; declare at least one key column that the file contains"
            )
        return self

    def _require_columns(self, names: Iterable[str], field: str) -> None:
        if missing := ", ".join(sorted({*names} - self.columns.keys())):
            raise ValueError(
                f"{field} names columns that the table `columns` does not declare: {missing}"
            )


class Register(Source):
    """Declaration of a firm or patent register, a large file with one row per firm or patent.

    `optional` names columns that a file may lack. `personal` names columns with information about
    persons: they are dropped before the file is stored and, if there are any, so is every
    undeclared column. `lacks` names facts about firms that the register never contains, industry or
    exit. `covers` is a key of COVERS; a sample without exits contains only survivors. `place` names
    the columns that locate a firm, by rule; the first rule that finds a city decides. `multiline`
    means that cells of its CSV files may contain line ends.
    """

    types: ClassVar[tuple[str, ...]] = ("text", "date")

    key: Names = ()
    covers: str = Field(default="", validate_default=True)
    optional: Many[str] = ()
    personal: Many[str] = ()
    lacks: Many[Literal["industry", "exit"]] = ()
    place: dict[Literal["code", "credit_code", "name", "province"], str] = Field({})
    multiline: bool = False

    @property
    def sql_columns(self) -> dict[str, str]:
        """Properties that SQL models read: missing information, and columns that locate firms."""
        lacks = [*self.lacks, *(["counts"] if self.covers == "sample" else [])]
        return {"lacks": " ".join(lacks), "place": json.dumps(self.place, ensure_ascii=False)}

    @field_validator("covers")
    @classmethod
    def _check_covers(cls, covers: str) -> str:
        if covers not in COVERS:
            allowed_values = ", ".join(f'"{name}" ({text})' for name, text in COVERS.items())
            raise ValueError(f"the value must be one of {allowed_values}")
        return covers

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if fields := ", ".join(sorted(self.model_fields_set & SOURCE_ONLY_FIELDS)):
            raise ValueError(
                f"the declaration of a register must not contain the fields {fields}; delete them"
            )
        self._require_columns(self.optional, "`optional`")
        if columns := ", ".join(sorted({*self.personal} & self.columns.keys())):
            raise ValueError(
                f"the column {columns} is listed in both `columns` and `personal`, but personal"
                " columns are never stored; delete the column from one of the two lists"
            )
        if self.entity != "firm_register" and (self.lacks or self.covers != "complete"):
            raise ValueError(
                f'all records of a {self.entity} are counted, so `covers` must be "complete" and'
                " `lacks` must be empty"
            )
        if self.covers == "complete" and "exit" in self.lacks:
            raise ValueError(
                '`lacks` contains "exit", so `covers` must be "survivors" or "sample", not'
                ' "complete"'
            )
        if self.covers == "survivors" and "exit" not in self.lacks:
            raise ValueError(
                '`covers` is "survivors", so `lacks` must contain "exit"; if the register contains'
                ' exits, `covers` must be "complete" or "sample"'
            )
        self._require_columns(self.place.values(), "`place`")
        for column in self.place.values():
            roles = [role for role, other in self.place.items() if other == column]
            if len(roles) > 1:
                uses = " and ".join(roles)
                raise ValueError(
                    f"`place` uses the column {column} for {uses}; name a separate column for each"
                    " of them"
                )
        if ("name" in self.place) != ("province" in self.place):
            raise ValueError(
                "`place` must give both name and province, because places in different provinces"
                " can have the same name"
            )
        return self


class AllowedAge(Declared):
    """Days since a provider's last delivery after which a refresh warns, or fails.

    None means that there is no limit.
    """

    warn_after_days: float | None = None
    fail_after_days: float | None = None


class Provider(Declared):
    """Contents of `<provider>/<provider>.toml`.

    `provenance` applies to all sources; the `provenance` table of a source overrides its fields.
    """

    provenance: dict[str, Any] = Field({})
    sources: Many[Source] = ()
    registers: Many[Register] = ()
    freshness: AllowedAge = AllowedAge()

    @property
    def all_sources(self) -> tuple[Source, ...]:
        """All declared sources of the provider, including registers."""
        return (*self.sources, *self.registers)


def read_providers() -> dict[str, Provider]:
    """Return the validated declarations of all providers, keyed by the name of their folder.

    Raises
    ------
    LandingError
        If a declaration is invalid, two sources of one entity give a column different types, two
        registers contradict each other, or a provenance names an unknown series. The message has
        one line for each fault.
    """
    providers: dict[str, Provider] = {}
    messages: list[str] = []
    for path in sorted((settings.project_root() / "models" / "staging").glob("*/*.toml")):
        provider = path.parent.name
        file = f"{provider}/{path.name}"
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            messages.append(f"{file}: the declaration is not valid TOML ({error}). Correct it.")
            continue
        tables = [document.get(name) for name in ("sources", "registers")]
        entries = [entry for table in tables if isinstance(table, list) for entry in table]
        for entry in (entry for entry in entries if isinstance(entry, dict)):
            entry["provider"] = provider
            if origin := document.get("provenance", {}) | entry.get("provenance", {}):
                entry["provenance"] = origin
        try:
            providers[provider] = Provider.model_validate(document)
        except ValidationError as error:
            messages += describe_errors(error, document, file, WAY_OUT)
    messages += [
        *_find_type_conflicts(providers),
        *_find_register_contradictions(providers),
        *_find_unknown_series(providers),
    ]
    if messages:
        raise LandingError(*messages)
    return providers


def read_sources() -> list[Source]:
    """Return all declared sources, including registers; see `read_providers` for errors."""
    return [source for provider in read_providers().values() for source in provider.all_sources]


def read_sources_by_name() -> dict[tuple[str, str], Source]:
    """Return all declared sources by (provider, name); see `read_providers` for errors."""
    return {(source.provider, source.name): source for source in read_sources()}


def read_registers() -> list[Register]:
    """Return all declared firm and patent registers; see `read_providers` for errors."""
    return [source for source in read_sources() if isinstance(source, Register)]


def read_allowed_ages() -> dict[str, AllowedAge]:
    """Return the maximum age of each provider's last delivery; see `read_providers` for errors."""
    return {name: provider.freshness for name, provider in read_providers().items()}


def read_series_names() -> set[str]:
    """Return the names of the series in seeds/series.csv."""
    path = settings.project_root() / "seeds" / "series.csv"
    if not path.is_file():  # projects without series do not have this file
        return set()
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row["series"] for row in csv.DictReader(file)}


def collect_entity_columns(sources: Iterable[Source], entity: str) -> dict[str, str]:
    """Return the types of all columns that an entity's sources declare, by column name.

    Columns are in declaration order.
    """
    return {
        column: column_type
        for source in sources
        if source.entity == entity
        for column, column_type in source.columns.items()
    }


def find_matching_sources(
    names: list[str], sources: list[Source]
) -> list[tuple[Source, dict[str, str]]]:
    """Return the sources whose pattern matches a file, with values parsed from the file name.

    A provider may declare a file several times, once for each entity that it feeds.
    """
    paths = [name.split("/") for name in names]
    matches = [
        source
        for source in sources
        if any(_matches(path, source.files.split("/")) for path in paths)
    ]
    if (
        len({source.entity for source in matches}) < len(matches)
        or len({source.provider for source in matches}) > 1
    ):
        declarations = " and ".join(f"{source.provider}.{source.name}" for source in matches)
        raise FileFault(
            f"more than one declaration matches this file: {declarations}. Change the `files`"
            " patterns of these declarations so that only one of them matches."
        )
    return [(source, _parse_file_name(names, source)) for source in matches]


def _parse_file_name(names: list[str], source: Source) -> dict[str, str]:
    if not source.file_name:
        return {}
    for name in names:
        if match := source.file_name.fullmatch(name.rsplit("/", 1)[-1]):
            return match.groupdict(default="")
    pattern, declaration = source.file_name.pattern, f"{source.provider}.{source.name}"
    raise FileFault(
        f"the file name does not match the pattern {pattern} in the declaration {declaration}."
        " Rename the file, or correct `file_name` in the declaration."
    )


def suggest_source(file_path: str, sources: list[Source]) -> str | None:
    """Return a hint about the declared source that an undeclared file most resembles, or None.

    A declaration is near if it matches the file's name in another folder or with another ending, or
    else if it reads the file's folder.
    """

    def split_path(path: str) -> tuple[str, str]:
        folder, _, name = unicodedata.normalize("NFKC", path).casefold().rpartition("/")
        return folder, name.removesuffix(".gz").rsplit(".", 1)[0]

    folder, stem = split_path(file_path)

    def rate_similarity(source: Source) -> float:
        pattern_folder, pattern = split_path(source.files)
        if pattern != "*" and fnmatch.fnmatchcase(stem, pattern):
            return 2
        return (
            difflib.SequenceMatcher(None, stem, pattern).ratio() if pattern_folder == folder else -1
        )

    source = max(sources, key=rate_similarity, default=None)
    if source is None or rate_similarity(source) < 0:
        return None
    return (
        f"No declaration matches this file name; {source.provider}.{source.name} reads"
        f" {source.files}. Rename the file, or correct `files`."
    )


def _find_type_conflicts(providers: dict[str, Provider]) -> Iterator[str]:
    """Yield an error message for each column that two sources declare with different types."""
    first: dict[tuple[str, str], Source] = {}
    for source in (source for provider in providers.values() for source in provider.sources):
        for column, kind in source.columns.items():
            other = first.setdefault((source.entity, column), source)
            if other.columns[column] != kind:
                yield (
                    f"{source.provider}/{source.provider}.toml, source {source.name}, column"
                    f" {column} has type {kind}, but source {other.name} of {other.provider}"
                    f" declares {other.columns[column]}, and both land in raw_{source.entity}."
                    " Declare the same type in both."
                )


def _find_register_contradictions(providers: dict[str, Provider]) -> Iterator[str]:
    """Yield an error message for each pair of registers that cannot share a staging model.

    A provider's registers of one entity share a staging model, which reads all of them alike.
    """
    for name, provider in providers.items():
        first: dict[str, Register] = {}
        for register in provider.registers:
            other = first.setdefault(register.entity, register)
            if other.sql_columns != register.sql_columns or other.covers != register.covers:
                pair = f"{other.name} and {register.name}"
                yield (
                    f"{name}/{name}.toml, registers {pair} share a staging model, but differ in"
                    " covers, lacks or place. Declare the same values, or split them into two"
                    " providers."
                )


def _find_unknown_series(providers: dict[str, Provider]) -> Iterator[str]:
    """Yield an error message for each source whose provenance names an unknown series."""
    known_series = read_series_names()
    for source in (source for provider in providers.values() for source in provider.all_sources):
        if names := sorted({*source.provenance.interpolated} - known_series):
            yield (
                f"{source.provider}/{source.provider}.toml, source {source.name}:"
                f" provenance.interpolated names {', '.join(names)}, but seeds/series.csv has"
                f" no such series. {WAY_OUT}"
            )


def _matches(parts: list[str], patterns: list[str]) -> bool:
    """Return whether a path matches a glob pattern, by the rules of `Path.glob`.

    One star matches within a folder, two stars across folders.
    """
    if not patterns:
        return not parts
    first, *others = patterns
    if first == "**":
        return any(_matches(parts[start:], others) for start in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], first) and _matches(parts[1:], others)
