"""What ``liquidationCall`` would do, to the last unit (LiquidationLogic.executeLiquidationCall, v3.0).

The call is repeated step by step in the contract's order, because the order decides which error a refused call gives:
the account's health, the validation, the amounts, the burn of debt, the payout of collateral, the fee. The account is
then looked at again with the burnt amounts taken off its *scaled* balances, which is where the contract rounds.

What is left to the preflight: the liquidator's own balance and allowance, tokens that refuse a transfer, and a
payout that needs tokens which a donation brought without any event.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from keeper.core.ids import Address
from keeper.core.units import BaseAmount, Bps, TokenAmount, Wad
from keeper.core.venue import Pair, Preview
from keeper.venues.aave_v3.margin import (
    Holding,
    Position,
    UserAccountData,
    account_data,
    debt_of,
    mode_of,
    price_in,
)
from keeper.venues.aave_v3.market import CategoryNow, Market, ReserveNow, Unknown
from keeper.venues.aave_v3.math import WAD, percent_div, percent_mul, ray_div, ray_mul
from keeper.venues.aave_v3.rules import CLOSE_FACTOR_HEALTH

BARE_REVERT = "0x"
DIVISION_BY_ZERO = "Panic(0x12)"
UNDERFLOW = "Panic(0x11)"
INVALID_BURN_AMOUNT = "INVALID_BURN_AMOUNT"


class Seizure(msgspec.Struct, frozen=True, gc=False):
    """Amounts of a liquidation: debt tokens ``repaid``, collateral tokens ``seized`` and ``fee`` out of ``balance``."""

    repaid: int
    seized: int
    fee: int
    balance: int


class _Case(msgspec.Struct, frozen=True, gc=False):
    """One call that is being repeated."""

    market: Market
    position: Position
    mode: CategoryNow
    health: int
    debt: Holding
    collateral: Holding
    cover: int


def preview(market: Market, position: Position, debt: Address, collateral: Address, cover: int) -> Preview:
    """Return what the call would do at the market's timestamp."""
    case = _case(market, position, debt, collateral, cover)
    outcome = case if isinstance(case, str) else _outcome(case)
    return _refused(debt, collateral, cover, outcome) if isinstance(outcome, str) else outcome


def _outcome(case: _Case) -> Preview | str:
    """Return the executed call, or the error that it gives after the validation."""
    done = _seize(case)
    if isinstance(done, str):
        return done
    after = _after(case, done)
    if isinstance(after, str):
        return after
    left = account_data(case.market, after)
    debt_price, collateral_price = case.debt.reserve.price, case.collateral.reserve.price
    if isinstance(left, Unknown) or isinstance(debt_price, Unknown) or isinstance(collateral_price, Unknown):
        return _unknown(left, debt_price, collateral_price)
    return _accepted(case, done, left, debt_price, collateral_price)


def _refused(debt: Address, collateral: Address, cover: int, reason: str) -> Preview:
    nothing, worthless = TokenAmount(0), BaseAmount(0)
    return Preview(
        debt, collateral, TokenAmount(cover), nothing, nothing, nothing, worthless, worthless, worthless, None, reason
    )


def _unknown(*figures: object) -> str:
    return next(f"unknown: {figure.reason}" for figure in figures if isinstance(figure, Unknown))


def _accepted(case: _Case, done: Seizure, left: UserAccountData, debt_price: int, collateral_price: int) -> Preview:
    debt, collateral = case.debt.reserve, case.collateral.reserve
    return Preview(
        debt.asset,
        collateral.asset,
        TokenAmount(case.cover),
        TokenAmount(done.repaid),
        TokenAmount(done.seized),
        TokenAmount(done.fee),
        BaseAmount(debt_price * done.repaid // debt.unit),
        BaseAmount(collateral_price * done.seized // collateral.unit),
        BaseAmount(left.total_debt_base),
        Wad(left.health_factor) if left.total_debt_base else None,
        None,
    )


def _case(market: Market, position: Position, debt: Address, collateral: Address, cover: int) -> _Case | str:
    """Return the validated call, or the error that the contract gives before it computes any amount."""
    debt_reserve, collateral_reserve = market.by_asset.get(debt), market.by_asset.get(collateral)
    if debt_reserve is None or collateral_reserve is None:
        return BARE_REVERT
    data = account_data(market, position)
    if isinstance(data, Unknown):
        return _unknown(data)
    held = {holding.reserve.index: holding for holding in position.holdings}
    case = _Case(
        market,
        position,
        mode_of(market, position),
        data.health_factor,
        held.get(debt_reserve.index) or _nothing(debt_reserve),
        held.get(collateral_reserve.index) or _nothing(collateral_reserve),
        cover,
    )
    return _refusal(case) or case


def _nothing(reserve: ReserveNow) -> Holding:
    return Holding(reserve, collateral=False, supplied=0, variable=0, stable=0)


def _refusal(case: _Case) -> str | None:
    """Repeat ValidationLogic.validateLiquidationCall. A frozen reserve may be liquidated, so it is not asked for."""
    debt, collateral = case.debt.reserve, case.collateral.reserve
    if not (debt.live and collateral.live):
        return "RESERVE_INACTIVE"
    if debt.paused or collateral.paused:
        return "RESERVE_PAUSED"
    if case.market.guarded is not None and case.health >= CLOSE_FACTOR_HEALTH and case.market.guarded is not True:
        guarded = case.market.guarded
        return _unknown(guarded) if isinstance(guarded, Unknown) else "PRICE_ORACLE_SENTINEL_CHECK_FAILED"
    if case.health >= WAD:
        return "HEALTH_FACTOR_NOT_BELOW_THRESHOLD"
    if not (case.collateral.collateral and collateral.threshold):
        return "COLLATERAL_CANNOT_BE_LIQUIDATED"
    return None if debt_of(case.debt) else "SPECIFIED_CURRENCY_NOT_BORROWED_BY_USER"


def bonus_of(position: Position, mode: CategoryNow, reserve: ReserveNow) -> int:
    """Return 10000 + the discount (1e-4) on a collateral for this account."""
    return mode.bonus if position.mode and reserve.category == position.mode else reserve.bonus


def _prices(case: _Case) -> tuple[int | Unknown, int | Unknown]:
    """Return the prices of debt and collateral (LiquidationLogic._getConfigurationData).

    In an efficiency mode with a price source the debt takes its price from there without asking whether it is a
    member, unlike in the account's data.
    """
    debt = case.mode.price if case.mode.has_source else case.debt.reserve.price
    member = case.position.mode and case.collateral.reserve.category == case.position.mode
    collateral = case.mode.price if member and case.mode.has_source else case.collateral.reserve.price
    return debt, collateral


def _seize(case: _Case) -> Seizure | str:
    """Return the amounts (LiquidationLogic._calculateDebt, _calculateAvailableCollateralToLiquidate)."""
    debt_price, collateral_price = _prices(case)
    if isinstance(debt_price, Unknown) or isinstance(collateral_price, Unknown):
        return _unknown(debt_price, collateral_price)
    if collateral_price == 0:
        return DIVISION_BY_ZERO
    reserve = case.collateral.reserve
    allowed = percent_mul(debt_of(case.debt), case.market.rules.close_factor(case.health))
    repaid = min(case.cover, allowed)
    debt_worth, collateral_worth = debt_price * reserve.unit, collateral_price * case.debt.reserve.unit
    bonus = bonus_of(case.position, case.mode, reserve)
    balance = ray_mul(case.collateral.supplied, reserve.income)
    amount = percent_mul(debt_worth * repaid // collateral_worth, bonus)
    if amount > balance:
        amount = balance
        repaid = percent_div(collateral_worth * amount // debt_worth, bonus)
    fee = percent_mul(amount - percent_div(amount, bonus), reserve.protocol_fee) if reserve.protocol_fee else 0
    return Seizure(repaid, amount - fee, fee, balance)


def _after(case: _Case, done: Seizure) -> Position | str:
    """Return the position with debt and collateral burnt, or the error that a burn or the payout gives."""
    debt = _repay(case.debt, done.repaid)
    if isinstance(debt, str):
        return debt
    reserve = case.collateral.reserve
    if reserve.liquidity is not None and reserve.liquidity < done.seized:
        return UNDERFLOW
    scaled = ray_div(done.seized, reserve.income)
    if scaled == 0:
        return INVALID_BURN_AMOUNT
    supplied = case.collateral.supplied - scaled
    supplied -= min(ray_div(done.fee, reserve.income), supplied)
    emptied = done.seized + done.fee == done.balance
    changed = {debt.reserve.index: debt}
    collateral = changed.get(reserve.index, case.collateral)
    changed[reserve.index] = replace(collateral, collateral=not emptied, supplied=supplied)
    holdings = tuple(changed.get(held.reserve.index, held) for held in case.position.holdings)
    return Position(case.position.mode, holdings)


def _repay(holding: Holding, amount: int) -> Holding | str:
    """Burn variable debt first, then stable (LiquidationLogic._burnDebtTokens)."""
    index = holding.reserve.debt_index
    variable = ray_mul(holding.variable, index)
    from_variable = min(variable, amount)
    scaled = ray_div(from_variable, index)
    if scaled == 0 and (variable or amount == 0):
        return INVALID_BURN_AMOUNT
    if amount - from_variable > holding.stable:
        return UNDERFLOW
    return replace(holding, variable=holding.variable - scaled, stable=holding.stable - (amount - from_variable))


def pairs(market: Market, position: Position) -> tuple[Pair, ...]:
    """Return what may be liquidated now, debts and within them collaterals in the order of the pool's list.

    Nothing for an account that is healthy, unknown, or kept by the sentinel; a paused or inactive reserve is left out.
    """
    data = account_data(market, position)
    if isinstance(data, Unknown) or data.health_factor >= WAD:
        return ()
    if market.guarded not in (None, True) and data.health_factor >= CLOSE_FACTOR_HEALTH:
        return ()
    close_factor = market.rules.close_factor(data.health_factor)
    usable = [held for held in position.holdings if held.reserve.live and not held.reserve.paused]
    collaterals = [held for held in usable if held.collateral and held.supplied and held.reserve.threshold]
    debts = [held for held in usable if debt_of(held)]
    mode = mode_of(market, position)
    return tuple(_pair(position, mode, debt, held, close_factor) for debt in debts for held in collaterals)


def _pair(position: Position, mode: CategoryNow, debt: Holding, collateral: Holding, close_factor: int) -> Pair:
    reserve = collateral.reserve
    owed = debt_of(debt)
    ratios = mode if position.mode and reserve.category == position.mode else reserve
    return Pair(
        debt.reserve.asset,
        reserve.asset,
        TokenAmount(percent_mul(owed, close_factor)),
        Bps(ratios.bonus),
        Bps(ratios.threshold),
        _worth(position, mode, debt.reserve, owed),
        _worth(position, mode, reserve, ray_mul(collateral.supplied, reserve.income)),
    )


def _worth(position: Position, mode: CategoryNow, reserve: ReserveNow, amount: int) -> BaseAmount:
    price = price_in(position, mode, reserve)
    return BaseAmount(0 if isinstance(price, Unknown) else price * amount // reserve.unit)
