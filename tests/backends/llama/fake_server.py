"""A llama-server of a few lines: `installed` puts it on a PATH of the test's own.

Its model is a JSON file that says how it behaves: `load` seconds of loading, `exit` a code to end with at once,
`stubborn` if it does not listen to SIGTERM, `words` seconds between the words of an answer. Beside that file it leaves
a line for each start: its process id, its words, the variables it could see.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

WORDS = 20  # of an answer


@dataclass(frozen=True)
class Start:
    """What one start left."""

    pid: int
    words: list[str]
    environ: list[str]

    def option(self, name: str) -> str:
        return self.words[self.words.index(name) + 1]


def installed(folder: Path) -> str:
    """A value for PATH on which the fake is `llama-server`."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "llama-server"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {__file__} "$@"\n')
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def model(folder: Path, name: str = "tiny", **behaviour: Any) -> Path:
    path = folder / f"{name}.gguf"
    path.write_text(json.dumps(behaviour))
    return path


def starts(model: Path) -> list[Start]:
    left = model.with_suffix(".starts")
    return [Start(**json.loads(line)) for line in left.read_text().splitlines()] if left.exists() else []


def lives(pid: int) -> bool:
    """False if it is not there, or only waits for somebody to ask how it ended."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def main() -> None:
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    model = Path(options["--model"])
    behaviour = json.loads(model.read_text())
    with model.with_suffix(".starts").open("a") as left:
        left.write(json.dumps({"pid": os.getpid(), "words": sys.argv[1:], "environ": sorted(os.environ)}) + "\n")
    print(f"loading {model.name}", flush=True)
    if "exit" in behaviour:
        sys.exit(behaviour["exit"])
    if behaviour.get("stubborn"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _serve(options, behaviour)


def _serve(options: dict[str, str], behaviour: dict[str, Any]) -> None:
    loaded = time.monotonic() + behaviour.get("load", 0.0)
    running: set[int] = set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if time.monotonic() < loaded:
                self._answer(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}})
            elif self.path == "/metrics":
                self._send(200, f"llamacpp:requests_processing {len(running)}\nllamacpp:requests_deferred 0\n".encode())
            elif self.path == "/props":
                window = int(options["--ctx-size"]) // int(options["--parallel"])
                self._answer(200, {"default_generation_settings": {"n_ctx": window}})
            else:
                self._answer(200, {"status": "ok"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            print(f"answering as {options['--alias']}", flush=True)
            running.add(threading.get_ident())
            try:
                self._chat(bool(body.get("stream")))
            finally:
                running.discard(threading.get_ident())

        def _chat(self, stream: bool) -> None:
            usage = {"prompt_tokens": 3, "completion_tokens": WORDS, "total_tokens": WORDS + 3}
            head = {"id": "chatcmpl-1", "created": 1, "model": options["--alias"]}
            if not stream:
                time.sleep(behaviour.get("words", 0.0) * WORDS)
                message = {"role": "assistant", "content": "word " * WORDS}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                return self._answer(200, {**head, "object": "chat.completion", "choices": [choice], "usage": usage})
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            for number in range(WORDS + 1):
                last = number == WORDS
                delta = {} if last else {"content": "word "}
                choice = {"index": 0, "delta": delta, "finish_reason": "stop" if last else None}
                self._event({**head, "object": "chat.completion.chunk", "choices": [choice]})
                time.sleep(behaviour.get("words", 0.0))
            self._event({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")
            self.close_connection = True

        def _event(self, value: dict[str, Any]) -> None:
            self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")

        def _answer(self, status: int, value: dict[str, Any]) -> None:
            self._send(status, json.dumps(value).encode())

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *words: Any) -> None:
            """Quiet."""

    ThreadingHTTPServer((options["--host"], int(options["--port"])), Handler).serve_forever()


if __name__ == "__main__":
    main()
