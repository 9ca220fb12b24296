"""``liquidationCall`` of v3.6, step by step (LiquidationLogic.executeLiquidationCall).

The whole debt in a reserve may be repaid, unless debt and collateral are both large and the account is nearly healthy:
then at most half of what it owes in all. A call must repay all of that debt, seize all of that collateral, or leave a
worthwhile rest of both. When no collateral is left the debts that remain are written off.
"""

from __future__ import annotations

from msgspec.structs import replace

from keeper.venues.aave_v3.margin import Holding, Position, debt_of, is_member
from keeper.venues.aave_v3.market import ReserveNow, Unknown
from keeper.venues.aave_v3.math import (
    mul_div_ceil,
    percent_div,
    percent_div_ceil,
    percent_mul,
    ray_div_ceil,
    ray_div_floor,
    ray_mul_floor,
)
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

LARGE_BASE = 2_000 * 10**8
"""MIN_BASE_MAX_CLOSE_FACTOR_THRESHOLD: the contract's, in base units of a currency of eight decimals."""
LEFTOVER_BASE = LARGE_BASE // 2
"""MIN_LEFTOVER_BASE."""
INVALID_BURN_AMOUNT = "InvalidBurnAmount"
DUST = "MustNotLeaveDust"


def refusal(case: Case) -> str | None:
    """Repeat ValidationLogic.validateLiquidationCall, but for who calls: the keeper's account never owes."""
    debt, collateral = case.debt.reserve, case.collateral.reserve
    if not (debt.live and collateral.live) or debt.paused or collateral.paused:
        return "ReservePaused" if debt.live and collateral.live else "ReserveInactive"
    if kept := kept_by_sentinel(case.market, case.health):
        return unknown(kept) if isinstance(kept, Unknown) else "PriceOracleSentinelCheckFailed"
    if debt.in_grace or collateral.in_grace:
        return "LiquidationGraceSentinelCheckFailed"
    if is_healthy(case.health):
        return "HealthFactorNotBelowThreshold"
    if not case.collateral.collateral:
        return "CollateralCannotBeLiquidated"
    return None if debt_of(case.market, case.debt) else "SpecifiedCurrencyNotBorrowedByUser"


def repayable(case: Case) -> int:
    """Return the most that may be repaid without leaving dust.

    When all that is allowed would leave some, so would everything from some cover on up to it, and nothing below.
    """
    allowed = _allowed(case)
    if seize(replace(case, cover=allowed)) != DUST:
        return allowed
    low, high = 0, allowed
    while high - low > 1:
        middle = (low + high) // 2
        if seize(replace(case, cover=middle)) == DUST:
            high = middle
        else:
            low = middle
    return low


def _allowed(case: Case) -> int:
    """Return the most that may be repaid by the close factor; all when a price is missing."""
    owed = debt_of(case.market, case.debt)
    debt, collateral = case.debt.reserve, case.collateral.reserve
    if isinstance(debt.price, Unknown) or isinstance(collateral.price, Unknown):
        return owed
    owed_base = mul_div_ceil(owed, debt.price, debt.unit)
    supplied_base = _supplied(case) * collateral.price // collateral.unit
    if min(owed_base, supplied_base) < LARGE_BASE or case.health <= CLOSE_FACTOR_HEALTH:
        return owed
    half_base = percent_mul(case.account.total_debt_base, CLOSE_FACTOR)
    return half_base * debt.unit // debt.price if owed_base > half_base else owed


def _supplied(case: Case) -> int:
    return ray_mul_floor(case.collateral.supplied, case.collateral.reserve.income)


def seize(case: Case) -> Seizure | str:
    """Return the amounts (_calculateAvailableCollateralToLiquidate), or that they would leave dust."""
    debt, reserve = case.debt.reserve, case.collateral.reserve
    if isinstance(debt.price, Unknown) or isinstance(reserve.price, Unknown):
        return unknown(debt.price, reserve.price)
    if reserve.price == 0:
        return DIVISION_BY_ZERO
    repaid, balance = min(case.cover, _allowed(case)), _supplied(case)
    debt_worth, collateral_worth = debt.price * reserve.unit, reserve.price * debt.unit
    bonus = (case.mode if is_member(case.mode, reserve) else reserve).bonus
    amount = percent_mul(debt_worth * repaid // collateral_worth, bonus)
    if amount > balance:
        amount = balance
        repaid = percent_div_ceil(collateral_worth * amount // debt_worth, bonus)
    fee = percent_mul(amount - percent_div(amount, bonus), reserve.protocol_fee) if reserve.protocol_fee else 0
    left = debt_of(case.market, case.debt) - repaid
    if left > 0 and amount < balance and _is_dust(debt, reserve, left, balance - amount):
        return DUST
    nothing_left = case.account.total_collateral_base == amount * reserve.price // reserve.unit
    return Seizure(repaid, amount - fee, fee, balance, nothing_left)


def _is_dust(debt: ReserveNow, collateral: ReserveNow, owed: int, supplied: int) -> bool:
    """Tell whether too little would be left of a debt or of a collateral, whose prices are known."""
    if isinstance(debt.price, Unknown) or isinstance(collateral.price, Unknown):
        return False
    owed_base = mul_div_ceil(owed, debt.price, debt.unit)
    return min(owed_base, supplied * collateral.price // collateral.unit) < LEFTOVER_BASE


def after(case: Case, done: Seizure) -> Position | str:
    """Return the position with debts and collateral burnt, or the error that a burn or the payout gives."""
    debt = _repay(case, done)
    reserve = case.collateral.reserve
    if isinstance(debt, str):
        return debt
    liquidity = reserve.liquidity
    if liquidity is not None and reserve.index == debt.reserve.index:
        liquidity += done.repaid
    if liquidity is not None and liquidity < done.seized:
        return UNDERFLOW
    scaled = ray_div_ceil(done.seized, reserve.income)
    if scaled == 0:
        return INVALID_BURN_AMOUNT
    supplied = case.collateral.supplied - scaled
    supplied -= min(ray_div_ceil(done.fee, reserve.income), supplied)
    left = settled(case, done, debt, supplied)
    if not done.nothing_left:
        return left
    return replace(
        left, holdings=tuple(replace(each, variable=0) if each.reserve.live else each for each in left.holdings)
    )


def _repay(case: Case, done: Seizure) -> Holding | str:
    """Burn what is repaid, or all of it when what remains is written off (_burnDebtTokens)."""
    holding = case.debt
    burnt = debt_of(case.market, holding) if done.nothing_left else done.repaid
    scaled = ray_div_floor(burnt, holding.reserve.debt_index)
    if scaled == 0:
        return INVALID_BURN_AMOUNT
    return replace(holding, variable=holding.variable - scaled)
