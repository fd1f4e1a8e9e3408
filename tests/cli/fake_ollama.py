"""A small Ollama on a thread: lists models, makes derived ones, streams chat through a few slots."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.serving import on_a_thread

CHAT = {"name": "qwen3:4b", "size": 2_500_000_000}
LARGE = {"name": "qwen3:32b", "size": 20_000_000_000}
CLOUD = {"name": "gpt-oss:120b-cloud", "size": 400, "remote_host": "https://ollama.com:443"}
EMBED = {"name": "nomic-embed-text:latest", "size": 274_000_000}
CAPABILITIES = {
    "qwen3:4b": ["completion", "tools", "thinking"],
    "qwen3:32b": ["completion", "tools"],
    "gpt-oss:120b-cloud": ["completion"],
    "nomic-embed-text:latest": ["embedding"],
}


@dataclass
class FakeOllama:
    url: str
    created: list[dict[str, Any]] = field(default_factory=list)


@contextlib.contextmanager
def fake_ollama(
    models: Sequence[dict[str, Any]] = (LARGE, CHAT, EMBED, CLOUD), slots: int = 1, loaded: Sequence[str] = ()
) -> Iterator[FakeOllama]:
    """Serve until the block ends."""
    gate = threading.Semaphore(slots)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/api/tags":
                self._answer({"models": list(models)})
            elif self.path == "/api/ps":
                self._answer({"models": [{"name": name} for name in loaded]})
            else:
                self._answer({"version": "0.33.0"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if self.path == "/api/show":
                info = {"general.architecture": "qwen3", "qwen3.context_length": 40960}
                self._answer({"capabilities": CAPABILITIES.get(body["model"], []), "model_info": info})
            elif self.path == "/api/create":
                fake.created.append(body)
                self._answer({"status": "success"})
            else:
                self._chat()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

        def _answer(self, value: dict[str, Any]) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def _chat(self) -> None:
            with gate:
                self.send_response(200)
                self.end_headers()
                for number in range(6):
                    self.wfile.write(b'data: {"choices":[{"delta":{"content":"%d"}}]}\n\n' % number)
                    time.sleep(0.02)
                self.wfile.write(b"data: [DONE]\n\n")

    fake = FakeOllama("")
    with on_a_thread(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as fake.url:
        yield fake
