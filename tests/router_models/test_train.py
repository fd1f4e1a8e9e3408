"""Training from files to artifact on a small data set, and on the real one where it is at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import router_models
from app.core.chat import ChatRequest
from app.routers import load_router
from router_models.fit import Fit
from router_models.train import main, train
from tests.router_models import examples

DEFAULT = Path(router_models.__file__).parent / "default"
FILES = ("model.npz", "card.json", "README.md")


def run(data: Path, out: Path) -> Fit:
    return train(data, out, "2026-01-02", lambda line: None, seed=data / "seed.jsonl")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return examples.write(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def fitted(data: Path) -> Fit:
    return run(data, data / "out")


def score(directory: Path, text: str) -> float:
    answer = load_router(str(directory)).score(ChatRequest("chat", {"messages": [{"role": "user", "content": text}]}))
    assert answer is not None
    return answer.value


def test_it_learns(data: Path, fitted: Fit) -> None:
    """Requests it has not seen are ranked by the words that matter."""
    assert score(data / "out", "prove piano") > score(data / "out", "spell piano")
    assert score(data / "out", "证明钢琴") > score(data / "out", "拼写钢琴")
    card = json.loads((data / "out" / "card.json").read_text("utf-8"))
    assert card["dev_pooled"]["auroc"]["value"] > 0.9
    assert card["dev_pooled"]["n"] == 26


def test_served_scores_are_those_of_training(data: Path, fitted: Fit) -> None:
    """What numpy serves from the file equals what scikit-learn's coefficients gave on the dev rows."""
    router = load_router(str(data / "out"))
    rows = np.flatnonzero(~fitted.data.fitted & ~fitted.data.everyday)
    served = [router.score(ChatRequest("chat", dict(fitted.data.rows[row].body))) for row in rows.tolist()]
    assert [one.value for one in served if one] == pytest.approx(fitted.scores[rows].tolist(), abs=1e-5)


def test_the_same_data_gives_the_same_bytes(data: Path, fitted: Fit, tmp_path: Path) -> None:
    """All three files of a second run are equal, whatever the clock says."""
    run(data, tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (data / "out" / name).read_bytes()


def test_thresholds_hold_on_the_reference_traffic(fitted: Fit) -> None:
    """The weighted share of held-back scores at or above a threshold is the share that was asked for."""
    for share in (0.1, 0.3, 0.5):
        taken = fitted.reference[fitted.scores >= fitted.model.threshold(share)].sum()
        assert taken == pytest.approx(share, abs=0.05)


def test_the_card_states_what_is_needed(data: Path, fitted: Fit) -> None:
    """Date, versions, hash, sources with licence, intervals, and the page shows every dev source and pair."""
    card: dict[str, Any] = json.loads((data / "out" / "card.json").read_text("utf-8"))
    page = (data / "out" / "README.md").read_text("utf-8")
    assert card["date"] == "2026-01-02"
    assert {"format_version", "feature_version", "sha256"} <= card.keys()
    assert set(card["sources"]) == {"tiny_en", "tiny_zh", "seed-en", "seed-zh"}
    assert card["dev"]["tiny_en"]["auroc"].keys() == {"value", "low", "high"}
    assert all(f"| {name} |" in page for name in (*card["dev"], "pooled"))
    assert all(pair["hard"] in page for pair in card["pairs"])


def test_command_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The three arguments are enough, and progress is told on stderr."""
    main(["--data", str(data), "--out", str(tmp_path), "--date", "2026-01-02"])
    assert all((tmp_path / name).exists() for name in FILES)
    assert "fold 1 of 5" in capsys.readouterr().err


def test_a_wrong_date_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A date is a date, and the error is argparse's."""
    with pytest.raises(SystemExit):
        main(["--data", "x", "--out", "y", "--date", "today"])
    assert "--date" in capsys.readouterr().err


def test_the_packaged_artifact_is_reproduced(tmp_path: Path) -> None:
    """From the real routing data the packaged model comes out again, byte for byte."""
    source = os.environ.get("ROUTING_DATA")
    if source is None:
        pytest.skip("ROUTING_DATA does not name the directory of the routing data")
    card = json.loads((DEFAULT / "card.json").read_text("utf-8"))
    train(Path(source), tmp_path, card["date"], lambda line: None)
    assert (tmp_path / "model.npz").read_bytes() == (DEFAULT / "model.npz").read_bytes()
