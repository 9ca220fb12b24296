"""``liquidationCall`` of v3.0, step by step (LiquidationLogic.executeLiquidationCall)."""

from __future__ import annotations

from msgspec.structs import replace

from keeper.venues.aave_v3.margin import Holding, Position, debt_of, is_member
from keeper.venues.aave_v3.market import Unknown
from keeper.venues.aave_v3.math import PERCENT, percent_div, percent_mul, ray_div, ray_mul
from keeper.venues.aave_v3.rules import CLOSE_FACTOR, CLOSE_FACTOR_HEALTH
from keeper.venues.aave_v3.seizure import (
    DIVISION_BY_ZERO,
    UNDERFLOW,
    Case,
    Seizure,
    is_healthy,
    kept_by_sentinel,
    settled,
    unknown,
)

INVALID_BURN_AMOUNT = "INVALID_BURN_AMOUNT"


def refusal(case: Case) -> str | None:
    """Repeat ValidationLogic.validateLiquidationCall. A frozen reserve may be liquidated, so it is not asked for."""
    debt, collateral = case.debt.reserve, case.collateral.reserve
    if not (debt.live and collateral.live):
        return "RESERVE_INACTIVE"
    if debt.paused or collateral.paused:
        return "RESERVE_PAUSED"
    if kept := kept_by_sentinel(case.market, case.health):
        return unknown(kept) if isinstance(kept, Unknown) else "PRICE_ORACLE_SENTINEL_CHECK_FAILED"
    if is_healthy(case.health):
        return "HEALTH_FACTOR_NOT_BELOW_THRESHOLD"
    if not (case.collateral.collateral and collateral.threshold):
        return "COLLATERAL_CANNOT_BE_LIQUIDATED"
    return None if debt_of(case.market, case.debt) else "SPECIFIED_CURRENCY_NOT_BORROWED_BY_USER"


def repayable(case: Case) -> int:
    """Return the most that may be repaid: half of the debt above a health of 0.95, all at or below it."""
    share = CLOSE_FACTOR if case.health > CLOSE_FACTOR_HEALTH else PERCENT
    return percent_mul(debt_of(case.market, case.debt), share)


def _prices(case: Case) -> tuple[int | Unknown, int | Unknown]:
    """Return the prices of debt and collateral (LiquidationLogic._getConfigurationData).

    In an efficiency mode with a price source the debt takes its price from there without asking whether it is a
    member, unlike in the account's data.
    """
    mode = case.mode
    debt = mode.price if mode.has_source else case.debt.reserve.price
    from_mode = mode.has_source and is_member(mode, case.collateral.reserve)
    return debt, mode.price if from_mode else case.collateral.reserve.price


def seize(case: Case) -> Seizure | str:
    """Return the amounts (LiquidationLogic._calculateDebt, _calculateAvailableCollateralToLiquidate)."""
    debt_price, collateral_price = _prices(case)
    if isinstance(debt_price, Unknown) or isinstance(collateral_price, Unknown):
        return unknown(debt_price, collateral_price)
    if collateral_price == 0:
        return DIVISION_BY_ZERO
    reserve = case.collateral.reserve
    repaid = min(case.cover, repayable(case))
    debt_worth, collateral_worth = debt_price * reserve.unit, collateral_price * case.debt.reserve.unit
    bonus = (case.mode if is_member(case.mode, reserve) else reserve).bonus
    balance = ray_mul(case.collateral.supplied, reserve.income)
    amount = percent_mul(debt_worth * repaid // collateral_worth, bonus)
    if amount > balance:
        amount = balance
        repaid = percent_div(collateral_worth * amount // debt_worth, bonus)
    fee = percent_mul(amount - percent_div(amount, bonus), reserve.protocol_fee) if reserve.protocol_fee else 0
    return Seizure(repaid, amount - fee, fee, balance)


def after(case: Case, done: Seizure) -> Position | str:
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
    return settled(case, done, debt, supplied)


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
