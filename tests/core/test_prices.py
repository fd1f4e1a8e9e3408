"""Prices: exact charges, no zero where there is no price, ids that tell figures apart."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.prices import HourPrice, LocalPrice, Price, TokenPrice, Unpriced, charge, kinds, terms
from app.core.types import Usage

DOLLAR = 1_000_000_000

CHARGES = [
    (TokenPrice(0.15, 0.60, 0.03), Usage(1_000_000, 1_000_000), 0.75),
    (TokenPrice(0.15, 0.60, 0.03), Usage(1_000_000, 0, cached=400_000), 0.102),
    (TokenPrice(0.15, 0.60), Usage(1_000_000, 0, cached=400_000), 0.15),
    (TokenPrice(0.15, 0.60, 0.0), Usage(10, 0, cached=10), 0.0),
    (TokenPrice(0.0375, 0.3), Usage(1, 0), 38e-9),  # 37.5 nano-dollars, rounded half up
    (TokenPrice(0.0, 0.0), Usage(5, 5), 0.0),  # a price of zero is a price
    (TokenPrice(1.0, 1.0, 0.5), Usage(10, 0, cached=99), 5e-6),  # a backend's nonsense is never negative
]


@pytest.mark.parametrize(("price", "usage", "usd"), CHARGES)
def test_charges(price: TokenPrice, usage: Usage, usd: float) -> None:
    """Tokens cost what the price per million says; cached ones cost as much as others unless stated."""
    assert charge(price, usage) == round(usd * DOLLAR)


@pytest.mark.parametrize("price", [HourPrice(5.0), LocalPrice(350, 0.15, 1600, 3), Unpriced()])
def test_no_token_price_is_not_zero(price: Price) -> None:
    """Without a token price the charge is None."""
    assert charge(price, Usage(10, 10)) is None


PRICES: list[tuple[type[TokenPrice | HourPrice | LocalPrice], Price]] = [
    (TokenPrice, TokenPrice(0.15, 0.60, 0.03, "list price", "2026-11-22")),
    (TokenPrice, TokenPrice(0.15, 0.60)),
    (HourPrice, HourPrice(5.0, ((28_800.0, 72_000.0),), "page")),
    (LocalPrice, LocalPrice(350, 0.15, 1600, 3)),
]


@pytest.mark.parametrize(("kind", "price"), PRICES)
def test_terms_are_all_of_a_price(kind: type[TokenPrice | HourPrice | LocalPrice], price: Price) -> None:
    """From what they say the same price can be made again, with the same id; nothing else is in it."""
    told = terms(price)
    assert (told.pop("kind"), told.pop("currency")) == (price.kind, "USD")
    again = kind(**told)  # type: ignore[arg-type]
    assert (again, again.id) == (price, price.id)
    assert price.id.startswith(f"{price.kind}-")


def test_terms_of_no_price() -> None:
    """That it is not known."""
    assert terms(Unpriced())["kind"] == Unpriced().id == "unpriced"


MONEY = st.decimals(0, 100, places=4)


@given(MONEY, MONEY, MONEY, st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7))
def test_charge_is_exact(fresh: Decimal, cached: Decimal, out: Decimal, given_: int, reused: int, made: int) -> None:
    """It equals decimal arithmetic on the written prices, to the nano-dollar."""
    nano = (fresh * given_ + cached * reused + out * made) * 1000
    price = TokenPrice(float(fresh), float(out), float(cached))
    assert charge(price, Usage(given_ + reused, made, reused)) == int(nano.quantize(Decimal(1), ROUND_HALF_UP))


def test_kinds_say_where_money_can_go() -> None:
    """Each price names its kinds, and a backend without a price has none."""
    assert kinds(TokenPrice(1, 1)) == ("tokens", "discarded")
    assert kinds(HourPrice(1)) == ("compute", "idle")
    assert kinds(LocalPrice(1, 1, 1, 1)) == ("energy", "capex")
    assert kinds(Unpriced()) == ()


def test_every_figure_is_in_the_id() -> None:
    """Prices with other figures, or figures of another date, have other ids; equal ones the same."""
    prices = [
        TokenPrice(1.0, 2.0),
        TokenPrice(1.0, 2.5),
        TokenPrice(1.0, 2.0, 0.5),
        TokenPrice(1.0, 2.0, as_of="2026-11-22"),
        TokenPrice(1.0, 2.0, source="a list"),
        HourPrice(1.0),
        HourPrice(1.0, ((0, 3600),)),
        LocalPrice(350.0, 0.15, 1600.0, 3.0),
        Unpriced(),
    ]
    assert len({price.id for price in prices}) == len(prices)
    assert TokenPrice(1.0, 2.0).id == TokenPrice(1.0, 2.0).id
    assert HourPrice(1.0).id.startswith("compute-hour-")


def test_what_a_box_costs_an_hour() -> None:
    """Watts at the price of power, and the hardware over its life."""
    box = LocalPrice(watts=350, usd_per_kwh=0.2, hardware_usd=8760, life_years=2)
    assert (box.energy_per_hour, box.capex_per_hour) == (pytest.approx(0.07), pytest.approx(0.5))
