"""The command itself: what it prints where, and how it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli.demo import command
from app.cli.demo.house import house
from app.cli.demo.statement import Book
from tests.cli.conftest import Result
from tests.cli.demo.runs import database, morning, nine, some

PATIENCE = 60


def test_one_day_as_json(smallfirst: Callable[..., Result]) -> None:
    """One object and nothing else on stdout: the whole day, nobody failed, all books agree."""
    result = smallfirst("demo", "--once", "--json")
    shown = json.loads(result.out)
    assert result.code == 0, result.out
    assert shown["requests"] >= 200
    assert shown["failed"] == 0
    assert shown["reconciled"]
    assert len(shown["kinds"]) >= 12
    assert 0 < shown["llm_share"] < shown["llm_share_under_random"] <= 1
    assert shown["complete"] + shown["left"] == shown["requests"]
    assert shown["saved_usd"] == pytest.approx(shown["baseline_usd"] - shown["cost_usd"], abs=1e-6)
    assert sum(shown["cost_by_kind"].values()) == pytest.approx(shown["cost_usd"], abs=1e-6)
    assert shown["idle_usd"] > 0
    reasons = {word for kind in shown["kinds"].values() for word in kind["reasons"]}
    assert {"score", "local-only", "capability", "context-window", "fallback:loading"} <= reasons


def test_ctrl_c_ends_it_at_any_time() -> None:
    """Also in the middle of the day: no traceback, and nothing stays."""
    arguments = [sys.executable, "-m", "app.cli", "demo"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            assert "simulated clock" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert "Traceback" not in out + errors


async def test_a_lost_record_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Then the books do not agree, and the command would exit 1."""
    book = Book()
    async with house(book, nine(), database(tmp_path)) as place:
        played = await command._played(place, book, list(morning(some()[:3])))
        book.records.popitem()
        assert not await command._told(place, book, played, True)
    shown = json.loads(capsys.readouterr().out)
    assert any("sent, recorded" in line for line in shown["differences"])


async def test_a_stop_in_the_middle_is_an_interrupt(tmp_path: Path) -> None:
    """The gateway takes the signals; when it ends, the sending ends with it."""
    book = Book()
    async with house(book, nine(), database(tmp_path)) as place:
        stopped = asyncio.create_task(asyncio.sleep(0))
        with pytest.raises(KeyboardInterrupt):
            await command._played(replace(place, stopped=stopped), book, list(morning(some())))
