"""Heads, gate and trees: what is learned, what must not be, and which tasks have what."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from app.core.features import BUCKETS, COUNTERS, features
from router_models.data import Row
from router_models.heads import ENOUGH, HEADS, OTHER, SMALL_TASK, Layout, Table, fit_heads, layout, rounded, tabled
from tests.router_models import examples
from tests.router_models.conftest import Mixed


def table(rows: Sequence[Row]) -> Table:
    return tabled(rows, np.ones(len(rows)))


def train(made: Table) -> np.ndarray:
    return np.array([row.split == "train" for row in made.rows])


def test_the_table_holds_the_features_and_labels() -> None:
    """Counters as serving sees them, words in rows of length 1, nan where a label is missing."""
    rows = [examples.row("prove it now", gain=0.5), examples.row("", everyday=0.75), examples.row("x", difficulty=0.25)]
    made = table(rows)
    assert made.counters.tolist() == [features(row.body).counters for row in rows]
    assert np.asarray(made.words.power(2).sum(axis=1)).ravel() == pytest.approx([1.0, 0.0, 1.0])
    assert np.isnan(made.targets["gain"]).all()  # of the smoothed gain
    assert made.targets["difficulty"].tolist()[2] == 0.25
    assert made.ours.tolist() == [False, True, False]
    assert made.needed.tolist()[:2] == [1.0, 0.75]
    assert np.isnan(made.needed[2])


def test_small_tasks_are_one_together() -> None:
    """A source with few rows has no expert of its own."""
    rows = [*examples.rows("big", SMALL_TASK), *examples.rows("small", 20), *examples.rows("tiny", 9)]
    assert set(table(rows).tasks) == {"big", OTHER}
    assert set(table(examples.rows("alone", 20)).tasks) == {"alone"}


def test_the_layout_asks_for_enough_labels() -> None:
    """Trees for a task and a head only where that many rows of the train part have the label."""
    rows = [
        *examples.rows("enough", ENOUGH, 100, difficulty=None),
        *examples.rows("less", ENOUGH - 1, 100),
        *(examples.row(f"day {number}", task="everyday", everyday=0.5) for number in range(SMALL_TASK)),
    ]
    made = table(rows)
    found = layout(made, train(made))
    assert found.tasks == ("enough", "everyday", "less")
    assert found.sets == (("enough", "gain"), ("everyday", "everyday"))


def test_there_is_always_a_set_of_trees() -> None:
    """The blend needs one, even if no task has enough labels for good ones."""
    made = table([*examples.rows("one", 60), *examples.rows("two", 60)])
    assert layout(made, train(made)).sets == ((OTHER, "gain"),)


def test_a_head_learns_the_words_that_matter() -> None:
    """Gain rises with the hard words; the gate tells two tasks apart by their words."""
    made = table([*examples.rows("exam", 200), *examples.rows("law", 200)])
    heads = fit_heads(made, np.ones(400, bool), layout(made, np.ones(400, bool)))
    outputs = heads.outputs(made)
    hard = made.gains == 1.0
    assert outputs.heads[hard, 0].min() > outputs.heads[~hard, 0].max()
    assert outputs.gate.sum(axis=1) == pytest.approx(np.ones(400))
    assert (outputs.gate.argmax(axis=1) == (made.tasks == "law")).all()
    assert outputs.trees.shape == (400, 4)


def test_words_of_a_single_request_are_not_learned() -> None:
    """Nobody's name is kept: its bucket weighs nothing."""
    rows = examples.rows("exam", 200)
    made = table([*rows, examples.row("prove it for Zanzibarovich", task="exam", gain=1.0, target_gain=1.0)])
    heads = fit_heads(made, np.ones(201, bool), Layout(("exam",), (("exam", "gain"),)))
    (bucket,) = features({"messages": [{"role": "user", "content": "Zanzibarovich"}]}).buckets
    assert not heads.linear.word_weights[bucket].any()
    (bucket,) = features({"messages": [{"role": "user", "content": "prove"}]}).buckets
    assert heads.linear.word_weights[bucket].any()


def test_a_head_without_labels_says_nothing() -> None:
    """Nor do trees whose fold has none of their labels; nothing fails."""
    made = table([*examples.rows("exam", 200, difficulty=None), *examples.rows("law", 200)])
    fitted = made.tasks == "law"
    heads = fit_heads(made, fitted, Layout(("exam", "law"), (("exam", "gain"), ("law", "gain"))))
    outputs = heads.outputs(made)
    assert not outputs.heads[:, HEADS.index("everyday")].any()
    assert not outputs.trees[:, 0].any()
    assert outputs.trees[:, 1].any()


def test_word_weights_are_whole_steps() -> None:
    """Within half a step of what was fitted; a column of zeros stays zero; rounding twice changes nothing."""
    weights = np.array([[0.3, 0.0], [-1.27, 0.0], [0.004, 0.0]])
    steps, whole = rounded(weights)
    assert whole.dtype == np.int8
    assert (np.abs(whole * steps - weights) <= steps / 2).all()
    assert (rounded(whole * steps)[1] == whole).all()
    assert not whole[:, 1].any()


def test_shapes_of_a_fit(mixed: Mixed) -> None:
    """One column per head and task, one weight per counter and bucket; the small task is among others."""
    heads = mixed.fit.heads
    columns = len(HEADS) + len(heads.tasks)
    assert heads.tasks == ("everyday", "exam", "law", OTHER)
    assert heads.linear.word_weights.shape == (BUCKETS, columns)
    assert heads.linear.counter_weights.shape == (len(COUNTERS), columns)
    assert {(one.task, one.head) for one in heads.sets} >= {("everyday", "everyday"), ("exam", "gain"), ("law", "gain")}
