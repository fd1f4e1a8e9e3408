"""The demo on a real small model, with the fake llama-server and the shipped Ollama in its place."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from app.backends.llama.launch import Cannot
from app.backends.scripted import Model, Scripted, serve_in_thread
from app.cli.demo.real import CONTEXT, GGUF, LONGEST, Box, RealClock, awake, day, find, measured, real_house
from app.cli.demo.requests import load
from app.cli.demo.statement import Book
from app.core.types import Receipt, Usage
from tests.backends.llama.fake_server import installed, lives, model, starts
from tests.cli.conftest import Result
from tests.cli.demo.runs import database
from tests.cli.fake_ollama import CLOUD, fake_ollama
from tests.telemetry.examples import a_record

NOWHERE = "127.0.0.1:9"  # nobody listens there
Run = Callable[..., Result]


def environment(folder: Path, ollama: str = NOWHERE, *, llama: bool = True) -> dict[str, str]:
    path = installed(folder / "bin") if llama else str(folder)
    return {"PATH": path, "XDG_STATE_HOME": str(folder), "OLLAMA_HOST": ollama}


# --- what is there ------------------------------------------------------------------------------------------


async def test_a_running_ollama_comes_first(tmp_path: Path) -> None:
    """Its smallest model of its own, which shall not think before it greets."""
    with fake_ollama() as fake:
        box = await find(environment(tmp_path, fake.url), None)
    assert (box.server, box.model, box.at_once) == ("Ollama", "qwen3:4b", 1)
    assert box.entry["reasoning"] == "off"
    assert box.entry["zone"] == "local"


@pytest.mark.parametrize("models", [(), (CLOUD,)])
async def test_an_ollama_without_a_model_of_its_own_is_none(
    tmp_path: Path, models: tuple[dict[str, object], ...]
) -> None:
    """Then llama-server with a small model of the hub."""
    with fake_ollama(models) as fake:
        box = await find(environment(tmp_path, fake.url), None)
    assert (box.server, box.model) == ("llama-server", "qwen2.5-0.5b-instruct-q4_k_m")
    assert box.entry["start"]["llama_server"]["model"] == GGUF


async def test_a_model_that_is_named_is_llamas(tmp_path: Path) -> None:
    """Whether or not there is an Ollama."""
    with fake_ollama() as fake:
        environ = environment(tmp_path, fake.url)
        box = await find(environ, "/models/Some.GGUF")
        assert box.entry["start"]["llama_server"]["model"] == "/models/Some.GGUF"
        with pytest.raises(typer.BadParameter):
            await find(environ, "qwen3:4b")


async def test_nothing_is_there(tmp_path: Path) -> None:
    """One sentence with both cures."""
    environ = environment(tmp_path, llama=False)
    with pytest.raises(Cannot) as nothing:
        await find(environ, None)
    said = str(nothing.value)
    assert f"Ollama at http://{NOWHERE} does not answer" in said
    assert "there is no llama-server on PATH: install llama.cpp" in said
    assert "\n" not in said
    with fake_ollama(()) as fake, pytest.raises(Cannot, match="has no chat model of its own"):
        await find({**environ, "OLLAMA_HOST": fake.url}, None)
    with pytest.raises(Cannot, match="there is no llama-server"):
        await find(environ, "a.gguf")


def test_the_requests() -> None:
    """Two of each kind in both languages, and no answer without an end."""
    chosen = [arrival.request for arrival in day(load())]
    assert set(Counter(one.kind for one in chosen).values()) == {2}
    assert {one.kind for one in chosen} == {one.kind for one in load()}
    assert all(one.body["max_tokens"] <= 200 for one in chosen)
    assert sum(one.body["max_tokens"] == LONGEST for one in chosen) > len(chosen) / 2
    chinese = [any(letter >= "\u4e00" for letter in one.text) for one in chosen]
    assert sum(chinese) >= len(chosen) // 3


def test_real_time_is_real() -> None:
    """Nobody moves it, stops it, or slows it down."""
    clock = RealClock()
    with clock.watched(1000.0):
        assert abs(clock.utc() - time.time()) < 60
    clock.stop()
    before = clock.utc()
    time.sleep(0.05)
    assert clock.utc() - before >= 0.04


def test_what_was_measured() -> None:
    """Only what the box itself answered; the pace of streams, after their first token."""
    usage = Usage(10, 21)
    mine = Receipt("small", "slm", "ok", 0.0, 1.0, 3.0, usage, None)
    receipts = [
        (True, mine),
        (False, Receipt("small", "slm", "ok", 0.0, 3.0, 3.001, usage, None)),
        (True, Receipt("small", "slm", "timeout", 0.0, None, 9.0, None, None)),
        (True, Receipt("large", "llm", "ok", 0.0, 1.0, 1.5, usage, 5, "tokens")),
    ]
    records = [a_record(stream=stream, receipts=(receipt,)) for stream, receipt in receipts]
    real = measured(Box("Ollama", "m", {}), records, 12.0)
    assert (real.answers, real.tokens, real.pace) == (2, (20, 42), 10.0)
    assert real.as_json()["tokens_per_second"] == 10.0
    assert measured(real.box, [], 1.0).as_json()["tokens_per_second"] is None


# --- the whole of it ----------------------------------------------------------------------------------------


def test_on_a_server_that_it_starts(smallfirst: Run, directory: Path) -> None:
    """It says what is real; counts, reconciles and ends, and so does the server."""
    file = model(directory, words=0.001)
    result = smallfirst("demo", "--real", "--once", "--json", "--model", str(file), **environment(directory))
    assert result.code == 0, result.err
    shown = json.loads(result.out)
    assert (shown["complete"], shown["failed"], shown["reconciled"]) == (30, 0, True)
    assert shown["real"]["server"] == "llama-server"
    assert shown["real"]["output_tokens"] == 20 * shown["real"]["answers"]
    assert shown["kinds"]["over-long"]["tiers"] == {"llm": 2}
    assert shown["llm_share"] > 0
    assert "The small model is real: tiny by llama-server. The large one is scripted." in result.err
    (start,) = starts(file)
    assert int(start.option("--ctx-size")) == CONTEXT * int(start.option("--parallel"))
    assert not lives(start.pid)


def test_on_an_ollama_that_runs(smallfirst: Run, directory: Path) -> None:
    """For people: what is real and what is not, and no money is said to be saved."""
    fake = Scripted(Model(imitates="ollama", name="tiny:1b"))
    with serve_in_thread(fake) as url:
        result = smallfirst("demo", "--real", "--once", **environment(directory, url, llama=False))
    assert result.code == 0, result.out + result.err
    assert "Real: tiny:1b by Ollama. " in result.out
    assert "Scripted: the large model; its answers mean nothing" in result.out
    assert "the small one's machine is unpriced" in result.out
    assert "(real time, median)" in result.out
    assert "saved" not in result.out
    assert "simulated" not in result.out + result.err
    assert fake.seen.completed > 10


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ({"exit": 3}, "The small model cannot be had: llama-server ended with exit code 3, see "),
        (None, "there is no file"),
    ],
)
def test_what_cannot_be_had_ends_it(
    smallfirst: Run, directory: Path, behaviour: dict[str, int] | None, said: str
) -> None:
    """In one sentence, with exit code 1."""
    file = model(directory, **behaviour) if behaviour else directory / "none.gguf"
    result = smallfirst("demo", "--real", "--once", "--model", str(file), **environment(directory))
    assert result.code == 1
    assert said in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    assert result.out == ""


def test_usage(smallfirst: Run) -> None:
    """--model wants --real, and a GGUF file."""
    assert smallfirst("demo", "--once", "--model", "a.gguf").code == 2
    assert smallfirst("demo", "--real", "--once", "--model", "qwen3:4b").code == 2


async def test_a_stop_while_it_loads_is_an_interrupt(tmp_path: Path) -> None:
    """The gateway takes the signals, and nobody waits for a model any more."""
    said: list[str] = []
    file, environ = model(tmp_path, load=1000.0), environment(tmp_path)
    box = await find(environ, str(file))
    async with real_house(box, Book(), database(tmp_path), {**os.environ, **environ}) as house:
        stopped = asyncio.create_task(asyncio.sleep(0.5))
        with pytest.raises(KeyboardInterrupt):
            await awake(replace(house, stopped=stopped), said.append)
    assert said[-1] == "The small model loads its model ..."
    assert not any(lives(start.pid) for start in starts(file))
