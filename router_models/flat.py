"""scikit-learn's shallow trees as arrays that numpy walks (`app.core.forest`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from app.core.forest import Forest


def forest(models: Sequence[HistGradientBoostingRegressor]) -> Forest:
    """All trees of all models; a model is one set. Equal to their `predict` to the last rounding."""
    trees = [[predictor.nodes for (predictor,) in model._predictors] for model in models]
    depth = max(int(nodes["depth"].max()) for one in trees for nodes in one)
    flat = [_complete(nodes, depth) for one in trees for nodes in one]
    sizes = [len(one) for one in trees]
    return Forest(
        counters=np.array([counters for counters, _, _ in flat], np.uint8),
        thresholds=np.array([thresholds for _, thresholds, _ in flat]),
        leaves=np.array([leaves for _, _, leaves in flat]),
        starts=np.concatenate(([0], np.cumsum(sizes)[:-1])).astype(np.int64),
        bases=np.array([float(model._baseline_prediction.item()) for model in models]),
    )


def _complete(nodes: Any, depth: int) -> tuple[list[int], list[float], list[float]]:
    """Counters, thresholds and leaves of one tree in the order of a heap; below an early leaf everybody goes left."""
    counters, thresholds, row = [], [], [0]
    for _ in range(depth):
        below = []
        for at in row:
            node = nodes[at]
            leaf = bool(node["is_leaf"])
            counters.append(0 if leaf else int(node["feature_idx"]))
            thresholds.append(np.inf if leaf else float(node["num_threshold"]))
            below += [at, at] if leaf else [int(node["left"]), int(node["right"])]
        row = below
    return counters, thresholds, [float(nodes[at]["value"]) for at in row]
