"""Routers that need no training say what their names promise."""

from __future__ import annotations

import subprocess
import sys
from math import log, log1p

import pytest

from app.core.chat import ChatRequest
from app.routers.plain import ConstantRouter, LengthRouter, RandomRouter


def ask(text: str) -> ChatRequest:
    return ChatRequest("chat", {"messages": [{"role": "user", "content": text}]})


@pytest.mark.parametrize(("text", "score"), [("", 0.0), ("x" * 100, 0.2), ("x" * 400, 0.5), ("证" * 400, 0.5)])
def test_length_counts_characters(text: str, score: float) -> None:
    """One half at 400 characters, in any script."""
    found = LengthRouter().score(ask(text))
    assert found.value == pytest.approx(score)
    assert found.why() == (("length", log1p(len(text))),)


def test_length_reads_what_is_asked() -> None:
    """The last message of the user, not the history before it."""
    talk = [{"role": "user", "content": "x" * 5_000}, {"role": "assistant", "content": "no"}]
    request = ChatRequest("chat", {"messages": [*talk, {"role": "user", "content": "thanks"}]})
    assert LengthRouter().score(request).value == LengthRouter().score(ask("thanks")).value


@pytest.mark.parametrize("router", [LengthRouter(), RandomRouter()], ids=lambda router: router.name)
def test_an_explanation_sums_to_the_logit(router: LengthRouter | RandomRouter) -> None:
    """The one part there is says it all."""
    for text in ("hi", "why is that so?", "证明" * 300):
        value = router.score(ask(text)).value
        assert sum(part for _, part in router.explain(ask(text))) == pytest.approx(log(value / (1 - value)))


def test_random_is_a_fair_coin() -> None:
    """Of many texts about as many lie above a threshold as were wanted."""
    router = RandomRouter()
    scores = [router.score(ask(f"question {number}")).value for number in range(4_000)]
    for share in (0.05, 0.5):
        assert sum(score >= router.threshold(share) for score in scores) / 4_000 == pytest.approx(share, abs=0.02)


def test_random_falls_the_same_way_for_the_same_text() -> None:
    """A retry, in another process with another hash seed too, gets the same answer; another text another one."""
    code = "from tests.routers.test_plain import *; print(RandomRouter().score(ask('why')).value)"
    told = {
        float(subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, **WATCHED).stdout)
        for seed in ("1", "2")
    }
    assert told == {RandomRouter().score(ask("why")).value}
    assert RandomRouter().score(ask("why")) != RandomRouter().score(ask("why not"))


WATCHED = {"capture_output": True, "text": True, "check": True}


@pytest.mark.parametrize(("value", "score"), [(-1.0, 0.0), (0.0, 0.0), (0.25, 0.25), (1.0, 1.0), (7.0, 1.0)])
def test_constant_says_the_same_of_all(value: float, score: float) -> None:
    """Whatever is asked, and its ends are as good as certain."""
    router = ConstantRouter(value)
    assert router.score(ask("hi")) == router.score(ask("Prove Fermat's last theorem."))
    assert router.score(ask("hi")).value == pytest.approx(score, abs=1e-9)
    assert router.explain(ask("hi"))[0][0] == "constant"


def test_constant_sends_all_or_nothing() -> None:
    """With any share below all of it nothing is sent to the large model: there is nothing to choose by."""
    score = ConstantRouter().score(ask("hi")).value
    assert [score >= ConstantRouter().threshold(share) for share in (0.0, 0.5, 0.99, 1.0)] == [False] * 3 + [True]
