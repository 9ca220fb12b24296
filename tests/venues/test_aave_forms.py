"""Whoever the contract would let be liquidated, or of whom a figure is missing, is a suspect; others need not be."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.core.ids import Address
from keeper.venues.aave_v3.forms import Suspects
from keeper.venues.aave_v3.margin import UserAccountData, account_data, position_of
from keeper.venues.aave_v3.market import CategoryNow, Market, ReserveNow, Unknown
from keeper.venues.aave_v3.math import RAY, WAD
from keeper.venues.aave_v3.rules import RULES_3_0, RULES_3_6, Rules
from keeper.venues.aave_v3.state import State
from tests.venues.event_logs import address

RESERVES = 3
MODE = 7


class Asset(NamedTuple):
    """A reserve of a made-up market."""

    price: int
    income: int
    debt_index: int
    decimals: int
    threshold: int
    member: bool


class Held(NamedTuple):
    """What an account has in a reserve, scaled."""

    supplied: int
    owed: int


AMOUNTS = st.one_of(st.integers(0, 3), st.integers(0, 10**7), st.integers(0, 10**27))
INDEXES = st.one_of(st.just(RAY), st.integers(RAY, 2 * RAY))
ASSETS = st.builds(
    Asset,
    price=st.one_of(st.integers(0, 3), st.integers(1, 10**13)),
    income=INDEXES,
    debt_index=INDEXES,
    decimals=st.sampled_from([0, 2, 6, 8, 18]),
    threshold=st.one_of(st.sampled_from([0, 1, 8_500, 10_000]), st.integers(0, 10_000)),
    member=st.booleans(),
)
POSITIONS = st.lists(st.builds(Held, AMOUNTS, AMOUNTS), min_size=RESERVES, max_size=RESERVES)


def token(index: int, kind: int) -> Address:
    """Return a token of a reserve."""
    return address(0x1000 * (index + 1) + kind)


def market_of(assets: list[Asset], rules: Rules, *, mode_threshold: int = 9_000, mode_price: int = 0) -> Market:
    """Return a market of these reserves and one efficiency mode."""
    reserves = [
        ReserveNow(
            *(token(index, 0), index, token(index, 1), token(index, 2), token(index, 3)),
            *(each.income, each.debt_index, each.price, 10**each.decimals),
            *(0, each.threshold, 10_500, 0),
            live=True,
            paused=False,
            in_grace=False,
            liquidity=None,
            doubt=None,
        )
        for index, each in enumerate(assets)
    ]
    members = sum(1 << index for index, each in enumerate(assets) if each.member)
    mode = CategoryNow(0, mode_threshold, 10_100, bool(mode_price), mode_price, members, 0)
    by_place, by_asset = {each.index: each for each in reserves}, {each.asset: each for each in reserves}
    return Market(0, rules, None, None, by_place, by_asset, {MODE: mode})


def put(state: State, account: Address, position: list[Held], mode: int) -> None:
    """Write the rows of an account."""
    bits = 0
    for index, held in enumerate(position):
        state.scaled.set(token(index, 1) + account, held.supplied or None)
        state.scaled.set(token(index, 3) + account, held.owed or None)
        bits |= (bool(held.supplied) << 2 * index + 1) | bool(held.owed) << 2 * index
    state.bitmaps.set(account, bits or None)
    state.modes.set(account, mode or None)


def at_the_line(market: Market, position: list[Held], mode: int, index: int, step: int) -> list[Held]:
    """Return the position with so much of a reserve owed that its health is one, more or less a few smallest units."""
    state = State()
    state.tables.begin_block(1)
    alone = [Held(held.supplied, 0) for held in position]
    put(state, address(1), alone, mode)
    data = account_data(market, position_of(state, market, address(1)))
    assert isinstance(data, UserAccountData)
    reserve = market.reserves[index]
    worth = data.total_collateral_base * data.current_liquidation_threshold // 10_000
    price = reserve.price if isinstance(reserve.price, int) else 0
    owed = worth * reserve.unit * RAY // (max(price, 1) * reserve.debt_index) + step
    return [held._replace(owed=max(owed, 1)) if place == index else held for place, held in enumerate(alone)]


@pytest.mark.parametrize("rules", [RULES_3_0, RULES_3_6], ids=["3.0", "3.6"])
@given(
    assets=st.lists(ASSETS, min_size=RESERVES, max_size=RESERVES),
    positions=st.lists(st.tuples(POSITIONS, st.sampled_from([0, MODE, 9])), min_size=1, max_size=4),
    line=st.tuples(st.integers(0, RESERVES - 1), st.integers(-3, 3)),
    thresholds=st.sampled_from([0, 1, 9_000, 10_000]),
    mode_price=st.sampled_from([0, 0, 1, 10**8]),
)
@settings(max_examples=150, deadline=None)
def test_whoever_is_liquidatable_is_a_suspect(
    rules: Rules,
    assets: list[Asset],
    positions: list[tuple[list[Held], int]],
    line: tuple[int, int],
    thresholds: int,
    mode_price: int,
) -> None:
    """For any balances, dust and the line itself included, at any prices, indexes and thresholds, by either rules."""
    source = 0 if rules.member_lists else mode_price
    market = market_of(assets, rules, mode_threshold=thresholds, mode_price=source)
    state = State()
    state.tables.begin_block(1)
    anew, told = Suspects(state), Suspects(state)
    told.at(market)
    for number, (position, mode) in enumerate(positions):
        put(state, address(2 * number + 1), position, mode)
        put(state, address(2 * number + 2), at_the_line(market, position, mode, *line), mode)
    unsafe = {each for each in map(Address, state.bitmaps.rows) if is_unsafe(state, market, each)}

    assert unsafe <= set(told.at(market))
    assert unsafe <= set(anew.at(market))


def is_unsafe(state: State, market: Market, account: Address) -> bool:
    """Tell whether the contract would let an account be liquidated, or does not say."""
    data = account_data(market, position_of(state, market, account))
    return isinstance(data, Unknown) or data.health_factor < WAD
