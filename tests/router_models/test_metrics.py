"""The metrics on examples worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from router_models import metrics

GAIN = np.array([1.0, 0.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("scores", "auroc"),
    [
        ([0.9, 0.1, 0.8, 0.2], 1.0),
        ([0.1, 0.9, 0.2, 0.8], 0.0),
        ([0.5, 0.5, 0.5, 0.5], 0.5),
        ([0.9, 0.5, 0.5, 0.1], 0.875),
    ],
)
def test_auroc(scores: list[float], auroc: float) -> None:
    """Pairs that are ranked rightly, ties as half."""
    assert metrics.auroc(np.array(scores), GAIN) == pytest.approx(auroc)


def test_auroc_needs_both_kinds() -> None:
    """With one kind only there is nothing to rank."""
    assert np.isnan(metrics.auroc(np.array([0.1, 0.2]), np.ones(2)))


@pytest.mark.parametrize(
    ("scores", "apgr"),
    # The curve goes through PGR .5, 1, 1, 1 at shares .25, .5, .75, 1: trapezia of .0625 + .1875 + .25 + .25.
    [([0.9, 0.1, 0.8, 0.2], 0.75), ([0.1, 0.9, 0.2, 0.8], 0.25), ([0.5, 0.5, 0.5, 0.5], 0.5)],
)
def test_apgr(scores: list[float], apgr: float) -> None:
    """The area under the recovered gap, ties averaged."""
    assert metrics.apgr(np.array(scores), GAIN) == pytest.approx(apgr)


def test_pgr_interpolates() -> None:
    """An eighth of the requests recovers a quarter of the gap when the ranking is perfect."""
    assert metrics.pgr(np.array([0.9, 0.1, 0.8, 0.2]), GAIN, 0.125) == pytest.approx(0.25)


def test_ece() -> None:
    """Two bins that are off by .1 and .2, and the edge 1.0 falls into the last bin."""
    assert metrics.ece(np.array([0.1, 0.1, 0.8, 0.8]), np.array([0.0, 0.0, 1.0, 1.0])) == pytest.approx(0.15)
    assert metrics.ece(np.array([1.0, 0.0]), np.array([1.0, 0.0])) == 0.0


def test_interval_holds_the_value_and_repeats() -> None:
    """The same rows give the same interval."""
    scores = np.linspace(0, 1, 100)
    needed = (scores + np.sin(np.arange(100)) > 0.5).astype(float)
    low, high = metrics.interval(metrics.auroc, scores, needed)
    assert low < metrics.auroc(scores, needed) < high
    assert [low, high] == metrics.interval(metrics.auroc, scores, needed)
