"""Fits the complexity model: heads, then the blend of them, from labelled rows to a `Blend` that serves.

The blend must not believe a head more than it deserves: it is fitted on what the heads say of rows that they were not
fitted on, with near-duplicates, and of our own requests whole kinds of work, left out together. It is a ridge
regression of the gain on the heads and trees, each times the gate of a task: of the gain and not of whether the large
model is needed, as it is worse at some things, and that must count (measured: +.04 APGR on RouteLLM's MMLU). A slope
and an offset, a logistic regression on that one number, then make it a probability: that the large model is needed.

What a row weighs in the heads: sources count less than in proportion, so that large ones do not drown small ones. In
the blend rows count alike. Our own requests together weigh `EVERYDAY_SHARE` of everything, half of it in each language.

The reference traffic of the thresholds is our own requests as they would come, `TRAFFIC` by label, three parts of four,
and the benchmarks' rows for the rest, all as the model scores what it was not fitted on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold

from app.core.blend import QUANTILES, Blend
from router_models import flat
from router_models.augment import in_conversation
from router_models.data import EVERYDAY, Row
from router_models.heads import HEADS, Heads, Layout, Mask, Outputs, Table, fit_heads, layout, tabled

Floats = NDArray[np.float64]
Tell = Callable[[str, int, int], None]  # what is done, how much of it, of how much

FOLDS = 4
SOURCE_POWER = 0.5  # a source of n rows weighs n ** SOURCE_POWER
EVERYDAY_SHARE = 0.25
WITH_TOOLS = 0.05  # what ours with tools weigh in the blend: beyond it they unlearn what function-call benchmarks know
PENALTY = 100.0
EVERYDAY_TRAFFIC = 0.75  # of the reference traffic
EASY_TRAFFIC = 0.9  # of everyday requests: labels below 3.5


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """The model, what it was made of, and its scores for rows that were not fitted (all rows, by folds)."""

    model: Blend
    heads: Heads
    blend: Blending
    table: Table
    train: Mask
    outputs: Outputs  # what heads, gate and trees say of each row without having been fitted on it
    scores: Floats

    def without(self, *kinds: str) -> Floats:
        """Scores of the same heads blended anew without some columns: "trees", "gate" or names of heads."""
        columns = columns_of(self.heads, self.outputs, frozenset(kinds))
        ridge, platt, spreads = _regressions(columns, self.table, self.train)
        logits: Floats = platt.decision_function(ridge.predict(columns / spreads)[:, None])
        scores: Floats = 1.0 / (1.0 + np.exp(-logits))
        return scores


@dataclass(frozen=True, slots=True, eq=False)
class Blending:
    """The fitted regressions and how the columns of the first were scaled."""

    ridge: Ridge
    spreads: Floats
    platt: LogisticRegression

    def logits(self, heads: Heads, outputs: Outputs) -> Floats:
        gain = self.ridge.predict(columns_of(heads, outputs) / self.spreads)
        logits: Floats = self.platt.decision_function(gain[:, None])
        return logits


def fit(rows: Sequence[Row], tell: Tell) -> Fit:
    """Fit on the rows whose split is "train"; others are only scored."""
    shown = [replace(row, body=in_conversation(row.body)) if _plain(row) else row for row in rows]
    tell("features", 0, FOLDS + 3)
    table = tabled(shown, weights_of(rows))
    train = np.array([row.split == "train" for row in rows])
    shape = layout(table, train)
    outputs = _held_out(table, train, shape, tell)
    heads = fit_heads(table, train, shape)
    tell("all heads fitted", FOLDS + 2, FOLDS + 3)
    final = heads.outputs(table)
    honest = Outputs(*(np.where(train[:, None], one, other) for one, other in zip(outputs, final, strict=True)))
    blend = fit_blend(heads, honest, table, train)
    scores = 1.0 / (1.0 + np.exp(-blend.logits(heads, honest)))
    model = blended(heads, blend, quantiles(scores, reference(table)))
    tell("blended", FOLDS + 3, FOLDS + 3)
    return Fit(model, heads, blend, table, train, honest, scores)


def _plain(row: Row) -> bool:
    return not row.ours and row.split == "train"


def weights_of(rows: Sequence[Row]) -> Floats:
    """What each row weighs in the heads; 1 on average."""
    sources = np.array([row.source for row in rows])
    weights = np.array([row.weight for row in rows])
    for source in np.unique(sources):
        size = (sources == source).sum()
        weights[sources == source] *= size ** (SOURCE_POWER - 1)
    return _shared(weights, rows)


def _shared(weights: Floats, rows: Sequence[Row]) -> Floats:
    """With our own requests at their share of the whole; 1 on average."""
    sources = np.array([row.source for row in rows])
    ours = np.array([row.ours for row in rows])
    weights = weights.copy()
    if ours.any() and not ours.all():
        for source in np.unique(sources[ours]):
            part = sources == source
            weights[part] = [row.weight for row in rows if row.source == source]
            share = EVERYDAY_SHARE / (1 - EVERYDAY_SHARE) / len(np.unique(sources[ours]))
            weights[part] *= share * weights[~ours].sum() / weights[part].sum()
    scaled: Floats = weights / weights.mean()
    return scaled


def _held_out(table: Table, train: Mask, shape: Layout, tell: Tell) -> list[Floats]:
    """Heads, gate and trees for the rows of `train`, each by a fit that has not seen its group."""
    held = np.flatnonzero(train)
    folds = GroupKFold(FOLDS, shuffle=True, random_state=0).split(held, groups=table.groups[held])
    found: list[Floats] | None = None
    for number, (seen, left) in enumerate(folds, 1):
        fitted = np.zeros(len(train), bool)
        fitted[held[seen]] = True
        outputs = fit_heads(table, fitted, shape).outputs(table)
        if found is None:
            found = [np.zeros_like(part) for part in outputs]
        for whole, part in zip(found, outputs, strict=True):
            whole[held[left]] = part[held[left]]
        tell(f"fold {number} of {FOLDS} fitted", number + 1, FOLDS + 3)
    assert found is not None
    return found


def columns_of(heads: Heads, outputs: Outputs, without: frozenset[str] = frozenset()) -> Floats:
    """The blend's columns: for each task its gate and gate times each head, then each set of trees times its gate.

    Without "gate" every request meets one and the same expert."""
    kept = [at for at, name in enumerate(HEADS) if name not in without]
    gates = np.ones((len(outputs.gate), 1)) if "gate" in without else outputs.gate
    ones = np.column_stack((np.ones(len(gates)), outputs.heads[:, kept]))
    experts = np.hstack([gate[:, None] * ones for gate in gates.T])
    if "trees" in without:
        return experts
    sets = [at for at, one in enumerate(heads.sets) if one.head not in without]
    place = [0 if "gate" in without else heads.tasks.index(heads.sets[at].task) for at in sets]
    return np.hstack((experts, outputs.trees[:, sets] * gates[:, place]))


def fit_blend(heads: Heads, outputs: Outputs, table: Table, train: Mask) -> Blending:
    ridge, platt, spreads = _regressions(columns_of(heads, outputs), table, train)
    return Blending(ridge, spreads, platt)


def _regressions(columns: Floats, table: Table, train: Mask) -> tuple[Ridge, LogisticRegression, Floats]:
    """The blend, its probability, and how the columns were scaled."""
    target = np.where(np.isnan(table.gains), table.targets["gain"], table.gains)
    target = np.where(table.ours, table.needed, target)
    weights = _shared(np.ones(len(target)), table.rows)
    weights[table.ours & (table.tasks != EVERYDAY)] *= WITH_TOOLS
    used = train & ~np.isnan(target)
    # Not centred: a column is a gate times something, and where the gate is shut it must say nothing.
    spreads = np.maximum(columns[used].std(axis=0), 1e-6)
    ridge = Ridge(alpha=PENALTY).fit(columns[used] / spreads, target[used], sample_weight=weights[used])
    known = train & ~np.isnan(table.needed)
    gain = ridge.predict(columns[known] / spreads)
    return ridge, _platt(gain, table.needed[known], weights[known]), spreads


def _platt(gain: Floats, needed: Floats, weights: Floats) -> LogisticRegression:
    """A target t between 0 and 1 is one positive row of weight t and a negative one of 1 - t."""
    doubled = np.concatenate((weights * needed, weights * (1.0 - needed)))
    labels = np.repeat((1, 0), len(needed))
    some = doubled > 0
    regression = LogisticRegression(C=1e6, max_iter=1000)
    return regression.fit(np.tile(gain, 2)[some, None], labels[some], sample_weight=doubled[some])


def blended(heads: Heads, blend: Blending, table: NDArray[np.float64]) -> Blend:
    """All of it as arrays."""
    size, tasks = len(HEADS) + 1, len(heads.tasks)
    slope, offset = float(blend.platt.coef_[0, 0]), float(blend.platt.intercept_[0])
    weights = slope * blend.ridge.coef_ / blend.spreads
    experts = weights[: size * tasks].reshape(tasks, size)
    constant = slope * float(blend.ridge.intercept_) + offset
    return Blend(
        heads=HEADS,
        tasks=heads.tasks,
        bias=heads.linear.bias,
        counter_weights=heads.linear.counter_weights,
        counter_means=heads.means,
        word_weights=heads.linear.word_weights,
        word_steps=heads.linear.word_steps,
        forest=flat.forest([one.model for one in heads.sets]),
        set_tasks=np.array([heads.tasks.index(one.task) for one in heads.sets], np.int64),
        set_weights=weights[size * tasks :],
        task_bias=experts[:, 0] + constant,  # the gate sums to 1, so the constant is every expert's
        head_weights=experts[:, 1:],
        quantiles=table,
    )


def reference(table: Table) -> Floats:
    """The share of each row in the reference traffic; sums to 1."""
    ours = table.ours & np.array([row.weight == 1.0 for row in table.rows])
    easy = np.array([row.everyday is not None and row.everyday < 0.5 for row in table.rows])
    shares = np.zeros(len(ours))
    both = ours.any() and not table.ours.all()
    for part, share in ((ours & easy, EASY_TRAFFIC), (ours & ~easy, 1 - EASY_TRAFFIC)):
        if part.any():
            shares[part] = share / part.sum() * (EVERYDAY_TRAFFIC if both else 1.0)
    sources = np.unique(table.sources[~table.ours])
    for source in sources:
        part = table.sources == source
        shares[part] = (1 - EVERYDAY_TRAFFIC if both else 1.0) / part.sum() / len(sources)
    total: float = shares.sum()
    return shares / total


def quantiles(scores: Floats, shares: Floats) -> Floats:
    """Weighted quantiles; the ends are 0 and 1, so that a share of 1 takes everything and 0 nothing."""
    order = np.argsort(scores, kind="stable")
    middle = np.cumsum(shares[order]) - shares[order] / 2
    table: Floats = np.interp(np.linspace(0.0, 1.0, QUANTILES), middle, scores[order])
    table[0], table[-1] = 0.0, 1.0
    return table
