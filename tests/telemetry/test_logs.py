"""The log: one line a request, nothing secret in it, and never in the way of a request."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import datetime
from typing import IO, Any

import orjson
import pytest

from app.core.types import Entry, Receipt, Record, Usage
from app.ports import Observer
from app.telemetry import logs
from app.telemetry.logs import JsonLog
from tests.telemetry.examples import RECORD, a_receipt, a_record

NOON = 1_767_268_800.25  # 2026-01-01T12:00:00.250Z


def lines(*records: Record) -> list[dict[str, Any]]:
    stream = io.BytesIO()
    log: Observer = JsonLog(stream, lambda: NOON)
    for record in records:
        log.on_settled(record)
    log.on_entries([Entry("slm", "ollama", "energy", 5, "p")])
    log.on_baseline("all-llm", 5, 1, 1)
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def test_one_line_a_request() -> None:
    """It holds the story of the request in names, closed words and numbers."""
    usage = Usage(100, 5, cached=40, estimated=True)
    receipts = (
        a_receipt(outcome="timeout", usage=usage, nano_usd=250, first_token=None),
        a_receipt(backend="endpoint", tier="llm", nano_usd=1_000),
    )
    told = {"final_reason": "fallback:timeout", "needs": frozenset({"tools"})}
    [line] = lines(a_record(receipts=receipts, why=(("code", 0.4114),), router="linear 1", **told))
    assert line == {
        "ts": "2026-01-01T12:00:00.250Z",
        "event": "request",
        "request_id": "r-1",
        "api": "chat",
        "stream": True,
        "key": "app",
        "local_only": False,
        "tier": "slm",
        "backend": "ollama",
        "model": "qwen3:4b",
        "reason": "score",
        "final_reason": "fallback:timeout",
        "score": 0.125,
        "threshold": 0.75,
        "rule": None,
        "why": {"code": 0.411},
        "router": "linear 1",
        "needs": ["tools"],
        "outcome": "ok",
        "status": 200,
        "error": None,
        "tokens": {
            "input": 220,
            "cached": 40,
            "output": 85,
            "estimated": True,
            "expected": None,
            "truncated": False,
        },
        "cost_usd": 1.25e-6,
        "seconds": {
            "total": 0.51,
            "first_token": 0.31,
            "inter_token": 0.02,
            "classify": 0.0001,
            "overhead": 0.0004,
        },
        "attempts": [
            {
                "backend": "ollama",
                "tier": "slm",
                "outcome": "timeout",
                "queued": 0.002,
                "first_token": None,
                "seconds": 0.5,
                "price": "",
            },
            {
                "backend": "endpoint",
                "tier": "llm",
                "outcome": "ok",
                "queued": 0.002,
                "first_token": 0.3,
                "seconds": 0.5,
                "price": "",
            },
        ],
    }


def test_a_request_that_got_nowhere() -> None:
    """What is not known is null, and without a token price the cost is null, not 0."""
    nothing = dict.fromkeys(("tier", "backend", "model", "reason", "score", "threshold", "classify", "first_token"))
    [line] = lines(a_record(**nothing, receipts=(), outcome="client-error", status=400, error="invalid-request"))
    assert {line[name] for name in nothing if name in line} == {None}
    assert (line["cost_usd"], line["attempts"], line["error"]) == (None, [], "invalid-request")
    assert lines(a_record(receipts=(a_receipt(usage=None),)))[0]["tokens"]["output"] == 0


PROMPT = "Mein Kontostand ist 1234 and my key is sk-secret"
TEXTS = [field.name for field in fields(Record) if "str" in str(field.type)]
OURS = {"request_id", "key", "tier", "backend", "model", "router", "why", "rule"}  # sanitised before, or names of ours
KEPT = {"session", "text"}  # never in a line


@pytest.mark.parametrize("name", [name for name in TEXTS if name not in OURS])
def test_no_prompt_and_no_secret_gets_out(name: str) -> None:
    """Wherever a record has room for words, only those of closed sets come out of it."""
    [line] = lines(a_record(**{name: PROMPT}))
    assert "sk-secret" not in str(line)
    assert "Kontostand" not in str(line)
    assert line.get(name, "other") == "other"
    assert (name in line) == (name not in KEPT)


def test_no_prompt_gets_out_of_receipts() -> None:
    """The outcome of an attempt is a closed word as well, whatever a backend said."""
    [line] = lines(a_record(receipts=(a_receipt(outcome=PROMPT),)))
    assert "sk-secret" not in str(line)
    assert line["attempts"][0]["outcome"] == "other"
    words = {field.name for field in fields(Receipt) if "str" in str(field.type)}
    assert words == {"backend", "tier", "outcome", "price_id"}


def test_a_record_has_no_other_room_for_words() -> None:
    """If this fails, a field was added that can carry text: decide here what may come out of it."""
    assert set(TEXTS) == OURS | KEPT | {"reason", "final_reason", "outcome", "error"}
    assert not any(hasattr(RECORD, name) for name in ("body", "messages", "prompt", "headers", "api_key"))


def test_names_from_outside_are_cut() -> None:
    """A model or request id of any length cannot blow up the line."""
    [line] = lines(a_record(model="m" * 10_000, request_id="r" * 10_000))
    assert (len(line["model"]), len(line["request_id"])) == (200, 200)


def test_line_ends_in_names_stay_inside_the_line() -> None:
    """One record is one line, whatever its names hold."""
    assert len(lines(a_record(model='a\n{"event":"request"}\u2028'))) == 1


def test_time_comes_from_the_given_clock() -> None:
    """Stamps follow the clock over a change of second, also backwards."""
    moments = iter([NOON, NOON + 0.5, NOON + 1, NOON - 3600])
    stream = io.BytesIO()
    log = JsonLog(stream, lambda: next(moments))
    for _ in range(4):
        log.event("tick")
    stamps = [datetime.fromisoformat(orjson.loads(line)["ts"]).timestamp() for line in stream.getvalue().splitlines()]
    assert stamps == [NOON, NOON + 0.5, NOON + 1, NOON - 3600]


def test_events_of_the_process() -> None:
    """An operational line has its name and fields; what JSON has no form for is written as text."""
    stream = io.BytesIO()
    JsonLog(stream, lambda: NOON).event("backend-state", backend="ollama", state="down", cause=ValueError("x"))
    assert orjson.loads(stream.getvalue()) == {
        "ts": "2026-01-01T12:00:00.250Z",
        "event": "backend-state",
        "backend": "ollama",
        "state": "down",
        "cause": "x",
    }


def test_what_is_no_text_is_dropped() -> None:
    """Half of a surrogate pair cannot be written; the line is lost and counted, the request is not."""
    stream = io.BytesIO()
    log = JsonLog(stream, lambda: NOON)
    log.on_settled(a_record(model="\ud800"))
    log.on_settled(a_record())
    assert (log.dropped, stream.getvalue().count(b"\n")) == (1, 1)


@pytest.fixture
def pipe() -> Iterator[tuple[int, IO[bytes]]]:
    """A reading descriptor and an unbuffered writing end, as a log collector has it."""
    reader, writer = os.pipe()
    stream = open(writer, "wb", buffering=0)  # noqa: SIM115
    yield reader, stream
    stream.close()
    os.close(reader)


def test_a_reader_that_pauses_loses_nothing(pipe: tuple[int, IO[bytes]]) -> None:
    """While the pipe is full lines wait in a backlog; they follow in order, whole, when there is room again."""
    reader, stream = pipe
    log = JsonLog(stream, lambda: NOON)
    for number in range(300):
        log.event("tick", number=number, filling="x" * 500)
    received = b""
    while received.count(b"\n") < 300:
        received += os.read(reader, 65_536)
        log.flush()
    assert [orjson.loads(line)["number"] for line in received.splitlines()] == list(range(300))
    assert log.dropped == 0


def test_a_reader_that_never_comes_back_costs_lines_only(pipe: tuple[int, IO[bytes]]) -> None:
    """The backlog is bounded: what does not fit is dropped and counted, and nothing waits."""
    reader, stream = pipe
    log = JsonLog(stream, lambda: NOON)
    for _ in range(1500):
        log.event("tick", filling="x" * 1000)
    assert log.dropped > 0
    assert len(log._backlog) <= logs._BACKLOG
    while log._backlog:
        os.read(reader, 65_536)
        log.flush()


def test_a_closed_pipe_is_no_error() -> None:
    """When the reader is gone each line is dropped and counted."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb", buffering=0) as stream:
        log = JsonLog(stream, lambda: NOON)
        log.on_settled(a_record())
        log.on_settled(a_record())
        assert log.dropped == 2


def test_a_closed_stream_is_no_error() -> None:
    """Our own end closed counts as nobody there."""
    stream = io.BytesIO()
    log = JsonLog(stream, lambda: NOON)
    stream.close()
    log.on_settled(a_record())
    assert log.dropped == 1


class Reluctant(io.RawIOBase):
    """A stream in non-blocking mode: takes a few bytes, says that it would block, or fails, as told."""

    def __init__(self, *answers: int | OSError | None) -> None:
        self.answers = list(answers)
        self.taken = b""

    def write(self, data: Any, /) -> int | None:
        answer = self.answers.pop(0) if self.answers else len(data)
        if isinstance(answer, OSError):
            raise answer
        self.taken += bytes(data)[: answer or 0]
        return answer


@pytest.mark.parametrize("answers", [(5, None), (None,), (5, 7, 11, BlockingIOError()), (BlockingIOError(),)])
def test_a_line_taken_in_part_is_finished_later(answers: tuple[int | OSError | None, ...]) -> None:
    """No line is torn: the rest comes before the next line."""
    stream = Reluctant(*answers)
    log = JsonLog(stream, lambda: NOON)  # type: ignore[arg-type]
    log.event("one")
    log.event("two")
    assert [orjson.loads(line)["event"] for line in stream.taken.splitlines()] == ["one", "two"]
    assert log.dropped == 0


def test_a_full_disk_is_no_error() -> None:
    """Other failures of the stream count the lines as lost as well, and a later line is tried again."""
    stream = Reluctant(OSError(errno.ENOSPC, "No space left on device"))
    log = JsonLog(stream, lambda: NOON)  # type: ignore[arg-type]
    log.event("one")
    log.event("two")
    assert log.dropped == 1
    assert orjson.loads(stream.taken)["event"] == "two"


def test_lines_of_requests_go_out_together() -> None:
    """With `later` one flush is asked for however many lines come before it; an event goes out at once, with them."""
    out, asked = io.BytesIO(), list[Callable[[], None]]()
    log = JsonLog(out, lambda: NOON, asked.append)
    log.on_settled(a_record())
    log.on_settled(a_record())
    assert (len(asked), out.getvalue()) == (1, b"")
    asked.pop()()
    assert out.getvalue().count(b"\n") == 2
    log.on_settled(a_record())
    log.event("draining")
    assert (len(asked), out.getvalue().count(b"\n")) == (1, 4)


def test_a_line_tells_when_its_request_ended() -> None:
    """Not when it was made, and no event that came after it stands before it."""
    out, now = io.BytesIO(), iter([NOON, NOON + 1])
    log = JsonLog(out, lambda: next(now), lambda _: None)
    log.on_settled(a_record())
    log.event("draining")
    told = [(line["event"], line["ts"][17:19]) for line in map(orjson.loads, out.getvalue().splitlines())]
    assert told == [("request", "00"), ("draining", "01")]
