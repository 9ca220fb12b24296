"""Which slice a keeper takes: the one that earns most of those that leave the account as healthy as is wanted.

A cover of ``r`` seizes ``r·b`` and earns::

    r·(b - 1) - (s·r·b + k·(r·b)²) - gas - z·sigma·sqrt(h)·r·b

the bonus, less what selling costs (a share, and one that grows with the size), less gas, less a charge for the price
risk of what is held until it is sold. It is concave in ``r``, so 64 points, the closed forms for the largest profit and
for the target health, and a search around the best of them find the most (:mod:`keeper.margin.sizing`).
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from keeper.core.units import BaseAmount, Bps, Rounding, Wad, mul_div
from keeper.margin.sizing import (
    Slippage,
    most_profitable_cover,
    most_profitable_cover_base,
    profit_base,
    target_cover_base,
)
from keeper.risk.haircuts import quantile_move
from keeper.risk.inputs import integer, number

MILLIONTH = 1_000_000
"""The charge for price risk is rounded to a millionth of what is seized."""


class Liquidatable(NamedTuple):
    """An account that may be liquidated, and the pair of debt and collateral that is looked at.

    Attributes:
        debt_usd: All that is owed.
        weighted_usd: All collateral, each weighted by its liquidation threshold.
        collateral_usd: The collateral that is seized.
        bonus: What is seized per value repaid (10500 for 5 %).
        threshold: The liquidation threshold of what is seized.
        limit_usd: The most that one call may repay of this debt.
    """

    debt_usd: float
    weighted_usd: float
    collateral_usd: float
    bonus: Bps
    threshold: Bps
    limit_usd: float


class Selling(NamedTuple):
    """What turning the seized collateral into the debt's asset costs.

    Attributes:
        slippage: A share, and one that grows with the size.
        gas_usd: Of the whole transaction.
        vol_annual: Of the collateral's price in the debt's asset.
        holding_seconds: Until it is sold.
        charge_sigmas: How many standard deviations of that are charged.
    """

    slippage: Slippage
    gas_usd: float = 0.0
    vol_annual: float = 0.0
    holding_seconds: float = 0.0
    charge_sigmas: float = 0.0


class Slice(NamedTuple):
    """A slice and what it leaves; the health is infinite when no debt is left."""

    repaid_usd: float
    seized_usd: float
    profit_usd: float
    health_after: float


def health_after(account: Liquidatable, repaid_usd: float) -> float:
    """Return the health factor after a cover: ``(C' - r·b·t) / (D - r)``, infinite when no debt is left.

    It is below the health before where the account is *toxic*, ``b·t > HF``: of an account with one collateral, where
    the debt is more than ``1/b`` of it (Warmuz, Chaudhary and Pinna, arXiv 2212.07306).

    Raises:
        RiskInputError: a figure is negative or not finite, a bonus is below 1, or more is repaid than owed.
    """
    _check(account)
    repaid = number("repaid_usd", repaid_usd, least=0, most=account.debt_usd)
    left = account.debt_usd - repaid
    weighted = account.weighted_usd - repaid * int(account.bonus) * int(account.threshold) / Bps.ONE**2
    return weighted / left if left > 0 else inf


def best_slice(account: Liquidatable, selling: Selling, target: float | None = None) -> Slice | None:
    """Return the slice that earns most of those that reach a target health.

    Args:
        account: What may be taken.
        selling: What it costs.
        target: The health wanted after it; ``None`` where any will do.

    Returns:
        The slice, the smaller of equals, whose profit may be negative; ``None`` where no slice reaches the target.

    Raises:
        RiskInputError: a figure is negative or not finite, a bonus is below 1, or a threshold above.
    """
    _check(account)
    gas = _base(number("gas_usd", selling.gas_usd, least=0))
    charge = _charge(selling)
    wanted = None if target is None else Wad(round(number("target", target, least=0) * Wad.ONE))

    def profit(cover: int) -> int | None:
        if wanted is not None and not _reaches(account, cover, wanted):
            return None
        seized = mul_div(cover, account.bonus, Bps.ONE, Rounding.FLOOR)
        earned = profit_base(BaseAmount(cover), account.bonus, selling.slippage, gas)
        return int(earned) - mul_div(seized, charge, MILLIONTH, Rounding.CEIL)

    held = mul_div(int(_base(account.collateral_usd)), Bps.ONE, int(account.bonus), Rounding.FLOOR)
    most = min(int(_base(min(account.limit_usd, account.debt_usd))), held)
    cover = most_profitable_cover(profit, most, _candidates(account, selling, charge, wanted)) if most else None
    if cover is None:
        return None
    repaid = account.debt_usd if cover == int(_base(account.debt_usd)) else cover / BaseAmount.ONE
    seized = repaid * int(account.bonus) / Bps.ONE
    return Slice(repaid, seized, (profit(cover) or 0) / BaseAmount.ONE, health_after(account, repaid))


def _check(account: Liquidatable) -> None:
    for name in ("debt_usd", "weighted_usd", "collateral_usd", "limit_usd"):
        number(name, getattr(account, name), least=0)
    integer("bonus", account.bonus, least=Bps.ONE)
    integer("threshold", account.threshold, least=0, most=Bps.ONE)


def _charge(selling: Selling) -> int:
    """Return the charge for price risk in millionths of what is seized."""
    move = quantile_move(selling.vol_annual, selling.holding_seconds, selling.charge_sigmas)
    return round(float(move) * MILLIONTH)


def _candidates(account: Liquidatable, selling: Selling, charge: int, wanted: Wad | None) -> list[int]:
    """Return where the closed forms have the peak of the profit and the least cover that reaches the target."""
    share = Bps(int(selling.slippage.bps) + charge * Bps.ONE // MILLIONTH)
    peak = most_profitable_cover_base(account.bonus, Slippage(share, selling.slippage.bps_per_million))
    found = [] if peak is None else [int(peak)]
    if wanted is not None and account.debt_usd > 0:
        health = Wad(round(account.weighted_usd / account.debt_usd * Wad.ONE))
        least = target_cover_base(_base(account.debt_usd), health, wanted, account.bonus, account.threshold)
        found += [] if least is None else [int(least) + more for more in range(3)]
    return found


def _reaches(account: Liquidatable, cover: int, wanted: Wad) -> bool:
    """Tell whether a cover leaves the target health, in integers of 1e-8 USD."""
    left = int(_base(account.debt_usd)) - cover
    taken = mul_div(cover, int(account.bonus) * int(account.threshold), Bps.ONE**2, Rounding.FLOOR)
    return left <= 0 or (int(_base(account.weighted_usd)) - taken) * Wad.ONE >= int(wanted) * left


def _base(usd: float) -> BaseAmount:
    return BaseAmount(round(usd * BaseAmount.ONE))
