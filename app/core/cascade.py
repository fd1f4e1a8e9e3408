"""The cascade: a plain generator that yields attempts and is sent their outcomes.

It decides only what is tried next and when to stop; it never sees a socket. The driver, replay and tests
run this same generator. It ends within `len(plan.steps)` attempts whatever the outcomes are.
"""

from __future__ import annotations

from collections.abc import Generator

from app.core.types import Answered, Attempt, Exhausted, Outcome, Plan, Served, Verdict


def cascade(plan: Plan) -> Generator[Attempt, Outcome, Verdict]:
    trail: list[tuple[str, str]] = []
    for number, step in enumerate(plan.steps, start=1):
        attempt = Attempt(step, number)
        outcome = yield attempt
        if isinstance(outcome, Answered):
            return Served(attempt, (*trail, (step.backend, "served")))
        trail.append((step.backend, outcome.kind))
        if outcome.final:  # the client's own fault: another backend will not help
            break
    return Exhausted(tuple(trail))
