from __future__ import annotations

import pytest

from app.core import prices
from app.settings.prices import HourPrice, LocalPrice, TokenPrice
from tests.settings.configs import OLLAMA, load, problems


def priced(price: str) -> str:
    return OLLAMA.replace("{kind: unpriced}", price)


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ("unpriced", prices.Unpriced()),
        (
            "{kind: local, watts: 350, usd_per_kwh: 0.15, hardware_usd: 1600, life_years: 3}",
            prices.LocalPrice(350, 0.15, 1600, 3),
        ),
        ("{kind: compute-hour, usd_per_hour: 5}", prices.HourPrice(5)),
        (
            "{kind: compute-hour, usd_per_hour: 5, awake: '22:00-06:30'}",
            prices.HourPrice(5, ((79_200, 23_400),)),
        ),
        ("{kind: tokens, input: 1, output: 2, cached_input: 0.1}", prices.TokenPrice(1, 2, 0.1)),
    ],
)
def test_each_kind_becomes_a_price_of_the_core(price: str, expected: prices.Price) -> None:
    """Four kinds; the short form of unpriced is understood."""
    assert load(priced(price)).config.prices() == {"ollama": expected}


def test_source_and_date_are_kept() -> None:
    """Where a figure comes from stands beside it."""
    text = priced("{kind: compute-hour, usd_per_hour: 5, currency: USD, source: list, as_of: 2026-05-19}")
    price = load(text).config.backends["ollama"].price
    assert isinstance(price, HourPrice)
    assert (price.source, str(price.as_of), price.currency) == ("list", "2026-05-19", "USD")


@pytest.mark.parametrize("hours", ["8-20", "08:00-08:00", "25:00-26:00", "00:00-24:30", "nights"])
def test_hours_must_be_hours(hours: str) -> None:
    """The message shows how to write them."""
    found = problems(priced(f"{{kind: compute-hour, usd_per_hour: 5, awake: '{hours}'}}"))
    assert found == ["backends.ollama.price.awake: write 'always' or the hours in UTC, like '08:00-20:00'"]


@pytest.mark.parametrize("model", [LocalPrice, HourPrice, TokenPrice])
def test_no_figure_has_a_default(model: type[LocalPrice] | type[HourPrice] | type[TokenPrice]) -> None:
    """A price that was not written is an error, never an invention; cached input may cost as any other."""
    optional = {name for name, field in model.model_fields.items() if not field.is_required()}
    assert optional <= {"currency", "source", "as_of", "cached_input", "awake"}


def test_prices_are_not_negative() -> None:
    """Nor infinite."""
    found = problems(priced("{kind: tokens, input: -1, output: .inf}"))
    assert len(found) == 2
