"""Response headers: what they tell, and that nothing can be injected through them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api import outgoing
from app.api.errors import Headers
from app.core.types import Attempt, Plan, Receipt, Step
from app.gateway import Story
from app.gateway.books import Books
from tests.fakes import a_caller, a_request


def a_story() -> Story:
    return Story(a_request(), a_caller(), (), lambda: 0.0, Books(lambda: 0.0))


def texts(headers: Headers) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


def test_identity() -> None:
    """Every response says which request it answers, and the schema of our headers."""
    assert texts(outgoing.identity("req-1")) == {"x-request-id": "req-1", "x-smallfirst-schema": "1"}


def test_before_the_decision() -> None:
    """Without a plan there is nothing more to say."""
    assert texts(outgoing.decision(a_story())) == texts(outgoing.identity("req-1"))


def test_before_an_attempt() -> None:
    """With a plan its reason is known, and the score if one was needed."""
    story = a_story()
    story.plan = Plan((Step("small", "slm"),), "explicit-tier")
    assert texts(outgoing.decision(story)).keys() == {"x-request-id", "x-smallfirst-schema", "x-smallfirst-reason"}


def test_after_an_answer() -> None:
    """An answered request says who answered, why, and after how many attempts."""
    story = a_story()
    story.plan = Plan((Step("small", "slm"), Step("large", "llm")), "score", 0.25, 0.73)
    story.attempt = Attempt(Step("large", "llm"), 2)
    story.trail = (("small", "timeout"), ("large", "served"))
    story.model = "llama"
    assert texts(outgoing.decision(story)) == {
        "x-request-id": "req-1",
        "x-smallfirst-schema": "1",
        "x-smallfirst-reason": "score",
        "x-smallfirst-score": "0.2500",
        "x-smallfirst-threshold": "0.7300",
        "x-smallfirst-tier": "llm",
        "x-smallfirst-backend": "large",
        "x-smallfirst-attempts": "2",
        "x-smallfirst-model": "llama",
        "x-smallfirst-final-reason": "fallback:timeout",
    }


@given(st.text())
def test_nothing_can_be_injected(name: str) -> None:
    """Whatever a model is called, its header is one line of printable ASCII."""
    story = a_story()
    story.plan = Plan((Step(name, name),), "score")
    story.attempt = Attempt(Step(name, name), 1)
    story.model = name
    for _, value in outgoing.decision(story):
        assert all(32 <= byte < 127 for byte in value)


def a_receipt(nano_usd: int | None) -> Receipt:
    return Receipt("small", "slm", "ok", 0.0, 0.1, 0.2, None, nano_usd)


@pytest.mark.parametrize(
    ("amounts", "cost"),
    [([1_500_000], "0.001500000"), ([1, 2], "0.000000003"), ([0, 5], "0.000000005"), ([5, None], None), ([], None)],
)
def test_cost(amounts: list[int | None], cost: str | None) -> None:
    """The price of all attempts, or nothing where one of them has none: unknown is not 0."""
    story = a_story()
    story.receipts = [a_receipt(amount) for amount in amounts]
    assert texts(outgoing.cost(story)).get("x-smallfirst-cost-usd") == cost
