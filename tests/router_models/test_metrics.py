"""The metrics on examples worked by hand, by RouteLLM's definitions."""

from __future__ import annotations

from itertools import permutations
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_models import metrics

# Ten requests. Sent to the large model from the top, ties together, they recover of the gap of 4:
#
#     score   gain          share sent   recovered   PGR
#     .9 .9   1 0           .2           1           .25
#     .7      1             .3           2           .5
#     .5      -1            .4           1           .25
#     .3 * 4  1 1 1 0       .8           4           1
#     .1 .1   0 0           1            4           1
SCORES = np.array([0.9, 0.9, 0.7, 0.5, 0.3, 0.3, 0.3, 0.3, 0.1, 0.1])
GAIN = np.array([1.0, 0.0, 1.0, -1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
NEEDED = (GAIN > 0).astype(float)

BY_HAND = {
    # Trapezia of .2 * .125, .1 * .375, .1 * .375, .4 * .625 and .2 * 1.
    "apgr": 0.025 + 0.0375 + 0.0375 + 0.25 + 0.2,
    # Half of the gap is first reached with a share of .3, and lost again; .8 of it between .4 and .8.
    "cpt50": 0.3,
    "cpt80": 0.4 + 0.4 * (0.8 - 0.25) / (1.0 - 0.25),
    # A fourth and a half of the way to the first tie, which recovers .25.
    "pgr5": 0.0625,
    "pgr10": 0.125,
    # The best possible choice recovers 1 in 4 with each of its first calls: .125 with a share of .05.
    "pgr5_of_oracle": 0.5,
    "pgr10_of_oracle": 0.5,
    # Of 25 pairs of one needed and one not: .9 wins 4.5, .7 wins 4, each .3 wins 2.5.
    "auroc": (4.5 + 4 + 3 * 2.5) / 25,
    # By bins of a tenth: 1.8 against 1, .7 against 1, .5 against 0, 1.2 against 3, .2 against 0.
    "ece": (0.8 + 0.3 + 0.5 + 1.8 + 0.2) / 10,
}


def test_all_metrics_by_hand() -> None:
    """Every figure of the example above, under the names in which a report states it."""
    assert metrics.measure(SCORES, GAIN, NEEDED) == pytest.approx(BY_HAND)
    assert set(metrics.METRICS) == set(BY_HAND)


def test_the_order_of_the_rows_is_nothing() -> None:
    """The same requests in another order have the same figures."""
    order = np.random.default_rng(3).permutation(len(SCORES))
    assert metrics.measure(SCORES[order], GAIN[order], NEEDED[order]) == pytest.approx(BY_HAND)


def test_a_score_is_only_a_rank() -> None:
    """Whatever keeps the order keeps all but the calibration, which has no meaning beyond 0..1."""
    found = metrics.measure(SCORES * 100 - 3, GAIN, NEEDED)
    assert np.isnan(found.pop("ece"))
    assert found == pytest.approx({name: value for name, value in BY_HAND.items() if name != "ece"})


@pytest.mark.parametrize(
    ("scores", "apgr", "pgr10", "auroc"),
    [
        ([0.9, 0.1, 0.8, 0.2], 0.75, 0.2, 1.0),
        ([0.1, 0.9, 0.2, 0.8], 0.25, 0.0, 0.0),
        ([0.5, 0.5, 0.5, 0.5], 0.5, 0.1, 0.5),
        ([0.9, 0.5, 0.5, 0.1], 0.6875, 0.2, 0.875),
    ],
    ids=["best", "worst", "the same for all", "a tie"],
)
def test_four_requests(scores: list[float], apgr: float, pgr10: float, auroc: float) -> None:
    """The best and the worst order, no order at all, and something in between."""
    gain = np.array([1.0, 0.0, 1.0, 0.0])
    found = metrics.measure(np.array(scores), gain, gain)
    assert [found[name] for name in ("apgr", "pgr10", "auroc")] == pytest.approx([apgr, pgr10, auroc])


GAINS = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=1, max_size=5)


@given(GAINS, st.data())
def test_a_tie_is_the_mean_over_its_orders(gains: list[float], data: st.DataObject) -> None:
    """As if requests of one score were sent in an order drawn by lot: at the ends of ties, and in the area."""
    scores = data.draw(st.lists(st.sampled_from([0.1, 0.5]), min_size=len(gains), max_size=len(gains)))
    gain = np.array([*gains, 1.0, 1.0, 1.0])  # so that there is a gap
    ranked = np.array([*scores, 0.9, 0.3, 0.05])
    if gain.sum() <= 0:
        return
    broken = [
        metrics.area(*metrics.recovered(ranked + 0.001 * np.array([*order, 0, 0, 0]), gain))
        for order in permutations(range(len(gains)))
    ]
    assert metrics.area(*metrics.recovered(ranked, gain)) == pytest.approx(np.mean(broken))


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), min_size=2, max_size=40), st.randoms())
def test_nothing_is_better_than_the_oracle(gains: list[float], pick: Random) -> None:
    """At any share the gain itself is the best order."""
    gain = np.array(gains)
    if gain.sum() <= 0:
        return
    scores = np.array([pick.random() for _ in gains])
    mine, best = metrics.measure(scores, gain, gain), metrics.measure(gain, gain, gain)
    assert mine["apgr"] <= best["apgr"] + 1e-9
    assert mine["pgr5_of_oracle"] <= 1 + 1e-9
    assert best["pgr5_of_oracle"] == pytest.approx(1.0)
    assert best["pgr10_of_oracle"] == pytest.approx(1.0)


@pytest.mark.parametrize("gain", [np.zeros(4), np.array([1.0, -1.0, 0.0, 0.0]), -np.ones(4)])
def test_without_a_gap_nothing_is_recovered(gain: metrics.Floats) -> None:
    """A share of a gap that is not there is no number, and neither is a rank among one kind only."""
    found = metrics.measure(np.array([0.9, 0.8, 0.2, 0.1]), gain, np.zeros(4))
    assert [name for name, value in found.items() if not np.isnan(value)] == ["ece"]


def test_a_need_in_between_counts_for_both_kinds() -> None:
    """A request that is needed in one case of four is a fourth of a positive and three of a negative."""
    scores, needed = np.array([0.9, 0.1]), np.array([0.25, 0.0])
    assert metrics.auroc(scores, needed) == pytest.approx((0.25 * 0.75 / 2 + 0.25) / (0.25 * 1.75))


def test_ece() -> None:
    """Two bins that are off by .1 and .2, and the edge 1.0 falls into the last bin."""
    assert metrics.ece(np.array([0.1, 0.1, 0.8, 0.8]), np.array([0.0, 0.0, 1.0, 1.0])) == pytest.approx(0.15)
    assert metrics.ece(np.array([1.0, 0.0]), np.array([1.0, 0.0])) == 0.0


def test_intervals_hold_the_value_and_repeat() -> None:
    """The same draws give the same interval, in which the value lies; fewer rows give a wider one."""
    pick = np.random.default_rng(5)
    gain = pick.integers(0, 2, 300).astype(float)
    scores = 0.2 * gain + 0.8 * pick.random(300)
    found, spread = metrics.with_intervals(scores, gain, gain, metrics.drawn(300, 100))
    again, _ = metrics.with_intervals(scores, gain, gain, metrics.drawn(300, 100))
    assert found == again
    assert set(found) == set(spread) == set(metrics.METRICS)
    assert all(one["low"] <= one["value"] <= one["high"] for name, one in found.items() if name != "ece")
    few, _ = metrics.with_intervals(scores[:50], gain[:50], gain[:50], metrics.drawn(50, 100))
    assert few["auroc"]["high"] - few["auroc"]["low"] > found["auroc"]["high"] - found["auroc"]["low"]


def test_an_interval_leaves_out_what_is_unknown() -> None:
    """Draws without a meaning are skipped; if all are, nothing is known."""
    assert metrics.interval(np.array([1.0, float("nan"), 1.0])) == {"low": 1.0, "high": 1.0}
    assert np.isnan(metrics.interval(np.full(3, np.nan))["low"])
