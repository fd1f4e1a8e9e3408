"""What people and machines get to see."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from app.cli.demo import show
from app.cli.demo.statement import Kind, Statement

KINDS = (
    Kind("chat-en", 2, 2, {"slm": 2}, {"score": 1, "local-only": 1}, (0.1, 0.2), (0.2, "why [bold]\nnot"), 30),
    Kind("math", 1, 0, {"none": 1}, {"saturated": 1}, (), None, 0),
)
STATEMENT = Statement(
    kinds=KINDS,
    requests=4,
    complete=2,
    left=1,
    shed=3,
    failed=1,
    llm_share=0.25,
    llm_share_total=None,
    llm_share_under_random=0.5,
    tokens=(20, 10),
    usd={"compute": 1.0, "energy": 0.25, "idle": 4.0},
    baseline_usd=40.0,
    threshold=0.5,
    overhead=(0.5, 2.0),
    first_token={"slm": 300.0},
)
PROMISED = (
    "requests complete shed failed llm_share llm_share_under_random cost_usd baseline_usd saved_usd idle_usd "
    "cost_by_kind overhead_ms first_token_ms reconciled"
)


def told(problems: list[str], width: int = 80) -> str:
    out = io.StringIO()
    show.tell(Console(file=out, width=width), STATEMENT, problems)
    return out.getvalue()


def test_the_object_holds_what_was_promised() -> None:
    """All names of the agreed shape, as JSON can say them."""
    shown = json.loads(json.dumps(show.as_json(STATEMENT, [])))
    assert set(PROMISED.split()) <= set(shown)
    assert (shown["cost_usd"], shown["saved_usd"], shown["idle_usd"]) == (5.25, 34.75, 4.0)
    assert (shown["overhead_ms"], shown["first_token_ms"]) == ({"p50": 0.5, "p99": 2.0}, {"slm": 300.0})
    assert shown["kinds"]["chat-en"]["score"]["highest_of"] == "why [bold] not"
    assert shown["kinds"]["math"]["score"] is None
    assert shown["reconciled"]


def test_the_table_fits_a_terminal() -> None:
    """Each kind with its counts and reasons, also in 80 columns; texts are no markup."""
    lines = told([]).splitlines()
    assert lines[0].split()[:5] == ["kind", "n", "slm", "none", "why"]
    assert "why [bold] not" in lines[1]
    assert "local-only 1" in lines[2]
    assert lines[3].split()[:5] == ["math", "1", "0", "1", "saturated"]


def test_what_does_not_agree_is_told() -> None:
    """Loudly, with the numbers."""
    assert "counted the same" in told([])
    assert "requests: 3 and 4" in told(["requests: 3 and 4"])
    assert not show.as_json(STATEMENT, ["requests: 3 and 4"])["reconciled"]


@pytest.mark.parametrize(
    ("baseline", "words"), [(40.0, "87% was saved"), (6.0, "Little was saved (12%)"), (5.0, "Nothing was saved")]
)
def test_the_verdict_is_honest(baseline: float, words: str) -> None:
    """Little or nothing is said to be that, and why."""
    verdict = show.verdict(replace(STATEMENT, baseline_usd=baseline))
    assert words in verdict
    assert "4.00 were idle minutes" in verdict


def test_how_to_use_it() -> None:
    """The two lines that a client needs."""
    assert 'base_url="http://127.0.0.1:1/v1"' in show.how_to_use("http://127.0.0.1:1")
