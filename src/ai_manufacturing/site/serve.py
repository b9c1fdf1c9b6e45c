"""Serve a folder over HTTP, with compressed text files and range requests.

Run it with `python -m ai_manufacturing.site.serve`.
"""

import argparse
import functools
import gzip
import http.server
import io
import os
import re
from pathlib import Path
from typing import IO

TEXTS = (".html", ".js", ".css", ".json", ".geojson", ".svg", ".xml", ".csv", ".bib", ".txt", ".md")
RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


class Handler(http.server.SimpleHTTPRequestHandler):
    """HTTP request handler with gzip compression of text files and support for range requests.

    Responses have an ETag. A client that reads a file in parts can detect that a refresh has
    replaced the file, and does not mix two releases.
    """

    etag = ""

    def send_head(self) -> IO[bytes] | None:  # type: ignore[override]
        """Send the response headers, and return the response body as a file object."""
        path = Path(self.translate_path(self.path))
        path = (
            path / "index.html" if path.is_dir() and self.path.split("?")[0].endswith("/") else path
        )
        if not self._is_below(path):
            self.send_error(404, "File not found")
            return None
        etag = _compute_etag(path) if path.is_file() else ""
        is_current = self.headers.get("If-Range", etag) == etag
        requested_range = RANGE.match(self.headers.get("Range", "").strip()) if is_current else None
        is_compressed = path.suffix in TEXTS and "gzip" in self.headers.get("Accept-Encoding", "")
        self.etag = etag if requested_range or not is_compressed else ""
        if not path.is_file() or not (
            (requested_range and requested_range[0] != "bytes=-") or is_compressed
        ):
            return super().send_head()
        if requested_range is None:
            return self._send(
                200, gzip.compress(path.read_bytes(), 6), path, {"Content-Encoding": "gzip"}
            )
        size = path.stat().st_size
        first, last = requested_range.groups()
        start = int(first) if first else max(size - int(last), 0)
        end = min(int(last) if first and last else size - 1, size - 1)
        if start > end:
            return self._send(416, b"", path, {"Content-Range": f"bytes */{size}"})
        with path.open("rb") as file:
            file.seek(start)
            part = file.read(end + 1 - start)
        return self._send(206, part, path, {"Content-Range": f"bytes {start}-{end}/{size}"})

    def _is_below(self, path: Path) -> bool:
        """Return whether a path exists and resolves to a location inside the served folder."""
        is_regular = path.is_file() or path.is_dir()
        return is_regular and path.resolve().is_relative_to(Path(self.directory).resolve())

    def _send(self, status: int, content: bytes, path: Path, headers: dict[str, str]) -> io.BytesIO:
        self.send_response(status)
        standard_headers = {
            "Content-Type": self.guess_type(path),
            "Content-Length": str(len(content)),
            "Vary": "Accept-Encoding",
        }
        for name, value in (standard_headers | headers).items():
            self.send_header(name, value)
        self.end_headers()
        return io.BytesIO(content)

    def end_headers(self) -> None:
        """Add the Accept-Ranges and ETag headers to the response."""
        self.send_header("Accept-Ranges", "bytes")
        if self.etag:
            self.send_header("ETag", self.etag)
        super().end_headers()


def _compute_etag(path: Path) -> str:
    status = path.stat()
    return f'"{status.st_mtime_ns:x}-{status.st_size:x}"'


def make_server(folder: Path, port: int) -> http.server.ThreadingHTTPServer:
    """Return a server for a folder on the loopback interface; port 0 selects a free port."""
    return http.server.ThreadingHTTPServer(
        ("127.0.0.1", port), functools.partial(Handler, directory=os.fspath(folder))
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("port", type=int, nargs="?", default=8000)
    arguments = parser.parse_args()
    with make_server(arguments.folder, arguments.port) as serving:
        print(f"http://127.0.0.1:{serving.server_port}/")
        serving.serve_forever()
