"""Reload: all or nothing, seen by fingerprint or asked for."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.main import Application, application
from app.settings import Source
from tests.main.parts import ENVIRON, TWO_TIERS, write


@asynccontextmanager
async def running(path: Path, log: io.BytesIO) -> AsyncIterator[Application]:
    async with application(Source(path, ENVIRON), log=log) as one:
        yield one


async def test_a_good_config_is_swapped_in_whole(tmp_path: Path) -> None:
    """Threshold and tiers are the new ones at once; the log says so."""
    log = io.BytesIO()
    async with running(write(tmp_path, TWO_TIERS), log) as one:
        before = one.site.live
        write(tmp_path, TWO_TIERS + "routing: {threshold: 0.9}\n")
        await one.reloader.reload()
        assert one.site.live is not before
        assert one.site.live.gateway.routing.threshold == 0.9
        assert one.reloader.llm_share is None
    assert b'"event":"reloaded"' in log.getvalue()


async def test_a_bad_config_is_refused_and_shown(tmp_path: Path) -> None:
    """The old one keeps serving; the error goes away with the next good one."""
    log = io.BytesIO()
    async with running(write(tmp_path, TWO_TIERS), log) as one:
        before = one.site.live
        write(tmp_path, TWO_TIERS.replace("tiers:", "teirs:"))
        await one.reloader.reload()
        assert one.site.live is before
        assert one.site.reload_error is not None
        assert "did you mean 'tiers'" in one.site.reload_error
        write(tmp_path, TWO_TIERS)
        await one.reloader.reload()
        assert one.site.reload_error is None
    assert b'"event":"reload-refused"' in log.getvalue()


async def test_a_change_of_the_file_is_noticed(tmp_path: Path) -> None:
    """Within a second or so, without a signal."""
    async with running(write(tmp_path, TWO_TIERS), io.BytesIO()) as one:
        write(tmp_path, TWO_TIERS + "routing: {threshold: 0.9}\n")
        async with asyncio.timeout(10):
            while one.site.live.gateway.routing.threshold != 0.9:
                await asyncio.sleep(0.02)


async def test_the_records_know_every_price(tmp_path: Path) -> None:
    """Those of the start and those of a reload, so that what was booked under each can be priced anew."""
    database = tmp_path / "records.db"
    text = TWO_TIERS + f"embeddings: {{backend: large, model: e}}\nrecords: {{path: {database}}}\n"
    path = write(tmp_path, text)
    async with running(path, io.BytesIO()) as one:
        write(tmp_path, text.replace("output: 2", "output: 3"))
        await one.reloader.reload()
        await one.reloader.reload()
        prices = {post.price.id for post in one.site.live.gateway.all_posts()}
    db = sqlite3.connect(database)
    kept = {id: json.loads(price) for id, price in db.execute("SELECT price_id, price FROM prices")}
    db.close()
    assert prices < kept.keys()
    assert sorted((price["kind"], price.get("output")) for price in kept.values()) == [
        ("tokens", 2.0),
        ("tokens", 3.0),
        ("unpriced", None),
    ]


async def test_what_only_a_restart_can_change_is_said(tmp_path: Path) -> None:
    """A new port in the file does not move a server that listens."""
    log = io.BytesIO()
    async with running(write(tmp_path, TWO_TIERS), log) as one:
        write(tmp_path, TWO_TIERS + "server: {port: 9999, drain_delay: 1s}\nrecords: {path: other.db}\n")
        await one.reloader.reload()
    assert b"server.port: stays 8080 until a restart" in log.getvalue()
    assert b"server.drain_delay: stays 5.0 until a restart" in log.getvalue()
    assert b"records: stays as it was until a restart" in log.getvalue()
