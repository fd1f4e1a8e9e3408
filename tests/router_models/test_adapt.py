"""Adapting a router to few labels: it learns what can be learned, and is never made worse."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.core.chat import ChatRequest
from app.errors import ConfigError
from app.routers import load_trained
from router_models.adapt import FOLDS, LEAST, adapt_router
from router_models.data import Row
from router_models.metrics import area, auroc, recovered
from tests.router_models import examples
from tests.router_models.conftest import DAY, Trained

WORDS = (
    "ship",
    "table",
    "order",
    "paper",
    "coffee",
    "ticket",
    "report",
    "phone",
    "garden",
    "music",
    "school",
    "doctor",
    "train",
    "window",
    "copper",
    "linen",
)


def labelled(number: int, rule: str | None, seed: int = 1, dev: float = 0.3) -> list[Row]:
    """Requests of drawn words; the large model is needed where the word `rule` is, or by a coin if there is none."""
    dice = random.Random(seed)
    found = []
    for at in range(number):
        words = [*dice.sample(WORDS, 5), *dice.sample(("violet", "amber", "teal", "scarlet"), 2)]
        needed = float(rule in words) if rule else float(dice.random() < 0.5)
        split = "dev" if dice.random() < dev else "train"
        found.append(examples.row(" ".join(words), group=str(at), split=split, gain=needed, target_gain=needed))
    return found


def adapted(rows: list[Row], base: Path | str, out: Path) -> dict[str, Any]:
    card = adapt_router(rows, load_trained(str(base)), out, DAY)
    told: dict[str, Any] = card["adapted"]
    return told


def quality(router: Path | str, rows: list[Row]) -> tuple[float, float]:
    """APGR and AUROC of what is served, on the dev part."""
    served, dev = load_trained(str(router)), [row for row in rows if row.split == "dev"]
    scores = np.array([served.score(ChatRequest("chat", dict(row.body))).value for row in dev])
    gain = np.array([row.gain for row in dev], float)
    return area(*recovered(scores, gain)), auroc(scores, (gain >= 0.5).astype(float))


@pytest.mark.parametrize("base", ["default", "trained"])
def test_a_rule_is_learned_from_a_few_hundred_labels(base: str, trained: Trained, tmp_path: Path) -> None:
    """On the dev part it ranks nearly perfectly, and what the card says is what serves."""
    start = "default" if base == "default" else trained.out
    rows = labelled(250, "violet")
    told = adapted(rows, start, tmp_path)
    before, after = quality(start, rows), quality(tmp_path, rows)
    assert not told["kept_base"]
    assert after[1] > 0.95 > before[1]
    assert after[0] > before[0] + 0.1
    assert (told["dev_apgr"]["base"], told["dev_auroc"]["base"]) == pytest.approx(before)
    assert (told["dev_apgr"]["adapted"], told["dev_auroc"]["adapted"]) == pytest.approx(after)
    assert "Adapted the base" in told["told"]
    assert told["told"] in (tmp_path / "README.md").read_text("utf-8")


@dataclass(frozen=True)
class Coin:
    """Labels by a coin, what adapting to them told, and where it wrote."""

    rows: list[Row]
    told: dict[str, Any]
    out: Path


@pytest.fixture(scope="module")
def coins(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> list[Coin]:
    found = []
    for seed in range(5):
        rows, out = labelled(100, None, seed), tmp_path_factory.mktemp("coin")
        found.append(Coin(rows, adapted(rows, trained.out, out), out))
    return found


def test_random_labels_never_make_it_worse(coins: list[Coin], trained: Trained) -> None:
    """Whatever a coin taught, the dev part is ranked no worse than by the base."""
    for coin in coins:
        before, after = quality(trained.out, coin.rows), quality(coin.out, coin.rows)
        assert after[0] >= before[0] - 1e-9
        assert after[1] >= before[1] - 1e-9


def test_random_labels_keep_the_base(coins: list[Coin], trained: Trained) -> None:
    """And it says so: only calibration and thresholds are new."""
    assert all(("Kept the base" in coin.told["told"]) == coin.told["kept_base"] for coin in coins)
    kept = [coin.told["told"] for coin in coins if coin.told["kept_base"]]
    assert len(kept) >= 3
    assert f"Kept the base {load_trained(str(trained.out)).version}" in kept[0]
    assert "calibration and the thresholds" in kept[0]


def test_labels_against_each_other_keep_the_base(trained: Trained, tmp_path: Path) -> None:
    """A rule that holds in the train part and is upside down in the dev part is not believed."""
    rows = [
        row if row.split == "train" else replace(row, gain=1.0 - (row.gain or 0.0)) for row in labelled(200, "violet")
    ]
    told = adapted(rows, trained.out, tmp_path)
    assert told["kept_base"]
    assert quality(tmp_path, rows) == pytest.approx(quality(trained.out, rows))


def test_without_a_dev_part_the_base_is_kept(trained: Trained, tmp_path: Path) -> None:
    """Nothing could show that it got better."""
    told = adapted(labelled(200, "violet", dev=0.0), trained.out, tmp_path)
    assert told["kept_base"]
    assert told["rows"] == {"train": 200, "dev": 0}


def test_it_can_be_adapted_again(trained: Trained, tmp_path: Path) -> None:
    """A second rule, learned later, stands beside the first; the card knows its base."""
    adapted(labelled(200, "violet"), trained.out, tmp_path / "first")
    told = adapted(labelled(200, "teal", seed=2), tmp_path / "first", tmp_path / "second")
    second = load_trained(str(tmp_path / "second"))
    assert told["base"] == load_trained(str(tmp_path / "first")).version
    assert second.model.heads[-2:] == ("own", "own2")
    assert quality(tmp_path / "second", labelled(200, "teal", seed=3))[1] > 0.9


def test_it_becomes_a_probability_with_thresholds_of_this_traffic(trained: Trained, tmp_path: Path) -> None:
    """The mean score is the share that was needed, and a threshold takes the share that was asked for."""
    rows = labelled(250, "violet")
    adapted(rows, trained.out, tmp_path)
    router = load_trained(str(tmp_path))
    scores = np.array([router.score(ChatRequest("chat", dict(row.body))).value for row in rows])
    assert scores.mean() == pytest.approx(np.mean([row.gain for row in rows]), abs=0.05)
    for share in (0.1, 0.3):
        assert (scores >= router.threshold(share)).mean() == pytest.approx(share, abs=0.03)


def test_the_contributions_still_sum_to_the_logit(trained: Trained, tmp_path: Path) -> None:
    """The new head speaks through counters and words like the others."""
    adapted(labelled(200, "violet"), trained.out, tmp_path)
    router = load_trained(str(tmp_path))
    body = {"messages": [{"role": "user", "content": "violet ticket"}]}
    told = sum(value for _, value in router.explain(ChatRequest("chat", body)))
    assert told == pytest.approx(router.model.logit(body))


def test_the_same_labels_give_the_same_bytes(trained: Trained, tmp_path: Path) -> None:
    """As in training."""
    for name in ("one", "two"):
        adapted(labelled(80, "violet"), trained.out, tmp_path / name)
    for name in ("model.npz", "card.json", "README.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert json.loads((tmp_path / "one" / "card.json").read_text("utf-8"))["kind"] == "adapted"


@pytest.mark.parametrize(
    "rows",
    [
        [],
        labelled(LEAST - 1, "violet", dev=0.0),
        [examples.row(f"{number}", gain=1.0) for number in range(LEAST)],
        [examples.row(f"{number}", difficulty=0.5) for number in range(LEAST)],
        [examples.row(f"{number}", gain=float(number % 2), group=str(number % (FOLDS - 1))) for number in range(200)],
    ],
    ids=["none", "few", "of one kind", "without verdict", "alike"],
)
def test_too_few_labels(rows: list[Row], trained: Trained, tmp_path: Path) -> None:
    """The error says how many it needs."""
    with pytest.raises(ConfigError, match=f"too few to adapt to: {LEAST} at least"):
        adapted(rows, trained.out, tmp_path)
    assert not list(tmp_path.iterdir())
