"""The complexity model: its arithmetic, its explanation and its thresholds, on weights made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import exp, isfinite, log, log1p, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from app.core.blend import QUANTILES, TOP, Blend, sigmoid, softmax
from app.core.features import BUCKETS, COUNTERS, features
from app.core.forest import Forest
from tests.core.bodies import BODIES, HUGE, ask

SIZE = len(COUNTERS)
TEXTS = ["", "Hello there", "证明根号2是无理数", "Prove that 根号2 is irrational.", "Why? " * 300]
HEADS, TASKS = ("gain", "trouble"), ("exam", "talk")
COLUMNS = len(HEADS) + len(TASKS)


def plain(**changes: Any) -> Blend:
    """Two heads, two tasks and a set of trees for each task, all of which say nothing unless `changes` make them."""
    nothing: dict[str, Any] = {
        "heads": HEADS,
        "tasks": TASKS,
        "bias": np.zeros(COLUMNS),
        "counter_weights": np.zeros((SIZE, COLUMNS)),
        "counter_means": np.zeros(SIZE),
        "word_weights": np.zeros((BUCKETS, COLUMNS), np.int8),
        "word_steps": np.ones(COLUMNS),
        "forest": Forest(
            counters=np.zeros((2, 1), np.uint8),
            thresholds=np.zeros((2, 1)),
            leaves=np.zeros((2, 2)),
            starts=np.array([0, 1]),
            bases=np.zeros(2),
        ),
        "set_tasks": np.array([0, 1]),
        "set_weights": np.ones(2),
        "task_bias": np.zeros(2),
        "head_weights": np.zeros((2, 2)),
        "quantiles": np.linspace(0.0, 1.0, QUANTILES) ** 2,
    }
    return Blend(**(nothing | changes))


def full() -> Blend:
    """Every weight is drawn from a fixed seed, so that no two are alike."""
    pick = np.random.default_rng(1)
    return plain(
        bias=pick.normal(size=COLUMNS),
        counter_weights=pick.normal(scale=0.2, size=(SIZE, COLUMNS)),
        counter_means=pick.uniform(size=SIZE),
        word_weights=pick.integers(-127, 128, (BUCKETS, COLUMNS)).astype(np.int8),
        word_steps=pick.uniform(0.001, 0.01, COLUMNS),
        forest=Forest(
            counters=pick.integers(0, SIZE, (9, 3)).astype(np.uint8),
            thresholds=pick.uniform(0.0, 1.0, (9, 3)),
            leaves=pick.normal(size=(9, 4)),
            starts=np.array([0, 2, 6]),
            bases=pick.normal(size=3),
        ),
        set_tasks=np.array([1, 0, 1]),
        set_weights=pick.normal(size=3),
        task_bias=pick.normal(size=2),
        head_weights=pick.normal(size=(2, 2)),
    )


def at(name: str, *columns: float) -> np.ndarray[Any, Any]:
    """Counter weights that are zero but for those of one counter."""
    weights = np.zeros((SIZE, COLUMNS))
    weights[COUNTERS.index(name)] = columns
    return weights


def test_a_gate_that_is_undecided_asks_both_experts_alike() -> None:
    """Half of 1 + 1 * 2 and half of 3 + 2 * -1: that is 2."""
    model = plain(
        bias=np.array([2.0, -1.0, 0.0, 0.0]),
        task_bias=np.array([1.0, 3.0]),
        head_weights=np.array([[1.0, 0.0], [0.0, 2.0]]),
    )
    assert model.logit(ask("hi")) == pytest.approx(0.5 * (1 + 2) + 0.5 * (3 - 2))


def test_the_gate_opens_for_the_task_a_request_is_like() -> None:
    """A question mark makes `exam` e ** 2 = 3 times as likely as `talk` here, so its expert weighs 3 in 4."""
    weight = log(3.0) / log1p(1)
    model = plain(counter_weights=at("questions", 0, 0, weight, 0), task_bias=np.array([8.0, 4.0]))
    assert model.logit(ask("what")) == pytest.approx(6.0)
    assert model.logit(ask("what?")) == pytest.approx(0.75 * 8 + 0.25 * 4)
    gate = model.parts(features(ask("what?"))).gate.tolist()
    assert dict(zip(model.tasks, gate, strict=True)) == pytest.approx({"exam": 0.75, "talk": 0.25})


def test_a_shut_gate_silences_an_expert() -> None:
    """Nothing of the other expert is left, neither bias nor heads nor trees, however loud they are."""
    model = plain(
        bias=np.array([1.0, 1.0, 0.0, -2_000.0]),
        task_bias=np.array([0.5, 1e6]),
        head_weights=np.array([[0.25, 0.0], [1e6, 1e6]]),
        forest=replace(plain().forest, bases=np.array([0.125, 1e6])),
    )
    assert model.logit(ask("hi")) == 0.5 + 0.25 + 0.125


def test_words_are_whole_steps_over_the_root_of_their_number() -> None:
    """Two words of 10 and -4 steps of a half: 3 over the root of two. One of them alone: 5."""
    prove, it = features(ask("prove it")).buckets.tolist()
    weights = np.zeros((BUCKETS, COLUMNS), np.int8)
    weights[prove, 0], weights[it, 0] = 10, -4
    steps = np.array([0.5, 1.0, 1.0, 1.0])
    model = plain(word_weights=weights, word_steps=steps, head_weights=np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert model.logit(ask("prove it")) == pytest.approx(3 / sqrt(2))
    assert model.logit(ask("prove")) == pytest.approx(5.0)
    assert model.logit(ask("")) == 0.0
    heads = model.parts(features(ask("prove"))).linear.tolist()[: len(model.heads)]
    assert dict(zip(model.heads, heads, strict=True)) == {"gain": 5.0, "trouble": 0.0}


def test_trees_ask_counters_and_are_heard_through_the_gate() -> None:
    """With a question mark the tree of `exam` says 4 instead of 2, with the weight 3 and a gate of a half."""
    place = COUNTERS.index("questions")
    forest = replace(
        plain().forest,
        counters=np.full((2, 1), place, np.uint8),
        thresholds=np.full((2, 1), 0.5),
        leaves=np.array([[2.0, 4.0], [0.0, 0.0]]),
        bases=np.array([1.0, 0.0]),
    )
    model = plain(forest=forest, set_weights=np.array([3.0, 1.0]))
    assert model.logit(ask("what")) == pytest.approx(0.5 * 3 * (1 + 2))
    assert model.logit(ask("what?")) == pytest.approx(0.5 * 3 * (1 + 4))


@pytest.mark.parametrize("text", TEXTS)
def test_the_score_is_what_its_definition_says(text: str) -> None:
    """The formula of the module's docstring, written out task by task."""
    model, seen = full(), features(ask(text))
    words = model.word_weights[seen.buckets].astype(float).sum(axis=0) * model.word_steps
    linear = model.bias + seen.counters @ model.counter_weights + words / sqrt(max(len(seen.buckets), 1))
    powers = [exp(one) for one in linear[2:]]
    trees = model.forest.values(np.array(seen.counters)) * model.set_weights
    logit = 0.0
    for task in range(2):
        says = model.task_bias[task] + model.head_weights[task] @ linear[:2] + trees[model.set_tasks == task].sum()
        logit += powers[task] / sum(powers) * says
    assert model.logit(ask(text)) == pytest.approx(logit)
    assert model.score(ask(text)) == pytest.approx(1 / (1 + exp(-logit)))


@pytest.mark.parametrize("text", TEXTS)
def test_an_explanation_sums_to_the_logit(text: str) -> None:
    """Baseline, counters, words, gate and trees add up, the largest first, and none of them is left out."""
    parts = full().explain(ask(text))
    assert sum(value for _, value in parts) == pytest.approx(full().logit(ask(text)), abs=1e-9)
    assert parts[0][0] == "baseline"
    names = [name for name, _ in parts[1:]]
    assert sorted(names) == sorted([*COUNTERS, "words", "gate", "trees:exam", "trees:talk"])
    sizes = [abs(value) for _, value in parts[1:]]
    assert sizes == sorted(sizes, reverse=True)


def test_an_explanation_says_what_came_from_where() -> None:
    """A counter above its mean, words, the gate's opinion and the trees of a task each speak under their own name."""
    place = COUNTERS.index("questions")
    means = np.zeros(SIZE)
    means[place] = 0.25
    word = features(ask("what?")).buckets.item()
    weights = np.zeros((BUCKETS, COLUMNS), np.int8)
    weights[word, 0] = 7
    model = plain(
        bias=np.array([100.0, 0.0, 0.0, 0.0]),
        counter_weights=at("questions", 2.0, 0, 0, 0),
        counter_means=means,
        word_weights=weights,
        head_weights=np.array([[1.0, 0.0], [1.0, 0.0]]),
        task_bias=np.array([3.0, 5.0]),
        forest=replace(plain().forest, bases=np.array([6.0, -2.0])),
    )
    parts = dict(model.explain(ask("what?")))
    told = {name: value for name, value in parts.items() if value}
    moved = 2 * (log1p(1) - 0.25)
    wanted = {"baseline": 100.5, "words": 7, "gate": 4, "trees:exam": 3, "questions": moved, "trees:talk": -1}
    assert told == pytest.approx(wanted)


@pytest.mark.parametrize("text", TEXTS)
def test_a_judgement_names_what_moved_it_most(text: str) -> None:
    """With the score come the largest contributions of the explanation, in its order."""
    found = full().judge(ask(text))
    assert found.value == full().score(ask(text))
    assert list(found.why()) == full().explain(ask(text))[1 : TOP + 1]


def test_contributions_of_one_size_are_told_once_each() -> None:
    """Trees of two tasks that say the same are two parts, and so are parts that say nothing."""
    model = plain(forest=replace(plain().forest, bases=np.array([2.0, -2.0])))
    for one in (model, plain()):
        why = one.judge(ask("hi")).why()
        assert list(why) == one.explain(ask("hi"))[1 : TOP + 1]
        assert len({name for name, _ in why}) == TOP


@pytest.mark.parametrize("body", HUGE.values(), ids=HUGE)
def test_adversarial_bodies_have_a_score(body: dict[str, Any]) -> None:
    """Size, broken text and absurd numbers never raise, and the score is a probability that its parts explain."""
    assert_sane(full(), body)


@given(BODIES)
def test_any_body_has_a_score(body: dict[str, Any]) -> None:
    """Whatever JSON a body holds."""
    assert_sane(MODEL, body)


MODEL = full()


def assert_sane(model: Blend, body: Mapping[str, Any]) -> None:
    found = model.judge(body)
    assert 0.0 <= found.value <= 1.0
    assert len(found.why()) == TOP
    parts = model.explain(body)
    assert all(isfinite(value) for _, value in parts)
    assert sum(value for _, value in parts) == pytest.approx(model.logit(body), abs=1e-9)


@pytest.mark.parametrize(("share", "threshold"), [(0.0, 1.0), (1.0, 0.0), (0.5, 0.25), (0.05, 0.9025), (0.0005, 0.999)])
def test_threshold_reads_the_quantiles(share: float, threshold: float) -> None:
    """A share of the reference traffic lies at or above its threshold; between two steps it is interpolated."""
    assert plain().threshold(share) == pytest.approx(threshold, abs=1e-4)


@pytest.mark.parametrize(("logit", "value"), [(0.0, 0.5), (1e6, 1.0), (-1e6, 0.0)])
def test_sigmoid_never_overflows(logit: float, value: float) -> None:
    """Any finite logit has a score."""
    assert sigmoid(logit) == pytest.approx(value)


@pytest.mark.parametrize("logits", [(0.0, 0.0), (1e6, -1e6), (-1e300, -1e300)])
def test_softmax_never_overflows(logits: tuple[float, float]) -> None:
    """Any finite logits have shares that sum to 1."""
    assert softmax(np.array(logits)).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "broken",
    [
        {"bias": np.zeros(1)},
        {"bias": np.full(COLUMNS, np.nan)},
        {"counter_weights": np.zeros((SIZE, 1))},
        {"counter_means": np.zeros(SIZE - 1)},
        {"word_weights": np.zeros((3, COLUMNS), np.int8)},
        {"word_weights": np.zeros((BUCKETS, COLUMNS))},
        {"word_steps": np.full(COLUMNS, np.inf)},
        {"set_tasks": np.array([0])},
        {"set_tasks": np.array([0, 2])},
        {"set_tasks": np.array([-1, 0])},
        {"set_tasks": np.array([0.0, 1.0])},
        {"set_weights": np.array([1.0, np.nan])},
        {"task_bias": np.zeros(3)},
        {"task_bias": np.zeros(2, complex)},
        {"head_weights": np.zeros((2, 3))},
        {"quantiles": np.zeros((QUANTILES, 1))},
        {"heads": ("gain",)},
        {"tasks": ("exam", "talk", "more")},
        {"tasks": ()},
        {"forest": replace(plain().forest, counters=np.full((2, 1), SIZE, np.uint8))},
        {"forest": replace(plain().forest, starts=np.array([0]), bases=np.zeros(1))},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_wrong_arrays_are_refused(broken: dict[str, Any]) -> None:
    """Shapes, kinds of numbers, finite values and references are checked when the model is made."""
    with pytest.raises(ValueError, match=r"shape|kind|finite|not there"):
        plain(**broken)


def test_trees_that_never_branch_are_trees() -> None:
    """Where training found nothing to ask, a tree is one leaf, and the model is still one."""
    flat = np.zeros((2, 0))
    forest = Forest(flat.astype(np.uint8), flat, np.array([[1.0], [3.0]]), np.array([0, 1]), np.zeros(2))
    assert plain(forest=forest).logit(ask("hi")) == pytest.approx(2.0)
