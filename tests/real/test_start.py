"""llama.cpp's own server, found on PATH, started and looked after by the gateway."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.backends.llama.fake_server import lives
from tests.e2e.process import GatewayProcess, chat, exchange, free_port, gateway, post
from tests.e2e.test_started import CONFIG, state, until
from tests.real import build

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
SLOTS, WINDOW = 2, 1024


@dataclass(frozen=True)
class Started:
    gateway: GatewayProcess
    port: int
    state: Path

    def pids(self) -> list[int]:
        """Of the servers that were started, by the gateway's log."""
        lines = [json.loads(line) for line in self.gateway.log.read_text().splitlines() if '"llama-server"' in line]
        return [line["pid"] for line in lines if line["what"] == "started"]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return json.load(answer)

    def ask(self, text: str = "hello", **fields: object) -> bytes:
        return asyncio.run(exchange(self.gateway.port, post(chat(text, max_tokens=8, **fields)))) or b""


@pytest.fixture
def started(model: Path, tmp_path: Path) -> Iterator[Started]:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "llama-server").symlink_to(build.server())
    port = free_port()
    config = CONFIG.replace("1024", str(WINDOW)).format(at=port, price="unpriced", model=model, slots=SLOTS)
    environ = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "XDG_STATE_HOME": str(tmp_path)}
    with gateway(config, tmp_path, **environ) as running:
        one = Started(running, port, tmp_path)
        try:
            until(lambda: state(running) == "ready", running)
            yield one
        finally:
            if running.process.poll() is None:
                running.signal(signal.SIGTERM)
                running.process.wait(30)
            assert not any(lives(pid) for pid in one.pids())


def test_it_does_what_it_was_started_for(started: Started) -> None:
    """Its name, its slots, and the whole window for each request: what it says is what the config says."""
    assert [card["id"] for card in started.get("/v1/models")["data"]] == ["tiny"]
    props = started.get("/props")
    assert props["total_slots"] == SLOTS
    assert props["default_generation_settings"]["n_ctx"] == WINDOW
    answer = started.ask()
    assert b"x-smallfirst-backend: small" in answer
    assert b'"model":"tiny"' in answer.replace(b'": "', b'":"')
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"data: [DONE]" in started.ask(stream=True)
    kept = started.state / "smallfirst" / f"llama-server-{started.port}.log"
    assert kept.stat().st_size > 0


def test_its_words_hold_none_of_a_prompt(started: Started) -> None:
    """What it prints is kept, so it must not be what people ask."""
    assert started.ask("the password is swordfish-1").startswith(b"HTTP/1.1 200")
    kept = started.state / "smallfirst" / f"llama-server-{started.port}.log"
    assert "swordfish" not in kept.read_text("utf-8", "replace")


def test_after_a_crash_it_answers_again(started: Started) -> None:
    """By another process."""
    os.kill(started.pids()[0], signal.SIGKILL)
    until(lambda: len(started.pids()) == 2 and state(started.gateway) == "ready", started.gateway)
    assert started.ask().startswith(b"HTTP/1.1 200")


def test_it_is_not_left_behind(started: Started) -> None:
    """By a gateway that is killed."""
    started.gateway.signal(signal.SIGKILL)
    started.gateway.process.wait(10)
    until(lambda: not lives(started.pids()[0]), started.gateway)


def test_it_is_exchanged_when_its_answers_are_made(started: Started, model: Path) -> None:
    """It tells how many it has; the answer under way is whole."""

    async def asked() -> bytes:
        request = post(chat("hello", stream=True, max_tokens=200, ignore_eos=True))
        answer = asyncio.create_task(exchange(started.gateway.port, request))
        await asyncio.sleep(0.2)
        config = CONFIG.format(at=started.port, price="unpriced", model=model, slots=1)
        started.gateway.config.write_text(config.replace("{port}", str(started.gateway.port)))
        started.gateway.signal(signal.SIGHUP)
        return await answer or b""

    assert b"data: [DONE]" in asyncio.run(asked())
    until(lambda: len(started.pids()) == 2 and state(started.gateway) == "ready", started.gateway)
    assert started.get("/props")["total_slots"] == 1
