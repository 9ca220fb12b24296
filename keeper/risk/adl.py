"""Auto-deleveraging: which winners give up how much when the insurance fund is empty.

Three policies (Chitra, arXiv 2512.01112): a queue by score, pro rata, and risk-aware pro rata. Amounts are USD, one
entry an account; leverage is notional over equity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Bools, Floats, aligned, array, history, number

ROUNDING = 1e-9


def position_equity(
    collateral_usd: ArrayLike, size: ArrayLike, side: ArrayLike, gain_per_unit_usd: ArrayLike
) -> Floats:
    """Return ``c + b q g``: collateral and what a unit gained a long since its entry, funding included.

    Raises:
        RiskInputError: a size is negative, a side not within -1 and 1, or a number not finite.
    """
    collateral, units, sign, gain = aligned(
        "collateral, sizes, sides and gains",
        array("collateral_usd", collateral_usd),
        array("size", size, least=0),
        array("side", side, least=-1, most=1),
        array("gain_per_unit_usd", gain_per_unit_usd),
    )
    equity: Floats = collateral + sign * units * gain
    return equity


def bankruptcy_price(collateral_usd: ArrayLike, size: ArrayLike, side: ArrayLike, entry_price_usd: ArrayLike) -> Floats:
    """Return the price at which the collateral is lost: ``max(0, p0 - b c / q)`` (arXiv 2512.01112, appendix).

    Raises:
        RiskInputError: a size or a price is not positive, a collateral negative, or a side not within -1 and 1.
    """
    collateral, units, sign, entry = aligned(
        "collateral, sizes, sides and entries",
        array("collateral_usd", collateral_usd, least=0),
        array("size", size, above=0),
        array("side", side, least=-1, most=1),
        array("entry_price_usd", entry_price_usd, above=0),
    )
    return np.maximum(entry - sign * collateral / units, 0.0)


def liquidatable(equity_usd: ArrayLike, notional_usd: ArrayLike, maintenance: ArrayLike) -> Bools:
    """Return where equity is below ``maintenance * notional``.

    Raises:
        RiskInputError: a notional is negative or a maintenance fraction is not within [0, 1].
    """
    equity, notional, share = aligned(
        "equities, notionals and maintenance fractions",
        array("equity_usd", equity_usd),
        array("notional_usd", notional_usd, least=0),
        array("maintenance", maintenance, least=0, most=1),
    )
    below: Bools = equity < share * notional
    return below


def leverage_mass(equity_usd: ArrayLike, notional_usd: ArrayLike) -> tuple[float, float]:
    """Return the sums of ``|notional / equity|`` over the winners (equity above 0) and over the losers.

    An account without equity has no leverage and counts on neither side.

    Raises:
        RiskInputError: the arrays differ in length, or a notional is negative.
    """
    equity = array("equity_usd", equity_usd, ndim=1)
    notional = array("notional_usd", notional_usd, ndim=1, length=len(equity), least=0)
    leverage = np.divide(notional, np.abs(equity), out=np.zeros_like(equity), where=equity != 0.0)
    return float(leverage[equity > 0.0].sum()), float(leverage[equity < 0.0].sum())


def queue_score(
    profit_usd: ArrayLike, entry_notional_usd: ArrayLike, notional_usd: ArrayLike, equity_usd: ArrayLike
) -> Floats:
    """Return the rank of positions in a queue: the return on entry times the leverage, divided by it for a loss.

    Exchanges rank so: the most profitable and most levered go first.

    Raises:
        RiskInputError: an entry, a notional or an equity is not positive.
    """
    profit, entry, notional, equity = aligned(
        "profits, entries, notionals and equities",
        array("profit_usd", profit_usd),
        array("entry_notional_usd", entry_notional_usd, above=0),
        array("notional_usd", notional_usd, above=0),
        array("equity_usd", equity_usd, above=0),
    )
    gained, leverage = profit / entry, notional / equity
    return np.where(gained > 0.0, gained * leverage, gained / leverage)


def in_turn(budget_usd: float, capacities_usd: ArrayLike) -> Floats:
    """Return what each pays when all pay in their order, each as much as it can, until the budget is paid.

    Raises:
        RiskInputError: the budget or a capacity is negative.
    """
    capacities = array("capacities_usd", capacities_usd, ndim=1, least=0)
    before = np.concatenate(([0.0], np.cumsum(capacities)[:-1])) if len(capacities) else capacities
    return np.clip(number("budget_usd", budget_usd, least=0) - before, 0.0, capacities)


def queue_haircuts(budget_usd: float, capacities_usd: ArrayLike, scores: ArrayLike) -> Floats:
    """Return what each winner gives up when they are taken greedily by score, equal scores in their order.

    Raises:
        RiskInputError: the budget or a capacity is negative, or the arrays differ in length.
    """
    capacities = array("capacities_usd", capacities_usd, ndim=1, least=0)
    order = np.argsort(-array("scores", scores, ndim=1, length=len(capacities)), kind="stable")
    given = np.empty_like(capacities)
    given[order] = in_turn(budget_usd, capacities[order])
    return given


def pro_rata(budget_usd: float, capacities_usd: ArrayLike) -> Floats:
    """Return what each winner gives up at one rate ``h = min(1, D / U)`` of what it can.

    Raises:
        RiskInputError: the budget or a capacity is negative.
    """
    capacities = array("capacities_usd", capacities_usd, least=0)
    total = float(capacities.sum())
    budget = number("budget_usd", budget_usd, least=0)
    return capacities * (min(1.0, budget / total) if total > 0.0 else 0.0)


def risk_aware_pro_rata(
    budget_usd: float, endowments_usd: ArrayLike, weights: ArrayLike, *, caps: ArrayLike = 1.0
) -> Floats:
    """Return the rates ``h_i = min(beta_i, tau w_i)`` whose haircuts ``sum h_i e_i`` meet the budget.

    ``tau`` is exact: the accounts are capped in the order of ``beta / w`` (weighted water-filling, arXiv 2512.01112,
    algorithm RAP). With ``w = lambda g(lambda)`` the more levered give more; with equal weights and caps of 1 it is pro
    rata. An account of weight 0 gives nothing.

    Raises:
        RiskInputError: an amount or a weight is negative, a cap not within [0, 1], or the budget beyond the capacity.
    """
    endowments = history("endowments_usd", endowments_usd, shortest=1, least=0)
    risk = array("weights", weights, ndim=1, length=len(endowments), least=0)
    risk, limit = aligned("weights and caps", risk, array("caps", caps, least=0, most=1))
    array("caps", limit, ndim=1)
    most = np.where(risk > 0.0, limit, 0.0)
    budget = number("budget_usd", budget_usd, least=0)
    capacity = float(endowments @ most)
    if budget > capacity * (1.0 + ROUNDING):
        raise RiskInputError("budget_usd", f"is {budget:g}", f"give at most the capacity, {capacity:g}")
    levels = np.divide(most, risk, out=np.zeros_like(risk), where=risk > 0.0)
    order = np.argsort(levels, kind="stable")
    filled = np.concatenate(([0.0], np.cumsum((endowments * most)[order])))
    open_mass = np.cumsum((endowments * risk)[order][::-1])[::-1]
    raised = filled[:-1] + levels[order] * open_mass
    first = min(int(np.searchsorted(raised, budget)), len(order) - 1)
    mass = float(open_mass[first])
    level = (budget - float(filled[first])) / mass if mass > 0.0 else 0.0
    return np.minimum(most, level * risk)


def overshoot(given_usd: ArrayLike, needed_usd: ArrayLike) -> Floats:
    """Return what was taken beyond the need, negative where less was taken.

    Raises:
        RiskInputError: an amount is negative.
    """
    given, needed = aligned(
        "amounts given and needed", array("given_usd", given_usd, least=0), array("needed_usd", needed_usd, least=0)
    )
    beyond: Floats = given - needed
    return beyond
