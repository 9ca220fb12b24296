"""What a signer holds is valued at its venues' prices, and moves as those did in the journal."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.facts import SignerRead
from keeper.core.ids import Address, content_id, to_hex
from keeper.core.risk import AssetPrice
from keeper.core.runconfig import Holding
from keeper.core.units import BigInt, TokenAmount, Wei
from keeper.engine.inventory import (
    UNPRICED,
    Held,
    PriceBars,
    daily_scenarios,
    holdings_of,
    recorded_scenarios,
    shortfalls,
)
from keeper.risk.passage import inventory_shortfall
from keeper.risk.tail import fhs_scenarios
from keeper.venues.perp_v2.ledger import PerpLedger
from keeper.venues.perp_v2.market import MarketNow
from keeper.venues.perp_v2.state import Market, Position
from tests.engine.history import CHAIN, SIGNER, TOKEN, History
from tests.engine.toy import ETH, GOLD, POOL, USD, ToyLedger
from tests.venues import morpho_logs
from tests.venues.event_logs import address
from tests.venues.test_perp_ledger import SPEC
from tests.venues.test_portfolio import WAD, now_at


class Quoted(ToyLedger):
    """A venue that says what it is told to say of its prices."""

    def __init__(self, history: History, prices: Mapping[Address, int | None]) -> None:
        super().__init__(history.config.venues[0])
        self.prices = prices

    def asset_prices(self) -> tuple[AssetPrice, ...]:
        """Return the prices as they are now."""
        return tuple(AssetPrice(each, None if price is None else BigInt(price)) for each, price in self.prices.items())


def bars_of(*rows: tuple[int, Mapping[Address, int | None]], bar_seconds: int = 10) -> PriceBars:
    """Return bars of a venue that had these prices at these times."""
    venue, bars = Quoted(History(), {}), PriceBars(bar_seconds)
    for now_seconds, prices in rows:
        venue.prices = prices
        bars.look(venue, now_seconds)
    return bars


def reading(*tokens: tuple[Address, int]) -> SignerRead:
    """Return a reading in which the signer has so much of these tokens."""
    held = tuple(Holding(token, POOL, TokenAmount(amount), TokenAmount(0)) for token, amount in tokens)
    return SignerRead(CHAIN, "main", 1, content_id("block"), Wei(0), 0, held)


def held(asset: Address, value_usd: float | None, *, reprices: bool = True) -> Held:
    """Return a token that is worth so much."""
    return Held(CHAIN, "toy", asset, 1, value_usd, position=False, reprices=reprices)


def test_a_return_is_between_the_first_prices_of_two_bars_that_are_neighbours() -> None:
    """Later prices of a bar are not looked at, and a bar that is missing leaves no return across it."""
    rows = [(1, 100), (9, 500), (10, 110), (25, 121), (40, 900), (50, 990)]
    bars = bars_of(*((seconds, {ETH: price}) for seconds, price in rows))

    assert bars.returns([("toy", ETH)])[:, 0] == pytest.approx([math.log(1.1)] * 3)


def test_returns_are_of_bars_that_have_all_the_prices() -> None:
    """Where one price is missing or zero there is no joint return."""
    bars = bars_of(
        (0, {ETH: 100, GOLD: 10}), (10, {ETH: 110, GOLD: 11}), (20, {ETH: 120, GOLD: None}), (30, {ETH: 130, GOLD: 0})
    )

    assert bars.returns([("toy", ETH), ("toy", GOLD)]) == pytest.approx(np.full((1, 2), math.log(1.1)))
    assert len(bars.returns([("toy", ETH)])) == 3
    assert len(bars.returns([("other", ETH)])) == 0


def test_returns_begin_where_each_price_that_moves_has_moved() -> None:
    """Two still bars of one are left out; one that never moves leaves nothing out."""
    prices = [(100, 7, 5), (100, 8, 5), (100, 9, 5), (101, 9, 5), (103, 9, 5)]
    bars = bars_of(*((10 * place, {ETH: one, GOLD: two, USD: three}) for place, (one, two, three) in enumerate(prices)))

    assert len(bars.returns([("toy", ETH), ("toy", GOLD), ("toy", USD)])) == 2
    assert len(bars.returns([("toy", GOLD), ("toy", USD)])) == 4


def test_what_is_held_is_valued_by_the_first_venue_that_knows_it() -> None:
    """Two ETH are 4,000 USD; what nobody prices has no value, and what is not there is not listed."""
    history = History()
    history.market()
    found = holdings_of(history.engine.ledgers, [reading((ETH, 2 * TOKEN), (GOLD, 5), (USD, 0))], SIGNER)

    assert [(each.asset, each.venue, each.value_usd) for each in found] == [(ETH, "toy", 4_000), (GOLD, "", None)]
    assert all(each.reprices and not each.position for each in found)


def test_a_price_that_a_venue_takes_for_granted_does_not_move() -> None:
    """Morpho's loan token counts as the operator says; its collateral asks an oracle."""
    ledger = morpho_logs.opened().ledger
    told = SignerRead(1, "main", 1, content_id("block"), Wei(0), 0, reading((morpho_logs.USDC, 10**6)).holdings)
    (found,) = holdings_of({"morpho": ledger}, [told], SIGNER)

    assert (found.value_usd, found.reprices) == (1, False)


def test_a_position_that_was_taken_over_is_held_with_its_sign() -> None:
    """A short of three coins at 2,000 is worth 6,000 less than nothing, and moves with its market."""
    ledger, base = PerpLedger(SPEC), address(2)
    ledger._state.tables.begin_block(1)
    ledger._state.markets.set(base, Market(address(3)))
    ledger._state.positions.set(base + SIGNER, Position(BigInt(-3 * WAD), BigInt(0), BigInt(0)))
    ledger._now = msgspec.structs.replace(now_at(), markets={base: MarketNow(2_000 * WAD, 0)})
    told = SignerRead(1, "main", 1, content_id("block"), Wei(0), 0, ())
    (found,) = holdings_of({"perp": ledger}, [told], SIGNER)

    assert (found.asset, found.amount, found.value_usd) == (base, -3 * WAD, -6_000)
    assert (found.position, found.reprices) == (True, True)


@pytest.mark.slow
@given(st.lists(st.floats(-0.05, 0.05).filter(lambda each: abs(each) > 1e-3), min_size=20, max_size=40))
def test_recorded_scenarios_are_the_filtered_history_of_the_venues_own_prices(moves: list[float]) -> None:
    """The column of what is repriced is that of filtered historical simulation; what is not stays still."""
    prices = [10**12]
    for move in moves:
        prices.append(round(prices[-1] * math.exp(move)))
    bars = bars_of(*((10 * place, {ETH: price, USD: 5}) for place, price in enumerate(prices)))
    positions = [held(USD, 50.0), held(ETH, 100.0), held(GOLD, 1.0, reprices=False)]
    found = recorded_scenarios(positions, bars, len(moves))

    assert found is not None
    assert found[:, 1] == pytest.approx(fhs_scenarios(moves, window=len(moves)), rel=1e-6, abs=1e-9)
    assert not np.any(found[:, [0, 2]])
    assert recorded_scenarios(positions, bars, len(moves) + 1) is None


def test_daily_scenarios_move_with_the_coins_that_are_named() -> None:
    """Two tokens of one coin move together, and a dollar does not."""
    returns = {"eth": np.sin(np.arange(60.0)) / 50, "btc": np.cos(np.arange(60.0)) / 70}
    found = daily_scenarios(["eth", None, "eth", "btc"], returns)

    assert found[:, 0] == pytest.approx(fhs_scenarios(returns["eth"], window=60))
    assert np.array_equal(found[:, 0], found[:, 2])
    assert not np.any(found[:, 1])
    assert daily_scenarios([None], returns).tolist() == [[0], [0]]


def test_a_joint_shortfall_is_at_most_the_sum_of_its_parts() -> None:
    """Each holding alone is the passage's own figure; all together lose less, since they do not all fall at once."""
    scenarios = np.random.default_rng(3).normal(0, 0.03, (400, 2))
    rows, jointly = shortfalls(
        [held(ETH, 1_000.0), held(GOLD, 2_000.0)],
        ["a", "b"],
        scenarios,
        horizon_seconds=900,
        level=0.99,
        scenario_seconds=3_600,
    )
    alone = [row.shortfall_usd or 0.0 for row in rows]

    assert alone[0] == pytest.approx(inventory_shortfall(1_000, scenarios[:, 0], 900, 0.99, 3_600))
    assert max(alone) < jointly < sum(alone)
    assert [row.asset for row in rows] == [to_hex(ETH), to_hex(GOLD)]


def test_a_holding_without_a_value_says_so_and_adds_nothing() -> None:
    """It has no shortfall of its own, and the joint one is that of the rest."""
    scenarios = np.random.default_rng(3).normal(0, 0.03, (400, 2))
    figures = {"horizon_seconds": 900.0, "level": 0.99, "scenario_seconds": 3_600.0}
    rows, jointly = shortfalls([held(ETH, 1_000.0), held(GOLD, None)], ["a", "b"], scenarios, **figures)

    assert (rows[1].value_usd, rows[1].shortfall_usd, rows[1].reason) == (None, None, UNPRICED)
    assert jointly == pytest.approx(rows[0].shortfall_usd)


def test_nothing_held_is_nothing_lost() -> None:
    """Without holdings there is no row, and a shortfall of nothing."""
    scenarios = recorded_scenarios([], bars_of(), 100)

    assert scenarios is not None
    assert shortfalls([], [], scenarios, horizon_seconds=1, level=0.99, scenario_seconds=1) == ([], 0)
