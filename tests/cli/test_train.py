"""`smallfirst train`: a router from a few hundred labels, or a trained one adapted to them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.chat import ChatRequest
from app.routers import load_router
from tests.cli.conftest import Result
from tests.router_models import examples

Run = Callable[..., Result]


@pytest.fixture
def data(directory: Path) -> Path:
    (directory / "data").mkdir()
    return examples.write(directory / "data")


def score(router: str, text: str) -> float:
    found = load_router(router).score(ChatRequest("chat", {"messages": [{"role": "user", "content": text}]}))
    assert found is not None
    return found.value


def test_a_router_is_made(smallfirst: Run, data: Path) -> None:
    """It knows words it was taught on things it never saw; the table has each source, progress goes to stderr."""
    result = smallfirst("train", "--data", "data", "--out", "new/router", "--ships", "--date", "2026-01-02")
    assert result.code == 0
    assert {path.name for path in Path("new/router").iterdir()} == {"model.npz", "card.json", "README.md"}
    assert score("new/router", "prove the piano") > score("new/router", "spell the piano")
    lines = [line.split() for line in result.out.splitlines()]
    assert [line[0] for line in lines] == ["dev", "tiny_en", "tiny_zh", "macro", "pooled"]
    assert all(re.fullmatch(r"[01]\.\d{3}", line[-1]) for line in lines[1:])
    assert "train: blended (7/7)" in result.err
    assert result.err.endswith("written to new/router; use it with routing.router: new/router\n")
    card = json.loads(Path("new/router/card.json").read_text("utf-8"))
    assert card["date"] == "2026-01-02"
    assert set(card["sources"]) == {"tiny_en", "tiny_zh"}


def test_a_router_is_adapted(smallfirst: Run, data: Path) -> None:
    """With --base the packaged one is the start; with --json the card is all that stdout gets."""
    result = smallfirst("train", "-d", "data/tiny_en.jsonl.gz", "-o", "own", "--base", "default", "--json")
    assert result.code == 0
    card = json.loads(result.out)
    assert card["adapted"]["base"] == load_router("default").version
    assert card["adapted"]["rows"]["train"] > 100
    assert load_router("own").version.startswith(card["date"])
    assert "written to own" in result.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--out", "own"), "--data"),
        (("--data", "none.jsonl", "--out", "own"), "none.jsonl does not exist"),
        (("--data", "data/tiny_en.jsonl.gz", "--out", "own"), "too few to train on: 200 at least"),
        (("--data", "data/broken.jsonl", "--out", "own"), "broken.jsonl, line 2 is not JSON"),
        (("--data", "data/unlabelled.jsonl", "--out", "own"), "needs scores or a verdict"),
        (("--data", "data/half.jsonl", "--slm", "small-7b", "--out", "own"), "--llm"),
        (("--data", "data/few.jsonl", "--base", "default", "--out", "own"), "too few to adapt to"),
        (("--data", "data/tiny_en.jsonl.gz", "--base", "nowhere", "--out", "own"), "Cannot read card.json"),
        (("--data", "data/tiny_en.jsonl.gz", "--base", "length", "--out", "own"), "Cannot read card.json"),
        (("--data", "data/tiny_en.jsonl.gz", "--out", "data/half.jsonl"), "half.jsonl: cannot be made"),
        (("--data", "data/tiny_en.jsonl.gz", "--out", "own", "--date", "today"), "--date"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else None,
)
def test_bad_input_exits_2(smallfirst: Run, data: Path, arguments: tuple[str, ...], said: str) -> None:
    """The message names what is wrong, and no traceback follows; no router is left behind."""
    verdicts = [{"prompt": f"why {n}", "verdict": n % 2} for n in range(20)]
    (data / "broken.jsonl").write_text(json.dumps(verdicts[0]) + "\n{\n", "utf-8")
    examples.jsonl(data / "unlabelled.jsonl", [{"prompt": "why"}])
    examples.jsonl(data / "half.jsonl", [{"prompt": "why", "scores": {"small-7b": 0.0}}])
    examples.jsonl(data / "few.jsonl", verdicts)
    result = smallfirst("train", *arguments)
    assert result.code == 2
    assert said in result.err
    assert "Traceback" not in result.err
    assert result.out == ""
    assert not (Path("own") / "model.npz").exists()
