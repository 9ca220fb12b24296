"""Whoever Morpho would let be liquidated, or of whom a figure is missing, is a suspect."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.core.ids import ZERO_ADDRESS, Address
from keeper.core.units import BigInt
from keeper.venues.morpho_blue.forms import Suspects
from keeper.venues.morpho_blue.market import Market, Position, Unknown, figures, position_of
from keeper.venues.morpho_blue.math import ORACLE_PRICE_SCALE, VIRTUAL_ASSETS, VIRTUAL_SHARES, WAD
from keeper.venues.morpho_blue.state import Params, State, Totals
from tests.venues.event_logs import address

AMOUNTS = st.one_of(st.integers(0, 3), st.integers(0, 10**9), st.integers(0, 10**27), st.just(2**128 - 1))
PRICES = st.one_of(st.integers(1, 10**3), st.integers(10**20, 10**50), st.just(2**200))
LLTVS = st.sampled_from([0, 1, 86 * WAD // 100, 945 * WAD // 1000, WAD - 1])


def market_of(price: int, lltv: int, assets: int, shares: int) -> Market:
    """Return a market with these totals."""
    params = Params(address(1), address(2), address(3), ZERO_ADDRESS, BigInt(lltv))
    totals = Totals(borrow_assets=BigInt(assets), borrow_shares=BigInt(shares))
    return Market(0, params, totals, price, WAD, None, 10**8, 1)


def put(state: State, account: Address, collateral: int, shares: int) -> None:
    """Write the rows of an account."""
    state.collateral.set(account, collateral or None)
    state.borrow_shares.set(account, shares or None)


@given(
    price=PRICES,
    lltv=LLTVS,
    totals=st.tuples(st.integers(0, 10**27), st.integers(0, 10**33)),
    positions=st.lists(st.tuples(AMOUNTS, AMOUNTS, st.integers(-3, 3)), min_size=1, max_size=4),
)
@settings(max_examples=300, deadline=None)
def test_whoever_is_liquidatable_is_a_suspect(
    price: int, lltv: int, totals: tuple[int, int], positions: list[tuple[int, int, int]]
) -> None:
    """For any collateral, shares, price and totals, dust, the line itself and what overflows included."""
    market, state = market_of(price, lltv, *totals), State()
    state.tables.begin_block(1)
    anew, told = Suspects(state), Suspects(state)
    told.at(market)
    for number, (collateral, shares, step) in enumerate(positions):
        put(state, address(2 * number + 1), collateral, shares)
        may_owe = collateral * price // ORACLE_PRICE_SCALE * lltv // WAD
        at_the_line = may_owe * (totals[1] + VIRTUAL_SHARES) // (totals[0] + VIRTUAL_ASSETS) + step
        put(state, address(2 * number + 2), collateral, min(max(at_the_line, 1), 2**255))
    unsafe = {each for each in map(Address, state.borrow_shares.rows) if is_unsafe(market, position_of(state, each))}

    assert unsafe <= set(told.at(market))
    assert unsafe <= set(anew.at(market))


def is_unsafe(market: Market, position: Position) -> bool:
    """Tell whether the contract would let an account be liquidated, or would panic."""
    found = figures(market, position)
    return isinstance(found, Unknown) or (found.health is not None and found.health < WAD)


def test_who_is_far_from_the_line_is_none() -> None:
    """Of two accounts with the same collateral only the one that owes almost all it may is looked at."""
    market, state = market_of(10**36, WAD // 2, 10**20, 10**26), State()
    state.tables.begin_block(1)
    put(state, address(1), 10**18, 4 * 10**23)
    put(state, address(2), 10**18, 5 * 10**23)

    assert Suspects(state).at(market) == (address(2),)


@given(
    price=st.integers(10**20, 10**50),
    lltv=LLTVS,
    totals=st.tuples(st.integers(0, 10**27), st.integers(0, 10**33)),
    positions=st.lists(st.tuples(AMOUNTS, st.integers(-3, 3)), min_size=1, max_size=4),
    move_ppm=st.integers(0, 950_000),
)
@settings(max_examples=200, deadline=None)
def test_whoever_a_move_puts_past_the_line_is_near(
    price: int, lltv: int, totals: tuple[int, int], positions: list[tuple[int, int]], move_ppm: int
) -> None:
    """What may be owed less what the move costs of it, rounded up, is not below the debt of anybody who is left out."""
    market, state = market_of(price, lltv, *totals), State()
    state.tables.begin_block(1)
    told = Suspects(state)
    told.near(market, 0.0)
    for number, (collateral, step) in enumerate(positions, 1):
        left = collateral * price // ORACLE_PRICE_SCALE * lltv // WAD * (10**6 - move_ppm) // 10**6
        at_the_line = left * (totals[1] + VIRTUAL_SHARES) // (totals[0] + VIRTUAL_ASSETS) + step
        put(state, address(number), collateral, min(max(at_the_line, 1), 2**255))

    def is_past(account: Address) -> bool:
        found = figures(market, position_of(state, account))
        return isinstance(found, Unknown) or found.debt_max - -(-found.debt_max * move_ppm // 10**6) < found.debt

    past = {each for each in map(Address, state.borrow_shares.rows) if is_past(each)}
    assert past <= set(told.near(market, (move_ppm + 1) / 10**6))


def test_a_move_reaches_who_is_far_from_the_line() -> None:
    """An account at half of what it may owe is near when the price is reckoned to fall by more than half."""
    market, state = market_of(10**36, WAD // 2, 10**20, 10**26), State()
    state.tables.begin_block(1)
    put(state, address(1), 10**18, 25 * 10**22)
    suspects = Suspects(state)

    assert (suspects.near(market, 0.49), suspects.near(market, 0.51)) == ((), (address(1),))
    assert suspects.at(market) == ()
