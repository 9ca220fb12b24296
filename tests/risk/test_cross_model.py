"""The standard form explained in integers: lines, buckets and rounding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.margin import CUT, MarginKind, MarginModel
from keeper.core.units import BaseAmount
from keeper.risk.cross import MarketRules, StandardRules, standard_margin
from keeper.risk.cross_model import CrossAccount, CrossMarginModel, IsolatedMarginModel, IsolatedPosition
from keeper.risk.instruments import Instruments, Kind, Portfolio, Underlying
from tests.risk.markets import derive_option, listing

MARKET = listing(np.random.default_rng(7), 12)
RULES = StandardRules({"ETH": MarketRules(), "BTC": MarketRules()})
OPTIONS = [name for name, kind in zip(MARKET.names, MARKET.kind, strict=True) if kind == Kind.OPTION]
BOOKS = st.dictionaries(st.sampled_from([*OPTIONS, "ETH-PERP", "BTC-PERP"]), st.floats(-50, 50), max_size=8)


@pytest.mark.slow
@given(BOOKS, st.floats(0, 100), st.floats(-1e6, 1e6), st.booleans())
def test_lines_add_up_to_the_margin_rounded_against_the_account(
    book: dict[str, float],
    base: float,
    cash: float,
    initial: bool,  # noqa: FBT001 - drawn, not passed
) -> None:
    """Equity is rounded down, the requirement up, and together they are the float's margin to 1e-8 USD each."""
    holdings = book | {"ETH": base}
    model: MarginModel[CrossAccount] = CrossMarginModel(MARKET, RULES, initial)
    (bucket,) = model.breakdown(CrossAccount(holdings, cash)).buckets
    exact = standard_margin(MARKET, Portfolio.of(MARKET, [(holdings, cash)]), RULES, initial=initial)
    equity, needs = float(exact.equity_usd[0]), float(exact.requirement_usd[0])
    assert bucket.scale == BaseAmount.ONE
    assert -1 - abs(equity) * 1e-7 <= bucket.equity - equity * 1e8 <= 0.2 + abs(equity) * 1e-7
    assert -0.2 - abs(needs) * 1e-7 <= bucket.requirement - needs * 1e8 <= 1 + abs(needs) * 1e-7


def test_a_spread_shows_its_offset() -> None:
    """Each leg stands with what it needs alone, and what the expiry's bounded loss saves is a line of its own."""
    contracts = [derive_option("K1100", 1100.0, is_call=True), derive_option("K1300", 1300.0, is_call=True)]
    market = Instruments.of(contracts, [Underlying(name="ETH", spot_usd=1500.0)])
    (bucket,) = CrossMarginModel(market, RULES).breakdown(CrossAccount({"K1100": -1.0, "K1300": 1.0}, 7.0)).buckets
    cash, short, long, saved = bucket.lines[:4]
    assert [line.item for line in (cash, short, long)] == ["cash", "short option K1100", "long option K1300"]
    assert (int(cash.equity), int(long.requirement), int(long.equity)) == (7 * 10**8, 0, 0)
    assert int(short.value) < 0 < int(long.value)
    assert int(short.requirement) == int(-short.value) + 135 * 10**8
    assert "bounded" in saved.item
    assert int(saved.requirement) == pytest.approx(200 * 10**8 - int(short.requirement), abs=1)
    assert (bucket.equity, bucket.requirement) == (7 * 10**8, 200 * 10**8)


def test_isolated_positions_are_accounts_of_one() -> None:
    """Each position is a bucket with its own collateral, and has the margin that it has alone in an account."""
    positions = [
        IsolatedPosition("ETH-PERP", 10.0, 1_000.0 - 10 * 2_002.0),
        IsolatedPosition("BTC-PERP", -1.0, 5_000.0 + 60_060.0),
        IsolatedPosition(OPTIONS[0], -2.0, 500_000.0),
    ]
    model: MarginModel[list[IsolatedPosition]] = IsolatedMarginModel(MARKET, RULES)
    found = model.breakdown(positions)
    assert found.kind is model.margin_kind is MarginKind.ISOLATED
    for position, bucket in zip(positions, found.buckets, strict=True):
        alone = CrossAccount({position.instrument: position.quantity}, position.collateral_usd)
        (cross,) = CrossMarginModel(MARKET, RULES).breakdown(alone).buckets
        assert (bucket.equity, bucket.requirement) == (cross.equity, cross.requirement)
        assert bucket.name == position.instrument
    binding = found.binding
    assert binding is not None
    assert binding.name == "ETH-PERP"
    assert binding.surplus == (1_000 * 10**8) - int(10 * 2_002 * 0.065 * 10**8)


@pytest.mark.slow
@given(st.floats(-20, 20), st.floats(-20, 20), st.floats(0, 1e5), st.floats(0, 1e5))
def test_sharing_collateral_never_asks_for_more(first: float, second: float, one: float, other: float) -> None:
    """One account of two positions has at least the surplus of the two positions apart."""
    names = ("ETH-PERP", OPTIONS[1])
    apart = IsolatedMarginModel(MARKET, RULES, initial=True).breakdown(
        [IsolatedPosition(names[0], first, one), IsolatedPosition(names[1], second, other)]
    )
    account = CrossAccount(dict(zip(names, (first, second), strict=True)), one + other)
    (shared,) = CrossMarginModel(MARKET, RULES, initial=True).breakdown(account).buckets
    assert shared.surplus >= sum(bucket.surplus for bucket in apart.buckets) - 4


def test_what_lines_lack_is_a_line() -> None:
    """Two thirds of a dollar are rounded down where they secure, and what that cuts off is a line of its own."""
    (bucket,) = CrossMarginModel(MARKET, RULES).breakdown(CrossAccount({}, 2 / 3)).buckets
    assert [(line.item, int(line.equity)) for line in bucket.lines] == [("cash", 66_666_667), (CUT, -1)]
    assert bucket.equity == 66_666_666
