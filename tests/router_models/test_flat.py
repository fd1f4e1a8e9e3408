"""scikit-learn's trees as arrays: the same values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from router_models.flat import forest


def fitted(target: np.ndarray, counters: np.ndarray, **shape: Any) -> HistGradientBoostingRegressor:
    shape = {"max_iter": 12, "max_depth": 3, "min_samples_leaf": 5, **shape}
    return HistGradientBoostingRegressor(**shape, early_stopping=False).fit(counters, target)


@pytest.fixture(scope="module")
def counters() -> np.ndarray:
    return np.random.default_rng(7).normal(size=(300, 6)).round(1)


def test_values_are_those_of_scikit_learn(counters: np.ndarray) -> None:
    """Of several sets with trees of unequal depth, on rows that lie on the thresholds too."""
    models = [
        fitted(counters[:, 0] * counters[:, 1], counters),
        fitted((counters[:, 2] > 0.5).astype(float), counters, max_depth=1, max_iter=3),
        fitted(counters[:, 3], counters, min_samples_leaf=120),
    ]
    flat = forest(models)
    wanted = np.array([model.predict(counters) for model in models]).T
    assert np.array([flat.values(row) for row in counters]) == pytest.approx(wanted, abs=1e-12)
    assert len(flat.starts) == 3


def test_trees_that_never_branch(counters: np.ndarray) -> None:
    """A constant label gives the constant."""
    flat = forest([fitted(np.full(len(counters), 0.25), counters)])
    assert flat.values(counters[0]) == pytest.approx([0.25])


def test_a_leaf_that_is_reached_early_is_repeated(counters: np.ndarray) -> None:
    """Every tree is complete: one leaf more than questions, and nobody goes right below an early leaf."""
    flat = forest([fitted(counters[:, 0], counters), fitted(np.zeros(len(counters)), counters)])
    questions = flat.counters.shape[1]
    assert flat.leaves.shape == (len(flat.counters), questions + 1)
    last = slice(int(flat.starts[1]), None)
    assert np.isinf(flat.thresholds[last]).all()
    assert not flat.leaves[last].any()
