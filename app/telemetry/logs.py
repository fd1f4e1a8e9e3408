"""One JSON line per settled request, and lines about the life of the process.

A line holds what the record holds: names of the configuration, words of closed sets, numbers (times in
seconds). Never words of a prompt, never key material, only the key's name. Writing never raises and never
waits: a reader that pauses finds a bounded backlog, and what does not fit, or goes to a closed pipe, is
dropped and counted.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import IO, Any

import orjson

from app.core.types import Entry, Receipt, Record
from app.telemetry import closed
from app.telemetry.closed import clamp

_NAME = 200  # characters of a name that others chose: a model, a request id
_PIECE = 4096  # bytes; what a pipe that is ready takes without waiting
_BACKLOG = 1024 * 1024  # bytes kept for a reader that pauses


class JsonLog:
    """An `app.ports.Observer`. `stream` is unbuffered and binary; `now` gives seconds since the epoch.

    `later` calls what it is given a moment later: lines of requests are then made and go out together, as nobody's
    next token should wait for them, and two system calls each would be a measurable part of a request. Without it each
    goes out at once, as those of events always do. `dropped` counts the lines that were lost.
    """

    def __init__(
        self, stream: IO[bytes], now: Callable[[], float], later: Callable[[Callable[[], None]], object] | None = None
    ) -> None:
        self.dropped = 0
        self._later = later
        self._due = False  # somebody will call `flush`
        self._settled: list[tuple[float, Record]] = []  # when, and what: lines to be made
        self._stream = stream
        self._now = now
        self._backlog = bytearray()  # lines, the first perhaps in part, that nobody took yet
        self._ready = _readiness(stream)
        self._second = (-1, "")  # the last whole second and its words

    def on_settled(self, record: Record) -> None:
        self._settled.append((self._now(), record))
        if self._later is None:
            self.flush()
        elif not self._due:
            self._due = True
            self._later(self.flush)

    def _line(self, at: float, record: Record) -> None:
        tokens, cost = _totals(record.receipts)
        self._write(
            {
                "ts": self._timestamp(at),
                "event": "request",
                "request_id": record.request_id[:_NAME],
                "api": record.api,
                "stream": record.stream,
                "key": record.key,
                "local_only": record.local_only,
                "tier": record.tier,
                "backend": record.backend,
                "model": record.model and record.model[:_NAME],
                "reason": record.reason and clamp(record.reason, closed.REASONS),
                "final_reason": record.final_reason and clamp(record.final_reason, closed.FINAL_REASONS),
                "score": record.score,
                "threshold": record.threshold,
                "rule": record.rule and record.rule[:_NAME],
                "why": {name[:_NAME]: round(part, 3) for name, part in record.why},
                "router": record.router[:_NAME],
                "needs": sorted(record.needs),
                "outcome": clamp(record.outcome, closed.OUTCOMES),
                "status": record.status,
                "error": record.error and clamp(record.error, closed.ERRORS),
                "tokens": {**tokens, "expected": record.estimate, "truncated": record.truncated},
                "cost_usd": cost,
                "seconds": {
                    "total": record.seconds,
                    "first_token": record.first_token,
                    "inter_token": record.inter_token,
                    "classify": record.classify,
                    "overhead": record.overhead,
                },
                "attempts": [_attempt(receipt) for receipt in record.receipts],
            }
        )

    def on_entries(self, entries: Sequence[Entry]) -> None:
        """Nothing: minutes are told by counters and records."""

    def on_baseline(self, baseline: str, nano_usd: int, minute: int, replicas: int) -> None:
        """Nothing, likewise."""

    def event(self, name: str, **fields: Any) -> None:
        """A line about the process itself: a reload, a backend's change of state, the drain."""
        at = self._now()
        self._catch_up()  # lines stand in the order of what they tell
        self._write({"ts": self._timestamp(at), "event": name, **fields})
        self.flush()

    def _timestamp(self, now: float) -> str:
        """RFC 3339 in UTC with milliseconds; the words of a second are made once."""
        second = int(now)
        if second != self._second[0]:
            words = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = (second, words)
        return f"{self._second[1]}.{int((now - second) * 1000):03d}Z"

    def flush(self) -> None:
        """Hand on what is taken without waiting; the rest stays for the next line."""
        self._due = False
        self._catch_up()
        try:
            while self._backlog and self._ready():
                taken = self._stream.write(self._backlog[:_PIECE])
                if not taken:
                    return
                del self._backlog[:taken]
        except BlockingIOError:
            return
        except (OSError, ValueError):  # closed at the other end, or at ours
            self.dropped += self._backlog.count(b"\n")
            self._backlog.clear()

    def _catch_up(self) -> None:
        settled, self._settled = self._settled, []
        for at, record in settled:
            self._line(at, record)

    def _write(self, line: dict[str, Any]) -> None:
        try:
            data = orjson.dumps(line, str, orjson.OPT_APPEND_NEWLINE)
        except TypeError:  # half of a surrogate pair, for instance, is no text
            self.dropped += 1
            return
        if len(self._backlog) + len(data) > _BACKLOG:
            self.dropped += 1
        else:
            self._backlog += data


def _readiness(stream: IO[bytes]) -> Callable[[], object]:
    """Asks whether a write of at most _PIECE bytes would be taken at once."""
    try:
        descriptor = stream.fileno()
        poll = select.poll()
    except (OSError, AttributeError):  # not a file, or a platform without poll
        return lambda: True
    poll.register(descriptor, select.POLLOUT)
    return lambda: poll.poll(0)


def _attempt(receipt: Receipt) -> dict[str, Any]:
    return {
        "backend": receipt.backend,
        "tier": receipt.tier,
        "outcome": clamp(receipt.outcome, closed.ATTEMPTS),
        "queued": receipt.queued,
        "first_token": receipt.first_token,
        "seconds": receipt.seconds,
        "price": receipt.price_id,
    }


def _totals(receipts: tuple[Receipt, ...]) -> tuple[dict[str, Any], float | None]:
    """Tokens over all attempts, and their cost in USD: None, not 0, where nothing has a token price."""
    sent = cached = output = 0
    estimated = False
    nano: int | None = None
    for receipt in receipts:
        usage = receipt.usage
        if usage is not None:
            sent, cached, output = sent + usage.input, cached + usage.cached, output + usage.output
            estimated = estimated or usage.estimated
        if receipt.nano_usd is not None:
            nano = receipt.nano_usd + (nano or 0)
    tokens = {"input": sent, "cached": cached, "output": output, "estimated": estimated}
    return tokens, None if nano is None else nano / 1e9
