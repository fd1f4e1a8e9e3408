"""Reload under full load: no request is dropped, and the backend never sees more at once than its slots."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

from app.backends.scripted import Model, Scripted, serve_in_thread
from tests.e2e.process import GatewayProcess, chat, exchange, gateway, post

CONFIG = """
server: {{host: 127.0.0.1, port: {{port}}}}
backends:
  {name}: {{kind: ollama, zone: local, base_url: "{url}", model: "qwen3:4b",
            capacity: {{concurrent: 3, queue: 200, max_wait: 60s}}, price: {{kind: unpriced}}}}
routing: {{threshold: {threshold}}}
"""
BODIES = [post(chat("hello there")), post(chat("hello there", stream=True))]
CLIENTS, EACH = 24, 12


def write(running: GatewayProcess, **values: object) -> None:
    running.config.write_text(CONFIG.format(**values).replace("{port}", str(running.port)))


def threshold(running: GatewayProcess) -> float:
    found: float = json.loads(running.get("/ready")[1])["threshold"]
    return found


async def reload_often(running: GatewayProcess, url: str) -> None:
    """By signal, by the file alone, with another name for the same box, and with a broken file between."""
    for number in range(4):
        name = "small" if number % 2 else "renamed"
        write(running, name=name, url=url, threshold=0.5 + number / 10)
        if number % 2 == 0:
            running.signal(signal.SIGHUP)
        async with asyncio.timeout(10):
            while threshold(running) != 0.5 + number / 10:
                await asyncio.sleep(0.02)
    running.config.write_text("backends: nonsense")
    running.signal(signal.SIGHUP)
    async with asyncio.timeout(10):
        while json.loads(running.get("/ready")[1])["config_error"] is None:
            await asyncio.sleep(0.02)


async def client(port: int, answers: list[bytes]) -> None:
    answers += [await exchange(port, BODIES[number % 2]) or b"" for number in range(EACH)]


async def load(running: GatewayProcess, url: str) -> list[bytes]:
    answers: list[bytes] = []
    clients = [asyncio.create_task(client(running.port, answers)) for _ in range(CLIENTS)]
    await asyncio.gather(reload_often(running, url), *clients)
    return answers


def test_nothing_is_dropped_and_slots_survive(tmp_path: Path) -> None:
    """288 requests through three slots while the config changes five times."""
    fake = Scripted(Model(imitates="ollama", name="qwen3:4b", slots=50, first_token=0.03))
    with serve_in_thread(fake) as url:
        config = CONFIG.format(name="small", url=url, threshold=0.4)
        with gateway(config, tmp_path) as running:
            answers = asyncio.run(load(running, url))
            assert len(answers) == CLIENTS * EACH
            assert [answer[:60] for answer in answers if not answer.startswith(b"HTTP/1.1 200")] == []
            assert running.metric("smallfirst_config_reloads_total", result="ok") >= 4
            assert running.metric("smallfirst_config_reloads_total", result="refused") == 1
            assert running.metric("smallfirst_requests_total", outcome="ok") == CLIENTS * EACH
    assert fake.seen.peak_running == 3  # its own 50 slots did not hold it back: ours did
    assert fake.seen.completed == CLIENTS * EACH
