"""Folders of Spark, gzip and zip, opened with bounded memory and without trust.

Nothing is ever written to a path that an archive names, and nothing is read further than the
limits.
"""

import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, BinaryIO

from ai_manufacturing.landing.errors import FileFault

GZIP_MAGIC, ZIP_MAGIC = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06")
EXPANDED_LIMIT = 2**30
WHOLE_LIMIT = 2**32  # of a file that is read whole into memory
RATIO_LIMIT = 200
RATIO_FLOOR = 2**24  # a small file may be as repetitive as it likes
CHUNK = 2**20
SUCCESS_MARKER = "_SUCCESS"
SPARK_PART = re.compile(r"part-([mr]-)?\d{5}\b.*")
OUTSIDE = re.compile(r"/|[A-Za-z]:|(?:.*/)?\.\.(?:/|$)|.*[\x00-\x1f\x7f-\x9f]", re.DOTALL)
UNPACKED = "Ask the provider for the files unpacked."


def is_zip(head: bytes) -> bool:
    """Whether a file begins as a zip does; workbooks are zips too."""
    return head.startswith(ZIP_MAGIC)


def is_gzip(head: bytes) -> bool:
    """Whether a file begins as a gzip does."""
    return head.startswith(GZIP_MAGIC)


def ungzip(content: bytes, through: Callable[[Iterator[bytes]], Iterator[bytes]] = iter) -> bytes:
    """Return what a gzip file holds.

    Parameters
    ----------
    content : bytes
        The file.
    through : callable
        Takes the parts of what it holds, and yields them if they may be read.

    Raises
    ------
    FileFault
        If it is damaged, expands beyond the limits, or holds another archive.
    """
    parts, size = [], 0
    try:
        with gzip.open(io.BytesIO(content)) as stream:
            for part in through(chunks(stream)):
                parts.append(part)
                size += len(part)
                check_expansion(size, len(content), "the gzip file")
    except (OSError, EOFError, zlib.error) as error:
        raise FileFault(
            f"not a complete gzip file ({error}). Ask the provider for the file again."
        ) from error
    expanded = b"".join(parts)
    refuse_nested(expanded, "the gzip file")
    return expanded


def refuse_nested(content: bytes, holder: str) -> None:
    """Raise a fault if what an archive held is an archive again."""
    if is_gzip(content[:4]) or (
        is_zip(content[:4]) and not _is_document(_opened(io.BytesIO(content)))
    ):
        raise FileFault(f"{holder} holds another archive. {UNPACKED}")


def archive(path: Path) -> zipfile.ZipFile | None:
    """Return an opened zip archive; None of another file, or of a workbook, which is a zip too.

    Raises
    ------
    FileFault
        If it is damaged, or its members expand beyond the limits.
    """
    with path.open("rb") as file:
        if not is_zip(file.read(4)):
            return None
    opened = _opened(path)
    if opened is None and path.suffix.lower() == ".zip":
        raise FileFault("not a complete zip archive. Ask the provider for the file again.")
    if opened is None or _is_document(opened):
        return None
    _check_members(opened, path.stat().st_size, "the archive")
    return opened


def members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the files of an archive by name, in the encoding that the name was written in.

    Raises
    ------
    FileFault
        If a name leads out of the archive or stands twice, or a file is encrypted.
    """
    files: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = _member_name(info)
        if name.endswith("/"):
            continue
        if OUTSIDE.match(name):
            raise FileFault(f"the member {name!r} points outside the archive. {UNPACKED}")
        if name in files:
            raise FileFault(f'the archive holds "{name}" twice. {UNPACKED}')
        if info.flag_bits & 1:
            raise FileFault(
                f'the member "{name}" is encrypted. Ask the provider for it without a password.'
            )
        files[name] = info
    return files


def stream_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield what a member holds, a piece at a time, so that it is never whole in memory.

    Raises
    ------
    FileFault
        If it is damaged, or has another size than the archive declares.
    """
    try:
        with archive.open(info) as stream:
            yield from chunks(stream)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise FileFault(
            f'the member "{_member_name(info)}" cannot be unpacked ({error}). {UNPACKED}'
        ) from error


def check_workbook(book: zipfile.ZipFile, size: int) -> None:
    """Raise if the parts of a workbook expand beyond the limits, or one of them is damaged."""
    _check_members(book, size, "the workbook")
    if damaged := book.testzip():
        raise zipfile.BadZipFile(f"{damaged} is damaged")


def _check_members(opened: zipfile.ZipFile, size: int, what: str) -> None:
    """Raise a fault if the members of a zip expand beyond the limits by their declared sizes.

    Zipfile reads no member beyond its declared size.
    """
    check_expansion(sum(info.file_size for info in opened.infolist()), size, what)


def check_expansion(size: int, compressed_size: int, what: str) -> None:
    """Raise a fault if what was compressed expands beyond the limits."""
    if size > EXPANDED_LIMIT or (size > RATIO_FLOOR and size > RATIO_LIMIT * compressed_size):
        raise FileFault(
            f"{what} expands from {compressed_size:,} to {size:,} bytes or more, above the limits"
            f" of {EXPANDED_LIMIT:,} bytes and {RATIO_LIMIT} times. If that is right, deliver it"
            " unpacked."
        )


def check_size(size: int) -> None:
    """Raise a fault if a file is too large to be read whole; a sparse one may say any size."""
    if size > WHOLE_LIMIT:
        raise FileFault(
            f"the file has {size:,} bytes, above the limit of {WHOLE_LIMIT:,} bytes. If that is"
            " right, deliver it in parts; if a row is a firm or a patent, declare a register."
        )


def chunks(stream: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    """Yield what a stream holds, a megabyte at a time."""
    while chunk := stream.read(CHUNK):
        yield chunk


def _opened(file: Path | BinaryIO) -> zipfile.ZipFile | None:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None


def _is_document(opened: zipfile.ZipFile | None) -> bool:
    # what cannot be opened is left to the reader of workbooks, which says why
    return opened is None or not {"[Content_Types].xml", "mimetype"}.isdisjoint(opened.namelist())


def _member_name(info: zipfile.ZipInfo) -> str:
    """Return a member's name.

    Archivers mark UTF-8, and write anything else in the encoding of their machine.
    """
    name = info.orig_filename
    if not info.flag_bits & 0x800:
        raw = name.encode("cp437")
        for encoding in ("utf-8", "gb18030"):
            try:
                name = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    return name.replace("\\", "/")


def is_half_written(folder: Path, root: Path) -> bool:
    """Whether a folder below the root holds an unfinished table of Spark, or a part of one.

    Spark marks a partitioned table as whole in the folder of the table.
    """
    begun = (folder / "_temporary").exists() or any(
        SPARK_PART.fullmatch(path.name) for path in folder.glob("part-*")
    )
    above = [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]
    return begun and not any((parent / SUCCESS_MARKER).exists() for parent in above)
