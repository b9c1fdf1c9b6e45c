"""Find delivered files in the extracts folder, and match them with declared sources."""

import datetime
import hashlib
import os
import stat
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote

from pydantic import ValidationError, field_validator, model_validator

from ai_manufacturing.landing import declarations
from ai_manufacturing.landing.declarations import Source
from ai_manufacturing.landing.errors import FileFault, LandingError
from ai_manufacturing.landing.readers import containers, formats
from ai_manufacturing.landing.readers.containers import SUCCESS_MARKER
from ai_manufacturing.system import settings
from ai_manufacturing.system.declared import Declared, describe_errors

DESCRIPTION = "extract_set.yml"
NAME_LIMIT = 255  # maximum bytes in a file name on most file systems
INVISIBLE_CATEGORIES = ("Cc", "Cf", "Zl", "Zp")  # Unicode control, format and separator categories


class Period(Declared):
    """First and last year of the data, and the base year for AI shares in the paper's equation 2.

    Equation 2 holds the AI share of the base year fixed. If the set does not cover that year, the
    nearest year that it covers is used.
    """

    first_year: int
    last_year: int
    base_year: int

    @model_validator(mode="after")
    def _check_years(self) -> Self:
        earliest, latest = settings.variables()["plausible_years"]
        if not (
            earliest <= self.first_year <= self.last_year <= latest
            and earliest <= self.base_year <= latest
        ):
            raise ValueError(
                f"first_year is {self.first_year}, last_year is {self.last_year}, and base_year is"
                f" {self.base_year}. Years must be between {earliest} and {latest}, and first_year"
                " must not be after last_year. Any year that you omit is read from dbt_project.yml"
            )
        return self


class ExtractSet(Declared):
    """A named set of delivered files that are analysed together.

    The numbers of a "synthetic" set are not real. `period` is None if the set does not declare one
    and uses the period of dbt_project.yml. A set that should not have headline estimates, such as a
    single register, declares `has_estimates: false`.
    """

    name: str
    kind: Literal["delivered", "synthetic"] = "delivered"
    period: Period | None = None
    has_estimates: bool = True

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not name.strip() or any(
            unicodedata.category(mark) in INVISIBLE_CATEGORIES for mark in name
        ):
            raise ValueError("the value must be a single line of text without invisible characters")
        if len(quote(name)) > NAME_LIMIT:
            raise ValueError(
                f"the value must have at most {NAME_LIMIT} bytes when it is percent-encoded as a"
                " folder name"
            )
        return name

    @field_validator("period", mode="before")
    @classmethod
    def _complete_period(cls, period: Any) -> Any:
        if not isinstance(period, dict) or not period:
            raise ValueError(
                "the value must be a table of years, such as {first_year: 2010, last_year: 2022}"
            )
        variables = settings.variables()
        return {name: variables[name] for name in Period.model_fields} | period


@dataclass(frozen=True)
class DeliveredFile:
    """A delivered file or archive member, with the declared source that it matches.

    If no declaration matches, `source` is None, and `hint` may suggest why.
    """

    path: Path
    file_path: str
    source: Source | None = None
    file_name_values: dict[str, str] = field(default_factory=dict)
    member: tuple[zipfile.ZipFile, zipfile.ZipInfo] | None = None
    hint: str | None = None

    @property
    def modified_at(self) -> datetime.datetime:
        """Modification time of the file, or of the archive that contains it, in UTC."""
        changed_at = datetime.datetime.fromtimestamp(self.path.stat().st_mtime, datetime.UTC)
        return changed_at.replace(microsecond=0, tzinfo=None)

    def read_content(self) -> bytes:
        """Return the content of the file, after checking it against the size limits.

        Raises
        ------
        FileFault
            If the file or one of its lines exceeds the limits, or if it is an archive member that
            is damaged, expands beyond the limits, or is an archive itself.
        """
        if self.member is None:
            containers.check_size(self.path.stat().st_size)
            for _ in formats.check_line_lengths(self.read_chunks()):
                pass
            return self.path.read_bytes()
        content = b"".join(formats.check_line_lengths(self.read_chunks()))
        containers.refuse_nested_archive(content, "the member")
        return content

    def hash_content(self) -> tuple[str, int]:
        """Return the SHA-256 of the file's content, and its size in bytes."""
        digest, size = hashlib.sha256(), 0
        for chunk in self.read_chunks():
            digest.update(chunk)
            size += len(chunk)
        return digest.hexdigest(), size

    def read_chunks(self) -> Iterator[bytes]:
        """Yield the file's content one megabyte at a time, to limit memory use."""
        if self.member is not None:
            yield from containers.stream_member(*self.member)
            return
        with self.path.open("rb") as content:
            yield from containers.read_chunks(content)


def read_extract_set(folder: Path) -> ExtractSet:
    """Return the name, kind and period of an extract set, from its folder's extract_set.yml.

    Without that file, the set has the name of the folder and the kind "delivered".

    Parameters
    ----------
    folder : Path
        The extracts folder.

    Returns
    -------
    ExtractSet
        Name, kind ("synthetic" or "delivered"), declared period, and whether the set should have
        estimates.

    Raises
    ------
    LandingError
        If the folder does not exist, or its extract_set.yml is not a YAML mapping, or has an
        invalid name, kind or period.
    """
    if not folder.is_dir():
        raise LandingError(
            f"{folder}: the folder does not exist. Set EXTRACTS_DIR to another folder, or run"
            " `make setup` to create the synthetic sample."
        )
    description = _read_description(folder / DESCRIPTION)
    values = {"name": escape_name(folder.name)}
    values |= {name: description[name] for name in ExtractSet.model_fields if name in description}
    try:
        return ExtractSet.model_validate(values)
    except ValidationError as error:
        lines = describe_errors(error, values, DESCRIPTION, "Correct or delete the line.")
        raise LandingError(*lines) from error


def _read_description(path: Path) -> dict[str, Any]:
    """Return the content of extract_set.yml, or an empty dict if the file does not exist."""
    if not path.is_file():
        return {}
    from ruamel.yaml.error import YAMLError

    try:
        description = _parse_yaml(path.read_bytes()) or {}
    except OSError as error:
        raise LandingError(
            f"{DESCRIPTION} cannot be read ({error.strerror}). Correct its permissions."
        ) from error
    except (YAMLError, ValueError) as error:
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        raise LandingError(
            f"{DESCRIPTION} is not a YAML mapping ({reason}). Correct the file, or delete it."
        ) from error
    if not isinstance(description, dict):
        raise LandingError(
            f"{DESCRIPTION} is not a YAML mapping. Write lines such as `name: autumn`, or delete"
            " the file."
        )
    return description


@lru_cache(maxsize=4)  # parsing takes 70 ms, and commands may parse a file repeatedly
def _parse_yaml(content: bytes) -> Any:
    from ruamel.yaml import YAML  # imported lazily, as most folders have no YAML file

    return YAML(typ="safe", pure=True).load(content)


def find_delivered_files(
    folder: Path, sources: list[Source]
) -> tuple[list[DeliveredFile], list[str]]:
    """Return the delivered files with their sources, and a message for each invalid file.

    Parameters
    ----------
    folder : Path
        The extracts folder.
    sources : list of Source
        All declarations.

    Returns
    -------
    tuple of (list of DeliveredFile, list of str)
        Files by path, once for each entity that they feed, and one line for each file with two
        declarations for one entity, a name that does not fit its declaration, or an unsafe archive.

    Raises
    ------
    LandingError
        If none of the folder's files is declared.
    """
    files: list[DeliveredFile] = []
    faults: list[str] = []
    for path, file_path in walk_folder(folder, faults):
        try:
            if not path.is_dir():
                files.extend(_match_declarations(path, file_path, sources))
            elif containers.is_unfinished_table(path, folder):
                faults.append(
                    f"{file_path}: the folder contains no file {SUCCESS_MARKER}, so Spark did not"
                    " finish writing it. Ask the provider for the complete folder, or delete it. If"
                    f" it is complete, add an empty file {SUCCESS_MARKER}."
                )
        except FileFault as fault:
            faults.append(fault.format_line(file_path))
        except OSError as error:
            faults.append(
                f"{file_path}: the file cannot be read ({error.strerror}). Correct its permissions."
            )
    if not faults and not any(file.source for file in files):
        hints = [f"{file.file_path}: {file.hint}" for file in files if file.hint]
        raise LandingError(
            f"{folder}: none of the {len(files)} files in this folder matches a declaration in"
            " models/staging/<provider>/<provider>.toml. Set EXTRACTS_DIR to the folder that"
            " contains the deliveries, or declare the files.",
            *hints,
        )
    return sorted(files, key=lambda file: file.file_path), faults


def walk_folder(
    folder: Path, faults: list[str], prefix: str = "", parents: tuple[tuple[int, int], ...] = ()
) -> Iterator[tuple[Path, str]]:
    """Yield all files and subfolders of a folder, sorted by name, following symbolic links.

    Files that are not deliveries are skipped, as are all files in hidden folders.

    Parameters
    ----------
    folder : Path
        The extracts folder, or a folder inside it.
    faults : list of str
        Receives one line for each folder or link that cannot be followed.
    prefix : str
        Escaped path of the folder below the extracts folder, ending in "/".
    parents : tuple of tuple of (int, int)
        Device and inode of each parent folder, which detect cycles of links.

    Yields
    ------
    tuple of (Path, str)
        Path, and escaped path below the extracts folder.
    """
    try:
        status = folder.stat()
        paths = sorted(folder.iterdir())
    except OSError as error:
        faults.append(
            f"{prefix.removesuffix('/') or folder}: the folder cannot be read ({error.strerror})."
            " Correct its permissions, or remove it from the extracts folder."
        )
        return
    if prefix:
        yield folder, prefix.removesuffix("/")
    parents = (*parents, (status.st_dev, status.st_ino))
    for path in paths:
        file_path = prefix + escape_name(path.name)
        if is_ignored(f"{file_path}/any"):
            continue
        try:
            target = path.stat()
        except OSError as error:
            if not is_ignored(file_path):
                faults.append(
                    f"{file_path}: the file cannot be read ({error.strerror}). Correct its"
                    " permissions. If it is a link, restore its target, or delete the link."
                )
            continue
        if stat.S_ISREG(target.st_mode):
            if not is_ignored(file_path):
                yield path, file_path
        # Do not follow symbolic links to a parent folder, which would cause an endless loop.
        elif stat.S_ISDIR(target.st_mode) and (target.st_dev, target.st_ino) not in parents:
            yield from walk_folder(path, faults, f"{file_path}/", parents)
        elif not stat.S_ISDIR(target.st_mode) and not is_ignored(file_path):
            faults.append(
                f"{file_path}: it is neither a file nor a folder. Deliver a regular file, or remove"
                " it from the extracts folder."
            )


def escape_name(name: str) -> str:
    r"""Return a file name with control characters and undecodable bytes escaped as \xNN.

    Control characters are written as \xNN and, if the name is not UTF-8, so is each byte beyond
    ASCII. Backslashes are doubled, so that the original name can be recovered.
    """
    last = "\U0010ffff"
    if not is_utf_8(name):
        name, last = os.fsencode(name).decode("latin-1"), "\x7e"
    marks = name.replace("\\", "\\\\")
    return "".join(
        f"\\x{ord(mark):02x}" if mark < " " or mark == "\x7f" or mark > last else mark
        for mark in marks
    )


def decode_name(name: str) -> str:
    """Decode a file name as UTF-8 or GB18030; escape the name if both fail.

    Older Chinese computers wrote names in GB18030, which is tried if the name is not UTF-8.
    """
    try:
        return name if is_utf_8(name) else os.fsencode(name).decode("gb18030")
    except UnicodeDecodeError:
        return escape_name(name)


@contextmanager
def closing_archives(files: list[DeliveredFile]) -> Iterator[None]:
    """Close all archives that `find_delivered_files` opened, when the `with` block ends."""
    try:
        yield
    finally:
        for file in files:
            if file.member is not None:
                file.member[0].close()


def is_utf_8(name: str) -> bool:
    """Return whether a file name is valid UTF-8, so that it contains no surrogate escapes."""
    return not any("\udc80" <= character <= "\udcff" for character in name)


def is_ignored(file_path: str) -> bool:
    """Return whether a file is not a delivery, such as a hidden or temporary file or a README."""
    *_, name = parts = file_path.split("/")
    return (
        any(
            part.startswith((".", "~$")) or part in (SUCCESS_MARKER, "_temporary") for part in parts
        )
        or name == DESCRIPTION
        or name.startswith("README")
    )


def _match_declarations(path: Path, file_path: str, sources: list[Source]) -> list[DeliveredFile]:
    """Return a `DeliveredFile` for each source that a file, or a zip member, matches.

    An archive without declared members is returned as one file.
    """
    archive = containers.open_archive(path)
    # File patterns in declarations refer to the decoded path, not the escaped path.
    depth = file_path.count("/") + 1
    readable_path = "/".join(map(decode_name, path.parts[-depth:]))
    if archive is None:
        # A declared file pattern may omit the .gz ending.
        names = (
            [readable_path, readable_path.removesuffix(".gz")]
            if readable_path.endswith(".gz")
            else [readable_path]
        )
        matches = declarations.find_matching_sources(names, sources)
        if not matches:
            return [
                DeliveredFile(
                    path, file_path, hint=declarations.suggest_source(readable_path, sources)
                )
            ]
        return [DeliveredFile(path, file_path, source, values) for source, values in matches]
    files: list[DeliveredFile] = []
    try:
        members = containers.list_members(archive)
    except FileFault:
        archive.close()
        raise
    for name, info in members.items():
        if not is_ignored(name):
            # A file pattern may contain the archive's name as a folder, or match the unpacked path.
            unpacked_path = (Path(readable_path).parent / name).as_posix()
            matches = declarations.find_matching_sources(
                [f"{readable_path}/{name}", unpacked_path], sources
            )
            member_path, member = f"{file_path}/{name}", (archive, info)
            if not matches:
                hint = declarations.suggest_source(unpacked_path, sources)
                files.append(DeliveredFile(path, member_path, member=member, hint=hint))
            files += [
                DeliveredFile(path, member_path, source, values, member)
                for source, values in matches
            ]
    if any(file.source for file in files):
        return files
    archive.close()
    return [
        DeliveredFile(path, file_path, hint=declarations.suggest_source(readable_path, sources))
    ]
