"""Meters: which minutes are paid, by whom, and that nothing is lost or paid twice, however time is cut."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.meter import Meter, Use, split
from app.core.prices import HourPrice, LocalPrice, TimePrice
from app.core.types import Entry

DOLLAR = 1_000_000_000
DAY = 86_400.0
MIDNIGHT = 20_000 * DAY  # seconds since the epoch
HOURLY = HourPrice(6.0)  # a tenth of a dollar a minute
DIME = DOLLAR // 10
BOX = LocalPrice(watts=1000, usd_per_kwh=0.36, hardware_usd=8760, life_years=1)  # energy 0.36, capex 1.00 an hour
SECOND = {"energy": 100_000, "capex": 277_777}  # nano-dollars, the latter and seven ninths


def meter(price: TimePrice = HOURLY) -> Meter:
    """One whose time has begun at midnight."""
    one = Meter(price, "endpoint", "llm")
    assert one.settle(MIDNIGHT) == []
    return one


def use(number: int = 1) -> Use:
    return Use(f"req-{number}", 1, "endpoint", "llm")


def by_kind(entries: list[Entry]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for entry in entries:
        total[entry.kind] += entry.nano_usd
    return dict(total)


def by_request(entries: list[Entry]) -> dict[str | None, int]:
    total: Counter[str | None] = Counter()
    for entry in entries:
        total[entry.request_id] += entry.nano_usd
    return dict(total)


# --- endpoints ----------------------------------------------------------------------------------------------


def test_an_awake_minute_without_use_is_idle() -> None:
    """Sampled awake and unused: billed whole, to nobody."""
    one = meter()
    one.sample(MIDNIGHT + 30, 1)
    entries = one.settle(MIDNIGHT + 60)
    assert by_kind(entries) == {"idle": DIME}
    assert [(entry.request_id, entry.minute) for entry in entries] == [(None, MIDNIGHT // 60)]
    assert one.minutes == 1


def test_a_used_minute_is_compute_and_shared_by_busy_time() -> None:
    """Ten seconds and thirty seconds of use share the whole minute one to three."""
    one = meter()
    one.sample(MIDNIGHT, 1)
    one.enter(use(1), MIDNIGHT + 5)
    one.enter(use(2), MIDNIGHT + 10)
    one.leave(use(1), MIDNIGHT + 15)
    one.leave(use(2), MIDNIGHT + 40)
    entries = one.settle(MIDNIGHT + 60)
    assert by_kind(entries) == {"compute": DIME}
    assert by_request(entries) == {"req-1": DIME // 4, "req-2": DIME * 3 // 4}


def test_replicas_multiply() -> None:
    """The most that were awake at once in a minute are billed."""
    one = meter()
    for second, replicas in ((1, 1), (20, 3), (40, 2)):
        one.sample(MIDNIGHT + second, replicas)
    assert by_kind(one.settle(MIDNIGHT + 60)) == {"idle": 3 * DIME}
    assert one.minutes == 3


ASLEEP = [
    ("sampled asleep", [(0, 0)], [], 0),
    ("asleep since", [(0, 1), (65, 0)], [], 1),
    ("fell asleep in the minute", [(0, 1), (30, 0)], [], 1),
    ("no sample in the second minute", [(0, 1)], [], 2),
    ("a call wakes it", [(0, 0), (65, 0)], [70], 1),
    ("nobody can say, declared awake", [], [], 2),
]


@pytest.mark.parametrize(("samples", "calls", "minutes"), [row[1:] for row in ASLEEP], ids=[row[0] for row in ASLEEP])
def test_which_minutes_are_billed(samples: list[tuple[float, int]], calls: list[float], minutes: int) -> None:
    """By samples, else by the last one or by use, else by the declared hours; over two minutes."""
    one = meter()
    happened = [(at, lambda at=at, n=n: one.sample(MIDNIGHT + at, n)) for at, n in samples]
    happened += [(at, lambda at=at: (one.enter(use(), MIDNIGHT + at), one.leave(use(), MIDNIGHT + at))) for at in calls]
    for _, happen in sorted(happened, key=lambda one: one[0]):
        happen()
    one.settle(MIDNIGHT + 120)
    assert one.minutes == minutes


DECLARED = [
    (((3600, 7200),), DAY, 60),
    (((82_800, 3600),), DAY, 120),
    (((0, 7200), (3600, 10_800)), DAY, 180),
    (((30, 90),), DAY, 2),
    ((), DAY, 0),
]


@pytest.mark.parametrize(("awake", "until", "minutes"), DECLARED)
def test_declared_hours(awake: tuple[tuple[float, float], ...], until: float, minutes: int) -> None:
    """Where nobody can say, the declared hours of the day are billed, over midnight too, overlaps once."""
    one = meter(HourPrice(6.0, awake))
    one.settle(MIDNIGHT + until)
    assert one.minutes == minutes


def test_use_outside_the_declared_hours_is_billed() -> None:
    """Who is used is awake, whatever was declared."""
    one = meter(HourPrice(6.0, ((3600, 7200),)))
    one.enter(use(), MIDNIGHT + 59)
    one.leave(use(), MIDNIGHT + 61)
    assert by_kind(one.settle(MIDNIGHT + 1000)) == {"compute": 2 * DIME}


def test_a_begun_minute_is_billed_once() -> None:
    """Closing bills it whole; a new price begins with the next minute."""
    one = meter()
    one.sample(MIDNIGHT, 1)
    assert by_kind(one.reprice(HourPrice(60.0), MIDNIGHT + 10)) == {"idle": DIME}
    assert by_kind(one.settle(MIDNIGHT + 119)) == {}
    assert by_kind(one.close(MIDNIGHT + 119)) == {"idle": DOLLAR}


def test_two_of_one_name_are_two() -> None:
    """Ids are the clients', who may use one twice: when one has left, the other still uses the endpoint."""
    one = meter()
    one.sample(MIDNIGHT, 0)
    one.enter(use(1), MIDNIGHT + 5)
    one.enter(use(1), MIDNIGHT + 5)
    one.leave(use(1), MIDNIGHT + 15)
    one.leave(use(1), MIDNIGHT + 70)
    one.leave(use(1), MIDNIGHT + 80)  # and nobody leaves twice
    assert by_kind(one.settle(MIDNIGHT + 240)) == {"compute": 2 * DIME}


def test_a_retired_endpoint_is_paid_while_it_is_used() -> None:
    """By the replicas last seen; what is not used is nobody's business until it is configured again."""
    one = meter()
    one.sample(MIDNIGHT, 2)
    one.enter(use(), MIDNIGHT + 70)
    assert by_kind(one.retire(MIDNIGHT + 80)) == {"idle": 2 * DIME, "compute": 2 * DIME}
    one.leave(use(), MIDNIGHT + 130)
    assert by_kind(one.settle(MIDNIGHT + 600)) == {"compute": 2 * DIME}
    assert by_kind(one.reprice(HOURLY, MIDNIGHT + 600)) == {}
    assert by_kind(one.settle(MIDNIGHT + 660)) == {"idle": 2 * DIME}


# --- a box of one's own -------------------------------------------------------------------------------------


def test_a_box_costs_all_the_time_and_only_its_busy_part_is_somebodys() -> None:
    """Thirty of sixty seconds busy: half of energy and capex belong to the request."""
    one = meter(BOX)
    one.enter(use(), MIDNIGHT + 10)
    one.leave(use(), MIDNIGHT + 40)
    entries = one.settle(MIDNIGHT + 60)
    assert by_kind(entries) == {"energy": 6_000_000, "capex": 16_666_666}
    assert by_request(entries) == {"req-1": 11_333_333, None: 11_333_333}


def test_two_at_once_share_a_box() -> None:
    """The busy time of the box is counted once, and shared by who used it for how long."""
    one = meter(LocalPrice(1000, 3.6, 0, 1))
    one.enter(use(1), MIDNIGHT)
    one.enter(use(2), MIDNIGHT + 20)
    one.leave(use(1), MIDNIGHT + 30)
    one.leave(use(2), MIDNIGHT + 30)
    assert by_request(one.settle(MIDNIGHT + 60)) == {"req-1": 22_500_000, "req-2": 7_500_000, None: 30_000_000}


def test_a_box_is_paid_to_the_moment() -> None:
    """Begun minutes are not whole ones here."""
    one = meter(BOX)
    assert by_kind(one.close(MIDNIGHT + 9)) == {"energy": 900_000, "capex": 2_500_000}


def test_a_retired_box_costs_what_it_is_used() -> None:
    """Its idle time is not on this bill any more."""
    one = meter(BOX)
    one.enter(use(), MIDNIGHT)
    assert by_kind(one.retire(MIDNIGHT + 9)) == {"energy": 900_000, "capex": 2_500_000}
    one.leave(use(), MIDNIGHT + 18)
    assert by_kind(one.settle(MIDNIGHT + 600)) == {"energy": 900_000, "capex": 2_500_000}


def test_entries_name_the_backend_that_was_used() -> None:
    """On a host of several backends each pays its own part, and the rest stands with the first."""
    one = meter(BOX)
    other = Use("req-9", 2, "second", "slm")
    one.enter(other, MIDNIGHT)
    one.leave(other, MIDNIGHT + 30)
    owners = {(entry.tier, entry.backend, entry.request_id, entry.attempt) for entry in one.settle(MIDNIGHT + 60)}
    assert owners == {("slm", "second", "req-9", 2), ("llm", "endpoint", None, None)}


def test_a_clock_that_steps_back_bills_nothing_twice() -> None:
    """Time counts again when it is past where it was."""
    one = meter(BOX)
    one.settle(MIDNIGHT + 120)
    assert one.settle(MIDNIGHT + 60) == []
    assert one.settle(MIDNIGHT + 119) == []
    assert by_kind(one.close(MIDNIGHT + 121)) == {"energy": 100_000, "capex": SECOND["capex"] + 1}


# --- conservation -------------------------------------------------------------------------------------------


@given(st.integers(0, 10**15), st.lists(st.integers(1, 10**11), min_size=1, max_size=20))
def test_a_split_loses_nothing(amount: int, weights: list[int]) -> None:
    """Parts are never negative, sum exactly, and go by weight to a nano-dollar."""
    parts = split(amount, weights)
    assert sum(parts) == amount
    assert all(
        abs(part - amount * weight / sum(weights)) <= 1 + amount * 1e-15
        for part, weight in zip(parts, weights, strict=True)
    )


@dataclass(frozen=True)
class Lived:
    """An attempt, in seconds since midnight."""

    begin: float
    end: float


LIVES = st.builds(
    lambda begin, length: Lived(begin, begin + length), st.floats(0, 900), st.floats(0, 400, allow_nan=False)
)
SAMPLES = st.lists(st.tuples(st.floats(0, 1300), st.integers(0, 3)), max_size=20)
PRICES = st.one_of(
    st.builds(HourPrice, st.floats(0.001, 100)),
    st.builds(LocalPrice, st.floats(1, 2000), st.floats(0.01, 1), st.floats(1, 50_000), st.floats(0.5, 10)),
)
END = 1320.0


def history(
    price: TimePrice, lives: list[Lived], samples: list[tuple[float, int]], cuts: list[float]
) -> tuple[list[Entry], Meter]:
    one, entries = meter(price), []
    happened = [(life.begin, 1, number, None) for number, life in enumerate(lives)]
    happened += [(life.end, 2, number, None) for number, life in enumerate(lives)]
    happened += [(at, 0, 0, replicas) for at, replicas in samples]
    happened += [(at, 3, 0, None) for at in cuts]
    for at, what, number, replicas in sorted(happened, key=lambda one: one[:3]):
        if what == 0:
            one.sample(MIDNIGHT + at, replicas)
        elif what == 1:
            one.enter(use(number), MIDNIGHT + at)
        elif what == 2:
            one.leave(use(number), MIDNIGHT + at)
        else:
            entries += one.settle(MIDNIGHT + at)
    return entries + one.close(MIDNIGHT + END), one


@given(PRICES, st.lists(LIVES, max_size=8), SAMPLES, st.lists(st.floats(0, END), max_size=10))
def test_no_nano_dollar_is_lost_or_paid_twice(
    price: TimePrice, lives: list[Lived], samples: list[tuple[float, int]], cuts: list[float]
) -> None:
    """Whatever happened: the parts of requests and of nobody sum to the price of the time that is billed."""
    entries, one = history(price, lives, samples, cuts)
    total = sum(entry.nano_usd for entry in entries)
    if isinstance(price, HourPrice):
        assert abs(total - one.minutes * round(price.usd_per_hour * DOLLAR) / 60) < 1
        for minute, kinds in by_minute(entries).items():
            assert len(kinds) == 1, minute  # a minute is used or it is not
    else:
        rates = (price.energy_per_hour, price.capex_per_hour)
        assert abs(total - sum(round(rate * DOLLAR) * END / 3600 for rate in rates)) < 2
    assert all(entry.nano_usd > 0 for entry in entries)


@given(PRICES, st.lists(LIVES, max_size=8), SAMPLES, st.lists(st.floats(0, END), max_size=10))
def test_only_who_was_there_pays(
    price: TimePrice, lives: list[Lived], samples: list[tuple[float, int]], cuts: list[float]
) -> None:
    """No request pays for a minute in which it did not use the box."""
    entries, _ = history(price, lives, samples, cuts)
    for entry in entries:
        if entry.request_id is not None and entry.minute is not None:
            life, start = lives[int(entry.request_id.removeprefix("req-"))], entry.minute * 60 - MIDNIGHT
            assert life.begin < start + 60.001
            assert life.end > start - 0.001


@given(PRICES, st.lists(LIVES, max_size=8), SAMPLES, st.lists(st.floats(0, END), max_size=10))
def test_any_cut_of_time_gives_the_same_entries(
    price: TimePrice, lives: list[Lived], samples: list[tuple[float, int]], cuts: list[float]
) -> None:
    """How often somebody looks changes nothing."""
    assert history(price, lives, samples, cuts)[0] == history(price, lives, samples, [])[0]


def by_minute(entries: list[Entry]) -> dict[int | None, set[str]]:
    kinds: dict[int | None, set[str]] = defaultdict(set)
    for entry in entries:
        kinds[entry.minute].add(entry.kind)
    return kinds
