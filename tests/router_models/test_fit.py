"""From rows to a model that serves: what is served is what scikit-learn fitted, and how rows weigh."""

from __future__ import annotations

import numpy as np
import pytest

from app.core.chat import ChatRequest
from app.routers import load_router
from router_models.fit import (
    EASY_TRAFFIC,
    EVERYDAY_SHARE,
    EVERYDAY_TRAFFIC,
    Fit,
    fit,
    quantiles,
    reference,
    weights_of,
)
from router_models.heads import ENOUGH
from router_models.metrics import auroc
from tests.router_models import examples
from tests.router_models.conftest import Mixed


def sklearn_scores(fitted: Fit) -> np.ndarray:
    """The model's own prediction for all rows, by scikit-learn's objects alone."""
    logits = fitted.blend.logits(fitted.heads, fitted.heads.outputs(fitted.table))
    return 1.0 / (1.0 + np.exp(-logits))


def test_served_scores_are_those_of_training(mixed: Mixed) -> None:
    """What numpy serves from the file equals scikit-learn's own prediction on a thousand rows and more."""
    router = load_router(str(mixed.out))
    rows = mixed.fit.table.rows
    served = [router.score(ChatRequest("chat", dict(row.body))) for row in rows]
    assert len(served) >= 1_000
    assert np.abs(np.array([one.value for one in served if one]) - sklearn_scores(mixed.fit)).max() < 1e-6


def test_rows_that_were_not_fitted_have_the_same_score_in_the_card(mixed: Mixed) -> None:
    """Figures of dev and test rows are figures of the model that serves."""
    left = ~mixed.fit.train
    assert left.sum() > 100
    assert np.abs(mixed.fit.scores[left] - sklearn_scores(mixed.fit)[left]).max() < 1e-12


def test_rows_that_were_fitted_are_told_honestly(mixed: Mixed) -> None:
    """Their scores in the fit come from folds that had not seen them, so they differ from the model's."""
    apart = np.abs(mixed.fit.scores - sklearn_scores(mixed.fit))[mixed.fit.train]
    assert np.median(apart) > 1e-3


def test_it_ranks_what_it_has_not_seen(mixed: Mixed) -> None:
    """The benchmarks' dev rows, and our own requests of kinds that were not trained on."""
    table, scores = mixed.fit.table, mixed.fit.scores
    dev = np.array([row.split == "dev" for row in table.rows])
    test = np.array([row.split == "test" for row in table.rows])
    assert auroc(scores[dev], table.needed[dev]) > 0.95
    assert auroc(scores[test], (table.needed[test] > 0.5).astype(float)) > 0.7


def test_scores_are_probabilities(mixed: Mixed) -> None:
    """On average they say how often the large model is needed, of benchmarks and of our own requests."""
    table, scores, train = mixed.fit.table, mixed.fit.scores, mixed.fit.train
    for part in (train & table.ours, train & ~table.ours):
        assert scores[part].mean() == pytest.approx(table.needed[part].mean(), abs=0.1)


def test_a_part_can_be_left_out(mixed: Mixed) -> None:
    """Blended anew without trees, gate or a head; without nothing left out the scores are the same."""
    assert mixed.fit.without() == pytest.approx(mixed.fit.scores, abs=1e-9)
    for part in ("trees", "gate", "everyday"):
        assert np.abs(mixed.fit.without(part) - mixed.fit.scores).max() > 0.01


def test_weights() -> None:
    """A source of four times as many rows weighs twice as much; our own requests a quarter of all, half by language."""
    rows = [*examples.rows("large", 400), *examples.rows("small", 100)]
    ours = [
        examples.row(f"{lang} {number}", source=f"everyday-{lang}", task="everyday", everyday=0.5, weight=weight)
        for lang, count in (("en", 30), ("zh", 60))
        for number in range(count)
        for weight in (1.0, 0.3)
    ]
    weights = weights_of([*rows, *ours])
    assert weights.mean() == pytest.approx(1.0)
    assert weights[:400].sum() == pytest.approx(2 * weights[400:500].sum())
    assert weights[500:].sum() == pytest.approx(EVERYDAY_SHARE * weights.sum())
    assert weights[500:560].sum() == pytest.approx(weights[560:].sum())
    assert weights[501] == pytest.approx(0.3 * weights[500])


def test_the_reference_traffic(mixed: Mixed) -> None:
    """Three parts of four our own requests without their variants, nine in ten of them easy, the rest by source."""
    table = mixed.fit.table
    shares = reference(table)
    easy = np.array([row.everyday is not None and row.everyday < 0.5 for row in table.rows])
    variant = np.array([row.weight != 1.0 for row in table.rows])
    assert shares.sum() == pytest.approx(1.0)
    assert shares[table.ours].sum() == pytest.approx(EVERYDAY_TRAFFIC)
    assert shares[easy].sum() == pytest.approx(EVERYDAY_TRAFFIC * EASY_TRAFFIC)
    assert not shares[variant].any()
    assert shares[table.sources == "exam"].sum() == pytest.approx(shares[table.sources == "law"].sum())


def test_thresholds_hold_on_the_reference_traffic(mixed: Mixed) -> None:
    """The weighted share of held-out scores at or above a threshold is the share that was asked for."""
    shares = reference(mixed.fit.table)
    for share in (0.05, 0.1, 0.3, 0.5):
        taken = shares[mixed.fit.scores >= mixed.fit.model.threshold(share)].sum()
        assert taken == pytest.approx(share, abs=0.02)


def test_quantiles() -> None:
    """Weighted, rising, and from 0 to 1 whatever the scores are."""
    table = quantiles(np.array([0.2, 0.8, 0.5]), np.array([0.5, 0.25, 0.25]))
    assert (table[0], table[-1]) == (0.0, 1.0)
    assert (np.diff(table) >= 0).all()
    assert table[250] == pytest.approx(0.2)
    assert table[625] == pytest.approx(0.5)


@pytest.mark.parametrize("sizes", [(ENOUGH + 20, 60), (120, 120)], ids=["just enough", "not enough"])
def test_few_labels_of_a_task_are_no_accident(sizes: tuple[int, int]) -> None:
    """Trees exist in all folds or in none, also where a fold alone would not have had enough labels for them."""
    rows = [*examples.rows("one", sizes[0], 90), *examples.rows("two", sizes[1], 90)]
    found = fit(rows, examples.silent)
    assert np.isfinite(found.scores).all()
    assert len(found.model.forest.starts) >= 1


def test_a_task_of_one_cluster_is_no_accident() -> None:
    """Left out whole from a fold, it is still a task there."""
    rows = [*examples.rows("one", 200), *examples.rows("same", 200, 0, group="all the same")]
    assert fit(rows, examples.silent).model.tasks == ("one", "same")
