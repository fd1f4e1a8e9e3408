"""llama.cpp's own server in a process of its own, and what it tells about itself."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import needs
from tests.e2e.process import HOST, free_port
from tests.real import build

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 60.0  # seconds for it to load a model of 25 MB on a busy machine


def write_model(path: Path) -> Path:
    """The tiny model. It is written by the environment of this suite, which has the package for that."""
    needs.program(build.server(), build.CURE)
    python = needs.program(ROOT / ".real/bin/python", "make test-real")
    maker = Path(__file__).with_name("gguf_model.py")
    subprocess.run([python, maker, build.vocabulary(), build.template(), path], check=True, timeout=300)
    return path


class Llama:
    """The server on a port that it keeps, however often it is killed and started again."""

    def __init__(self, model: Path, log: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.log = log
        listen = ["--host", HOST, "--port", str(self.port), "--threads", "1"]
        self._command = [str(build.server()), "--model", str(model), "--metrics", *listen, *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)

    def wait(self) -> None:
        """Until its model is loaded."""
        until = time.monotonic() + PATIENCE
        while not self.ready():
            assert self._process is not None
            assert self._process.poll() is None, self.log.read_text("utf-8", "replace")[-3000:]
            assert time.monotonic() < until, self.log.read_text("utf-8", "replace")[-3000:]
            time.sleep(0.05)

    def ready(self) -> bool:
        try:
            return bool(self.get("/health") == {"status": "ok"})
        except OSError:  # an HTTP error is one too
            return False

    def kill(self) -> None:
        """As a crash does it: without a word."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        head = {"content-type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", json.dumps(body).encode(), head)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def tokens(self, text: str) -> int:
        """How many the vocabulary makes of it."""
        return len(self.post("/tokenize", {"content": text})[1]["tokens"])

    def bias(self, words: str) -> dict[str, int]:
        """A `logit_bias` after which it says nothing but these tokens."""
        return {str(token): 100 for token in self.post("/tokenize", {"content": words})[1]["tokens"]}

    def busy(self) -> int:
        """Slots that are at work."""
        return sum(slot["is_processing"] for slot in self.get("/slots"))

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            found = re.search(rf"^llamacpp:{name} (\S+)$", answer.read().decode(), re.MULTILINE)
        assert found, name
        return float(found[1])


@contextmanager
def running(model: Path, folder: Path, *options: str) -> Iterator[Llama]:
    llama = Llama(model, folder / "llama.log", *options)
    llama.start()
    try:
        llama.wait()
        yield llama
    finally:
        llama.kill()
