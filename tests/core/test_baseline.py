"""The baseline: what everything at the large model would have cost, by tokens and by the hour."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.baseline import MEASURED, HourBaseline, HourParams, TokenBaseline, counts
from app.core.prices import TokenPrice
from app.core.types import Reason, Usage

DIME = 100_000_000  # nano-dollars: six dollars an hour, a minute
NOON = 20_000 * 86_400.0 + 43_200


@pytest.mark.parametrize("reason", get_args(Reason))
def test_routed_chat_counts(reason: Reason) -> None:
    """Whatever decided the tier: without a router it had gone to the large model. A name of a model is no routing."""
    assert counts("chat", reason) == (reason != "explicit-model")
    assert not counts("completion", reason)
    assert not counts("embedding", reason)
    assert not counts("chat", None)


def hours(**changes: object) -> HourBaseline:
    """One replica serves six requests of ten seconds a minute, sixteen at once."""
    params = {"usd_per_hour": 6.0, "concurrency": 16, "utilisation": 1.0, "max_replicas": 4}
    params |= {"scale_up_delay": 0.0, "stabilisation": 60.0}
    return HourBaseline("all-llm", "llm", HourParams(**{**params, **changes}))  # type: ignore[arg-type]


def run(one: HourBaseline, minutes: list[int]) -> list[int]:
    """Replicas in each minute, for so many arrivals in each."""
    one.settle(NOON)
    for minute, arrivals in enumerate(minutes):
        for number in range(arrivals):
            one.arrive(NOON + 60 * minute + 60 * number / arrivals, None)
    return [spent.replicas for spent in one.settle(NOON + 60 * len(minutes))]


def test_tokens_of_the_small_model_at_the_large_models_price() -> None:
    """Its output is stretched by the verbosity ratio, and its cache is not the large model's."""
    baseline = TokenBaseline("all-llm", "llm", TokenPrice(1.0, 10.0, 0.1), verbosity=1.5)
    assert baseline.nano(Usage(1000, 200, cached=800), "slm") == 1_000_000 + 3_000_000


def test_tokens_of_the_large_model_are_as_measured() -> None:
    """What it answered itself it would have answered so without a router."""
    baseline = TokenBaseline("all-llm", "llm", TokenPrice(1.0, 10.0, 0.1), verbosity=1.5)
    assert baseline.nano(Usage(1000, 200, cached=800), "llm") == 200_000 + 80_000 + 2_000_000


REPLICAS = [
    ("nothing to do", {}, [0, 0], [1, 1]),
    ("one is enough", {}, [96, 96], [1, 1]),
    ("one more than one serves", {}, [97, 0], [2, 1]),
    ("at most so many", {}, [1000, 0], [4, 1]),
    ("a target below full load", {"utilisation": 0.5}, [49, 0], [2, 1]),
    ("given back after a while", {"stabilisation": 180.0}, [97, 0, 0, 0], [2, 2, 2, 1]),
    ("not before it served", {"scale_up_delay": 120.0}, [97, 0, 0, 0], [2, 2, 2, 1]),
    ("asleep until the first", {"min_replicas": 0, "scale_to_zero_after": 60.0}, [0, 1, 0, 0, 0], [0, 1, 1, 0, 0]),
    (
        "waking is paid",
        {"min_replicas": 0, "scale_to_zero_after": 60.0, "scale_up_delay": 120.0},
        [1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0],
    ),
]


@pytest.mark.parametrize(
    ("changes", "arrivals", "replicas"), [row[1:] for row in REPLICAS], ids=[row[0] for row in REPLICAS]
)
def test_replicas(changes: dict[str, object], arrivals: list[int], replicas: list[int]) -> None:
    """Whole replicas for the arrivals of each minute, within their limits."""
    assert run(hours(**changes), arrivals) == replicas


def test_measured_service_times_replace_the_assumed_one() -> None:
    """After enough answers of the large model their mean decides."""
    one = hours()
    assert one.service == 10.0
    for _ in range(MEASURED):
        one.arrive(NOON, 25.0)
    assert one.service == 25.0


def test_other_parameters_hold_from_the_begun_minute_on() -> None:
    """Minutes that are over cost what they did; what was awake stays awake, and what was ordered within the limits."""
    one = hours(min_replicas=0, scale_to_zero_after=300.0, stabilisation=180.0)
    one.settle(NOON)
    for _ in range(300):
        one.arrive(NOON + 1, None)
    dearer = replace(one.params, usd_per_hour=12.0, max_replicas=2)
    before = one.follow(dearer, NOON + 90)
    after = one.settle(NOON + 180)
    assert [(spent.replicas, spent.nano_usd) for spent in before] == [(4, 4 * DIME)]
    assert [(spent.replicas, spent.nano_usd) for spent in after] == [(2, 4 * DIME), (2, 4 * DIME)]


def test_arrivals_of_the_begun_minute_are_not_forgotten() -> None:
    """A reload in the middle of a minute does not put the endpoint of the baseline to sleep."""
    one = hours(min_replicas=0, scale_to_zero_after=60.0)
    one.settle(NOON)
    one.arrive(NOON + 1, None)
    one.follow(replace(one.params, usd_per_hour=12.0), NOON + 30)
    assert [spent.nano_usd for spent in one.settle(NOON + 60)] == [2 * DIME]


def test_a_request_of_a_settled_minute_counts_in_the_next() -> None:
    """An answer that took long is told late; it is not lost."""
    one = hours(min_replicas=0, scale_to_zero_after=1.0)
    one.settle(NOON)
    one.settle(NOON + 60)
    one.arrive(NOON, None)
    assert [spent.replicas for spent in one.settle(NOON + 120)] == [1]


def test_the_begun_minute_is_told_at_the_end() -> None:
    """Closing tells it once, whole."""
    one = hours()
    one.settle(NOON)
    assert [spent.nano_usd for spent in one.close(NOON + 61)] == [DIME, DIME]
    assert one.settle(NOON + 119) == []


@given(st.lists(st.integers(0, 300), min_size=1, max_size=40), st.floats(0.01, 50.0))
def test_money_is_replicas_times_rate(arrivals: list[int], usd: float) -> None:
    """Nothing is lost to rounding over any number of minutes."""
    one = hours(usd_per_hour=usd)
    one.settle(NOON)
    for minute, count in enumerate(arrivals):
        for _ in range(count):
            one.arrive(NOON + 60 * minute, None)
    spent = one.settle(NOON + 60 * len(arrivals))
    assert abs(sum(s.nano_usd for s in spent) - sum(s.replicas for s in spent) * round(usd * 1e9) / 60) < 1
