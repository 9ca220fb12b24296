"""An account as three figures that add up, and the tests that perpetual exchanges put to them.

*dYdX v4* (dydxprotocol/v4-chain 84d4664, ``lib/margin/risk.go``): the risk of an account is the sum of the risks of its
positions, each a vector of net collateral ``NC``, initial requirement ``IMR`` and maintenance requirement ``MMR``::

    may open:      NC >= IMR
    liquidatable:  MMR > 0 and MMR > NC
    riskier:       NC_a · MMR_b < NC_b · MMR_a

The ranking is that of ``NC / MMR`` without a division, so it is exact on integers.

*GMX v2* (gmx-io/gmx-synthetics a5c0c88, ``PositionUtils.isPositionLiquidatable``) and *Perpetual Protocol v2*
(perpetual-protocol/perp-curie-contract d520bd8) follow below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cmp_to_key
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Floats, Integers, array, number, places, whole

PERP_V2_INITIAL = 0.10
"""Perpetual Protocol v2: initial margin, of the notional."""
PERP_V2_MAINTENANCE = 0.0625
"""Perpetual Protocol v2: maintenance margin, of the notional."""
PERP_V2_PENALTY = 0.025
"""Perpetual Protocol v2: the penalty, of the notional that is liquidated."""


@dataclass(frozen=True, slots=True)
class AccountRisk:
    """What secures an account and what it needs, in one unit of value; all integers, or floats.

    Attributes:
        net_collateral: What secures, with every position at its oracle price; negative when the account is insolvent.
        initial: What must be secured to open or to withdraw.
        maintenance: What must be secured to be left alone.

    Raises:
        RiskInputError: a figure is not finite, or a requirement is negative.
    """

    net_collateral: float
    initial: float
    maintenance: float

    def __post_init__(self) -> None:
        number("net_collateral", self.net_collateral)
        number("initial", self.initial, least=0)
        number("maintenance", self.maintenance, least=0)

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.net_collateral + other.net_collateral,
            self.initial + other.initial,
            self.maintenance + other.maintenance,
        )

    @property
    def initial_ok(self) -> bool:
        """Whether the account may open a position: ``NC >= IMR``."""
        return self.net_collateral >= self.initial

    @property
    def liquidatable(self) -> bool:
        """Whether it may be liquidated: ``MMR > 0 and MMR > NC``; without a requirement nothing is to be taken."""
        return self.maintenance > 0 and self.maintenance > self.net_collateral


def compare_risk(left: AccountRisk, right: AccountRisk) -> int:
    """Return -1 when ``left`` is to be liquidated before ``right``, 1 when after, 0 when they are equal.

    Equal ratios of ``NC / MMR``: the larger ``MMR`` first; where both are zero, the smaller ``NC``.
    """
    if left.maintenance == 0 and right.maintenance == 0:
        return _sign(left.net_collateral - right.net_collateral)
    order = _sign(left.net_collateral * right.maintenance - right.net_collateral * left.maintenance)
    return order or _sign(right.maintenance - left.maintenance)


def riskiest_first(risks: Sequence[AccountRisk]) -> list[int]:
    """Return the places of the accounts, the riskiest first; equals keep their order."""
    order = cmp_to_key(compare_risk)
    return sorted(range(len(risks)), key=lambda place: order(risks[place]))


def sum_by_account(accounts: Sequence[int], positions: ArrayLike, count: int) -> Floats:
    """Return the risk of many accounts at once: each the sum over its positions.

    Args:
        accounts: Which account each position belongs to, from 0, shape (positions,).
        positions: Net collateral, initial and maintenance requirement of each, shape (positions, 3).
        count: How many accounts there are.

    Returns:
        The same three figures of each account, shape (count, 3).

    Raises:
        RiskInputError: the shapes do not fit, an account is out of range or a figure is not finite.
    """
    figures = array("positions", positions, ndim=2, length=len(accounts))
    if figures.shape[1:] != (3,):
        raise RiskInputError("positions", f"has shape {figures.shape}", "give three figures for each position")
    whose = places("accounts", accounts, whole("count", count, least=0))
    total = np.zeros((count, 3))
    np.add.at(total, whose, figures)
    return total


def liquidatable_accounts(risks: ArrayLike) -> Integers:
    """Return the places of the accounts that may be liquidated, the riskiest first.

    Args:
        risks: What :func:`sum_by_account` returns, shape (accounts, 3).

    Raises:
        RiskInputError: there are not three figures for each account, one is not finite, or a requirement is negative.
    """
    figures = array("risks", risks, ndim=2)
    if figures.shape[1:] != (3,):
        raise RiskInputError("risks", f"has shape {figures.shape}", "give three figures for each account")
    net, maintenance = figures[:, 0], array("maintenance", figures[:, 2], least=0)
    found = np.flatnonzero((maintenance > 0) & (maintenance > net))
    ratio = net[found] / maintenance[found]
    return found[np.lexsort((found, -maintenance[found], ratio))]


class GmxReason(Enum):
    """Why GMX v2 may liquidate a position."""

    BELOW_MIN_COLLATERAL = "below the smallest collateral allowed"
    NOTHING_LEFT = "no collateral is left"
    BELOW_LEVERAGE = "below the collateral that the position's size needs"


class GmxLimits(NamedTuple):
    """What GMX v2 asks of a position.

    Attributes:
        min_collateral_factor: The least collateral for each USD of size, for liquidations.
        max_impact_factor: How much of the size a negative price impact may take into account.
        min_collateral_usd: The least collateral of any position.
    """

    min_collateral_factor: float
    max_impact_factor: float
    min_collateral_usd: float = 1.0


def gmx_counted_impact(impact_usd: float, size_usd: float, limits: GmxLimits) -> float:
    """Return the price impact that counts in the test: none when positive, and capped when negative.

    A gain that another trade may take away secures nothing; and without the cap many positions closing at once would
    make each other liquidatable.

    Raises:
        RiskInputError: a size or a limit is negative, or a figure is not finite.
    """
    most = number("max_impact_factor", limits.max_impact_factor, least=0)
    return max(min(number("impact_usd", impact_usd), 0.0), -number("size_usd", size_usd, least=0) * most)


def gmx_liquidatable(
    collateral_usd: float, pnl_usd: float, impact_usd: float, fees_usd: float, size_usd: float, limits: GmxLimits
) -> GmxReason | None:
    """Return why a position may be liquidated, or ``None``.

    Args:
        collateral_usd: What was put up, at the oracle's price.
        pnl_usd: What the position has gained.
        impact_usd: The price impact of closing it, negative when it costs.
        fees_usd: What closing, borrowing and funding cost.
        size_usd: The position's size.
        limits: What the market asks.

    Returns:
        The first rule that holds of what is left, ``collateral + pnl + impact - fees``: not above zero; below the
        smallest allowed; below the size times the factor.

    Raises:
        RiskInputError: a collateral, a size or a limit is negative, or a figure is not finite.
    """
    impact = gmx_counted_impact(impact_usd, size_usd, limits)
    left = number("collateral_usd", collateral_usd, least=0) + number("pnl_usd", pnl_usd)
    left += impact - number("fees_usd", fees_usd)
    least = number("min_collateral_usd", limits.min_collateral_usd, least=0)
    leverage = number("min_collateral_factor", limits.min_collateral_factor, least=0)
    if left <= 0:
        return GmxReason.NOTHING_LEFT
    if left < least:
        return GmxReason.BELOW_MIN_COLLATERAL
    return GmxReason.BELOW_LEVERAGE if left < size_usd * leverage else None


def perp_v2_risk(account_value_usd: float, notional_usd: float) -> AccountRisk:
    """Return an account of Perpetual Protocol v2: 10 % of the notional to open, 6.25 % to keep.

    Raises:
        RiskInputError: the notional is negative, or a figure not finite.
    """
    size = number("notional_usd", notional_usd, least=0)
    return AccountRisk(account_value_usd, size * PERP_V2_INITIAL, size * PERP_V2_MAINTENANCE)


class PenaltySplit(NamedTuple):
    """Who receives a liquidation's penalty."""

    liquidator_usd: float
    insurance_usd: float


def perp_v2_penalty(account_value_usd: float, liquidated_usd: float) -> PenaltySplit:
    """Return the penalty of Perpetual Protocol v2: 2.5 % of what is liquidated, half to the insurance fund.

    An account without value left pays it all to the liquidator: the fund would pay its own half.

    Raises:
        RiskInputError: what is liquidated is negative, or a figure not finite.
    """
    penalty = number("liquidated_usd", liquidated_usd, least=0) * PERP_V2_PENALTY
    insured = 0.0 if number("account_value_usd", account_value_usd) < 0 else penalty / 2
    return PenaltySplit(penalty - insured, insured)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
