"""The extracts folder: which files were delivered, and which declaration each one answers to."""

import re
from dataclasses import dataclass
from pathlib import Path

from ai_manufacturing.landing.declarations import Source
from ai_manufacturing.landing.errors import FileFault, LandingError
from ai_manufacturing.landing.formats import SUFFIXES

DESCRIPTION = "extract_set.yml"
KINDS = ("delivered", "synthetic")


@dataclass(frozen=True)
class ExtractSet:
    """The files that were delivered together; a synthetic set is invented."""

    name: str
    kind: str


@dataclass(frozen=True)
class DeliveredFile:
    """A file and its declaration, None where nobody declared it."""

    path: Path
    file_path: str
    source: Source | None
    file_name_values: dict[str, str]

    @property
    def file_format(self) -> str | None:
        """The format that the suffix says, None if it is not one that is read."""
        return SUFFIXES.get(self.path.suffix.lower())


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
        The files by path, and one line for each file with more than one declaration, or a name or format that its
        declaration cannot use.

    Raises
    ------
    LandingError
        If none of the folder's files is declared.
    """
    declared: dict[Path, list[Source]] = {}
    for source in sources:
        for path in folder.glob(source.files):
            declared.setdefault(path, []).append(source)

    files: list[DeliveredFile] = []
    faults: list[str] = []
    for path in folder.rglob("*"):
        file_path = path.relative_to(folder).as_posix()
        if not path.is_file() or _is_no_delivery(file_path):
            continue
        try:
            files.append(_delivered_file(path, file_path, declared.get(path, [])))
        except FileFault as fault:
            faults.append(fault.line(file_path))
    if not faults and not any(file.source for file in files):
        raise LandingError(
            [
                f"{folder}: none of its {len(files)} files is declared in models/staging/<provider>/<provider>.toml. "
                "Set EXTRACTS_DIR to the folder of the deliveries, or declare them."
            ]
        )
    return sorted(files, key=lambda file: file.file_path), faults


def _is_no_delivery(file_path: str) -> bool:
    """Whether a file is hidden, left by an open spreadsheet, or describes the others."""
    *_, name = parts = file_path.split("/")
    return any(part.startswith((".", "~$")) for part in parts) or name == DESCRIPTION or name.startswith("README")


def _delivered_file(path: Path, file_path: str, declared: list[Source]) -> DeliveredFile:
    if not declared:
        return DeliveredFile(path, file_path, None, {})
    if len(declared) > 1:
        names = " and ".join(f"{source.provider}.{source.name}" for source in declared)
        raise FileFault(f"declared twice, by {names}. Make their `files` patterns exclude each other.")
    (source,) = declared
    if path.suffix.lower() not in SUFFIXES:
        raise FileFault(f'the format "{path.suffix}" is not read, only {", ".join(SUFFIXES)}. Convert the file.')
    values: dict[str, str] = {}
    if source.file_name:
        match = re.fullmatch(source.file_name, path.name)
        if not match:
            raise FileFault(
                f"the name does not fit file_name of {source.provider}.{source.name}, {source.file_name}. "
                "Rename the file, or correct the declaration."
            )
        values = match.groupdict(default="")
    return DeliveredFile(path, file_path, source, values)
