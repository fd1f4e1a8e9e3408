"""The command itself: what it prints where, and how it ends."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import replace

import pytest

from app.cli.demo import command
from app.cli.demo.house import house
from app.cli.demo.statement import Book
from tests.cli.conftest import Result
from tests.cli.demo.runs import some

PATIENCE = 60


def test_one_run_as_json(smallfirst: Callable[..., Result]) -> None:
    """One object and nothing else on stdout: over a hundred requests, none failed, all books agree."""
    result = smallfirst("demo", "--once", "--json")
    shown = json.loads(result.out)
    assert result.code == 0, result.out
    assert shown["requests"] >= 100
    assert shown["failed"] == 0
    assert shown["reconciled"]
    assert len(shown["kinds"]) == 8
    assert 0 < shown["llm_share"] < 0.5
    assert shown["tokens"] > 0
    assert shown["cost_usd"] > 0
    assert {"score", "local-only", "capability"} <= {
        word for kind in shown["kinds"].values() for word in kind["reasons"]
    }


def test_it_stays_up_until_ctrl_c() -> None:
    """The table, then an address that answers; Ctrl-C is a good end."""
    arguments = [sys.executable, "-m", "app.cli", "demo"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            lines = iter(process.stdout.readline, "")
            found = next(match for line in lines if (match := re.search(r"up at (\S+)/v1 until", line)))
            with urllib.request.urlopen(f"{found[1]}/health", timeout=PATIENCE) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")


async def test_a_lost_record_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Then the books do not agree, and the command would exit 1."""
    requests, book = some(), Book()
    async with house(book, paced=False) as place:
        sent = await command._sent(place, requests)
        book.records.popitem()
        assert not await command._told(place, requests, book, sent, True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["failed"] == 1
    assert any("sent, recorded" in line for line in shown["differences"])


async def test_a_stop_in_the_middle_is_an_interrupt() -> None:
    """The gateway takes the signals; when it ends, the sending ends with it."""
    async with house(Book()) as place:
        stopped = asyncio.create_task(asyncio.sleep(0))
        with pytest.raises(KeyboardInterrupt):
            await command._sent(replace(place, stopped=stopped), some())
