"""A liquidation spiral small enough to check by hand: equal accounts, one shock, one pool that takes what is seized.

Every account holds the same collateral and owes as much as its health says. The price falls once; then, round by round,
all accounts that are unsafe at the round's price are liquidated at that price, up to the close factor, and everything
that was seized is sold at once to a constant-product pool, whose new price is that of the next round. What is left of
the debt when the collateral is gone is bad debt.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keeper.risk.inputs import number

ROUNDS_MAX = 10_000
DUST = 1e-9
"""Collateral and debt below this are none."""


class Toy(NamedTuple):
    """The accounts and the market before the shock."""

    accounts: int = 20
    collateral: float = 100.0
    """Of each account, in coins."""
    price_usd: float = 2000.0
    liquidation_threshold: float = 0.825
    bonus: float = 0.05
    close_factor: float = 0.5
    health_lowest: float = 1.02
    health_highest: float = 1.97
    """Healths are spread evenly from the lowest to this."""
    shock: float = -0.10


class Spiral(NamedTuple):
    """What came of a shock."""

    rounds: int
    accounts: int
    """How many were liquidated at least once."""
    repaid_usd: float
    drop: float
    """The whole fall of the price, the shock's and the sales', as a positive share."""
    bad_debt_usd: float
    prices_usd: tuple[float, ...]
    """At the start of each round, and at the end."""


def sold_to_pool(price: float, reserve: float, sold: float) -> float:
    """Return the price after a sale to a constant-product pool: ``P·(x/(x+q))²``.

    Args:
        price: Before the sale.
        reserve: ``x``, the coins in the pool before it.
        sold: ``q``, the coins sold.
    """
    return price * (reserve / (reserve + sold)) ** 2


def spiral(depth: float, toy: Toy | None = None) -> Spiral:
    """Return what a shock comes to when what is seized is sold to a pool that holds ``depth`` coins.

    Raises:
        RiskInputError: the depth, or a figure of the toy, is not a number in its range.
    """
    toy = toy or Toy()
    reserve = number("depth", depth, above=0)
    factor, threshold = 1 + number("bonus", toy.bonus, least=0), toy.liquidation_threshold
    number("liquidation_threshold", threshold, above=0, most=1)
    number("close_factor", toy.close_factor, above=0, most=1)
    start = number("price_usd", toy.price_usd, above=0)
    price = start * (1 + number("shock", toy.shock, above=-1))
    healths = np.linspace(number("health_lowest", toy.health_lowest, above=0), toy.health_highest, toy.accounts)
    collateral = np.full(toy.accounts, number("collateral", toy.collateral, above=0))
    debt = collateral * start * threshold / healths
    touched = np.zeros(toy.accounts, dtype=np.bool_)
    repaid, prices = 0.0, [price]
    while len(prices) <= ROUNDS_MAX:
        unsafe = (debt > DUST) & (collateral > DUST) & (collateral * price * threshold < debt)
        if not bool(np.any(unsafe)):
            break
        covered = np.where(unsafe, np.minimum(toy.close_factor * debt, collateral * price / factor), 0.0)
        seized = covered * factor / price
        debt, collateral = debt - covered, np.maximum(0.0, collateral - seized)
        repaid, touched = repaid + float(covered.sum()), touched | unsafe
        price, reserve = sold_to_pool(price, reserve, float(seized.sum())), reserve + float(seized.sum())
        prices.append(price)
    bad_debt = float(np.maximum(0.0, debt - collateral * price).sum())
    rounds = len(prices) - 1
    return Spiral(rounds, int(touched.sum()), repaid, 1 - price / start, bad_debt, tuple(prices))
