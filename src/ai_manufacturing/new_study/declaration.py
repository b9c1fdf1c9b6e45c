"""Read and validate study.toml, which declares a study's paper, data and regressions."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ai_manufacturing.landing.provenance import Provenance
from ai_manufacturing.system.declared import Declared, Many, Text, describe_errors, require_pattern

NAME = "study.toml"
WAY_OUT = "Correct the declaration; docs/how_to/another_study.md explains it."

Identifier = Annotated[
    str, require_pattern("[a-z][a-z0-9_]*", "a name of lower-case letters, digits and underscores")
]
Bounds = Annotated[tuple[float, float], Field(strict=False)]
Author = Annotated[Text, require_pattern("[^,]+, [^,]+", "a text such as Doe, Ann")]
Number = Annotated[str, require_pattern(r"-?\d*\.?\d+", 'a number as printed, such as "0.20"')]


class DeclarationError(Exception):
    """Raised if a study's files cannot be generated; the message suggests a remedy."""


class Bilingual(Declared):
    """Base class for objects with an English and a Chinese name."""

    en: Text
    zh: Text


class Paper(Declared):
    """The published paper that the study replicates."""

    title: Text
    authors: Many[Author]
    year: int


class Series(Bilingual):
    """A data series, read from one column of the input files.

    A delivered number is multiplied by `times` to convert it to `unit`.
    """

    name: Identifier
    heading: Text
    unit: Text
    is_additive: bool
    between: Bounds
    times: float = 1
    log: Identifier | None = None
    limits: dict[str, float] = Field({})

    @property
    def log_name(self) -> str:
        """Variable name of the log-transformed series in regressions."""
        return self.log or f"ln_{self.name}"


class File(Declared):
    """A set of input files with the same headings and one row per region and year."""

    name: Identifier
    files: Text
    year: Text
    region_code: Text | None = None
    region_name: Text | None = None
    series: Many[Series]

    @property
    def region_headings(self) -> list[str]:
        """Headings of the columns that identify a region."""
        return [heading for heading in (self.region_code, self.region_name) if heading]

    @model_validator(mode="after")
    def _check_region(self) -> Self:
        if not self.region_headings:
            raise ValueError(
                "region_code or region_name must give the heading of the column that identifies the"
                " region"
            )
        return self


class Ratio(Bilingual):
    """Ratio of two series; `between` contains the lower and upper limits of valid values."""

    name: Identifier
    of: Identifier
    over: Identifier
    between: Bounds | None = None


class Measure(Bilingual):
    """The main regressor, which is the logarithm of a series."""

    name: Identifier
    series: Identifier
    transform: Literal["ln", "ln1p"] = "ln1p"


class Printed(Declared):
    """An estimate as printed in the paper; numbers are strings, to preserve trailing zeros."""

    estimate: Number
    std_error: Number
    stars: str = ""
    observations: int
    r_squared: Number | None = None


class Column(Bilingual):
    """A table column: a regression of the log outcome on the measure and the log controls."""

    outcome: Identifier
    controls: Many[Identifier] = ()
    printed: Printed | None = None


class Table(Bilingual):
    """A regression table of the paper."""

    name: Identifier
    columns: Many[Column]


class Split(Bilingual):
    """A split of the sample at the median of a series in one year, or by class of region.

    `region` is a column of cities.csv. The other groups are compared with the group `reference`: a
    class, or `below` or `above` the median.
    """

    by: Identifier
    year: int | None = None
    reference: Text = "below"

    @model_validator(mode="after")
    def _check_year(self) -> Self:
        if (self.by == "region") == (self.year is not None):
            raise ValueError(
                "a split by a series requires a year, but a split by region must not have a year"
            )
        return self


class Study(Bilingual):
    """The validated content of study.toml."""

    question_en: Text
    question_zh: Text
    first_year: int
    last_year: int
    paper: Paper
    provider: Identifier
    provenance: Provenance
    measure: Measure
    files: Many[File]
    tables: Many[Table]
    ratios: Many[Ratio] = ()
    split: Split | None = None

    @property
    def series(self) -> dict[str, Series]:
        """Series of all input files, by series name."""
        return {series.name: series for file in self.files for series in file.series}

    @property
    def columns(self) -> Iterator[tuple[Table, int, Column]]:
        """All regression columns, each with its table and column number, in printed order."""
        for table in self.tables:
            for number, column in enumerate(table.columns, start=1):
                yield table, number, column

    @property
    def main_outcome(self) -> Series:
        """Outcome of the first table column, which tests the paper's main claim."""
        return self.series[self.tables[0].columns[0].outcome]

    @property
    def log_series(self) -> list[Series]:
        """Series that enter regressions in logs: first the outcomes, then the controls."""
        names = [column.outcome for _, _, column in self.columns]
        names += [control for _, _, column in self.columns for control in column.controls]
        return [self.series[name] for name in dict.fromkeys(names)]

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if not self.files or not all(file.series for file in self.files):
            raise ValueError(
                "the study must declare at least one file, and at least one series in each file"
            )
        if not self.tables or not all(table.columns for table in self.tables):
            raise ValueError(
                "the study must declare at least one table, and at least one column in each table"
            )
        if self.first_year >= self.last_year:
            raise ValueError(
                f"first_year {self.first_year} must be before last_year {self.last_year}"
            )
        self._check_series()
        for series in self.log_series:
            if series.between[0] <= 0:
                raise ValueError(
                    f"series {series.name} is used in logarithms, so the lower limit in `between`"
                    " must be above zero; use a correction to set aside rows whose value is zero"
                )
        if self.tables[0].columns[0].printed is None:
            raise ValueError(
                f"column 1 of table {self.tables[0].name} is the headline claim, so the column"
                " needs the printed estimate, in the field `printed`, to compare with the data"
            )
        return self

    def _check_series(self) -> None:
        all_names = [series.name for file in self.files for series in file.series]
        duplicates = ", ".join(sorted({name for name in all_names if all_names.count(name) > 1}))
        if duplicates:
            raise ValueError(
                f"these series are declared more than once: {duplicates}; declare each series only"
                " once"
            )
        names_by_place = {"measure.series": [self.measure.series]}
        for table, number, column in self.columns:
            names_by_place[f"tables {table.name}, column {number}"] = [
                column.outcome,
                *column.controls,
            ]
        for ratio in self.ratios:
            names_by_place[f"ratio {ratio.name}"] = [ratio.of, ratio.over]
        if self.split and self.split.by != "region":
            names_by_place["split.by"] = [self.split.by]
        for place, names in names_by_place.items():
            if unknown_names := ", ".join(sorted({*names} - {*all_names})):
                raise ValueError(
                    f"{place} names the series {unknown_names}, but no such series is declared"
                )


def read_declaration(folder: Path) -> Study:
    """Read and validate the study.toml of a study.

    Parameters
    ----------
    folder : Path
        Folder of the study, which contains `study.toml`.

    Raises
    ------
    DeclarationError
        If the file is missing, is not TOML, or is not a valid declaration.
    """
    path = folder / NAME
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return Study.model_validate(document)
    except FileNotFoundError as error:
        raise DeclarationError(
            f"{path} is missing. Copy studies/robots/{NAME} to this path, and adapt the copy;"
            " docs/how_to/another_study.md explains the file."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeclarationError(f"{path} is not valid TOML: {error}. {WAY_OUT}") from error
    except ValidationError as error:
        raise DeclarationError(
            "\n".join(describe_errors(error, document, str(path), WAY_OUT))
        ) from error
