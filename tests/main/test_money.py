"""Meters and baseline over reloads, on a clock that is set by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from app.core.baseline import HourBaseline, HourParams
from app.core.meter import Use
from app.core.prices import HourPrice, LocalPrice, TokenPrice, Unpriced
from app.core.types import Entry, Record
from app.main.money import Money
from tests.fakes import FakeBackend
from tests.telemetry.examples import a_receipt, a_record

NOON = 20_000 * 86_400.0 + 43_200
HOURLY = HourPrice(6.0)  # a tenth of a dollar a minute
DIME = 100_000_000


@dataclass
class Hands:
    """A clock."""

    at: float = NOON

    def utc(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class Till:
    """An observer that keeps what it is told."""

    spent: Counter[str] = field(default_factory=Counter)
    compared: list[tuple[str, int, int, int]] = field(default_factory=list)

    def on_settled(self, record: Record) -> None:
        raise AssertionError("no request here")

    def on_entries(self, entries: Sequence[Entry]) -> None:
        assert entries
        for entry in entries:
            self.spent[entry.kind] += entry.nano_usd

    def on_baseline(self, baseline: str, nano_usd: int, minute: int, replicas: int) -> None:
        self.compared.append((baseline, nano_usd, minute, replicas))


def money() -> tuple[Money, Hands, Till]:
    hands, till = Hands(), Till()
    return Money(hands, [till]), hands, till


def test_only_time_needs_a_meter() -> None:
    """Tokens are charged per attempt, and what has no price costs nothing that is known."""
    purse, _, _ = money()
    spec = FakeBackend("endpoint").spec
    assert purse.meter(spec, "llm", TokenPrice(1, 1)) is None
    assert purse.meter(spec, "llm", Unpriced()) is None


def test_backends_on_one_box_share_a_meter() -> None:
    """Its power is drawn once."""
    purse, hands, till = money()
    first, second = (replace(FakeBackend(name).spec, host="box") for name in ("one", "two"))
    box = LocalPrice(1000, 3.6, 0, 1)
    assert purse.meter(first, "slm", box) is purse.meter(second, "slm", box)
    purse.settle()
    hands.at += 60
    purse.settle()
    assert till.spent == {"energy": 60_000_000}


def test_a_sample_of_a_probe_reaches_the_meter() -> None:
    """What the management API says is billed, not the declared hours."""
    purse, hands, till = money()
    backend = FakeBackend("endpoint")
    purse.meter(backend.spec, "llm", HOURLY)
    purse.sample(backend, 2)
    hands.at += 60
    purse.sample(backend, 0)
    purse.sample(FakeBackend("without a meter"), 1)
    hands.at += 60
    purse.settle()
    assert till.spent == {"idle": 2 * DIME}


def test_a_reload_keeps_the_meter_and_settles_under_the_old_price() -> None:
    """The same box goes on; another price holds from then on; a dropped box is paid up to then."""
    purse, hands, till = money()
    spec = FakeBackend("endpoint").spec
    meter = purse.meter(spec, "llm", HOURLY)
    purse.settle()
    hands.at += 60
    assert purse.meter(spec, "llm", HOURLY) is meter
    assert purse.meter(spec, "llm", HourPrice(60.0)) is meter
    assert till.spent == {"idle": 2 * DIME}  # the minute that is over, and the begun one
    hands.at += 119
    purse.keep([meter])
    purse.keep([])
    assert till.spent == {"idle": 2 * DIME + 10 * DIME}  # the begun minute had been paid
    hands.at += 600
    purse.settle()
    assert till.spent == {"idle": 12 * DIME}


def test_a_dropped_box_is_paid_while_somebody_uses_it() -> None:
    """Requests that began before the reload go on, and so does the bill."""
    purse, hands, till = money()
    meter = purse.meter(FakeBackend("endpoint").spec, "llm", HOURLY)
    assert meter is not None
    purse.settle()
    meter.enter(Use("r-1", 1, "endpoint", "llm"), hands.at + 10)
    hands.at += 30
    purse.keep([])
    hands.at += 90
    meter.leave(Use("r-1", 1, "endpoint", "llm"), hands.at - 10)
    hands.at += 600
    purse.settle()
    assert till.spent == {"compute": 2 * DIME}


def test_a_box_that_comes_back_within_a_minute_pays_it_once() -> None:
    """It is the same box, whatever configs came and went."""
    purse, hands, till = money()
    spec = FakeBackend("endpoint").spec
    purse.meter(spec, "llm", HOURLY)
    purse.settle()
    purse.keep([])
    purse.keep([purse.meter(spec, "llm", HOURLY)])
    hands.at += 120
    purse.settle()
    assert till.spent == {"idle": 2 * DIME}


def test_idle_minutes_stand_with_the_present_name_of_a_box() -> None:
    """A reload that renames a backend or its tier renames what nobody used; the first of several names it."""
    purse, _, _ = money()
    old, first, second = (replace(FakeBackend(name).spec, host="box") for name in ("old", "first", "second"))
    meter = purse.meter(old, "slm", HOURLY)
    assert meter is not None
    purse.keep([meter])
    purse.keep([purse.meter(first, "small", HOURLY), purse.meter(second, "other", HOURLY)])
    assert meter.owner == ("small", "first")


def test_the_baseline_counts_what_was_routed_and_served() -> None:
    """Only chat, and none of it that failed or asked for a model by name; only the large model's time is measured."""
    purse, hands, till = money()
    params = HourParams(
        6.0, concurrency=1, min_replicas=0, scale_to_zero_after=1.0, scale_up_delay=0.0, stabilisation=0.0
    )
    purse.follow(HourBaseline("all-llm", "llm", params))
    purse.settle()
    no_chat = {"api": "completion"}, {"api": "embedding"}
    outside = *no_chat, {"outcome": "shed"}, {"reason": "explicit-model"}, {"reason": None}
    for changes in outside:
        purse.on_settled(a_record(**{"at": NOON, **changes}))
    hands.at += 60
    purse.settle()
    purse.on_settled(a_record(at=hands.at, tier="llm", receipts=(a_receipt(seconds=4.0),)))
    hands.at += 60
    purse.settle()
    minute = int(NOON // 60)
    assert till.compared == [("all-llm", 0, minute, 0), ("all-llm", DIME, minute + 1, 1)]


def test_a_baseline_of_the_same_tier_goes_on() -> None:
    """A reload forgets what was learned only if the large model is another."""
    purse, _, _ = money()
    first, same = (HourBaseline("all-llm", "llm", HourParams(6.0, concurrency=1)) for _ in range(2))
    other = HourBaseline("all-llm", "llm", HourParams(7.0, concurrency=1))
    purse.follow(first)
    purse.follow(same)
    assert purse.baseline is first
    purse.follow(other)
    assert purse.baseline is first
    assert first.params == other.params
    renamed = HourBaseline("all-big", "big", other.params)
    purse.follow(renamed)
    assert purse.baseline is renamed
    purse.follow(None)
    assert purse.baseline is None
    assert purse.by_tokens is None


def test_a_new_baseline_loses_no_minute_and_tells_none_twice() -> None:
    """The begun minute is told by the new one, what was over before by the old."""
    purse, hands, till = money()
    purse.follow(HourBaseline("all-llm", "llm", HourParams(6.0, concurrency=1)))
    hands.at += 90
    purse.follow(HourBaseline("all-llm", "llm", HourParams(12.0, concurrency=1)))
    hands.at += 60
    purse.settle()
    assert [(minute - NOON // 60, nano) for _, nano, minute, _ in till.compared] == [(0, DIME), (1, 2 * DIME)]


def test_the_end_tells_begun_minutes() -> None:
    """What a process that stops has used of its last minute is in the books."""
    purse, hands, till = money()
    purse.meter(FakeBackend("endpoint").spec, "llm", HOURLY)
    purse.follow(HourBaseline("all-llm", "llm", HourParams(6.0, concurrency=1)))
    purse.settle()
    hands.at += 90
    purse.close()
    assert till.spent == {"idle": 2 * DIME}
    assert [nano for _, nano, _, _ in till.compared] == [DIME, DIME]
