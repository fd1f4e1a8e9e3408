"""A gateway that starts its small model's server: the server ends with it whatever happens, and is there again if it
ended alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.backends.llama import fake_server
from tests.backends.llama.fake_server import lives, starts
from tests.e2e.process import GatewayProcess, chat, exchange, free_port, gateway, post

CONFIG = """
server: {{host: 127.0.0.1, port: {{port}}, drain_delay: 0s}}
backends:
  small: {{kind: openai, zone: local, model: tiny, base_url: "http://127.0.0.1:{at}", price: {price},
          start: {{llama_server: {{model: "{model}", slots: {slots}, context: 1024}}}}}}
"""


@contextmanager
def started(folder: Path, **behaviour: Any) -> Iterator[tuple[GatewayProcess, Path, dict[str, Any]]]:
    """The gateway, the model, and what its config says: its server is up."""
    model = fake_server.model(folder, **behaviour)
    says = {"at": free_port(), "price": "unpriced", "model": model, "slots": 2}
    environ = {"PATH": fake_server.installed(folder / "bin"), "XDG_STATE_HOME": str(folder / "state")}
    try:
        with gateway(CONFIG.format(**says), folder, **environ) as running:
            until(lambda: state(running) == "ready", running)
            yield running, model, says
    finally:
        for one in starts(model):
            if lives(one.pid):
                os.kill(one.pid, signal.SIGKILL)


def until(done: Callable[[], bool], running: GatewayProcess) -> None:
    for _ in range(600):
        if done():
            return
        time.sleep(0.05)
    raise AssertionError(running.log.read_text())


def state(running: GatewayProcess) -> str:
    found: str = json.loads(running.get("/ready")[1])["backends"]["small"]["state"]
    return found


def rewrite(running: GatewayProcess, **says: Any) -> None:
    running.config.write_text(CONFIG.format(**says).replace("{port}", str(running.port)))
    running.signal(signal.SIGHUP)


def ask(running: GatewayProcess) -> bytes:
    return asyncio.run(exchange(running.port, post(chat("hi")))) or b""


def test_it_answers_as_it_was_started(tmp_path: Path) -> None:
    """On loopback, under its name, with what all slots need together; its words are kept, secrets are not for it."""
    with started(tmp_path) as (running, model, says):
        assert b"word word" in ask(running)
        (one,) = starts(model)
        assert one.option("--alias") == "tiny"
        assert (one.option("--host"), one.option("--port")) == ("127.0.0.1", str(says["at"]))
        assert (one.option("--parallel"), one.option("--ctx-size")) == ("2", "2048")
        shown = json.loads(running.get("/ready")[1])["backends"]["small"]
        assert (shown["slots"], shown["context_window"], shown["problem"]) == (2, 1024, None)
        kept = tmp_path / "state" / "smallfirst" / f"llama-server-{says['at']}.log"
        assert "answering as tiny" in kept.read_text()
        assert str(kept) in running.log.read_text()


def test_one_that_crashed_is_there_again(tmp_path: Path) -> None:
    """Another process, and it answers."""
    with started(tmp_path) as (running, model, _):
        os.kill(starts(model)[0].pid, signal.SIGKILL)
        until(lambda: len(starts(model)) == 2 and state(running) == "ready", running)
        assert b"word word" in ask(running)
        assert "was ended by signal 9" in running.log.read_text()


def test_one_that_keeps_ending_is_down(tmp_path: Path) -> None:
    """The reason and the log are named; the gateway lives on."""
    with started(tmp_path) as (running, model, _):
        model.write_text(json.dumps({"exit": 3}))
        os.kill(starts(model)[0].pid, signal.SIGKILL)
        until(lambda: state(running) == "down", running)
        problem = json.loads(running.get("/ready")[1])["backends"]["small"]["problem"]
        assert problem.startswith("llama-server ended with exit code 3, see ")
        assert b"The model's server cannot be started." in ask(running)


def test_sigterm_lets_answers_end_and_then_ends_it(tmp_path: Path) -> None:
    """The gateway's own exit is as clean as without it."""
    with started(tmp_path, words=0.05) as (running, model, _):

        async def asked() -> bytes:
            answer = asyncio.create_task(exchange(running.port, post(chat("hi", stream=True))))
            await asyncio.sleep(0.3)
            running.signal(signal.SIGTERM)
            return await answer or b""

        assert b"data: [DONE]" in asyncio.run(asked())
        assert running.process.wait(30) == 0
        assert not lives(starts(model)[0].pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the children of a killed process")
def test_sigkill_of_the_gateway_ends_it_too(tmp_path: Path) -> None:
    """Nobody is there to end it: the kernel does."""
    with started(tmp_path, stubborn=True) as (running, model, _):
        running.signal(signal.SIGKILL)
        running.process.wait(10)
        until(lambda: not lives(starts(model)[0].pid), running)


def test_a_reload_keeps_it_or_exchanges_it(tmp_path: Path) -> None:
    """Another price: the same process. Other slots: another one, after the answer that is being made. None: none."""
    with started(tmp_path, words=0.1) as (running, model, says):
        reloads = "smallfirst_config_reloads_total"
        rewrite(running, **{**says, "price": "{kind: tokens, input: 1, output: 1}"})
        until(lambda: running.metric(reloads, result="ok") == 1, running)
        assert state(running) == "ready"
        assert len(starts(model)) == 1

        async def asked() -> bytes:
            answer = asyncio.create_task(exchange(running.port, post(chat("hi", stream=True))))
            await asyncio.sleep(0.3)
            rewrite(running, **{**says, "slots": 3})
            return await answer or b""

        assert b"data: [DONE]" in asyncio.run(asked())
        until(lambda: len(starts(model)) == 2 and state(running) == "ready", running)
        first, second = starts(model)
        assert not lives(first.pid)
        assert second.option("--parallel") == "3"
        assert b"word word" in ask(running)

        plain = CONFIG[: CONFIG.index(",\n          start")] + "}}\n"
        running.config.write_text(plain.format(**says).replace("{port}", str(running.port)))
        running.signal(signal.SIGHUP)
        until(lambda: not lives(second.pid), running)
        assert running.metric("smallfirst_requests_total", outcome="ok") == 2
