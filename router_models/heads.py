"""The parts of the model before they are blended: linear heads and gate, and the trees of each task. scikit-learn.

Linear: ridge regressions on scaled counters and normalised words, one per head (`gain`, `difficulty`, `everyday`) and
one per task for the gate. Their word coefficients are rounded to whole steps at once, so that what is measured here is
what serves. Words of fewer than `RARE` requests are not learned: they are noise, and nobody's names should be kept.

Trees: gradient boosting on the counters, shallow and few, for each task and each head that has enough labels there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge

from app.core.blend import softmax
from app.core.features import BUCKETS, COUNTERS, features
from router_models.data import EVERYDAY, Row

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

HEADS = ("gain", "difficulty", "everyday")
COUNTER_SCALE, WORD_SCALE = 0.1, 2.0  # what the penalty makes of counters and words; these and all below: by dev
SPREAD_FLOOR = 0.25  # a counter that is nearly always 0 in training must not weigh tons when it is not
PENALTY = {"gain": 30.0, "difficulty": 30.0, "everyday": 2.0}
GATE_PENALTY, GATE_SHARPNESS = 1.0, 8.0
EVERYDAY_PRIOR = 3.0  # what may be an exam question may as well be somebody's: +.03 AUROC on English everyday ones
STEPS, GATE_STEPS = 200, 40  # of conjugate gradients; a gate need not be exact, and it has a column per task
RARE = 2
ENOUGH = 150  # labels for trees of a task
SMALL_TASK = 200  # rows below which a source has no expert of its own
TREES = {"max_iter": 60, "max_depth": 2, "learning_rate": 0.06, "min_samples_leaf": 40}
TREES_EVERYDAY = {"max_iter": 80, "max_depth": 2, "learning_rate": 0.08, "min_samples_leaf": 30}
OTHER = "other"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows as arrays; nan where a label is missing. `matrix`: plain counters; `words`: normalised, sparse."""

    rows: Sequence[Row]
    counters: Floats
    words: sparse.csr_matrix
    targets: dict[str, Floats]  # by head
    gains: Floats
    needed: Floats
    lengths: Floats  # characters of the request's text, a baseline to beat
    tasks: NDArray[np.str_]
    sources: NDArray[np.str_]
    groups: NDArray[np.intp]
    weights: Floats

    @property
    def ours(self) -> Mask:
        return ~np.isnan(self.targets["everyday"])


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """The fitted regressions, already in terms of plain counters: one column per head, then one per task."""

    bias: Floats
    counter_weights: Floats
    word_weights: NDArray[np.int8]
    word_steps: Floats

    def predict(self, table: Table) -> Floats:
        words = table.words @ self.word_weights.astype(np.float64) * self.word_steps
        values: Floats = self.bias + table.counters @ self.counter_weights + words
        return values


@dataclass(frozen=True, slots=True)
class TreeSet:
    """Trees of one task for one head."""

    task: str
    head: str
    model: HistGradientBoostingRegressor


@dataclass(frozen=True, slots=True)
class Layout:
    """Which tasks the gate knows, and which have trees of their own for which head: the same in every fold."""

    tasks: tuple[str, ...]
    sets: tuple[tuple[str, str], ...]  # task and head; at least one


@dataclass(frozen=True, slots=True)
class Heads:
    """Everything before the blend."""

    tasks: tuple[str, ...]
    means: Floats
    linear: Linear
    sets: tuple[TreeSet, ...]

    def outputs(self, table: Table) -> Outputs:
        values = self.linear.predict(table)
        gate = np.apply_along_axis(softmax, 1, values[:, len(HEADS) :])
        trees = [one.model.predict(table.counters) for one in self.sets]
        return Outputs(values[:, : len(HEADS)], gate, np.array(trees).T)


class Outputs(NamedTuple):
    """(rows, heads), (rows, tasks), (rows, sets)."""

    heads: Floats
    gate: Floats
    trees: Floats


def tabled(rows: Sequence[Row], weights: Floats) -> Table:
    """The features of all rows, and their labels."""
    seen = [features(row.body) for row in rows]
    targets = {
        "gain": _known([row.target_gain for row in rows]),
        "difficulty": _known([row.difficulty for row in rows]),
        "everyday": _known([row.everyday for row in rows]),
    }
    _, groups = np.unique([row.group for row in rows], return_inverse=True)
    length = COUNTERS.index("length")
    return Table(
        rows=rows,
        counters=np.array([one.counters for one in seen]),
        words=_word_matrix([one.buckets for one in seen]),
        targets=targets,
        gains=_known([row.gain for row in rows]),
        needed=_known([row.needed for row in rows]),
        lengths=np.array([one.counters[length] for one in seen]),
        tasks=_tasks(rows),
        sources=np.array([row.source for row in rows]),
        groups=groups,
        weights=weights,
    )


def layout(table: Table, train: Mask) -> Layout:
    """What the rows of the train part are enough for."""
    tasks = tuple(np.unique(table.tasks[train]).tolist())
    sets = tuple(
        (task, head) for task in tasks for head in HEADS if _labelled(table, train, task, head).sum() >= ENOUGH
    )
    return Layout(tasks, sets or ((tasks[0], HEADS[0]),))


def _labelled(table: Table, some: Mask, task: str, head: str) -> Mask:
    labelled: Mask = some & (table.tasks == task) & ~np.isnan(table.targets[head])
    return labelled


def fit_heads(table: Table, fitted: Mask, shape: Layout) -> Heads:
    """Fit on the rows of the mask."""
    means = table.counters[fitted].mean(axis=0)
    trees = tuple(_trees(table, fitted, task, head) for task, head in shape.sets)
    return Heads(shape.tasks, means, _linear(table, fitted, shape.tasks, means), trees)


def _linear(table: Table, fitted: Mask, tasks: Sequence[str], means: Floats) -> Linear:
    spreads = np.maximum(table.counters[fitted].std(axis=0), SPREAD_FLOOR)
    common = np.bincount(table.words[fitted].indices, minlength=BUCKETS) >= RARE
    words = table.words @ sparse.diags(common * WORD_SCALE)
    scaled = sparse.csr_matrix((table.counters - means) / spreads * COUNTER_SCALE)
    matrix = sparse.hstack([scaled, words]).tocsr()
    found = []
    for head in HEADS:
        known = fitted & ~np.isnan(table.targets[head])
        found.append(_ridge(matrix[known], table.targets[head][known, None], table.weights[known], PENALTY[head]))
    like = GATE_SHARPNESS * (table.tasks[fitted, None] == np.array(tasks))
    found.append(_ridge(matrix[fitted], like, table.weights[fitted], GATE_PENALTY, GATE_STEPS))
    size = len(COUNTERS)
    coefficients = np.hstack([weights for weights, _ in found])
    bias = np.concatenate([biases for _, biases in found])
    bias[len(HEADS) :][np.array(tasks) == EVERYDAY] += EVERYDAY_PRIOR
    counter_weights = coefficients[:size] * COUNTER_SCALE / spreads[:, None]
    steps, whole = rounded(coefficients[size:] * WORD_SCALE * common[:, None])
    return Linear(bias - means @ counter_weights, counter_weights, whole, steps)


def _ridge(
    matrix: sparse.csr_matrix, targets: Floats, weights: Floats, penalty: float, steps: int = STEPS
) -> tuple[Floats, Floats]:
    """Coefficients (columns, targets) and biases of one regression per column of `targets`."""
    if not matrix.shape[0]:
        return np.zeros((matrix.shape[1], targets.shape[1])), np.zeros(targets.shape[1])
    ridge = Ridge(alpha=penalty, solver="sparse_cg", tol=1e-3, max_iter=steps)
    ridge.fit(matrix, targets, sample_weight=weights)
    return np.atleast_2d(ridge.coef_).T, np.atleast_1d(ridge.intercept_)


def rounded(weights: Floats) -> tuple[Floats, NDArray[np.int8]]:
    """A step for each column and its weights in whole steps."""
    largest = np.maximum(np.abs(weights).max(axis=0), 1e-12)
    steps: Floats = largest / 127
    return steps, np.rint(weights / steps).astype(np.int8)


def _trees(table: Table, fitted: Mask, task: str, head: str) -> TreeSet:
    """Trees that say 0 where the fitted rows have no label of this kind."""
    used = _labelled(table, fitted, task, head)
    target = np.where(used, table.targets[head], 0.0)
    used = used if used.any() else fitted
    model = HistGradientBoostingRegressor(**(TREES_EVERYDAY if head == "everyday" else TREES), early_stopping=False)
    model.fit(table.counters[used], target[used], sample_weight=table.weights[used])
    return TreeSet(task, head, model)


def _tasks(rows: Sequence[Row]) -> NDArray[np.str_]:
    """The task of each row; small ones are one together."""
    tasks = np.array([row.task for row in rows])
    names, counts = np.unique(tasks, return_counts=True)
    small = names[counts < SMALL_TASK]
    return tasks if len(names) == 1 else np.where(np.isin(tasks, small), OTHER, tasks)


def _known(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], float)


def _word_matrix(buckets: Sequence[NDArray[np.intp]]) -> sparse.csr_matrix:
    counts = np.array([len(one) for one in buckets])
    values = np.repeat(1.0 / np.sqrt(np.maximum(counts, 1)), counts)
    starts = np.concatenate(([0], np.cumsum(counts)))
    columns = np.concatenate(buckets)
    return sparse.csr_matrix((values, columns, starts), (len(buckets), BUCKETS))
