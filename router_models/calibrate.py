"""Chooses a threshold for a share: from the scores of labelled requests, or of recorded traffic.

A threshold is as good as the traffic it was chosen on: the interval says how much the share would differ on other
draws of the same traffic, not on another traffic.
"""

from __future__ import annotations

import difflib
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.errors import ConfigError
from router_models.metrics import Floats, drawn, interval, recovered

ROUNDS = 500
BINS = 20
_ROUTING = re.compile(r"^(\s*routing\s*:)(.*)$", re.MULTILINE)
_SECTION = re.compile(r"^\w", re.MULTILINE)
_CHOICE = re.compile(r"\b(?:llm_share|threshold)(\s*:\s*)[0-9.eE+-]+")


@dataclass(frozen=True, slots=True)
class Calibration:
    """`share`: what the threshold sends to the large model of these rows; `pgr` None without labels. `histogram`
    counts scores in BINS bins of equal width."""

    threshold: float
    wanted: float
    share: float
    share_interval: tuple[float, float]
    pgr: float | None
    pgr_interval: tuple[float, float] | None
    rows: int
    histogram: tuple[int, ...]


def calibrate(scores: Floats, wanted: float, gain: Floats | None = None) -> Calibration:
    """The threshold at or above which `wanted` of these scores lie. Raises ConfigError if there are none."""
    if not len(scores):
        raise ConfigError("no scored request to calibrate on.")
    threshold = float(np.quantile(scores, 1.0 - wanted, method="higher"))
    above = (scores >= threshold).astype(float)
    draws = drawn(len(scores), ROUNDS)
    # Both the threshold and the traffic it meets are drawn anew.
    shares = np.array(
        [
            (scores[other] >= np.quantile(scores[draw], 1.0 - wanted)).mean()
            for draw, other in zip(draws, draws[::-1], strict=True)
        ]
    )
    low, high = interval(shares).values()
    pgr = spread = None
    if gain is not None and gain.sum() > 0:
        pgr = float(np.interp(above.mean(), *recovered(scores, gain)))
        values = [np.interp(above.mean(), *recovered(scores[draw], gain[draw])) for draw in draws]
        spread = tuple(interval(np.array(values)).values())
    counts = np.bincount(np.minimum((scores * BINS).astype(int), BINS - 1), minlength=BINS)
    return Calibration(
        threshold=round(threshold, 6),
        wanted=wanted,
        share=float(above.mean()),
        share_interval=(low, high),
        pgr=pgr,
        pgr_interval=spread,  # type: ignore[arg-type]  # a pair
        rows=len(scores),
        histogram=tuple(counts.tolist()),
    )


def recorded(path: Path) -> Floats:
    """The scores of the requests that a gateway recorded and decided by score. Raises ConfigError."""
    if not path.exists():
        raise ConfigError(f"{path} does not exist.")
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            found = db.execute("SELECT score FROM requests WHERE score IS NOT NULL AND api <> 'embedding'").fetchall()
    except sqlite3.Error as error:
        raise ConfigError(f"{path} is not a database of records: {error}.") from None
    return np.array([score for (score,) in found], float)


def with_threshold(text: str, threshold: float) -> str:
    """The text of a config with `routing.threshold` in place of what stood there. Raises ConfigError if it cannot be
    found; everything else stays as it was written, comments included."""
    routing = _ROUTING.search(text)
    if routing is None:
        raise ConfigError("the config has no section 'routing' to change.")
    following = _SECTION.search(text, routing.end())
    end = following.start() if following else len(text)
    section = text[routing.start() : end]
    changed, count = _CHOICE.subn(rf"threshold\g<1>{threshold:g}", section, count=1)
    if not count:
        raise ConfigError("the section 'routing' of the config has neither llm_share nor threshold to change.")
    return text[: routing.start()] + changed + text[end:]


def diff(before: str, after: str, name: str) -> str:
    """What changed, as `patch` and people read it."""
    lines: Sequence[str] = list(
        difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}", n=2
        )
    )
    return "".join(lines)
