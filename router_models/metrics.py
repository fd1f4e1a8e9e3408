"""How well scores rank and how far they are probabilities; all with ties averaged, all on plain arrays.

APGR and PGR are RouteLLM's: with a share x of requests sent to the large model, PGR(x) is the part of the gap in
quality between always small and always large that is recovered; APGR is the area under that curve, .5 for random.
`gain` is the large model's score less the small one's, `needed` says whether the large one is needed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def auroc(scores: Floats, needed: Floats) -> float:
    """Probability that a needed one scores above one that is not; nan if either kind is missing."""
    values, inverse = np.unique(scores, return_inverse=True)
    positive = np.bincount(inverse, needed, len(values))
    negative = np.bincount(inverse, 1.0 - needed, len(values))
    total = positive.sum() * negative.sum()
    below = np.cumsum(negative) - negative / 2
    return float((positive * below).sum() / total) if total else float("nan")


def recovered(scores: Floats, gain: Floats) -> tuple[Floats, Floats]:
    """Shares sent to the large model and PGR at each, from (0, 0) to (1, 1)."""
    values, inverse, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    sums = np.bincount(inverse, gain, len(values))
    shares = np.concatenate(([0.0], np.cumsum(counts) / len(scores)))
    return shares, np.concatenate(([0.0], np.cumsum(sums))) / gain.sum()


def apgr(scores: Floats, gain: Floats) -> float:
    shares, part = recovered(scores, gain)
    return float(np.trapezoid(part, shares))


def pgr(scores: Floats, gain: Floats, share: float) -> float:
    return float(np.interp(share, *recovered(scores, gain)))


def ece(scores: Floats, needed: Floats, bins: int = 10) -> float:
    """Expected calibration error over `bins` bins of equal width."""
    which = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = np.abs(np.bincount(which, scores - needed, bins))
    return float(gaps.sum() / len(scores))


def interval(metric: Callable[..., float], *arrays: Floats, rounds: int = 200, seed: int = 0) -> list[float]:
    """Bootstrap 95 % interval of a metric over rows."""
    random = np.random.default_rng(seed)
    size = len(arrays[0])
    draws = (random.integers(0, size, size) for _ in range(rounds))
    values = [metric(*(array[draw] for array in arrays)) for draw in draws]
    return [float(edge) for edge in np.nanquantile(values, (0.025, 0.975))]
