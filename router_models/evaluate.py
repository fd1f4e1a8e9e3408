"""Measures routers on labelled requests: per source, as a macro mean over sources and pooled, with bootstrap 95 %.

Every router is measured on the same rows and the same draws, beside `random` (the same score for all), `length` (of
the request's text) and `oracle` (the gain itself).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import ConfigError
from router_models.data import Row, text_of
from router_models.metrics import METRICS, Floats, drawn, interval, measure, summary, with_intervals

ROUNDS = 200
LEAST = 10  # rows below which a source is not worth a figure
Report = dict[str, Any]
Score = Callable[[Mapping[str, Any]], float]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What can be measured: rows that know the gain. `macro`: the sources that count in the macro mean and pooled."""

    rows: Sequence[Row]
    gain: Floats
    needed: Floats
    sources: NDArray[np.str_]
    macro: tuple[str, ...]

    def of(self, source: str) -> NDArray[np.intp]:
        return np.flatnonzero(self.sources == source)

    @property
    def names(self) -> list[str]:
        names, counts = np.unique(self.sources, return_counts=True)
        return names[counts >= LEAST].tolist()  # type: ignore[no-any-return]


def measurable(rows: Sequence[Row], outside: frozenset[str] = frozenset()) -> Rows:
    """The rows that know the gain; sources `outside` are measured alone, but stay out of macro and pooled.

    Raises ConfigError if there is none, or no source with LEAST of them."""
    known = [row for row in rows if row.gain is not None]
    if not known:
        raise ConfigError("no request here has scores of both models: say which with --slm and --llm, or pairs.json.")
    found = Rows(
        rows=known,
        gain=np.array([row.gain for row in known], float),
        needed=np.array([row.needed for row in known], float),
        sources=np.array([row.source for row in known]),
        macro=(),
    )
    if not found.names:
        raise ConfigError(f"no source here has {LEAST} requests with scores of both models, too few for any figure.")
    counted = tuple(name for name in found.names if name not in outside)
    return Rows(found.rows, found.gain, found.needed, found.sources, counted or tuple(found.names))


def evaluate(
    routers: Mapping[str, Floats], rows: Rows, rounds: int = ROUNDS, tell: Callable[[int, int], None] | None = None
) -> Report:
    """`routers` by name, each with a score per row; the first is the one in question, the others are baselines."""
    (name, scores), *others = beside_baselines(routers, rows).items()
    report = measured(scores, rows, rounds)
    total = len(others) + 1
    for number, (other, theirs) in enumerate(others, 1):
        if tell:
            tell(number, total)
        report.setdefault("baselines", {})[other] = measured(theirs, rows, rounds)
    if tell:
        tell(total, total)
    return {"router": name, "n": len(rows.rows), **report}


def measured(scores: Floats, rows: Rows, rounds: int) -> Report:
    """{"macro", "pooled", "sources"} of one router."""
    sources, spreads = {}, {}
    for name in rows.names:
        part = rows.of(name)
        figures, spreads[name] = with_intervals(
            scores[part], rows.gain[part], rows.needed[part], drawn(len(part), rounds)
        )
        sources[name] = {"n": len(part), **figures}
    pooled = np.flatnonzero(np.isin(rows.sources, rows.macro))
    together, _ = with_intervals(scores[pooled], rows.gain[pooled], rows.needed[pooled], drawn(len(pooled), rounds))
    return {"macro": _macro(sources, spreads, rows.macro), "pooled": together, "sources": sources}


def _macro(
    sources: Mapping[str, Mapping[str, Any]], spreads: Mapping[str, Mapping[str, Floats]], names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Means over the sources where a metric has a meaning."""
    values = {metric: _mean([sources[name][metric]["value"] for name in names]) for metric in METRICS}
    spread = {
        metric: np.array([_mean(draw) for draw in zip(*(spreads[name][metric] for name in names), strict=True)])
        for metric in METRICS
    }
    return summary(values, spread)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def baselines(rows: Rows) -> dict[str, Floats]:
    return {
        "random": np.full(len(rows.rows), 0.5),
        "length": np.array([float(len(text_of(row.body))) for row in rows.rows]),
        "oracle": rows.gain,
    }


def beside_baselines(routers: Mapping[str, Floats], rows: Rows) -> dict[str, Floats]:
    """The routers first; one that has a baseline's name stands for itself, and the baseline is left out."""
    return {**routers, **{name: scores for name, scores in baselines(rows).items() if name not in routers}}


def scored(score: Score, rows: Sequence[Row]) -> Floats:
    return np.array([score(row.body) for row in rows])


def from_csv(path: Path, rows: Sequence[Row]) -> Floats:
    """Scores of any other router: a CSV with the columns `id` and `score`. Raises ConfigError if one is missing."""
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            given = {line["id"]: float(line["score"]) for line in csv.DictReader(lines)}
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise ConfigError(f"{path}: {error}. It needs the columns id and score, one line a request.") from None
    absurd = [name for name, score in given.items() if not math.isfinite(score)]
    if absurd:
        raise ConfigError(f"{path}: the score of {absurd[0]!r} is no finite number.")
    missing = [row.id for row in rows if row.id not in given]
    if missing:
        raise ConfigError(f"{path} has no score for {len(missing)} of {len(rows)} requests, e.g. {missing[0]!r}.")
    return np.array([given[row.id] for row in rows])


def auroc_by(scores: Floats, labels: Floats, parts: Mapping[str, NDArray[np.bool_]], rounds: int = ROUNDS) -> Report:
    """AUROC of scores for labels (0..1) in each part, with its interval."""
    report: Report = {}
    for name, part in parts.items():
        mine, theirs = scores[part], labels[part]
        value = measure(mine, theirs, theirs)["auroc"]
        spread = [measure(mine[draw], theirs[draw], theirs[draw])["auroc"] for draw in drawn(len(mine), rounds)]
        report[name] = {"n": len(mine), "value": value, **interval(np.array(spread))}
    return report


def finite(report: Any) -> Any:
    """The same without nan, which is no JSON: null where something has no meaning."""
    if isinstance(report, dict):
        return {name: finite(value) for name, value in report.items()}
    return None if isinstance(report, float) and not math.isfinite(report) else report
