"""Read gzip files, zip archives and Spark output, with limits on size and memory use.

Paths that an archive names are never written to, and nothing is read beyond the size limits.
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
EXPANDED_LIMIT = 2**30  # maximum bytes of uncompressed content
WHOLE_LIMIT = 2**32  # maximum bytes of a file that is read into memory at once
RATIO_LIMIT = 200  # maximum ratio of uncompressed to compressed size
RATIO_FLOOR = 2**24  # uncompressed bytes up to which any ratio is allowed
CHUNK = 2**20  # bytes
SUCCESS_MARKER = "_SUCCESS"
SPARK_PART = re.compile(r"part-([mr]-)?\d{5}\b.*")
# Names of zip members that point outside the archive or contain control characters.
OUTSIDE_NAME = re.compile(r"/|[A-Za-z]:|(?:.*/)?\.\.(?:/|$)|.*[\x00-\x1f\x7f-\x9f]", re.DOTALL)


def is_zip(head: bytes) -> bool:
    """Return whether a file starts with a zip signature, as XLSX workbooks also do."""
    return head.startswith(ZIP_MAGIC)


def is_gzip(head: bytes) -> bool:
    """Return whether a file starts with the gzip signature."""
    return head.startswith(GZIP_MAGIC)


def ungzip(content: bytes, check: Callable[[Iterator[bytes]], Iterator[bytes]] = iter) -> bytes:
    """Return the uncompressed content of a gzip file.

    Parameters
    ----------
    content : bytes
        The gzip file.
    check : callable
        Filter for the uncompressed chunks, which may raise if they must not be read.

    Raises
    ------
    FileFault
        If the file is damaged, expands beyond the limits, or contains another archive.
    """
    chunks, size = [], 0
    try:
        with gzip.open(io.BytesIO(content)) as stream:
            for chunk in check(read_chunks(stream)):
                chunks.append(chunk)
                size += len(chunk)
                check_expansion(size, len(content), "the gzip file")
    except (OSError, EOFError, zlib.error) as error:
        raise FileFault(
            f"the file is not a complete gzip file ({error}). Ask the provider for the file again."
        ) from error
    result = b"".join(chunks)
    refuse_nested_archive(result, "the gzip file")
    return result


def refuse_nested_archive(content: bytes, holder: str) -> None:
    """Raise FileFault if the content of an archive is itself an archive."""
    if is_gzip(content[:4]) or (
        is_zip(content[:4]) and not _is_document(_open_zip(io.BytesIO(content)))
    ):
        raise FileFault(
            f"{holder} contains another archive. Ask the provider for the unpacked files."
        )


def open_archive(path: Path) -> zipfile.ZipFile | None:
    """Open a zip archive; return None for any other file, including an XLSX workbook.

    Raises
    ------
    FileFault
        If the archive is damaged, or its members expand beyond the limits.
    """
    with path.open("rb") as file:
        if not is_zip(file.read(4)):
            return None
    archive = _open_zip(path)
    if archive is None and path.suffix.lower() == ".zip":
        raise FileFault(
            "the file is not a complete zip archive. Ask the provider for the file again."
        )
    if archive is None or _is_document(archive):
        return None
    _check_members(archive, path.stat().st_size, "the archive")
    return archive


def list_members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the files in a zip archive by decoded name, after checking that they are safe.

    Raises
    ------
    FileFault
        If a name points outside the archive or occurs twice, or if a file is encrypted.
    """
    files: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = _decode_member_name(info)
        if name.endswith("/"):
            continue
        if OUTSIDE_NAME.match(name):
            raise FileFault(
                f"the path of the member {name!r} points outside the archive. Ask the provider for"
                " the unpacked files."
            )
        if name in files:
            raise FileFault(
                f'the archive contains the file "{name}" twice. Ask the provider for the unpacked'
                " files."
            )
        if info.flag_bits & 1:
            raise FileFault(
                f'the member "{name}" of the archive is encrypted. Ask the provider for an'
                " archive without a password."
            )
        files[name] = info
    return files


def stream_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of a zip member in chunks, to limit memory use.

    Raises
    ------
    FileFault
        If it is damaged, or its size is not the one that the archive declares.
    """
    try:
        with archive.open(info) as stream:
            yield from read_chunks(stream)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        name = _decode_member_name(info)
        raise FileFault(
            f'the member "{name}" of the archive cannot be unpacked ({error}). Ask the provider for'
            " the unpacked files."
        ) from error


def check_workbook(book: zipfile.ZipFile, size: int) -> None:
    """Raise if an XLSX workbook expands beyond the size limits or contains a damaged part."""
    _check_members(book, size, "the workbook")
    if bad_part := book.testzip():
        raise zipfile.BadZipFile(f"{bad_part} is damaged")


def _check_members(archive: zipfile.ZipFile, size: int, what: str) -> None:
    """Raise FileFault if the declared sizes of a zip archive's members exceed the limits.

    The declared sizes are sufficient, because zipfile never reads a member beyond its own.
    """
    check_expansion(sum(info.file_size for info in archive.infolist()), size, what)


def check_expansion(size: int, compressed_size: int, archive: str) -> None:
    """Raise FileFault if content expands beyond the limits on size or compression ratio."""
    if size > EXPANDED_LIMIT or (size > RATIO_FLOOR and size > RATIO_LIMIT * compressed_size):
        raise FileFault(
            f"{archive} expands from {compressed_size:,} bytes to at least {size:,} bytes. The"
            f" limits are {EXPANDED_LIMIT:,} bytes and {RATIO_LIMIT} times the compressed size. If"
            " this size is correct, deliver the file without compression."
        )


def check_size(size: int) -> None:
    """Raise FileFault if a file is too large to be read into memory at once."""
    if size > WHOLE_LIMIT:
        raise FileFault(
            f"the file has {size:,} bytes, which exceeds the limit of {WHOLE_LIMIT:,} bytes. If"
            " this size is correct, deliver the file in parts. If each row describes a firm or a"
            " patent, declare the file as a register instead."
        )


def read_chunks(stream: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    """Yield the content of a stream one megabyte at a time."""
    while chunk := stream.read(CHUNK):
        yield chunk


def _open_zip(file: Path | BinaryIO) -> zipfile.ZipFile | None:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None


def _is_document(archive: zipfile.ZipFile | None) -> bool:
    # Treat a damaged file as a workbook, because the workbook reader reports the damage.
    return archive is None or not {"[Content_Types].xml", "mimetype"}.isdisjoint(archive.namelist())


def _decode_member_name(info: zipfile.ZipInfo) -> str:
    """Return the file name of a zip member, decoded as UTF-8 or GB18030.

    Archivers flag UTF-8 names, and otherwise use the encoding of the machine that they run on.
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


def is_unfinished_table(folder: Path, root: Path) -> bool:
    """Return whether a folder contains Spark output that lacks the success marker.

    Spark writes the success marker of a partitioned table to the table's top folder only.
    """
    is_spark_table = (folder / "_temporary").exists() or any(
        SPARK_PART.fullmatch(path.name) for path in folder.glob("part-*")
    )
    folders = [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]
    return is_spark_table and not any((parent / SUCCESS_MARKER).exists() for parent in folders)
