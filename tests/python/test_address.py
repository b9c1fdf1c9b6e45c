"""Tests for the web server of `make serve`: gzip compression and HTTP range requests."""

import gzip
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ai_manufacturing.site import serve

BYTES = bytes(range(100))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """Serve a folder with a text file and a binary file, and yield the URL."""
    (tmp_path / "index.html").write_text("text " * 1000, encoding="utf-8")
    (tmp_path / "release.duckdb").write_bytes(BYTES)
    with serve.make_server(tmp_path, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def asked(url: str, method: str = "GET", **headers: str) -> tuple[int, Any, bytes]:
    """Send an HTTP request, and return the status, headers and body of the response."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, headers=named, method=method)
    with urllib.request.urlopen(request) as answer:
        return answer.status, answer.headers, answer.read()


@pytest.mark.parametrize("path", ["/", "/index.html?language=en"])
def test_a_text_is_sent_packed_to_who_unpacks_it(served: str, path: str) -> None:
    _, headers, packed = asked(served + path, Accept_Encoding="gzip")
    assert (headers["Content-Encoding"], headers["Content-Type"]) == ("gzip", "text/html")
    assert len(packed) < 200
    assert gzip.decompress(packed) == b"text " * 1000
    _, headers, plain = asked(served + path)
    assert (headers["Content-Encoding"], plain) == (None, b"text " * 1000)


@pytest.mark.parametrize(
    ("part", "first", "last"),
    [
        ("bytes=10-19", 10, 19),
        ("bytes=90-", 90, 99),
        ("bytes=-5", 95, 99),
        ("bytes=95-500", 95, 99),
        ("bytes=0-0", 0, 0),
    ],
)
def test_a_part_of_a_file_is_sent_alone(served: str, part: str, first: int, last: int) -> None:
    status, headers, content = asked(f"{served}/release.duckdb", Range=part)
    assert (status, headers["Content-Range"]) == (206, f"bytes {first}-{last}/100")
    assert content == BYTES[first : last + 1]
    status, headers, content = asked(f"{served}/release.duckdb")
    assert (status, headers["Accept-Ranges"], content) == (200, "bytes", BYTES)
    _, headers, content = asked(f"{served}/release.duckdb", "HEAD")
    assert (headers["Content-Length"], content) == ("100", b"")


@pytest.mark.parametrize(
    ("path", "part", "status"),
    [
        ("/release.duckdb", "bytes=100-", 416),
        ("/nothing", "bytes=0-1", 404),
        ("/../../etc/passwd", "bytes=0-1", 404),
    ],
)
def test_a_part_that_is_not_there_is_refused(
    served: str, path: str, part: str, status: int
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        asked(served + path, Range=part)
    with refused.value as answer:
        assert answer.code == status


def test_a_file_that_was_replaced_has_another_version_and_gives_no_part_of_it(
    served: str, tmp_path: Path
) -> None:
    url = f"{served}/release.duckdb"
    _, headers, _ = asked(url)
    version = headers["ETag"]
    status, headers, content = asked(url, Range="bytes=3-5", If_Range=version)
    assert (status, headers["ETag"], content) == (206, version, BYTES[3:6])
    (tmp_path / "release.duckdb").write_bytes(b"newer" * 10)
    status, headers, content = asked(url, Range="bytes=3-5", If_Range=version)
    assert (status, content) == (200, b"newer" * 10)
    assert headers["ETag"] != version
