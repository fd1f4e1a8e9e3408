"""What the bill is compared with, as the config says it."""

from __future__ import annotations

import pytest

from app.core import baseline
from app.core.baseline import HourBaseline, HourParams, TokenBaseline
from tests.settings.configs import OLLAMA, TWO, load, problems

HOURS = "{kind: compute-hour, usd_per_hour: 5}"


def compared(price: str, section: str = "") -> baseline.Baseline | None:
    """The baseline where the large model has this price."""
    large = TWO.replace("model: big, price: unpriced", f"model: big, price: {price}")
    return load(large + section).config.baseline_to_core()


def test_hours_are_compared_with_one_endpoint_that_never_sleeps() -> None:
    """Unless the config says otherwise; its places are those that the backend has."""
    made = compared(HOURS)
    assert isinstance(made, HourBaseline)
    assert (made.name, made.tier, made.params) == ("all-llm", "llm", HourParams(5.0, concurrency=32))


def test_every_assumption_can_be_stated() -> None:
    """All parameters of the comparison are keys of the config."""
    section = "baseline: {service: 4s, utilisation: 0.5, concurrency: 8, min_replicas: 0, max_replicas: 3, "
    section += "scale_up_delay: 2m, stabilisation: 1m, scale_to_zero_after: 15m}"
    made = compared(HOURS, section)
    assert isinstance(made, HourBaseline)
    assert made.params == HourParams(5.0, 8, 0.5, 4.0, 0, 3, 120.0, 60.0, 900.0)


def test_tokens() -> None:
    """A token price gives each request a figure of its own."""
    made = compared("{kind: tokens, input: 1, output: 2}", "baseline: {verbosity: 1.4}")
    assert isinstance(made, TokenBaseline)
    assert (made.price.output, made.verbosity) == (2.0, 1.4)


def test_a_large_model_on_a_box_of_ones_own() -> None:
    """It costs what the box costs, all the time."""
    made = compared("{kind: local, watts: 1000, usd_per_kwh: 0.5, hardware_usd: 8760, life_years: 1}")
    assert isinstance(made, HourBaseline)
    assert made.params.usd_per_hour == pytest.approx(1.5)


def test_nothing_to_compare_with() -> None:
    """Without a price, or with one tier alone, there is no baseline rather than one of 0."""
    assert compared("unpriced") is None
    assert load(OLLAMA).config.baseline_to_core() is None


WRONG = [
    ("{tier: big}", "there is no tier 'big'"),
    ("{min_replicas: 2}", "min_replicas is larger than max_replicas"),
    ("{min_replicas: 0}", "an endpoint sleeps or it does not"),
    ("{scale_to_zero_after: 15m}", "an endpoint sleeps or it does not"),
    ("{utilisation: 2}", "less than or equal to 1"),
    ("{verbose: 2}", "verbosity"),
]


@pytest.mark.parametrize(("section", "words"), WRONG)
def test_what_cannot_be_meant(section: str, words: str) -> None:
    """Each mistake is named with its cure."""
    assert words in " ".join(problems(f"{TWO}baseline: {section}\n"))
