"""How a default or a price spreads: clearing of mutual debts, and fire sales of collateral that venues share.

Amounts are USD. Both are greatest fixed points reached from above, so a result does not depend on any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Bools, Floats, array, number, whole

ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Clearing:
    """What each node pays and keeps; ``rounds`` is how many waves of defaults it took, at most one a node."""

    payments_usd: Floats
    equities_usd: Floats
    defaults: Bools
    rounds: int


def clearing(
    liabilities_usd: ArrayLike, external_usd: ArrayLike, *, recovery_external: float = 1.0, recovery_claims: float = 1.0
) -> Clearing:
    """Return the greatest clearing vector of a network: ``p = min(pbar, Pi' p + e)``.

    Eisenberg and Noe (Management Science 2001) by their fictitious default algorithm: all pay in full; who cannot,
    defaults; their payments solve a linear system; and again until nobody new defaults. With recoveries below 1 a
    defaulter has only ``alpha e + beta Pi' p`` to pay with (Rogers and Veraart, Management Science 2013), the rest is
    the cost of bankruptcy; a defaulter's equity is 0.

    Args:
        liabilities_usd: ``L[i, j]``, what ``i`` owes ``j``, shape (nodes, nodes), with a zero diagonal.
        external_usd: What each has from outside, shape (nodes,).
        recovery_external: ``alpha``, the part of the external assets that survives a default.
        recovery_claims: ``beta``, the part of the claims on others that does.

    Raises:
        RiskInputError: an amount is negative, a shape does not fit, a node owes itself, or a recovery is not in [0, 1].
    """
    owed = array("liabilities_usd", liabilities_usd, ndim=2, least=0)
    nodes = len(owed)
    if owed.shape != (nodes, nodes) or nodes == 0:
        raise RiskInputError("liabilities_usd", f"has shape {owed.shape}", "give as many rows as columns")
    if bool(np.any(np.diag(owed))):
        raise RiskInputError("liabilities_usd", "has a node that owes itself", "give a diagonal of zeros")
    outside = array("external_usd", external_usd, ndim=1, length=nodes, least=0)
    alpha = number("recovery_external", recovery_external, least=0, most=1)
    beta = number("recovery_claims", recovery_claims, least=0, most=1)
    due = owed.sum(axis=1)
    claims = np.divide(owed, due[:, None], out=np.zeros_like(owed), where=due[:, None] > 0.0).T
    paid = due.copy()
    defaults = np.zeros(nodes, dtype=np.bool_)
    rounds = 0
    while bool(np.any(short := ~defaults & (outside + claims @ paid < due * (1.0 - ROUNDING)))):
        rounds += 1
        defaults = defaults | short
        paid = _pay(claims, outside, due, defaults, alpha, beta)
    wealth = outside + claims @ paid - due
    return Clearing(paid, np.where(defaults, 0.0, np.maximum(wealth, 0.0)), defaults, rounds)


def _pay(claims: Floats, outside: Floats, due: Floats, defaults: Bools, alpha: float, beta: float) -> Floats:
    """Return what all pay when these default: the others in full, they ``x = alpha e + beta (C x + C due)``."""
    paid = np.where(defaults, 0.0, due)
    has = alpha * outside[defaults] + beta * (claims @ paid)[defaults]
    system = np.eye(int(defaults.sum())) - beta * claims[np.ix_(defaults, defaults)]
    paid[defaults] = np.clip(np.linalg.solve(system, has), 0.0, due[defaults])
    return paid


def bankruptcy_costs(result: Clearing, liabilities_usd: ArrayLike, external_usd: ArrayLike) -> float:
    """Return what a clearing destroyed: external assets less what the nodes keep, 0 where everything is recovered.

    Raises:
        RiskInputError: an amount is negative or a shape does not fit.
    """
    owed = array("liabilities_usd", liabilities_usd, ndim=2, length=len(result.payments_usd), least=0)
    outside = array("external_usd", external_usd, ndim=1, length=len(owed), least=0)
    return float(outside.sum() - result.equities_usd.sum())


@dataclass(frozen=True, slots=True)
class Impact:
    """The price impact of assets: selling ``q`` keeps ``1 - (1 - floor) (1 - exp(-q / ((1 - floor) depth)))``.

    A small sale moves the price by ``q / depth``; no sale takes it below ``floor`` of what it was (Cont and Schaanning,
    "Fire sales, indirect contagion and systemic stress testing", 2017).

    Raises:
        RiskInputError: a depth is not positive or the floor not within [0, 1).
    """

    depth_usd: Floats
    floor: float = 0.0

    def __post_init__(self) -> None:
        array("depth_usd", self.depth_usd, ndim=1, above=0)
        if number("floor", self.floor, least=0) >= 1:
            raise RiskInputError("floor", f"is {self.floor:g}", "give less than 1")

    def kept(self, sold_usd: Floats) -> Floats:
        """Return the part of the price that is left after selling so much of each asset.

        Raises:
            RiskInputError: an amount is negative or not finite, or they are not one for each asset.
        """
        sold = array("sold_usd", sold_usd, ndim=1, length=len(self.depth_usd), least=0)
        range_ = 1.0 - self.floor
        kept: Floats = 1.0 - range_ * -np.expm1(-sold / (range_ * self.depth_usd))
        return kept


@dataclass(frozen=True, slots=True)
class FireSale:
    """Where a cascade ends; ``converged`` is false when the rounds ran out, and the prices are then too high.

    ``price`` is each asset's price over what it was before the shock, ``sold_usd`` what each venue sold of each asset
    at the prices after the shock, ``equity_usd`` what each venue has at the last prices.
    """

    price: Floats
    sold_usd: Floats
    equity_usd: Floats
    insolvent: Bools
    rounds: int
    converged: bool


def leverage_at(ltv: float) -> float:
    """Return assets over equity at a loan to value: ``1 / (1 - LTV)``.

    Raises:
        RiskInputError: the loan to value is not within [0, 1).
    """
    value = number("ltv", ltv, least=0)
    if value >= 1:
        raise RiskInputError("ltv", f"is {value:g}", "give less than 1")
    return 1.0 / (1.0 - value)


def fire_sale(
    holdings_usd: ArrayLike,
    debts_usd: ArrayLike,
    shock: ArrayLike,
    impact: Impact,
    *,
    leverage_most: float,
    leverage_target: float,
    rounds_most: int = 1_000,
    tolerance: float = 1e-12,
) -> FireSale:
    """Return the fixed point of a fire sale of assets that several venues hold as collateral.

    A venue whose leverage (assets over equity) exceeds ``leverage_most`` sells the same part of all it holds until it
    is at ``leverage_target``; one without equity sells everything (Cont and Schaanning 2017). All sales clear at the
    last price (Cifuentes, Ferrucci and Shin 2005), so that equity is ``holdings @ price - debt`` whoever sold first,
    and the map from prices to prices is monotone: from the shocked prices it falls to its greatest fixed point.

    Args:
        holdings_usd: Collateral by venue and asset before the shock, shape (venues, assets).
        debts_usd: Debt of each venue, shape (venues,).
        shock: The part of its price that each asset loses first, shape (assets,).
        impact: The depth of each asset's market.
        leverage_most: The leverage that triggers sales.
        leverage_target: The leverage sales restore, between 1 and ``leverage_most``.
        rounds_most: When to give up.
        tolerance: The greatest move of a relative price in a round that counts as none.

    Raises:
        RiskInputError: an amount is negative, a shape does not fit, a shock is not within [0, 1], or a leverage is out
            of order.
    """
    held = array("holdings_usd", holdings_usd, ndim=2, least=0)
    debts = array("debts_usd", debts_usd, ndim=1, length=len(held), least=0)
    lost = array("shock", shock, ndim=1, length=held.shape[1], least=0, most=1)
    array("depth_usd", impact.depth_usd, ndim=1, length=held.shape[1])
    most = number("leverage_most", leverage_most, least=number("leverage_target", leverage_target, least=1))
    shocked = held * (1.0 - lost)

    def sold_at(kept: Floats) -> Floats:
        return shocked * _sold_part(shocked @ kept, debts, most, leverage_target)[:, None]

    fallen = settle(lambda kept: sold_at(kept).sum(axis=0), impact, rounds_most, tolerance)
    equity = shocked @ fallen.kept - debts
    price, sold = (1.0 - lost) * fallen.kept, sold_at(fallen.kept)
    return FireSale(price, sold, equity, equity < 0.0, fallen.rounds, fallen.converged)


@dataclass(frozen=True, slots=True)
class Fallen:
    """Where prices come to rest: the part of each that is left, and whether that took fewer rounds than allowed."""

    kept: Floats
    rounds: int
    converged: bool


def settle(sold_at: Callable[[Floats], Floats], impact: Impact, rounds_most: int, tolerance: float) -> Fallen:
    """Return the greatest fixed point of prices that sales move, and that sales follow: from whole prices downwards.

    Args:
        sold_at: What is sold of each asset (USD, at whole prices) when so much is left of the prices, shape (assets,);
            it must not fall with them.
        impact: What the sales leave of the prices.
        rounds_most: When to give up.
        tolerance: The greatest move in a round that counts as none.

    Raises:
        RiskInputError: there is no round, the tolerance is negative, or what is sold is no amount.
    """
    kept = np.ones_like(impact.depth_usd)
    most, least_move = whole("rounds_most", rounds_most, least=1), number("tolerance", tolerance, least=0)
    converged = False
    rounds = 0
    while rounds < most and not converged:
        rounds += 1
        new = np.minimum(kept, impact.kept(sold_at(kept)))
        converged = bool(np.max(kept - new, initial=0.0) <= least_move)
        kept = new
    return Fallen(kept, rounds, converged)


def _sold_part(assets: Floats, debts: Floats, most: float, target: float) -> Floats:
    """Return the part of its assets that each venue sells: nothing, down to the target, or everything."""
    equity = assets - debts
    part = np.clip(1.0 - target * np.divide(equity, assets, out=np.zeros_like(assets), where=assets > 0.0), 0.0, 1.0)
    return np.where(assets > most * equity, part, 0.0)
