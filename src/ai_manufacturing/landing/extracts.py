"""The extracts folder: which files were delivered, and which declaration each one answers to."""

import datetime
import difflib
import fnmatch
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ai_manufacturing.landing import containers
from ai_manufacturing.landing.containers import Archive
from ai_manufacturing.landing.declarations import Source
from ai_manufacturing.landing.errors import FileFault, LandingError

DESCRIPTION = "extract_set.yml"
KINDS = ("delivered", "synthetic")
SUCCESS_MARKER = "_SUCCESS"
SPARK_PART = re.compile(r"part-([mr]-)?\d{5}\b.*")


@dataclass(frozen=True)
class ExtractSet:
    """The files that were delivered together; a synthetic set is invented."""

    name: str
    kind: str


@dataclass(frozen=True)
class DeliveredFile:
    """A file, or a member of an archive, and its declaration; None where nobody declared it, and a hint why."""

    path: Path
    file_path: str
    source: Source | None = None
    file_name_values: dict[str, str] = field(default_factory=dict)
    member: tuple[Archive, zipfile.ZipInfo] | None = None
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
            If it is a member of an archive that is damaged, expands beyond the limits or is an archive itself.
        """
        if self.member is None:
            return self.path.read_bytes()
        content = containers.read_member(*self.member)
        containers.refuse_nested(content, "the member")
        return content


def extract_set(folder: Path) -> ExtractSet:
    """Return what a folder says of itself in extract_set.yml, or its name and "delivered".

    Parameters
    ----------
    folder : Path
        The extracts folder.

    Returns
    -------
    ExtractSet
        Its name and its kind, "synthetic" or "delivered".

    Raises
    ------
    LandingError
        If there is no such folder, or its extract_set.yml is not YAML or gives another kind.
    """
    if not folder.is_dir():
        raise LandingError(
            [f"{folder}: there is no such folder. Set EXTRACTS_DIR, or run `make setup` for the synthetic sample."]
        )
    path = folder / DESCRIPTION
    if not path.is_file():
        return ExtractSet(folder.name, "delivered")
    import yaml  # here, because most extract sets do not describe themselves

    try:
        described = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        found = ExtractSet(str(described.get("name", folder.name)), described.get("kind", "delivered"))
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError) as error:
        raise LandingError([f"{DESCRIPTION}: not a YAML mapping ({error}). Correct or delete it."]) from error
    if found.kind not in KINDS:
        raise LandingError([f'{DESCRIPTION}: kind is "{found.kind}". Write one of {", ".join(KINDS)}.'])
    return found


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
        The files by path, and one line for each file with more than one declaration, a name that its declaration
        cannot use, or an archive that cannot be trusted.

    Raises
    ------
    LandingError
        If none of the folder's files is declared.
    """
    files: list[DeliveredFile] = []
    faults: list[str] = []
    for path in sorted(folder.rglob("*")):
        file_path = path.relative_to(folder).as_posix()
        if path.is_dir() and is_half_written(path, folder):
            faults.append(
                f"{file_path}: Spark did not finish writing this folder: it has no {SUCCESS_MARKER}. Ask for the whole "
                f"folder, or delete it; if it is whole, put an empty file {SUCCESS_MARKER} into it."
            )
        if is_no_delivery(file_path) or not path.is_file():
            continue
        try:
            files.extend(_delivered(path, file_path, sources))
        except FileFault as fault:
            faults.append(fault.line(file_path))
        except OSError as error:
            faults.append(f"{file_path}: cannot be read ({error.strerror}). Correct its permissions.")
    if not faults and not any(file.source for file in files):
        hints = [f"{file.file_path}: {file.hint}" for file in files if file.hint]
        raise LandingError(
            [
                f"{folder}: none of its {len(files)} files is declared in models/staging/<provider>/<provider>.toml. "
                "Set EXTRACTS_DIR to the folder of the deliveries, or declare them.",
                *hints,
            ]
        )
    return sorted(files, key=lambda file: file.file_path), faults


@contextmanager
def closing_archives(files: list[DeliveredFile]) -> Iterator[None]:
    """Close the archives that delivered_files has opened, once all is read."""
    try:
        yield
    finally:
        for file in files:
            if file.member is not None:
                file.member[0].opened.close()


def is_utf_8(name: str) -> bool:
    """Whether the bytes of a path's name are UTF-8; Python keeps the others as lone surrogates."""
    return not any("\udc80" <= character <= "\udcff" for character in name)


def is_half_written(folder: Path, root: Path) -> bool:
    """Whether Spark began to write a folder below the root and did not end, or somebody copied a part of it.

    Spark marks a partitioned table as whole in the folder of the table.
    """
    begun = (folder / "_temporary").exists() or any(SPARK_PART.fullmatch(path.name) for path in folder.glob("part-*"))
    above = [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]
    return begun and not any((parent / SUCCESS_MARKER).exists() for parent in above)


def is_no_delivery(file_path: str) -> bool:
    """Whether a file is hidden, left by an open spreadsheet, Spark's own, or describes the others."""
    *_, name = parts = file_path.split("/")
    return (
        any(part.startswith((".", "~$")) or part in (SUCCESS_MARKER, "_temporary") for part in parts)
        or name == DESCRIPTION
        or name.startswith("README")
    )


def _delivered(path: Path, file_path: str, sources: list[Source]) -> list[DeliveredFile]:
    """Return a file, or the members of an archive of which any is declared."""
    archive = containers.archive(path)
    if archive is None:
        # a gzip file may be declared by what it holds
        names = [file_path, file_path.removesuffix(".gz")] if file_path.endswith(".gz") else [file_path]
        source, values = _declaration(names, sources)
        return [DeliveredFile(path, file_path, source, values, hint=None if source else _hint(file_path, sources))]
    found: list[DeliveredFile] = []
    try:
        members = containers.members(archive)
    except FileFault:
        archive.opened.close()
        raise
    for name, info in members.items():
        if not is_no_delivery(name):
            # and a member as if it lay where the archive lies
            beside = (Path(file_path).parent / name).as_posix()
            source, values = _declaration([f"{file_path}/{name}", beside], sources)
            hint = None if source else _hint(beside, sources)
            found.append(DeliveredFile(path, f"{file_path}/{name}", source, values, (archive, info), hint))
    if any(file.source for file in found):
        return found
    archive.opened.close()
    return [DeliveredFile(path, file_path, hint=_hint(file_path, sources))]


def _declaration(names: list[str], sources: list[Source]) -> tuple[Source | None, dict[str, str]]:
    """Return the declaration that one of a file's names answers to, and what the name says."""
    declared = [source for source in sources if any(_matches(name, source.files) for name in names)]
    if not declared:
        return None, {}
    if len(declared) > 1:
        both = " and ".join(f"{source.provider}.{source.name}" for source in declared)
        raise FileFault(f"declared twice, by {both}. Make their `files` patterns exclude each other.")
    (source,) = declared
    if not source.file_name:
        return source, {}
    for name in names:
        if match := re.fullmatch(source.file_name, name.rsplit("/", 1)[-1]):
            return source, match.groupdict(default="")
    raise FileFault(
        f"the name does not fit file_name of {source.provider}.{source.name}, {source.file_name}. "
        "Rename the file, or correct the declaration."
    )


def _hint(file_path: str, sources: list[Source]) -> str | None:
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


def _matches(file_path: str, pattern: str) -> bool:
    """Whether a path fits a pattern, as Path.glob has it: a star stays inside a folder, two stars do not."""
    return _parts_match(file_path.split("/"), pattern.split("/"))


def _parts_match(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    first, *others = patterns
    if first == "**":
        return any(_parts_match(parts[start:], others) for start in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], first) and _parts_match(parts[1:], others)
