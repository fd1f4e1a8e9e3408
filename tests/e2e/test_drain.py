"""Stopping: /ready says no at once, connections are still accepted, running streams finish, exit 0."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from app.backends.scripted import Model, Scripted, serve_in_thread
from tests.e2e.process import chat, exchange, gateway, post

CONFIG = """
server: {{host: 127.0.0.1, port: {{port}}, drain_delay: {delay}, drain_timeout: {timeout}}}
backends:
  small: {{kind: ollama, zone: local, base_url: "{url}", model: "qwen3:4b",
          capacity: {{concurrent: 4, queue: 4, max_wait: 5s}}, price: {{kind: unpriced}}}}
"""
STREAM = post(chat("hello there", stream=True))


def slow(per_token: float) -> Scripted:
    return Scripted(Model(imitates="ollama", name="qwen3:4b", slots=4, per_token=per_token))


async def drained(running, during: float) -> tuple[bytes, bytes, int]:  # type: ignore[no-untyped-def]
    """A stream is under way when SIGTERM comes; another begins while it drains. Both answers and /ready's status."""
    first = asyncio.create_task(exchange(running.port, STREAM))
    await asyncio.sleep(0.2)
    running.signal(signal.SIGTERM)
    await asyncio.sleep(during)
    status, _ = await asyncio.to_thread(running.get, "/ready")
    second = asyncio.create_task(exchange(running.port, STREAM))
    return await first or b"", await second or b"", status


def test_running_streams_finish_and_newcomers_are_served_meanwhile(tmp_path: Path) -> None:
    """Nobody is cut off who can be served within the bound."""
    with serve_in_thread(slow(0.03)) as url:
        config = CONFIG.format(url=url, delay="1s", timeout="20s")
        with gateway(config, tmp_path) as running:
            first, second, ready = asyncio.run(drained(running, 0.3))
            assert ready == 503
            assert b"data: [DONE]" in first
            assert b"data: [DONE]" in second
            assert running.process.wait(20) == 0
    assert '"event":"draining"' in (tmp_path / "gateway.log").read_text()


def test_a_stream_beyond_the_bound_ends_in_an_error_event(tmp_path: Path) -> None:
    """Never silently: the client sees that the answer is incomplete, and the exit is still 0."""
    with serve_in_thread(slow(1.0)) as url:
        config = CONFIG.format(url=url, delay="0s", timeout="1s")
        with gateway(config, tmp_path) as running:

            async def cut() -> bytes:
                first = asyncio.create_task(exchange(running.port, STREAM))
                await asyncio.sleep(1.5)
                running.signal(signal.SIGTERM)
                return await first or b""

            answer = asyncio.run(cut())
            assert b'"error"' in answer
            assert b"[DONE]" not in answer
            assert running.process.wait(20) == 0
