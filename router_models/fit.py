"""Fits the linear router: from labelled rows to a LinearModel and the scores its card is written from.

Logistic regression on soft targets. Counters are standardised and words normalised by length; the routing rows are
weighted so that large sources do not drown small ones, and our everyday seed weighs, in each language, `SEED_WEIGHT`
times the routing rows of that language, because benchmarks teach exam topics and not what makes a request hard.

The seed is scored out of fold, whole kinds of work left out, and the routing rows of the dev part were never fitted;
on both together the score is calibrated (Platt). Both are also the reference traffic of the quantiles: half of it
everyday (three easy to one hard), half the dev parts of the sources in equal shares. Neither half alone is like real
traffic: exams have hardly any trivial requests and crowd the middle of the scale, the seed knows only extremes. So a
fixed threshold is a start, not a promise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from app.core.features import BUCKETS, COUNTERS, features
from app.core.linear import QUANTILES, LinearModel
from router_models.data import Row

Floats = NDArray[np.float64]

REGULARISATION = 0.1  # scikit-learn's C; these four were chosen on the dev part
COUNTER_SCALE, WORD_SCALE = 0.1, 2.0
SEED_WEIGHT = 0.25
SOURCE_POWER = 0.3  # a source of n rows weighs n ** SOURCE_POWER
SPREAD_FLOOR = 0.25  # a counter that is nearly always 0 in training must not weigh tons when it is not
FOLDS = 5
EASY_SHARE = 0.75


@dataclass(frozen=True, slots=True)
class Data:
    """Rows as arrays; `matrix` holds scaled counters, then normalised words."""

    rows: Sequence[Row]
    matrix: sparse.csr_matrix
    means: Floats
    spreads: Floats
    targets: Floats
    needed: Floats
    gains: Floats
    lengths: Floats  # characters of the last message, a baseline to beat
    sources: NDArray[np.str_]
    languages: NDArray[np.str_]
    everyday: NDArray[np.bool_]
    fitted: NDArray[np.bool_]  # routing rows of the train part


@dataclass(frozen=True, slots=True)
class Fit:
    """The model, the data it was made from, and honest scores for every row that was held back (else nan)."""

    model: LinearModel
    data: Data
    scores: Floats
    reference: Floats  # weight of each row in the reference traffic


def fit(rows: Sequence[Row], tell: Callable[[str], None]) -> Fit:
    """Fit on routing rows and everyday rows together; `tell` hears of the progress."""
    data = prepare(rows)
    tell(f"{len(rows)} requests read")
    weights = _weights(data)
    logits = np.full(len(rows), np.nan)
    held = np.flatnonzero(data.everyday)
    groups = [rows[index].group for index in held.tolist()]
    folds = GroupKFold(FOLDS, shuffle=True, random_state=0).split(held, groups=groups)
    for number, (_, left_out) in enumerate(folds, 1):
        part = held[left_out]
        logits[part] = _logits(data, part, *_regress(data, _without(weights, part)))
        tell(f"fold {number} of {FOLDS} fitted")
    coefficients, bias = _regress(data, weights)
    dev = np.flatnonzero(~data.fitted & ~data.everyday)
    logits[dev] = _logits(data, dev, coefficients, bias)
    reference = _reference(data)
    slope, offset = _platt(logits, data.needed, reference)
    scores = 1.0 / (1.0 + np.exp(-(slope * logits + offset)))
    model = _model(data, slope * coefficients, slope * bias + offset, _quantiles(scores, reference))
    tell("fitted")
    return Fit(model, data, scores, reference)


def prepare(rows: Sequence[Row]) -> Data:
    """The features of all rows, scaled."""
    seen = [features(row.body) for row in rows]
    everyday = np.array([row.source.startswith("seed-") for row in rows])
    fitted = np.array([row.split == "train" for row in rows]) & ~everyday
    counters = np.array([one.counters for one in seen])
    known = counters[fitted | everyday]
    means, spreads = known.mean(axis=0), np.maximum(known.std(axis=0), SPREAD_FLOOR)
    scaled = sparse.csr_matrix((counters - means) / spreads * COUNTER_SCALE)
    return Data(
        rows=rows,
        matrix=sparse.hstack([scaled, _word_matrix([one.buckets for one in seen]) * WORD_SCALE]).tocsr(),
        means=means,
        spreads=spreads,
        targets=np.array([row.target for row in rows]),
        needed=np.array([row.needed for row in rows]),
        gains=np.array([row.gain for row in rows]),
        lengths=np.array([float(len(row.body["messages"][-1]["content"])) for row in rows]),
        sources=np.array([row.source for row in rows]),
        languages=np.array([row.language for row in rows]),
        everyday=everyday,
        fitted=fitted,
    )


def _word_matrix(buckets: Sequence[list[int]]) -> sparse.csr_matrix:
    counts = np.array([len(one) for one in buckets])
    values = np.repeat(1.0 / np.sqrt(np.maximum(counts, 1)), counts)
    starts = np.concatenate(([0], np.cumsum(counts)))
    columns = np.concatenate([np.array(one, np.int64) for one in buckets])
    return sparse.csr_matrix((values, columns, starts), (len(buckets), BUCKETS))


def _weights(data: Data) -> Floats:
    """What each row weighs in the fit: routing rows 1 on average, the seed as SEED_WEIGHT says."""
    weights = np.zeros(len(data.rows))
    for source in np.unique(data.sources[data.fitted]):
        rows = data.fitted & (data.sources == source)
        weights[rows] = rows.sum() ** (SOURCE_POWER - 1)
    weights[data.fitted] /= weights[data.fitted].mean()
    for language in np.unique(data.languages[data.everyday]):
        rows = data.everyday & (data.languages == language)
        weights[rows] = SEED_WEIGHT * weights[data.fitted & (data.languages == language)].sum() / rows.sum()
    return weights


def _without(weights: Floats, rows: NDArray[np.intp]) -> Floats:
    left = weights.copy()
    left[rows] = 0.0
    return left


def _regress(data: Data, weights: Floats) -> tuple[Floats, float]:
    """Coefficients and bias. A soft target t is one positive row of weight t and a negative one of 1 - t."""
    doubled = np.concatenate((weights * data.targets, weights * (1.0 - data.targets)))
    labels = np.repeat((1, 0), len(weights))
    used = np.flatnonzero(doubled)
    regression = LogisticRegression(C=REGULARISATION, max_iter=500, tol=1e-3)
    regression.fit(data.matrix[used % len(weights)], labels[used], sample_weight=doubled[used])
    return regression.coef_[0], float(regression.intercept_[0])


def _logits(data: Data, rows: NDArray[np.intp], coefficients: Floats, bias: float) -> Floats:
    logits: Floats = data.matrix[rows] @ coefficients + bias
    return logits


def _reference(data: Data) -> Floats:
    """The share of each row in the reference traffic; sums to 1."""
    reference = np.zeros(len(data.rows))
    for label, share in ((0.0, EASY_SHARE), (1.0, 1.0 - EASY_SHARE)):
        rows = data.everyday & (data.needed == label)
        reference[rows] = share / rows.sum()
    dev = ~data.fitted & ~data.everyday
    sources = np.unique(data.sources[dev])
    for source in sources:
        rows = dev & (data.sources == source)
        reference[rows] = 1.0 / rows.sum() / len(sources)
    total: float = reference.sum()
    return reference / total


def _platt(logits: Floats, needed: Floats, weights: Floats) -> tuple[float, float]:
    used = np.flatnonzero(weights)
    regression = LogisticRegression(C=1e6)
    regression.fit(logits[used, None], needed[used], sample_weight=weights[used] * len(used))
    return float(regression.coef_[0, 0]), float(regression.intercept_[0])


def _quantiles(scores: Floats, weights: Floats) -> NDArray[np.float32]:
    """Weighted quantiles; the ends are 0 and 1, so that a share of 1 takes everything and 0 nothing."""
    used = np.flatnonzero(weights)
    order = used[np.argsort(scores[used], kind="stable")]
    middle = np.cumsum(weights[order]) - weights[order] / 2
    table = np.interp(np.linspace(0.0, 1.0, QUANTILES), middle, scores[order])
    table[0], table[-1] = 0.0, 1.0
    return table.astype(np.float32)


def _model(data: Data, coefficients: Floats, bias: float, quantiles: NDArray[np.float32]) -> LinearModel:
    """Undo the scaling, so that serving multiplies plain counters and plain word sums."""
    size = len(COUNTERS)
    weights = (coefficients[:size] * COUNTER_SCALE / data.spreads).astype(np.float32)
    means = data.means.astype(np.float32)
    return LinearModel(
        bias=float(np.float32(bias - float(weights @ means))),
        counter_weights=tuple(weights.tolist()),
        counter_means=tuple(means.tolist()),
        word_weights=(coefficients[size:] * WORD_SCALE).astype(np.float32),
        quantiles=quantiles,
    )
