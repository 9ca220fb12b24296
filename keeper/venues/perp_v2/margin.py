"""An account's figures as the contracts work them out, at the block's timestamp."""

from __future__ import annotations

import msgspec

from keeper.core.ids import Address
from keeper.venues.perp_v2.market import CollateralNow, MarketNow, Now, Unknown
from keeper.venues.perp_v2.math import (
    DAY_SECONDS,
    DUST,
    Q96,
    WAD,
    WAD_DIGITS,
    divide,
    from_settlement,
    mul_div,
    mul_ratio,
    to_settlement,
)
from keeper.venues.perp_v2.state import PerpContracts, Position, State

MAKER = "it provides liquidity, whose fees and funding are in no event"


class Account(msgspec.Struct, frozen=True, gc=False):
    """What an account has: positions by base token, deposits by token (base units), owed profit (1e-18)."""

    positions: dict[Address, Position]
    settlement: int
    collaterals: dict[Address, int]
    owed: int


class Figures(msgspec.Struct, frozen=True, gc=False):
    """The account's figures, 1e-18 but for the first.

    Attributes:
        account_value: ``Vault.getAccountValue``, base units of the settlement token.
        requirement: ``getMarginRequirementForLiquidation``.
        free_collateral: ``getFreeCollateralByRatio`` at the initial ratio; negative when there is none.
        abs_value: The sum of the positions' absolute values.
        settlement_value: Deposit, owed profit, unsettled funding and unrealized profit together.
        pledged: What the deposits of other tokens count for.
        initial: The margin required of what is owed to the markets, at the initial ratio.
    """

    account_value: int
    requirement: int
    free_collateral: int
    abs_value: int
    settlement_value: int
    pledged: int
    initial: int


def account_of(state: State, contracts: PerpContracts, account: Address) -> Account | Unknown:
    """Return what an account has; unknown for one that provides liquidity."""
    positions: dict[Address, Position] = {}
    for base, _ in state.listed():
        if base + account in state.liquidity.rows:
            return Unknown(MAKER)
        if (position := state.positions.get(base + account)) is not None:
            positions[base] = position
    held = {token: state.balance(token, account) for token in state.pledged(account)}
    return Account(positions, state.balance(contracts.settlement, account), held, state.owed_to(account))


def pending_funding(position: Position, growth: int) -> int:
    """Return what a position has to pay since it was last settled, 1e-18."""
    return divide(mul_div(position.size, growth - position.growth, Q96), DAY_SECONDS)


def position_value(size: int, mark: int) -> int:
    """Return the value of a size at the mark price; dust has none."""
    return 0 if abs(size) < DUST else mul_div(size, mark, WAD)


def known(market: MarketNow | None) -> tuple[int, int] | Unknown:
    """Return a market's mark price and growth, or why either is missing."""
    if market is None:
        return Unknown("the market is not listed")
    if isinstance(market.mark, Unknown):
        return market.mark
    return market.growth if isinstance(market.growth, Unknown) else (market.mark, market.growth)


def figures_of(now: Now, account: Account, decimals: int) -> Figures | Unknown:
    """Return an account's figures, or the first that is missing."""
    funding = value = abs_value = quote = base_debt = 0
    for base, position in account.positions.items():
        market = known(now.markets.get(base))
        if isinstance(market, Unknown):
            return market
        mark, growth = market
        funding += pending_funding(position, growth)
        worth = position_value(position.size, mark)
        value += worth
        abs_value += abs(worth)
        quote += position.open_notional
        base_debt += mul_div(min(position.size, 0), mark, WAD)
    pledged = _pledged(now, account)
    if isinstance(pledged, Unknown):
        return pledged
    deposit = from_settlement(account.settlement, decimals) + account.owed - funding
    whole = deposit + pledged + value + quote
    debt = abs(min(quote, 0) + base_debt)
    initial = mul_ratio(debt, now.config.im)
    free = min(deposit + pledged, whole) - initial
    requirement = mul_ratio(abs_value, now.config.mm)
    held = deposit + value + quote
    return Figures(to_settlement(whole, decimals), requirement, free, abs_value, held, pledged, initial)


def _pledged(now: Now, account: Account) -> int | Unknown:
    """Return what the deposits other than the settlement token count for, 1e-18."""
    total = 0
    for token, amount in account.collaterals.items():
        collateral = now.collaterals.get(token)
        if collateral is None or isinstance(collateral, Unknown):
            return collateral or Unknown("a collateral is not listed")
        total += mul_ratio(collateral_value(collateral, amount), collateral.ratio)
    return total


def collateral_value(collateral: CollateralNow, amount: int) -> int:
    """Return the value of an amount, 1e-18; the order of the divisions is the contract's."""
    scale: int = 10**collateral.price_decimals
    finer: int = 10 ** max(collateral.decimals - WAD_DIGITS, 0)
    coarser: int = 10 ** max(WAD_DIGITS - collateral.decimals, 0)
    return amount * coarser * collateral.price // scale // finer


def is_liquidatable(figures: Figures, decimals: int) -> bool:
    """Tell whether the contract lets the account's positions be taken over."""
    return from_settlement(figures.account_value, decimals) < figures.requirement
