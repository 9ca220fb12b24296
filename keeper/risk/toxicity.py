"""When a liquidation makes the account worse, and how fast a market lets positions be liquidated.

Values are USD, an incentive of .05 seizes 1.05 per value repaid. Whatever is an array is broadcast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from keeper.risk.inputs import Bools, Floats, aligned, array, number


def cp_amm_slippage(collateral_usd: ArrayLike, reserve_usd: ArrayLike) -> Floats:
    """Return ``lambda = 1 + 2 c / y``: how much selling into a constant-product pool steepens a liquidation.

    ``y`` is the pool's reserve on the side of the debt, ``c`` the collateral that the falling price values. Selling
    ``dx`` of ``x`` moves the price by ``dP / P = -2 dx / x``, so each dollar sold takes ``2 c / y`` from it.

    Raises:
        RiskInputError: a collateral is negative or a reserve not positive.
    """
    collateral, reserve = aligned(
        "collateral and reserves",
        array("collateral_usd", collateral_usd, least=0),
        array("reserve_usd", reserve_usd, above=0),
    )
    return 1.0 + 2.0 * collateral / reserve


def toxic_frontier(incentive: ArrayLike, slippage: ArrayLike = 1.0) -> Floats:
    """Return the loan to value beyond which a small liquidation raises it: ``1 / ((1 + i) * lambda)``.

    Warmuz, Chaudhary and Pinna, arXiv 2212.07306, without slippage; McFarlane, arXiv 2510.10171, with it.

    Raises:
        RiskInputError: an incentive is negative or a slippage below 1.
    """
    gain, steepened = aligned(
        "incentives and slippages", array("incentive", incentive, least=0), array("slippage", slippage, least=1)
    )
    return 1.0 / ((1.0 + gain) * steepened)


@dataclass(frozen=True, slots=True)
class Liquidated:
    """Accounts after a liquidation of a given size; ``toxic`` is where the loan to value rose."""

    collateral_usd: Floats
    debt_usd: Floats
    ltv: Floats
    toxic: Bools


def after_liquidation(
    collateral_usd: ArrayLike,
    debt_usd: ArrayLike,
    repaid_usd: ArrayLike,
    incentive: ArrayLike,
    *,
    reserve_usd: ArrayLike | None = None,
) -> Liquidated:
    """Return accounts after repaying, with all that is seized sold into a pool of ``reserve_usd`` where one is given.

    The pool keeps its product: a value ``s`` sold against ``y`` leaves the price at ``(1 + s / y) ** -2`` of what it
    was, and what is left of the collateral is valued there. Nothing more is seized than there is. The loan to value of
    an account with debt and no collateral is infinite, of one with neither 0.

    Raises:
        RiskInputError: a value is negative, a collateral or a debt is 0, or more is repaid than owed.
    """
    given = [
        array("collateral_usd", collateral_usd, above=0),
        array("debt_usd", debt_usd, above=0),
        array("repaid_usd", repaid_usd, least=0),
        array("incentive", incentive, least=0),
    ]
    given += [] if reserve_usd is None else [array("reserve_usd", reserve_usd, above=0)]
    held, owed, repaid, gain, *reserve = aligned("accounts, sizes and reserves", *given)
    left = array("debt_usd less repaid_usd", owed - repaid, least=0)
    seized = np.minimum(repaid * (1.0 + gain), held)
    kept = held - seized
    for pool in reserve:
        kept = kept * (1.0 + seized / pool) ** -2
    ltv = np.divide(left, kept, out=np.where(left > 0.0, np.inf, 0.0), where=kept > 0.0)
    return Liquidated(kept, left, ltv, ltv > owed / held)


@dataclass(frozen=True, slots=True)
class LiquidationWindow:
    """How much of a market may be liquidated within a sliding window: Synthetix v3 perps, ``PerpsMarket.sol``.

    The capacity is ``(maker fee + taker fee) * skew scale * multiplier * window``; what was liquidated no longer than
    the window ago uses it. When it is used up, a market whose premium is below ``premium_most`` gets another whole
    capacity once a second. A capacity of 0 means no limit, as in the contract.

    Raises:
        RiskInputError: a parameter is negative.
    """

    maker_fee: float
    taker_fee: float
    skew_scale: float
    multiplier: float
    window_seconds: float
    premium_most: float = 0.0
    done: tuple[tuple[float, float], ...] = ()
    """Times and sizes of what was liquidated, in the order of time."""

    def __post_init__(self) -> None:
        for name in ("maker_fee", "taker_fee", "skew_scale", "multiplier", "window_seconds", "premium_most"):
            number(name, getattr(self, name), least=0)

    @property
    def capacity(self) -> float:
        """The size that one window may liquidate."""
        return (self.maker_fee + self.taker_fee) * self.skew_scale * self.multiplier * self.window_seconds

    def left(self, at_seconds: float) -> float:
        """Return what may still be liquidated at a time, the exception for a small premium not counted.

        Raises:
            RiskInputError: the time is before the last liquidation.
        """
        now = number("at_seconds", at_seconds, least=self.done[-1][0] if self.done else 0.0)
        used = sum(size for time, size in self.done if time > now - self.window_seconds)
        return max(self.capacity - used, 0.0)

    def liquidate(self, size: float, at_seconds: float, *, premium: float = 1.0) -> tuple[float, LiquidationWindow]:
        """Return how much of ``size`` is liquidated, and the window after it.

        Args:
            size: The size asked for.
            at_seconds: When.
            premium: ``|skew| / skew scale`` of the market, for the exception.

        Raises:
            RiskInputError: a size or a premium is negative, or the time before the last liquidation.
        """
        asked = number("size", size, least=0)
        left = self.left(at_seconds)
        small = number("premium", premium, least=0) < self.premium_most
        if self.capacity == 0.0:
            return asked, self
        if left == 0.0 and small and self.done and self.done[-1][0] != at_seconds:
            left = self.capacity
        allowed = min(asked, left)
        if allowed == 0.0:
            return 0.0, self
        recent = tuple(each for each in self.done if each[0] > at_seconds - self.window_seconds)
        return allowed, replace(self, done=(*recent, (float(at_seconds), allowed)))
