"""Sets of trees: the walk against one tree at a time, its edges, and what is no forest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.core.forest import Forest

# Two sets. The first has two trees of depth 2: questions in the order of a heap, root, then left and right.
#   tree 0: c0 > .5 ? (c2 > 3 ? 4 : 3) : (c1 > 1 ? 2 : 1)      tree 1: c1 > 0 ? (40 or 30 by c1 > 1) : early leaf 10
# The second has one tree.
HAND = Forest(
    counters=np.array([[0, 1, 2], [1, 0, 1], [2, 2, 2]], np.uint8),
    thresholds=np.array([[0.5, 1.0, 3.0], [0.0, np.inf, 1.0], [1.0, 0.0, 2.0]]),
    leaves=np.array([[1.0, 2.0, 3.0, 4.0], [10.0, 10.0, 30.0, 40.0], [0.1, 0.2, 0.3, 0.4]]),
    starts=np.array([0, 2]),
    bases=np.array([100.0, -1.0]),
)


@pytest.mark.parametrize(
    ("counters", "values"),
    [
        ((0.0, 0.0, 0.0), (100 + 1 + 10, -1 + 0.1)),
        ((0.5, 1.0, 1.0), (100 + 1 + 30, -1 + 0.2)),  # on a threshold goes left
        ((0.6, 2.0, 3.1), (100 + 4 + 40, -1 + 0.4)),
        ((9.0, -9.0, 3.0), (100 + 3 + 10, -1 + 0.4)),
        ((1e300, 1e300, -1e300), (100 + 3 + 40, -1 + 0.1)),
    ],
)
def test_walk_by_hand(counters: tuple[float, ...], values: tuple[float, ...]) -> None:
    """Each set adds the leaves its trees end in to its base."""
    assert HAND.values(np.array(counters)).tolist() == pytest.approx(values)


def walked(forest: Forest, counters: NDArray[np.float64]) -> list[float]:
    """The same one tree at a time, as a heap is walked."""
    ends = [*forest.starts.tolist()[1:], len(forest.leaves)]
    values = forest.bases.tolist()
    for number, (start, end) in enumerate(zip(forest.starts.tolist(), ends, strict=True)):
        for tree in range(start, end):
            at = 0
            while at < forest.counters.shape[1]:
                right = counters[forest.counters[tree, at]] > forest.thresholds[tree, at]
                at = 2 * at + 1 + int(right)
            values[number] += forest.leaves[tree, at - forest.counters.shape[1]]
    return values


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 5])
def test_all_trees_together_are_each_alone(depth: int) -> None:
    """Whatever the depth, walking all at once gives what a plain walk of each tree gives."""
    pick = np.random.default_rng(depth)
    questions = 2**depth - 1
    forest = Forest(
        counters=pick.integers(0, 7, (20, questions)).astype(np.uint8),
        thresholds=pick.normal(size=(20, questions)),
        leaves=pick.normal(size=(20, questions + 1)),
        starts=np.array([0, 1, 8, 19]),
        bases=pick.normal(size=4),
    )
    for counters in pick.normal(size=(30, 7)):
        assert forest.values(counters).tolist() == pytest.approx(walked(forest, counters))


@pytest.mark.parametrize(
    "broken",
    [
        {"counters": np.zeros((3, 2), np.uint8)},
        {"counters": np.zeros((3, 1), np.uint8)},
        {"counters": np.zeros(3, np.uint8)},
        {"counters": np.zeros((3, 3))},
        {"counters": np.zeros((3, 3), np.int8)},
        {"thresholds": np.zeros((2, 3))},
        {"thresholds": np.full((3, 3), np.nan)},
        {"leaves": np.zeros((3, 3))},
        {"leaves": np.full((3, 4), np.inf)},
        {"bases": np.zeros(1)},
        {"bases": np.array([0.0, np.nan])},
        {"starts": np.array([1, 2])},
        {"starts": np.array([0, 0])},
        {"starts": np.array([0, 3])},
        {"starts": np.array([2, 0])},
        {"starts": np.array([0.0, 2.0])},
        {"starts": np.zeros(0, np.int64), "bases": np.zeros(0)},
    ],
    ids=lambda broken: f"{next(iter(broken))} {next(iter(broken.values())).tolist()}"[:40],
)
def test_what_is_no_forest_is_refused(broken: dict[str, Any]) -> None:
    """Incomplete trees, sets without a tree, values that are not finite, and the wrong kind of number."""
    with pytest.raises(ValueError, match=r"complete|fit|needs a tree|finite|whole"):
        replace(HAND, **broken)


def test_no_trees_are_no_forest() -> None:
    """There is always at least one set, and a set has at least one tree."""
    empty = np.zeros((0, 1))
    with pytest.raises(ValueError, match="needs a tree"):
        Forest(empty.astype(np.uint8), empty, np.zeros((0, 2)), np.zeros(0, np.int64), np.zeros(0))
