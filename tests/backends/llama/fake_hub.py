"""A hub of a few lines: what huggingface_hub asks for one file of one repository, on a thread.

`cut` ends the first so many answers in the middle, as a network does; `ranges` are the starts that were asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.serving import on_a_thread

COMMIT = "a" * 40


@dataclass
class FakeHub:
    files: dict[str, bytes]
    repo: str = "owner/repo"
    cut: int = 0
    gated: bool = False
    lie: bool = False  # its files are not what their names say
    url: str = ""
    ranges: list[int] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)


@contextlib.contextmanager
def fake_hub(**files: bytes) -> Iterator[FakeHub]:
    """`c=b"..."` is the file c.gguf."""
    hub = FakeHub({f"{name}.gguf": content for name, content in files.items()})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, *, body: bool) -> None:
            hub.keys.add(self.headers["authorization"])
            before, _, name = self.path.partition("/resolve/main/")
            content = hub.files.get(name)
            if before != f"/{hub.repo}":
                return self._refuse(404, "RepoNotFound")
            if hub.gated:
                return self._refuse(403, "GatedRepo")
            if content is None:
                return self._refuse(404, "EntryNotFound")
            start = int((self.headers["range"] or "bytes=0-").removeprefix("bytes=").partition("-")[0])
            self.send_response(206 if start else 200)
            name = hashlib.sha256(b"another" if hub.lie else content).hexdigest()
            for header, value in {"ETag": f'"{name}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}.items():
                self.send_header(header, value)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if body:
                self._send(content, start)

        def _send(self, content: bytes, start: int) -> None:
            hub.ranges.append(start)
            if hub.cut > 0:
                hub.cut -= 1
                self.wfile.write(content[start : start + (len(content) - start) // 2])
                self.close_connection = True
            else:
                self.wfile.write(content[start:])

        def _refuse(self, status: int, code: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *words: Any) -> None:
            """Quiet."""

    with on_a_thread(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as hub.url:
        yield hub
