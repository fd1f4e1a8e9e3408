"""Training from files to an artifact, on a small data set, and on the real one where it is at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import router_models
from app.core.chat import ChatRequest
from app.errors import ConfigError
from app.routers import load_router
from router_models.data import Choice, Row, outside_macro, read
from router_models.fit import FOLDS
from router_models.train import LEAST, train_router
from tests.router_models import examples
from tests.router_models.conftest import DAY, Trained

DEFAULT = Path(router_models.__file__).parent / "default"
FILES = ("model.npz", "card.json", "README.md")


def score(directory: Path, text: str) -> float:
    answer = load_router(str(directory)).score(ChatRequest("chat", {"messages": [{"role": "user", "content": text}]}))
    assert answer is not None
    return answer.value


def test_it_learns(trained: Trained) -> None:
    """Requests it has not seen are ranked by the words that matter, in both languages."""
    assert score(trained.out, "prove piano") > score(trained.out, "spell piano")
    assert score(trained.out, "证明钢琴") > score(trained.out, "拼写钢琴")
    assert trained.card["dev"]["sources"]["tiny_zh"]["auroc"]["value"] > 0.9
    assert trained.card["dev"]["pooled"]["auroc"]["value"] > 0.9


def test_the_files_are_those_of_the_card(trained: Trained) -> None:
    """What the function gives back is what stands in card.json, beside what a reader must check."""
    written = json.loads((trained.out / "card.json").read_text("utf-8"))
    assert trained.card.items() <= written.items()
    assert written.keys() - trained.card.keys() == {"format_version", "feature_version", "heads", "tasks", "sha256"}
    assert written["date"] == DAY


def test_the_same_data_gives_the_same_bytes(trained: Trained, tmp_path: Path) -> None:
    """All three files of a second run are equal, whatever the clock says."""
    rows = read([trained.data], Choice(ships=True))
    train_router(rows, tmp_path, DAY, examples.silent, everyday=False, outside=frozenset({"tiny_zh"}))
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (trained.out / name).read_bytes()


def made(count: int, dev: int = 0) -> list[Row]:
    return examples.rows("made", count, dev)


@pytest.mark.parametrize("everyday", [True, False])
def test_too_few_labels(everyday: bool, tmp_path: Path) -> None:
    """Labels of the train part count; the error names the way with fewer."""
    with pytest.raises(ConfigError, match=rf"{LEAST - 1} labelled .* too few .* --base default"):
        train_router(made(LEAST - 1, 50), tmp_path / "out", DAY, examples.silent, everyday=everyday)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "rows",
    [
        [row for row in made(2 * LEAST) if row.gain == 1.0],
        [examples.row(row.id, gain=row.gain, group=str(at % (FOLDS - 1))) for at, row in enumerate(made(LEAST))],
        [examples.row(f"{at}", difficulty=0.5) for at in range(LEAST)],
    ],
    ids=["of one kind", "alike", "nobody knows"],
)
def test_labels_that_teach_nothing(rows: list[Row], tmp_path: Path) -> None:
    """Without everyday requests both kinds are needed, and enough that are no near-duplicates."""
    with pytest.raises(ConfigError, match="both kinds of labels"):
        train_router(rows, tmp_path, DAY, examples.silent, everyday=False)


def test_progress_is_told(tmp_path: Path) -> None:
    """Each fold, counted up to the last step; a data set too small for figures has no dev section."""
    steps: list[tuple[str, int, int]] = []
    card = train_router(made(LEAST, 5), tmp_path, DAY, lambda *step: steps.append(step), everyday=False)
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)
    assert {total for _, _, total in steps} == {steps[-1][1]}
    assert sum("fold" in told for told, _, _ in steps) == FOLDS
    assert "dev" not in card


@pytest.mark.timeout(3600)
def test_the_packaged_artifact_is_reproduced(tmp_path: Path) -> None:
    """From the real routing data the packaged files come out again, byte for byte."""
    folder = os.environ.get("ROUTING_DATA")
    if folder is None:
        pytest.skip("ROUTING_DATA does not name the folder of the routing data")
    paths = [Path(folder)]
    day = json.loads((DEFAULT / "card.json").read_text("utf-8"))["date"]
    rows = read(paths, Choice(ships=True))
    train_router(rows, tmp_path, day, examples.silent, everyday=True, outside=outside_macro(paths))
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (DEFAULT / name).read_bytes(), name
