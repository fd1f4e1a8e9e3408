"""How well scores rank and how far they are probabilities; all with ties averaged, all on plain arrays.

APGR, PGR and CPT are RouteLLM's: with a share x of requests sent to the large model, PGR(x) is the part of the gap in
quality between always small and always large that is recovered; APGR is the area under that curve, .5 for random;
CPT(p) is the share of calls to the large model with which PGR first reaches p. `gain` is the large model's score less
the small one's, `needed` how far the large one is needed (0, 1, or in between). What has no meaning, such as a share of
a gap that is not there, is nan.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

METRICS = ("apgr", "cpt50", "cpt80", "pgr5", "pgr10", "pgr5_of_oracle", "pgr10_of_oracle", "auroc", "ece")
NAN = float("nan")


def measure(scores: Floats, gain: Floats, needed: Floats) -> dict[str, float]:
    """All METRICS of one set of requests."""
    curve, best = recovered(scores, gain), recovered(gain, gain)
    found = {"apgr": area(*curve), "cpt50": calls(*curve, 0.5), "cpt80": calls(*curve, 0.8)}
    for name, share in (("pgr5", 0.05), ("pgr10", 0.10)):
        value = at(*curve, share)
        found |= {name: value, f"{name}_of_oracle": value / at(*best, share)}
    return found | {"auroc": auroc(scores, needed), "ece": ece(scores, needed)}


def recovered(scores: Floats, gain: Floats) -> tuple[Floats, Floats]:
    """Shares sent to the large model and PGR at each, from (0, 0) to (1, 1); nan where there is no gap to recover."""
    values, inverse, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    sums = np.bincount(inverse, gain, len(values))
    shares = np.concatenate(([0.0], np.cumsum(counts) / len(scores)))
    total = gain.sum()
    return shares, np.concatenate(([0.0], np.cumsum(sums))) / (total if total > 0 else NAN)


def area(shares: Floats, part: Floats) -> float:
    return float(np.trapezoid(part, shares))


def at(shares: Floats, part: Floats, share: float) -> float:
    return float(np.interp(share, shares, part))


def calls(shares: Floats, part: Floats, wanted: float) -> float:
    """The least share of calls with which `wanted` of the gap is recovered."""
    reached = np.flatnonzero(part >= wanted)
    if not len(reached):
        return NAN
    last = reached[0]
    low, high = part[last - 1], part[last]
    return float(shares[last - 1] + (shares[last] - shares[last - 1]) * (wanted - low) / (high - low))


def auroc(scores: Floats, needed: Floats) -> float:
    """Probability that a needed one scores above one that is not; nan if either kind is missing."""
    values, inverse = np.unique(scores, return_inverse=True)
    positive = np.bincount(inverse, needed, len(values))
    negative = np.bincount(inverse, 1.0 - needed, len(values))
    total = positive.sum() * negative.sum()
    below = np.cumsum(negative) - negative / 2
    return float((positive * below).sum() / total) if total else NAN


def ece(scores: Floats, needed: Floats, bins: int = 10) -> float:
    """Expected calibration error over `bins` bins of equal width; nan if scores are no probabilities."""
    if scores.min() < 0 or scores.max() > 1:
        return NAN
    which = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = np.abs(np.bincount(which, scores - needed, bins))
    return float(gaps.sum() / len(scores))


def with_intervals(
    scores: Floats, gain: Floats, needed: Floats, draws: NDArray[np.intp]
) -> tuple[dict[str, dict[str, float]], dict[str, Floats]]:
    """Each metric as value, low and high of its bootstrap 95 % interval, and its values over the `draws` of rows."""
    values = measure(scores, gain, needed)
    rounds = [measure(scores[draw], gain[draw], needed[draw]) for draw in draws]
    spread = {name: np.array([one[name] for one in rounds]) for name in METRICS}
    return summary(values, spread), spread


def summary(values: Mapping[str, float], spread: Mapping[str, Floats]) -> dict[str, dict[str, float]]:
    return {name: {"value": values[name], **interval(spread[name])} for name in METRICS}


def interval(values: Floats) -> dict[str, float]:
    """The 95 % that lie in the middle; nan if nothing is known."""
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (NAN, NAN)
    return {"low": float(low), "high": float(high)}


def drawn(size: int, rounds: int, seed: int = 0) -> NDArray[np.intp]:
    """Bootstrap draws of rows, the same for everything that is compared."""
    return np.random.default_rng(seed).integers(0, size, (rounds, size))
