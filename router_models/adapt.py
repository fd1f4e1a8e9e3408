"""Adapts a trained router to labels of one's own, of which a few hundred are enough, and never makes it worse.

The base stays as it is; a head of its own is added to it, linear in counters and perhaps words, together with a new
slope: a logistic regression on the base's logit and the features, the logit hardly penalised. How strongly, and
whether words enter, is chosen by cross-validation within the train part. What comes out must rank the dev part, which
nothing was chosen on, at least as well as the base did; else the base is kept and the report says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from app.core.blend import Blend
from app.core.features import COUNTERS
from app.errors import ConfigError
from app.routers.trained import TrainedRouter
from router_models import artifact
from router_models.data import Row
from router_models.fit import quantiles
from router_models.heads import SPREAD_FLOOR, WORD_SCALE, Floats, Mask, Table, rounded, tabled
from router_models.metrics import area, auroc, recovered

LEAST = 40  # labelled requests in the train part
FOLDS = 5
LOGIT_SCALE = 10.0  # a column ten times as large is penalised a hundredth
COUNTER_SCALE = 0.1


@dataclass(frozen=True, slots=True)
class Setting:
    """`strength`: scikit-learn's C; 0 changes nothing but the calibration."""

    strength: float
    words: bool


SETTINGS = (
    Setting(0.0, False),
    *(Setting(strength, words) for strength in (0.01, 0.1, 1.0, 10.0) for words in (False, True)),
)


@dataclass(frozen=True, slots=True, eq=False)
class Own:
    """What is added to a base: logit = slope * base + bias + counters . counter_weights + words . word_weights."""

    slope: float
    bias: float
    counter_weights: Floats
    word_weights: Floats

    def logits(self, base: Floats, table: Table) -> Floats:
        words: Floats = table.words @ self.word_weights
        return self.slope * base + self.bias + table.counters @ self.counter_weights + words


def adapt_router(rows: Sequence[Row], base: TrainedRouter, out: Path, day: str) -> dict[str, Any]:
    """Write the adapted router, or the base again, to `out`; the card says which. Raises ConfigError on few labels."""
    known = [row for row in rows if row.gain is not None]
    learned = [row for row in known if row.split == "train"]
    groups = len({row.group for row in learned})
    if len(learned) < LEAST or groups < FOLDS or len({row.needed for row in learned}) < 2:
        raise ConfigError(
            f"{len(learned)} labelled requests in the train part, near-duplicates counted once {groups}, are too "
            f"few to adapt to: {LEAST} at least, of both kinds, and no fewer than {FOLDS} that are not alike."
        )
    table = tabled(known, np.ones(len(known)))
    train = np.array([row.split == "train" for row in known])
    logits = np.array([base.model.logit(row.body) for row in known])
    setting, own = _best(table, logits, train)
    before, after = _quality(logits[~train], table, ~train), _quality(own.logits(logits, table)[~train], table, ~train)
    shown = len(np.unique(table.needed[~train])) == 2  # else nothing could show that it is no worse
    better = shown and setting.strength > 0 and after[0] >= before[0] and after[1] >= before[1]
    if not better:
        own = _fitted(Setting(0.0, False), table, logits, train)
    scores = 1.0 / (1.0 + np.exp(-own.logits(logits, table)))
    model = joined(base.model, own, quantiles(scores, np.full(len(known), 1.0 / len(known))))
    told = _told(base.version, before, after, setting if better else None, int(train.sum()), int((~train).sum()))
    card = {
        "date": day,
        "kind": "adapted",
        "adapted": {
            "base": base.version,
            "kept_base": not better,
            "rows": {"train": int(train.sum()), "dev": int((~train).sum())},
            "dev_apgr": {"base": before[0], "adapted": after[0]},
            "dev_auroc": {"base": before[1], "adapted": after[1]},
            "told": told,
        },
    }
    artifact.write(out, model, card, f"# Router adapted from {base.version}\n\nMade {day}.\n\n{told}\n")
    return card


def _best(table: Table, logits: Floats, train: Mask) -> tuple[Setting, Own]:
    """The setting that ranks best over the folds of the train part, fitted on all of it."""
    held = np.flatnonzero(train)
    splits = list(GroupKFold(FOLDS, shuffle=True, random_state=0).split(held, groups=table.groups[held]))
    ranked = []
    for setting in SETTINGS:
        found = np.zeros(len(train))
        for seen, left in splits:
            fitted = np.zeros(len(train), bool)
            fitted[held[seen]] = True
            own = _fitted(setting, table, logits, fitted)
            found[held[left]] = own.logits(logits, table)[held[left]]
        ranked.append((sum(_quality(found[train], table, train)), setting))
    best = max(ranked, key=lambda one: one[0])[1]  # the first of equals: the one that changes least
    return best, _fitted(best, table, logits, train)


def _fitted(setting: Setting, table: Table, logits: Floats, fitted: Mask) -> Own:
    size = len(COUNTERS)
    if not setting.strength or len(np.unique(table.needed[fitted])) < 2:
        platt = _regression(logits[fitted, None], table.needed[fitted], 1e6)
        slope = max(float(platt.coef_[0, 0]), 1e-3)  # a base that ranks backwards must not be turned round here
        return Own(slope, float(platt.intercept_[0]), np.zeros(size), np.zeros(table.words.shape[1]))
    means, spreads = table.counters[fitted].mean(axis=0), np.maximum(table.counters[fitted].std(axis=0), SPREAD_FLOOR)
    columns = [sparse.csr_matrix(logits[:, None] * LOGIT_SCALE), (table.counters - means) / spreads * COUNTER_SCALE]
    seen = np.flatnonzero(table.words[fitted].getnnz(axis=0))  # the others would weigh 0, but take their time
    if setting.words:
        columns.append(table.words[:, seen] * WORD_SCALE)
    matrix = sparse.hstack([sparse.csr_matrix(one) for one in columns]).tocsr()
    regression = _regression(matrix[fitted], table.needed[fitted], setting.strength)
    weights = regression.coef_[0]
    counters = weights[1 : size + 1] * COUNTER_SCALE / spreads
    words = np.zeros(table.words.shape[1])
    if setting.words:
        words[seen] = weights[size + 1 :] * WORD_SCALE
    steps, whole = rounded(words[:, None])  # at once, so that what is measured here is what serves
    words = whole[:, 0] * steps[0]
    return Own(
        float(weights[0]) * LOGIT_SCALE, float(regression.intercept_[0]) - float(means @ counters), counters, words
    )


def _regression(columns: Any, needed: Floats, strength: float) -> LogisticRegression:
    regression = LogisticRegression(C=strength, max_iter=1000)
    return regression.fit(columns, (needed >= 0.5).astype(int))


def _quality(logits: Floats, table: Table, part: Mask) -> tuple[float, float]:
    """APGR (0 without a gap to recover) and AUROC (0.5 if one kind is missing)."""
    gain, needed = table.gains[part], table.needed[part]
    if not len(gain):
        return 0.0, 0.5
    apgr = area(*recovered(logits, gain))
    ranks = auroc(logits, needed)
    return (0.0 if np.isnan(apgr) else apgr, 0.5 if np.isnan(ranks) else ranks)


def joined(base: Blend, own: Own, table: Floats) -> Blend:
    """The base with the head `own`; a base that has one already gets the sum of both."""
    heads = len(base.heads)
    steps, whole = rounded(own.word_weights[:, None])
    return replace(
        base,
        heads=(*base.heads, _free_name(base.heads)),
        bias=np.insert(base.bias, heads, own.bias),
        counter_weights=np.insert(base.counter_weights, heads, own.counter_weights, axis=1),
        word_weights=np.insert(base.word_weights, heads, whole[:, 0], axis=1),
        word_steps=np.insert(base.word_steps, heads, steps[0]),
        set_weights=base.set_weights * own.slope,
        task_bias=base.task_bias * own.slope,
        head_weights=np.column_stack((base.head_weights * own.slope, np.ones(len(base.tasks)))),
        quantiles=table,
    )


def _free_name(heads: Sequence[str]) -> str:
    return next(name for name in _names() if name not in heads)


def _names() -> Iterator[str]:
    yield "own"
    number = 2
    while True:
        yield f"own{number}"
        number += 1


def _told(
    version: str, before: tuple[float, float], after: tuple[float, float], chosen: Setting | None, train: int, dev: int
) -> str:
    figures = f"dev part, n {dev}: APGR {before[0]:.3f} -> {after[0]:.3f}, AUROC {before[1]:.3f} -> {after[1]:.3f}"
    if chosen is None:
        return (
            f"Kept the base {version}: {train} labels taught nothing that ranks the dev part better ({figures}). "
            "Only the calibration and the thresholds are new."
        )
    words = "counters and words" if chosen.words else "counters"
    return f"Adapted the base {version} by {train} labels on {words}; {figures}."
