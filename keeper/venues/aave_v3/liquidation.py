"""What ``liquidationCall`` would do, to the last unit, by the rules of the pool's version.

The call is repeated step by step in the contract's order, because the order decides which error a refused call gives:
the account's health, the validation, the amounts, the burn of debt, the payout of collateral, the fee. The account is
then looked at again with the burnt amounts taken off its *scaled* balances, which is where the contract rounds.

What is left to the preflight: the liquidator's own balance and allowance, tokens that refuse a transfer, and a
payout that needs tokens which a donation brought without any event.
"""

from __future__ import annotations

from types import ModuleType

from keeper.core.ids import Address
from keeper.core.units import BaseAmount, Bps, TokenAmount, Wad
from keeper.core.venue import Pair, Preview
from keeper.venues.aave_v3 import seizure_v30, seizure_v36
from keeper.venues.aave_v3.margin import (
    Holding,
    Position,
    UserAccountData,
    account_data,
    debt_of,
    is_member,
    mode_of,
    price_in,
)
from keeper.venues.aave_v3.market import CategoryNow, Market, ReserveNow, Unknown
from keeper.venues.aave_v3.seizure import (
    BARE_REVERT,
    Case,
    Seizure,
    is_healthy,
    kept_by_sentinel,
    unknown,
)

STEPS: dict[str, ModuleType] = {"3.0": seizure_v30, "3.6": seizure_v36}
"""The steps by version, each a module of ``refusal``, ``repayable``, ``seize`` and ``after``."""


def preview(market: Market, position: Position, debt: Address, collateral: Address, cover: int) -> Preview:
    """Return what the call would do at the market's timestamp."""
    case = _case(market, position, debt, collateral, cover)
    outcome = case if isinstance(case, str) else _outcome(case)
    return _refused(debt, collateral, cover, outcome) if isinstance(outcome, str) else outcome


def _outcome(case: Case) -> Preview | str:
    """Return the executed call, or the error that it gives."""
    steps = STEPS[case.market.rules.version]
    done = steps.refusal(case) or steps.seize(case)
    if isinstance(done, str):
        return done
    after = steps.after(case, done)
    if isinstance(after, str):
        return after
    left = account_data(case.market, after)
    debt_price, collateral_price = case.debt.reserve.price, case.collateral.reserve.price
    if isinstance(left, Unknown) or isinstance(debt_price, Unknown) or isinstance(collateral_price, Unknown):
        return unknown(left, debt_price, collateral_price)
    return _accepted(case, done, left, debt_price, collateral_price)


def _refused(debt: Address, collateral: Address, cover: int, reason: str) -> Preview:
    nothing, worthless = TokenAmount(0), BaseAmount(0)
    return Preview(
        debt, collateral, TokenAmount(cover), nothing, nothing, nothing, worthless, worthless, worthless, None, reason
    )


def _accepted(case: Case, done: Seizure, left: UserAccountData, debt_price: int, collateral_price: int) -> Preview:
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


def _case(market: Market, position: Position, debt: Address, collateral: Address, cover: int) -> Case | str:
    """Return the call, or the error that the contract gives before it validates."""
    debt_reserve, collateral_reserve = market.by_asset.get(debt), market.by_asset.get(collateral)
    if debt_reserve is None or collateral_reserve is None:
        return BARE_REVERT
    data = account_data(market, position)
    if isinstance(data, Unknown):
        return unknown(data)
    held = {holding.reserve.index: holding for holding in position.holdings}
    return Case(
        market,
        position,
        mode_of(market, position),
        data,
        held.get(debt_reserve.index) or _nothing(debt_reserve),
        held.get(collateral_reserve.index) or _nothing(collateral_reserve),
        cover,
    )


def _nothing(reserve: ReserveNow) -> Holding:
    return Holding(reserve, collateral=False, supplied=0, variable=0, stable=0)


def pairs(market: Market, position: Position) -> tuple[Pair, ...]:
    """Return what may be liquidated now, debts and within them collaterals in the order of the pool's list.

    Nothing for an account that is healthy, unknown, or kept by the sentinel; a reserve that is paused, inactive or in
    its grace period is left out.
    """
    data = account_data(market, position)
    if isinstance(data, Unknown) or is_healthy(data.health_factor) or kept_by_sentinel(market, data.health_factor):
        return ()
    mode = mode_of(market, position)
    usable = [held for held in position.holdings if _is_usable(held.reserve)]
    collaterals = [
        held for held in usable if held.collateral and held.supplied and _ratios(mode, held.reserve).threshold
    ]
    debts = [held for held in usable if debt_of(market, held)]
    return tuple(_pair(Case(market, position, mode, data, debt, held, 0)) for debt in debts for held in collaterals)


def _is_usable(reserve: ReserveNow) -> bool:
    return reserve.live and not reserve.paused and not reserve.in_grace


def _ratios(mode: CategoryNow, reserve: ReserveNow) -> CategoryNow | ReserveNow:
    return mode if is_member(mode, reserve) else reserve


def _pair(case: Case) -> Pair:
    market, mode, debt, reserve = case.market, case.mode, case.debt.reserve, case.collateral.reserve
    ratios = _ratios(mode, reserve)
    supplied = market.rules.supplied.balance(case.collateral.supplied, reserve.income)
    return Pair(
        debt.asset,
        reserve.asset,
        TokenAmount(STEPS[market.rules.version].repayable(case)),
        Bps(ratios.bonus),
        Bps(ratios.threshold),
        _worth(mode, debt, debt_of(market, case.debt)),
        _worth(mode, reserve, supplied),
    )


def _worth(mode: CategoryNow, reserve: ReserveNow, amount: int) -> BaseAmount:
    price = price_in(mode, reserve)
    return BaseAmount(0 if isinstance(price, Unknown) else price * amount // reserve.unit)
