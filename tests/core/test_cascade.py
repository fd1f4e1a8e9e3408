"""The cascade, played as on paper: a plan, the outcomes, and what was tried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.cascade import cascade
from app.core.types import Answered, Attempt, Exhausted, Failed, Outcome, Plan, Served, Step, Verdict


def a_plan(*backends: str) -> Plan:
    return Plan(tuple(Step(name, "slm") for name in backends), "score")


def play(plan: Plan, outcomes: list[Outcome]) -> tuple[list[Attempt], Verdict]:
    """Runs the generator to its end; every outcome that is needed must be in the list."""
    tried: list[Attempt] = []
    flow = cascade(plan)
    try:
        tried.append(next(flow))
        for outcome in outcomes:
            tried.append(flow.send(outcome))  # noqa: PERF401  a comprehension would swallow the StopIteration
    except StopIteration as stop:
        return tried, stop.value
    raise AssertionError("the play needs more outcomes")


DOWN = Failed("unavailable", final=False)
LATE = Failed("timeout", final=False)
WRONG = Failed("rejected", final=True)

PLAYBOOK = [
    ("served at once", "ab", [Answered()], "a", True, [("a", "served")]),
    ("fallback", "ab", [DOWN, Answered()], "ab", True, [("a", "unavailable"), ("b", "served")]),
    ("all fail", "ab", [DOWN, LATE], "ab", False, [("a", "unavailable"), ("b", "timeout")]),
    ("final ends it", "abc", [WRONG], "a", False, [("a", "rejected")]),
    ("final later", "abc", [DOWN, WRONG], "ab", False, [("a", "unavailable"), ("b", "rejected")]),
]


@pytest.mark.parametrize(
    ("steps", "outcomes", "tried", "served", "trail"), [row[1:] for row in PLAYBOOK], ids=[row[0] for row in PLAYBOOK]
)
def test_playbook(steps: str, outcomes: list[Outcome], tried: str, served: bool, trail: list[tuple[str, str]]) -> None:
    """Steps are tried in order until one answers, one fails finally, or none is left."""
    attempts, verdict = play(a_plan(*steps), outcomes)
    assert "".join(attempt.step.backend for attempt in attempts) == tried
    assert isinstance(verdict, Served) is served
    assert verdict.trail == tuple(trail)


OUTCOMES = st.one_of(st.just(Answered()), st.builds(Failed, st.sampled_from(["timeout", "rejected"]), st.booleans()))


@given(st.integers(1, 6), st.lists(OUTCOMES, min_size=6, max_size=6))
def test_it_ends_within_its_steps(steps: int, outcomes: list[Outcome]) -> None:
    """Whatever the outcomes, there are at most as many attempts as steps, numbered from 1, and one verdict."""
    attempts, verdict = play(a_plan(*map(str, range(steps))), outcomes[:steps])
    assert [attempt.number for attempt in attempts] == list(range(1, len(attempts) + 1))
    assert len(verdict.trail) == len(attempts) <= steps
    last = outcomes[len(attempts) - 1]
    assert isinstance(verdict, Served if isinstance(last, Answered) else Exhausted)
