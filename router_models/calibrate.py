"""Chooses a threshold for a share: from the scores of labelled requests, or of recorded traffic.

A threshold is as good as the traffic it was chosen on: the interval says how much the share would differ on other
draws of the same traffic, not on another traffic.
"""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from app.errors import ConfigError
from router_models.metrics import Floats, at, drawn, interval, recovered

ROUNDS = 500
BINS = 20
SETTINGS = ("llm_share", "threshold")


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
    threshold = _threshold(scores, wanted)
    above = (scores >= threshold).astype(float)
    draws = drawn(len(scores), ROUNDS)
    # Both the threshold and the traffic it meets are drawn anew.
    shares = np.array(
        [
            (scores[other] >= _threshold(scores[draw], wanted)).mean()
            for draw, other in zip(draws, draws[::-1], strict=True)
        ]
    )
    low, high = interval(shares).values()
    pgr = spread = None
    if gain is not None and gain.sum() > 0:
        pgr = at(*recovered(scores, gain), float(above.mean()))
        values = [at(*recovered(scores[draw], gain[draw]), float(above.mean())) for draw in draws]
        spread = tuple(interval(np.array(values)).values())
    counts = np.bincount(np.minimum((scores * BINS).astype(int), BINS - 1), minlength=BINS)
    return Calibration(
        threshold=threshold,
        wanted=wanted,
        share=float(above.mean()),
        share_interval=(low, high),
        pgr=pgr,
        pgr_interval=spread,  # type: ignore[arg-type]  # a pair
        rows=len(scores),
        histogram=tuple(counts.tolist()),
    )


def _threshold(scores: Floats, wanted: float) -> float:
    """The score at or above which `wanted` of them lie, as near as their number and ties allow. Of six digits, never
    rounded up, so that the request it was taken from still counts: a config that states it does what is reported."""
    if wanted <= 0:
        return 1.0  # as any router says for nothing
    exact = float(np.quantile(scores, 1.0 - wanted, method="higher"))
    rounded = round(exact, 6)
    return rounded if rounded <= exact else round(rounded - 1e-6, 6)


def recorded(path: Path) -> Floats:
    """The scores of the requests that a gateway recorded and decided by score. Raises ConfigError."""
    if not path.exists():
        raise ConfigError(f"{path} does not exist.")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            found = db.execute("SELECT score FROM requests WHERE score IS NOT NULL AND api <> 'embedding'").fetchall()
    except sqlite3.Error as error:
        raise ConfigError(f"{path} is not a database of records: {error}.") from None
    return np.array([score for (score,) in found], float)


def with_threshold(text: str, threshold: float) -> str:
    """The text of a config with `routing.threshold` in place of what stood there. Raises ConfigError if it cannot be
    found; everything else stays as it was written, comments included."""
    try:
        _, routing = _entry(yaml.compose(text, Loader=yaml.SafeLoader), ("routing",))
    except yaml.YAMLError:
        raise ConfigError("the config is not YAML.") from None
    key, value = _entry(routing, SETTINGS)
    if routing is None:
        raise ConfigError("the config has no section 'routing' to change.")
    if key is None or value is None:
        raise ConfigError("the section 'routing' of the config has neither llm_share nor threshold to change.")
    if value.start_mark.index < key.end_mark.index:
        raise ConfigError(f"routing.{key.value} stands elsewhere in the config, by an alias: write it out first.")
    colon = text[key.end_mark.index : value.start_mark.index]
    number = f"{threshold:.6f}".rstrip("0").rstrip(".")
    changed = f"threshold{colon}{number}" if colon[-1:].isspace() else f"threshold{colon} {number}"
    return text[: key.start_mark.index] + changed + text[value.end_mark.index :]


def _entry(node: yaml.Node | None, names: Sequence[str]) -> tuple[yaml.Node | None, yaml.Node | None]:
    """The first key of these names in a mapping, and its value."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next(((key, value) for key, value in pairs if key.value in names), (None, None))


def diff(before: str, after: str, name: str) -> str:
    """What changed, as `patch` and people read it."""
    lines: Sequence[str] = list(
        difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}", n=2
        )
    )
    return "".join(lines)
