"""kill -9 of a serving gateway in the middle of load: its records are whole, but for the last second."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sqlite3
import time
from pathlib import Path

from app.backends.scripted import Model, Scripted, serve_in_thread
from app.stores.sqlite import connect
from tests.e2e.process import GatewayProcess, chat, exchange, gateway, post

CONFIG = """
server: {{host: 127.0.0.1, port: {{port}}, drain_delay: 0s}}
backends:
  small: {{kind: ollama, zone: local, base_url: "{url}", model: "qwen3:4b",
          capacity: {{concurrent: 4, queue: 16, max_wait: 5s}},
          price: {{kind: local, watts: 350, usd_per_kwh: 0.2, hardware_usd: 1600, life_years: 3}}}}
  large: {{kind: openai, zone: remote, host: cloud, base_url: "{url}", model: "qwen3:4b",
          capacity: {{concurrent: 4, queue: 16, max_wait: 5s}}, price: {{kind: tokens, input: 1, output: 2}}}}
tiers: [{{name: slm, backends: [small]}}, {{name: llm, backends: [large]}}]
records: {{path: "{records}"}}
"""
LOAD = 3.0  # seconds of it
ID = re.compile(rb"x-request-id: (\S+)", re.IGNORECASE)


async def load(running: GatewayProcess) -> tuple[dict[str, float], float]:
    """When each whole answer was there, by its id; and when the process was killed, with answers under way."""
    answered: dict[str, float] = {}

    async def client(number: int) -> None:
        for turn in range(10_000):
            body = chat(f"question {number} {turn}", stream=turn % 2 == 0, model=("slm", "llm")[number % 2])
            answer = await exchange(running.port, post(body)) or b""
            if found := ID.search(answer):
                answered[found[1].decode()] = time.monotonic()
            await asyncio.sleep(0.005)

    clients = [asyncio.create_task(client(number)) for number in range(4)]
    await asyncio.sleep(LOAD)
    killed = time.monotonic()
    running.signal(signal.SIGKILL)
    await asyncio.to_thread(running.process.wait, 10)
    for one in clients:
        one.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await one
    return {id: at for id, at in answered.items() if at < killed}, killed


def test_what_was_answered_a_second_before_is_on_disk(tmp_path: Path) -> None:
    """With its attempts and their cost; the file is sound, and the next process goes on with it."""
    records = tmp_path / "records.db"
    fake = Scripted(Model(imitates="ollama", name="qwen3:4b", slots=8, per_token=0.001))
    with serve_in_thread(fake) as url:
        config = CONFIG.format(url=url, records=records)
        with gateway(config, tmp_path, NO_PROXY="127.0.0.1") as running:
            answered, killed = asyncio.run(load(running))
        due = {id for id, at in answered.items() if at < killed - 1.0}
        assert len(due) > 50
        db = sqlite3.connect(records)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        kept = {id for (id,) in db.execute("SELECT request_id FROM requests")}
        whole = "SELECT count(*) FROM requests WHERE (SELECT count(*) FROM attempts WHERE request = id) != 1"
        assert db.execute(whole).fetchone() == (0,)
        unpaid = "SELECT count(*) FROM attempts WHERE backend = 'large' AND (kind IS NULL OR nano_usd <= 0)"
        assert db.execute(unpaid).fetchone() == (0,)
        db.close()
        assert due - kept == set()
        with gateway(config, tmp_path, NO_PROXY="127.0.0.1") as again:
            assert b"200 OK" in (asyncio.run(exchange(again.port, post(chat("hello")))) or b"")
            again.signal(signal.SIGTERM)
            assert again.process.wait(30) == 0
    db = connect(records)
    assert db.execute("SELECT count(*) FROM requests").fetchone() == (len(kept) + 1,)
    db.close()
