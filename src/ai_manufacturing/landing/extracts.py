"""The extracts folder: which files were delivered, and which declaration each one answers to."""

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
from ai_manufacturing.system.declared import Declared, faults

DESCRIPTION = "extract_set.yml"
NAME_LIMIT = 255  # bytes of a file's name, as file systems have it
UNSEEN = ("Cc", "Cf", "Zl", "Zp")  # two names that differ by these alone look the same


class Period(Declared):
    """The years that a set is built for, and the one whose AI share equation 2 holds fixed.

    If the set does not reach that one, its nearest year serves.
    """

    first_year: int
    last_year: int
    base_year: int

    @model_validator(mode="after")
    def _is_plausible(self) -> Self:
        earliest, latest = settings.variables()["plausible_years"]
        if not (
            earliest <= self.first_year <= self.last_year <= latest
            and earliest <= self.base_year <= latest
        ):
            raise ValueError(
                f"first_year is {self.first_year}, last_year {self.last_year} and base_year "
                f"{self.base_year}. Write years from {earliest} to {latest}, the first before the "
                "last; those that you leave out are of dbt_project.yml"
            )
        return self


class ExtractSet(Declared):
    """The files that were delivered together; the numbers of a synthetic set are not real.

    `period` is None where the set names none, and is built for the one of dbt_project.yml. A set
    that is not meant to have headline estimates, such as a register alone, declares
    `has_estimates: false`.
    """

    name: str
    kind: Literal["delivered", "synthetic"] = "delivered"
    period: Period | None = None
    has_estimates: bool = True

    @field_validator("name")
    @classmethod
    def _is_one_line(cls, name: str) -> str:
        if not name.strip() or any(unicodedata.category(mark) in UNSEEN for mark in name):
            raise ValueError("not a text of one line")
        if len(quote(name)) > NAME_LIMIT:
            raise ValueError(f"longer than {NAME_LIMIT} bytes as a folder's name")
        return name

    @field_validator("period", mode="before")
    @classmethod
    def _with_years_of_the_project(cls, declared: Any) -> Any:
        if not isinstance(declared, dict) or not declared:
            raise ValueError("not a table of years, such as {first_year: 2010, last_year: 2022}")
        of_project = settings.variables()
        return {name: of_project[name] for name in Period.model_fields} | declared


@dataclass(frozen=True)
class DeliveredFile:
    """A file, or a member of an archive, and one declaration of it.

    None where nobody declared it, and a hint why.
    """

    path: Path
    file_path: str
    source: Source | None = None
    file_name_values: dict[str, str] = field(default_factory=dict)
    member: tuple[zipfile.ZipFile, zipfile.ZipInfo] | None = None
    hint: str | None = None

    @property
    def modified_at(self) -> datetime.datetime:
        """When the file, or the archive that holds it, was last changed, in UTC."""
        modified = datetime.datetime.fromtimestamp(self.path.stat().st_mtime, datetime.UTC)
        return modified.replace(microsecond=0, tzinfo=None)

    def read(self) -> bytes:
        """Return the bytes of the file.

        Raises
        ------
        FileFault
            If it or a line of it is larger than the limits, or it is a member of an archive that
            is damaged, expands beyond the limits or is an archive itself.
        """
        if self.member is None:
            containers.check_size(self.path.stat().st_size)
            for _ in formats.short_lines(self.chunks()):
                pass
            return self.path.read_bytes()
        content = b"".join(formats.short_lines(self.chunks()))
        containers.refuse_nested(content, "the member")
        return content

    def digest(self) -> tuple[str, int]:
        """Return the SHA-256 and the size of the file."""
        digest, size = hashlib.sha256(), 0
        for chunk in self.chunks():
            digest.update(chunk)
            size += len(chunk)
        return digest.hexdigest(), size

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes of the file a megabyte at a time, so that it is never whole in memory."""
        if self.member is not None:
            yield from containers.stream_member(*self.member)
            return
        with self.path.open("rb") as content:
            yield from containers.chunks(content)


def extract_set(folder: Path) -> ExtractSet:
    """Return what a folder says of itself in extract_set.yml, or its name and "delivered".

    Parameters
    ----------
    folder : Path
        The extracts folder.

    Returns
    -------
    ExtractSet
        Its name, its kind, "synthetic" or "delivered", the period that it names, and whether it is
        meant to have estimates.

    Raises
    ------
    LandingError
        If there is no such folder, or its extract_set.yml is not YAML, names no set, gives another
        kind or a period that cannot be one.
    """
    if not folder.is_dir():
        raise LandingError(
            f"{folder}: there is no such folder. Set EXTRACTS_DIR, or run `make setup` for the"
            " synthetic sample."
        )
    described = _description(folder / DESCRIPTION)
    values = {"name": escaped(folder.name)}
    values |= {name: described[name] for name in ExtractSet.model_fields if name in described}
    try:
        return ExtractSet.model_validate(values)
    except ValidationError as error:
        lines = faults(error, values, DESCRIPTION, "Correct or delete the line.")
        raise LandingError(*lines) from error


def _description(path: Path) -> dict[str, Any]:
    """Return what extract_set.yml says; nothing if there is none."""
    if not path.is_file():
        return {}
    from ruamel.yaml.error import YAMLError

    try:
        described = _parsed(path.read_bytes()) or {}
    except OSError as error:
        raise LandingError(
            f"{DESCRIPTION}: cannot be read ({error.strerror}). Correct its permissions."
        ) from error
    except (YAMLError, ValueError) as error:
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        raise LandingError(
            f"{DESCRIPTION}: not a YAML mapping ({reason}). Correct or delete it."
        ) from error
    if not isinstance(described, dict):
        raise LandingError(
            f"{DESCRIPTION}: not a YAML mapping. Write lines such as name: autumn, or delete it."
        )
    return described


@lru_cache(maxsize=4)  # a command asks more than once, and a parse takes 70 ms
def _parsed(content: bytes) -> Any:
    from ruamel.yaml import YAML  # here, because most extract sets do not describe themselves

    return YAML(typ="safe", pure=True).load(content)


def delivered_files(folder: Path, sources: list[Source]) -> tuple[list[DeliveredFile], list[str]]:
    """Find the delivered files and their declarations.

    Parameters
    ----------
    folder : Path
        The extracts folder.
    sources : list of Source
        All declarations.

    Returns
    -------
    tuple of (list of DeliveredFile, list of str)
        The files by path, once for each entity that they feed, and one line for each file with two
        declarations for one entity, a name that its declaration cannot use, or an archive that
        cannot be trusted.

    Raises
    ------
    LandingError
        If none of the folder's files is declared.
    """
    files: list[DeliveredFile] = []
    faults: list[str] = []
    for path, file_path in walk(folder, faults):
        try:
            if not path.is_dir():
                files.extend(_delivered(path, file_path, sources))
            elif containers.is_half_written(path, folder):
                faults.append(
                    f"{file_path}: Spark did not finish writing this folder: it has no"
                    f" {SUCCESS_MARKER}. Ask for the whole folder, or delete it; if it is whole,"
                    f" put an empty file {SUCCESS_MARKER} into it."
                )
        except FileFault as fault:
            faults.append(fault.line(file_path))
        except OSError as error:
            faults.append(
                f"{file_path}: cannot be read ({error.strerror}). Correct its permissions."
            )
    if not faults and not any(file.source for file in files):
        hints = [f"{file.file_path}: {file.hint}" for file in files if file.hint]
        raise LandingError(
            f"{folder}: none of its {len(files)} files is declared in"
            " models/staging/<provider>/<provider>.toml. Set EXTRACTS_DIR to the folder of the"
            " deliveries, or declare them.",
            *hints,
        )
    return sorted(files, key=lambda file: file.file_path), faults


def walk(
    folder: Path, faults: list[str], below: str = "", above: tuple[tuple[int, int], ...] = ()
) -> Iterator[tuple[Path, str]]:
    """Yield the folders and files below a folder, by name; a link is what it leads to.

    Parameters
    ----------
    folder : Path
        The extracts folder, or one in it.
    faults : list of str
        Takes one line for each folder or link that cannot be followed.
    below : str
        Path of the folder below the extracts folder, escaped, with its "/".
    above : tuple of tuple of (int, int)
        Device and inode of the folders that it lies in.

    Yields
    ------
    tuple of (Path, str)
        The path, and its path below the extracts folder, escaped. Without what is no delivery, and
        what lies below it.
    """
    try:
        status = folder.stat()
        paths = sorted(folder.iterdir())
    except OSError as error:
        faults.append(
            f"{below.removesuffix('/') or folder}: the folder cannot be read ({error.strerror})."
            " Correct its permissions, or take it out of the extracts folder."
        )
        return
    if below:
        yield folder, below.removesuffix("/")
    above = (*above, (status.st_dev, status.st_ino))
    for path in paths:
        file_path = below + escaped(path.name)
        if is_no_delivery(f"{file_path}/any"):
            continue
        try:
            target = path.stat()
        except OSError as error:
            if not is_no_delivery(file_path):
                faults.append(
                    f"{file_path}: cannot be read ({error.strerror}). Correct its permissions;"
                    " restore the target of a link, or delete it."
                )
            continue
        if stat.S_ISREG(target.st_mode):
            if not is_no_delivery(file_path):
                yield path, file_path
        # a link to a folder above leads to what is read already
        elif stat.S_ISDIR(target.st_mode) and (target.st_dev, target.st_ino) not in above:
            yield from walk(path, faults, f"{file_path}/", above)
        elif not stat.S_ISDIR(target.st_mode) and not is_no_delivery(file_path):
            faults.append(
                f"{file_path}: it is neither a file nor a folder. Deliver a regular file, or take"
                " it out of the extracts folder."
            )


def escaped(name: str) -> str:
    r"""Return a file's name as text.

    A control character is written as \xNN, and in a name that is not UTF-8 each byte beyond ASCII.
    A backslash is doubled, so that the name can be had back.
    """
    last = "\U0010ffff"
    if not is_utf_8(name):
        name, last = os.fsencode(name).decode("latin-1"), "\x7e"
    marks = name.replace("\\", "\\\\")
    return "".join(
        f"\\x{ord(mark):02x}" if mark < " " or mark == "\x7f" or mark > last else mark
        for mark in marks
    )


def readable(name: str) -> str:
    """Return a name as its writer saw it.

    Old Chinese machines wrote GB18030, which is tried where UTF-8 fails.
    """
    try:
        return name if is_utf_8(name) else os.fsencode(name).decode("gb18030")
    except UnicodeDecodeError:
        return escaped(name)


@contextmanager
def closing_archives(files: list[DeliveredFile]) -> Iterator[None]:
    """Close the archives that delivered_files has opened, once all is read."""
    try:
        yield
    finally:
        for file in files:
            if file.member is not None:
                file.member[0].close()


def is_utf_8(name: str) -> bool:
    """Whether the bytes of a path's name are UTF-8; Python keeps the others as lone surrogates."""
    return not any("\udc80" <= character <= "\udcff" for character in name)


def is_no_delivery(file_path: str) -> bool:
    """Whether a file is hidden, a spreadsheet's or Spark's own, or describes the others."""
    *_, name = parts = file_path.split("/")
    return (
        any(
            part.startswith((".", "~$")) or part in (SUCCESS_MARKER, "_temporary") for part in parts
        )
        or name == DESCRIPTION
        or name.startswith("README")
    )


def _delivered(path: Path, file_path: str, sources: list[Source]) -> list[DeliveredFile]:
    """Return a file, or the members of an archive, once for each of their declarations.

    An archive of which no member is declared is a file.
    """
    archive = containers.archive(path)
    # declarations match the path that a person sees
    depth = file_path.count("/") + 1
    shown = "/".join(map(readable, path.parts[-depth:]))
    if archive is None:
        # a gzip file may be declared by what it holds
        names = [shown, shown.removesuffix(".gz")] if shown.endswith(".gz") else [shown]
        claims = declarations.claiming(names, sources)
        if not claims:
            return [DeliveredFile(path, file_path, hint=declarations.nearest(shown, sources))]
        return [DeliveredFile(path, file_path, source, values) for source, values in claims]
    files: list[DeliveredFile] = []
    try:
        members = containers.members(archive)
    except FileFault:
        archive.close()
        raise
    for name, info in members.items():
        if not is_no_delivery(name):
            # and a member as if it lay where the archive lies
            beside = (Path(shown).parent / name).as_posix()
            claims = declarations.claiming([f"{shown}/{name}", beside], sources)
            member_path, member = f"{file_path}/{name}", (archive, info)
            if not claims:
                hint = declarations.nearest(beside, sources)
                files.append(DeliveredFile(path, member_path, member=member, hint=hint))
            files += [
                DeliveredFile(path, member_path, source, values, member)
                for source, values in claims
            ]
    if any(file.source for file in files):
        return files
    archive.close()
    return [DeliveredFile(path, file_path, hint=declarations.nearest(shown, sources))]
