"""What people and machines get to see."""

from __future__ import annotations

import io
import json

from rich.console import Console

from app.cli.demo import show
from app.cli.demo.statement import Kind, Statement

KINDS = (
    Kind("chat-en", 2, 0, {"slm": 2}, {"score": 1, "local-only": 1}, (0.1, 0.2), (0.2, "why [bold]\nnot"), 30),
    Kind("maths", 1, 1, {"none": 1}, {"saturated": 1}, (), None, 0),
)
STATEMENT = Statement(KINDS, 3, 1, 0.25, None, (20, 10), {"energy": 0.25, "tokens": 0.5}, 0.5)


def told(problems: list[str], width: int = 80) -> str:
    out = io.StringIO()
    show.tell(Console(file=out, width=width), STATEMENT, problems)
    return out.getvalue()


def test_the_object_holds_what_was_promised() -> None:
    """The five numbers and the kinds, as JSON can say them."""
    shown = json.loads(json.dumps(show.as_json(STATEMENT, [])))
    five = {key: shown[key] for key in ("requests", "failed", "llm_share", "tokens", "cost_usd")}
    assert five == {"requests": 3, "failed": 1, "llm_share": 0.25, "tokens": 30, "cost_usd": 0.75}
    assert shown["kinds"]["chat-en"]["score"]["highest_of"] == "why [bold] not"
    assert shown["kinds"]["maths"]["score"] is None
    assert shown["reconciled"]


def test_the_table_fits_a_terminal() -> None:
    """Each kind with its counts and reasons, also in 80 columns; texts are no markup."""
    lines = told([]).splitlines()
    assert lines[0].split()[:5] == ["kind", "n", "slm", "none", "why"]
    assert "why [bold] not" in lines[1]
    assert "local-only 1" in lines[2]
    assert lines[3].split()[:5] == ["maths", "1", "0", "1", "saturated"]


def test_the_totals() -> None:
    """The share of the score's decisions stands beside the share of all; what is unknown is a dash."""
    text = told([])
    assert "llm_share   25.0% of what the score decided, - of all" in text
    assert "cost_usd    0.750000 (energy 0.250000, tokens 0.500000)" in text
    assert "counted the same" in text


def test_a_difference_is_not_hidden() -> None:
    """It stands there, and nobody says that all is well."""
    text = told(["small: 1 and 2"])
    assert "small: 1 and 2" in text
    assert "counted the same" not in text
    assert not show.as_json(STATEMENT, ["small: 1 and 2"])["reconciled"]


def test_how_to_use_it_is_code() -> None:
    """The Python lines compile and name the address."""
    text = show.how_to_use("http://127.0.0.1:1234")
    python = text[text.index("from openai") :]
    compile(python, "hint", "exec")
    assert python.count("http://127.0.0.1:1234/v1") == 1
