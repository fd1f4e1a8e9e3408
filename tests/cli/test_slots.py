from __future__ import annotations

import pytest

from app.cli.ollama import Ollama
from app.cli.slots import Slots, measure, most_at_once
from tests.cli.fake_ollama import fake_ollama


@pytest.mark.parametrize("slots", [1, 2])
async def test_the_slots_of_a_server_are_counted(slots: int) -> None:
    """A server that silently queues shows by whose answers overlap how many it runs at once."""
    with fake_ollama(slots=slots) as fake:
        async with Ollama(fake.url).asking("qwen3:4b", 4) as ask:
            assert await measure(ask, asked=4) == Slots(asked=4, at_once=slots)


async def test_no_server_means_no_number() -> None:
    """What cannot be measured is not guessed."""
    async with Ollama("http://127.0.0.1:1").asking("qwen3:4b", 4) as ask:
        found = await measure(ask, asked=4)
    assert found == Slots(asked=4, at_once=0, failed=4)
    assert "nothing is known" in found.advice(1)


async def test_failures_among_the_answers_are_counted() -> None:
    """An answer that did not come is no slot."""
    answers = iter([[0.0], [1.0, 3.0], None, [1.5, 3.0], []])

    async def ask() -> list[float] | None:
        return next(answers)

    assert await measure(ask, asked=4) == Slots(asked=4, at_once=2, failed=2)


@pytest.mark.parametrize(
    ("spans", "expected"),
    [([], 0), ([(0, 1)], 1), ([(0, 1), (2, 3)], 1), ([(0, 2), (1, 3), (2, 4)], 3), ([(0, 5), (1, 2), (3, 4)], 2)],
)
def test_most_at_once(spans: list[tuple[float, float]], expected: int) -> None:
    """The peak is the largest number of spans around one moment."""
    assert most_at_once(spans) == expected


@pytest.mark.parametrize(
    ("at_once", "configured", "said"),
    [
        (1, 4, "set capacity.concurrent to 1"),
        (4, 4, "as the config says"),
        (4, 1, "set capacity.concurrent to 4"),
        (8, 8, "8 or more"),
    ],
)
def test_the_advice_says_what_to_change(at_once: int, configured: int, said: str) -> None:
    """One sentence compares what was found with what is configured."""
    assert said in Slots(asked=8, at_once=at_once).advice(configured)
