"""The ledger's arithmetic: exact sums over any cut of time, and no zero where there is no price."""

from __future__ import annotations

from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.ledger import HourPrice, LocalPrice, Meter, Price, TokenPrice, Unpriced, charge, kinds
from app.core.types import Usage

DOLLAR = 1_000_000_000
DAY = 86_400
MIDNIGHT = 20_000 * DAY  # seconds since the epoch

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


MONEY = st.decimals(0, 100, places=4)


@given(MONEY, MONEY, MONEY, st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**7))
def test_charge_is_exact(fresh: Decimal, cached: Decimal, out: Decimal, given_: int, reused: int, made: int) -> None:
    """It equals decimal arithmetic on the written prices, to the nano-dollar."""
    nano = (fresh * given_ + cached * reused + out * made) * 1000
    price = TokenPrice(float(fresh), float(out), float(cached))
    assert charge(price, Usage(given_ + reused, made, reused)) == int(nano.quantize(Decimal(1), ROUND_HALF_UP))


def spend(price: Price, moments: list[tuple[float, bool]], utc: float = MIDNIGHT) -> Counter[str]:
    """Runs a meter over (seconds since the start, busy until then) and adds up by kind."""
    meter = Meter(price)
    assert meter.advance(0.0, utc, busy=True) == []
    total: Counter[str] = Counter()
    for now, busy in moments:
        for kind, nano in meter.advance(now, utc + now, busy):
            assert nano > 0
            total[kind] += nano
    return total


HOURS = [
    ("busy", HourPrice(5.0), [(3600, True)], {"compute": 5 * DOLLAR}),
    ("idle", HourPrice(5.0), [(3600, False)], {"idle": 5 * DOLLAR}),
    ("both", HourPrice(5.0), [(900, True), (3600, False)], {"compute": 1_250_000_000, "idle": 3_750_000_000}),
    ("two days", HourPrice(1.0, ((3600, 7200),)), [(2 * DAY, False)], {"idle": 2 * DOLLAR}),
    ("asleep", HourPrice(1.0, ((3600, 7200),)), [(3600, False)], {}),
    ("used while declared asleep", HourPrice(1.0, ((3600, 7200),)), [(3600, True)], {"compute": DOLLAR}),
    ("never declared awake", HourPrice(1.0, ()), [(DAY, False)], {}),
    ("over midnight", HourPrice(1.0, ((82_800, 3600),)), [(DAY, False)], {"idle": 2 * DOLLAR}),
    ("overlapping hours once", HourPrice(1.0, ((0, 7200), (3600, 10_800))), [(DAY, False)], {"idle": 3 * DOLLAR}),
    ("touching hours", HourPrice(1.0, ((3600, 7200), (0, 3600))), [(DAY, False)], {"idle": 2 * DOLLAR}),
    ("a clock that steps back", HourPrice(1.0), [(10, False), (5, False), (5, False)], {"idle": DOLLAR // 360}),
    ("tokens only", TokenPrice(1, 1), [(DAY, True)], {}),
    ("unpriced", Unpriced(), [(DAY, True)], {}),
]


@pytest.mark.parametrize(("price", "moments", "cost"), [row[1:] for row in HOURS], ids=[row[0] for row in HOURS])
def test_hours(price: Price, moments: list[tuple[float, bool]], cost: dict[str, int]) -> None:
    """Used time is compute, declared and unused time is idle, and use outside the declared hours is paid too."""
    assert spend(price, moments) == cost


def test_a_local_box_costs_all_the_time() -> None:
    """Energy and capex run over wall time, whether it is busy or not."""
    box = LocalPrice(watts=350, usd_per_kwh=0.15, hardware_usd=1600, life_years=3)
    year = 8760 * 3600
    busy, unused = spend(box, [(year, True)]), spend(box, [(year, False)])
    assert busy == unused
    assert busy["energy"] == pytest.approx(0.35 * 0.15 * 8760 * DOLLAR, rel=1e-9)
    assert busy["capex"] == pytest.approx(1600 / 3 * DOLLAR, rel=1e-7)


PRICES = st.one_of(
    st.builds(
        HourPrice,
        st.floats(0.001, 100),
        st.lists(st.tuples(st.integers(0, DAY), st.integers(0, DAY)), max_size=3).map(tuple),
    ),
    st.builds(LocalPrice, st.floats(1, 2000), st.floats(0.01, 1), st.floats(1, 50_000), st.floats(0.5, 10)),
)


@given(PRICES, st.lists(st.floats(0, 3 * DAY), min_size=1, max_size=30), st.booleans(), st.integers(0, DAY))
def test_any_cut_of_time_costs_the_same(price: Price, cuts: list[float], busy: bool, offset: int) -> None:
    """The sum over any partition of an interval is the cost of the whole, within one nano-dollar a kind."""
    moments = sorted(cuts)
    whole = spend(price, [(moments[-1], busy)], MIDNIGHT + offset)
    parts = spend(price, [(moment, busy) for moment in moments], MIDNIGHT + offset)
    assert all(abs(whole[kind] - parts[kind]) <= 1 for kind in whole | parts)


@given(st.lists(st.tuples(st.floats(0, DAY), st.booleans()), min_size=2, max_size=30))
def test_compute_and_idle_fill_an_endpoint_that_is_always_awake(moments: list[tuple[float, bool]]) -> None:
    """However busy it was, both kinds together are the hourly price of the time that passed."""
    total = spend(HourPrice(3.6), sorted(moments))
    assert abs(total.total() - max(moments)[0] * 1_000_000) <= 2


@given(st.lists(st.floats(0, DAY), min_size=2, max_size=10))
def test_money_never_flows_back(moments: list[float]) -> None:
    """More time never costs less."""
    spent = [spend(HourPrice(1.0, ((100, 5000),)), [(moment, False)]).total() for moment in sorted(moments)]
    assert all(early <= late for early, late in pairwise(spent))


def test_kinds_say_where_money_can_go() -> None:
    """Each price names its kinds, and a backend without a price has none."""
    assert kinds(TokenPrice(1, 1)) == ("tokens", "discarded")
    assert kinds(HourPrice(1)) == ("compute", "idle")
    assert kinds(LocalPrice(1, 1, 1, 1)) == ("energy", "capex")
    assert kinds(Unpriced()) == ()


def test_the_day_follows_a_clock_that_was_set() -> None:
    """When UTC jumps by more than a second, the declared hours are those of the new time."""
    meter = Meter(HourPrice(1.0, ((3600, 7200),)))
    meter.advance(0.0, MIDNIGHT, busy=False)
    assert meter.advance(60.0, MIDNIGHT + 60.5, busy=False) == []
    assert meter.advance(96.0, MIDNIGHT + 5000, busy=False) == [("idle", DOLLAR // 100)]
