"""An account's margin, by the contract's own arithmetic (GenericLogic.calculateUserAccountData, v3.0 and v3.6).

The order of operations and every truncation are the contract's. In v3.0 base values are floored for each asset, average
ratios are floored to whole basis points, and only then does the health factor round half up. In v3.6 debts are rounded
up, collateral of no threshold counts, and health follows from the weighted sum itself. That is why a float, or a
cleverer order, would not do.
"""

from __future__ import annotations

import msgspec

from keeper.core.ids import Address
from keeper.core.units import UINT256_MAX
from keeper.venues.aave_v3.market import NO_CATEGORY, CategoryNow, Market, ReserveNow, Unknown, stable_balance
from keeper.venues.aave_v3.math import HALF_RAY, PERCENT, RAY, percent_mul, percent_mul_floor, wad_div
from keeper.venues.aave_v3.state import State

BORROWING = 1
COLLATERAL = 2


class UserAccountData(msgspec.Struct, frozen=True, gc=False):
    """The six values of ``getUserAccountData`` in its order: base currency 1e-8, ratios 1e-4, health in wad."""

    total_collateral_base: int
    total_debt_base: int
    available_borrows_base: int
    current_liquidation_threshold: int
    ltv: int
    health_factor: int


class Holding(msgspec.Struct, frozen=True, gc=False):
    """What an account has in one reserve.

    ``supplied`` and ``variable`` are scaled; ``stable`` is a balance at the market's timestamp.
    """

    reserve: ReserveNow
    collateral: bool
    supplied: int
    variable: int
    stable: int


class Position(msgspec.Struct, frozen=True, gc=False):
    """An account's efficiency mode and holdings, in the order of the pool's list."""

    mode: int
    holdings: tuple[Holding, ...]


def position_of(state: State, market: Market, account: Address) -> Position:
    """Return what an account has wherever its configuration has a bit."""
    bits = state.bitmaps.get(account) or 0
    reserves, holdings = market.reserves, []
    while bits:
        index = ((bits & -bits).bit_length() - 1) >> 1
        pair = bits >> 2 * index & 3
        bits ^= pair << 2 * index
        reserve = reserves.get(index)
        if reserve is not None:
            holdings.append(_holding(state, market, account, reserve, pair))
    return Position(state.modes.get(account) or 0, tuple(holdings))


def _holding(state: State, market: Market, account: Address, reserve: ReserveNow, pair: int) -> Holding:
    scaled = state.scaled.rows
    supplied = scaled.get(reserve.a_token + account, 0) if pair & COLLATERAL else 0
    variable = stable = 0
    if pair & BORROWING:
        variable = scaled.get(reserve.variable_token + account, 0)
        debt = state.stable.get(reserve.stable_token + account) if market.rules.stable_debt else None
        stable = stable_balance(market, debt.principal, debt.rate, debt.since) if debt is not None else 0
    return Holding(reserve, bool(pair & COLLATERAL), supplied, variable, stable)


def mode_of(market: Market, position: Position) -> CategoryNow:
    """Return the account's efficiency mode."""
    return market.categories.get(position.mode, NO_CATEGORY) if position.mode else NO_CATEGORY


def price_in(mode: CategoryNow, reserve: ReserveNow) -> int | Unknown:
    """Return the price that counts for this account: the mode's source, if it has one, for the mode's members."""
    return mode.price if mode.price and is_member(mode, reserve) else reserve.price


def is_member(mode: CategoryNow, reserve: ReserveNow) -> bool:
    """Tell whether a mode's ratios are for a reserve."""
    return bool(mode.members >> reserve.index & 1)


def debt_of(market: Market, holding: Holding) -> int:
    """Return the debt of both kinds, in base units of the token."""
    return market.rules.owed.balance(holding.variable, holding.reserve.debt_index) + holding.stable


def account_data(market: Market, position: Position) -> UserAccountData | Unknown:
    """Return the six values, or the first figure that is missing for this account."""
    if market.doubt is not None:
        return market.doubt
    mode = mode_of(market, position)
    if position.holdings and isinstance(mode.price, Unknown):
        return mode.price
    return (_by_lists if market.rules.member_lists else _by_categories)(mode, position)


def _by_categories(mode: CategoryNow, position: Position) -> UserAccountData | Unknown:
    """Repeat v3.0."""
    collateral = debt = ltv_sum = threshold_sum = 0
    for holding in position.holdings:
        reserve = holding.reserve
        member = mode.members >> reserve.index & 1
        price = mode.price if member and mode.price else reserve.price
        if reserve.doubt is not None:
            return reserve.doubt
        if isinstance(price, Unknown):
            return price
        if holding.collateral and reserve.threshold:
            value = (holding.supplied * reserve.income + HALF_RAY) // RAY * price // reserve.unit
            collateral += value
            ratios = mode if member else reserve
            ltv_sum += value * ratios.ltv if reserve.ltv else 0
            threshold_sum += value * ratios.threshold
        owed = (holding.variable * reserve.debt_index + HALF_RAY) // RAY + holding.stable
        debt += price * owed // reserve.unit
    return _summary(collateral, debt, ltv_sum, threshold_sum)


def _summary(collateral: int, debt: int, ltv_sum: int, threshold_sum: int) -> UserAccountData:
    ltv = ltv_sum // collateral if collateral else 0
    threshold = threshold_sum // collateral if collateral else 0
    health = wad_div(percent_mul(collateral, threshold), debt) if debt else UINT256_MAX
    available = max(percent_mul(collateral, ltv) - debt, 0)
    return UserAccountData(collateral, debt, available, threshold, ltv, health)


def _by_lists(mode: CategoryNow, position: Position) -> UserAccountData | Unknown:
    """Repeat v3.6."""
    collateral = debt = ltv_sum = threshold_sum = 0
    for holding in position.holdings:
        reserve = holding.reserve
        price = reserve.price
        if reserve.doubt is not None:
            return reserve.doubt
        if isinstance(price, Unknown):
            return price
        if holding.collateral:
            value = holding.supplied * reserve.income // RAY * price // reserve.unit
            collateral += value
            ratios = mode if mode.members >> reserve.index & 1 else reserve
            lends = ratios is reserve or not mode.without_ltv >> reserve.index & 1
            ltv_sum += value * ratios.ltv if lends else 0
            threshold_sum += value * ratios.threshold
        debt -= -(-holding.variable * reserve.debt_index // RAY) * -price // reserve.unit
    ltv = ltv_sum // collateral if collateral else 0
    threshold = threshold_sum // collateral if collateral else 0
    health = wad_div(threshold_sum, debt) // PERCENT if debt else UINT256_MAX
    available = max(percent_mul_floor(collateral, ltv) - debt, 0)
    return UserAccountData(collateral, debt, available, threshold, ltv, health)
