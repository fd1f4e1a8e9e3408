"""Sets of shallow decision trees, walked together: all trees of all sets answer all their questions in one numpy pass.

Shallow trees have few questions that they will not need; asking these as well is quicker than choosing (measured).

Every tree is complete: `depth` levels of questions, then 2 ** depth leaves, in the order of a heap. A leaf that
training reached earlier is repeated below questions that everybody answers alike. A tree goes right where
`counter > threshold`, as scikit-learn does. Pure arithmetic on a vector of counters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """`counters` and `thresholds`: (trees, 2 ** depth - 1); `leaves`: (trees, 2 ** depth). The trees of a set stand
    together: set s begins at `starts[s]` and adds `bases[s]`."""

    counters: NDArray[np.uint8]
    thresholds: NDArray[np.float64]
    leaves: NDArray[np.float64]
    starts: NDArray[np.int64]
    bases: NDArray[np.float64]
    _asked: NDArray[np.intp] = field(init=False, repr=False)  # level by level, in each tree by tree
    _limits: NDArray[np.float64] = field(init=False, repr=False)  # of what is asked
    _levels: tuple[tuple[int, int], ...] = field(init=False, repr=False)  # where each begins and ends
    _first: NDArray[np.intp] = field(init=False, repr=False)
    _values: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Raises ValueError if a shape or a kind of number is wrong or a value is not finite."""
        if self.counters.ndim != 2 or self.counters.dtype.kind != "u" or self.starts.dtype.kind != "i":
            raise ValueError("counters are a table of whole numbers, one row per tree, and starts whole numbers")
        trees, questions = self.counters.shape
        depth = (questions + 1).bit_length() - 1
        if questions != 2**depth - 1 or self.thresholds.shape != (trees, questions):
            raise ValueError(f"{trees} trees of {questions} questions are not complete")
        if self.leaves.shape != (trees, questions + 1) or self.starts.shape != self.bases.shape:
            raise ValueError(f"leaves {self.leaves.shape} or sets {self.starts.shape} do not fit {trees} trees")
        if (
            not (trees and len(self.starts))
            or self.starts[0] != 0
            or (np.diff(self.starts) <= 0).any()
            or self.starts[-1] >= trees
        ):
            raise ValueError("every set of trees needs a tree")
        if not (np.isfinite(self.leaves).all() and np.isfinite(self.bases).all()) or np.isnan(self.thresholds).any():
            raise ValueError("a value of a tree is not finite")
        bounds = [(2**level - 1, 2 ** (level + 1) - 1) for level in range(depth)]
        by_level = [(self.counters[:, low:high].ravel(), self.thresholds[:, low:high].ravel()) for low, high in bounds]
        asked, thresholds = map(np.concatenate, zip(*by_level, strict=True)) if by_level else (np.zeros(0), np.zeros(0))
        object.__setattr__(self, "_asked", asked.astype(np.intp))
        object.__setattr__(self, "_limits", thresholds)
        object.__setattr__(self, "_levels", tuple((trees * low, trees * high) for low, high in bounds))
        object.__setattr__(self, "_first", np.arange(trees, dtype=np.intp))
        object.__setattr__(self, "_values", self.leaves.ravel())

    def values(self, counters: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each set says of one vector of counters."""
        right = (counters.take(self._asked) > self._limits).view(np.int8)
        place = self._first  # of each tree within the level it has reached
        for begin, end in self._levels:
            level = right[begin:end]
            place = place + place + (level.take(place) if begin else level)
        values: NDArray[np.float64] = np.add.reduceat(self._values.take(place), self.starts) + self.bases
        return values
