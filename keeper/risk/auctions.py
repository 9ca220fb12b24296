"""Prices of liquidation auctions as functions of the time since their start; every price falls, every payout grows.

Amounts are USD, times are seconds since the auction began, fractions are of one. Whatever is an array is broadcast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Floats, aligned, array, number


def linear_decrease(top: ArrayLike, elapsed_seconds: ArrayLike, *, length_seconds: float) -> Floats:
    """Return ``top * (tau - t) / tau``, and 0 from ``tau`` on: MakerDAO dss ``abaci.sol``, LinearDecrease.

    Raises:
        RiskInputError: a price or a time is negative, or the length is not positive.
    """
    length = number("length_seconds", length_seconds, above=0)
    first, elapsed = _started(top, elapsed_seconds)
    return first * np.maximum(length - elapsed, 0.0) / length


def stairstep_exponential_decrease(
    top: ArrayLike, elapsed_seconds: ArrayLike, *, cut: float, step_seconds: float
) -> Floats:
    """Return ``top * cut ** floor(t / step)``: MakerDAO dss ``abaci.sol``, StairstepExponentialDecrease.

    Raises:
        RiskInputError: a price or a time is negative, ``cut`` is not within [0, 1] or the step is not positive.
    """
    step = number("step_seconds", step_seconds, above=0)
    kept = number("cut", cut, least=0, most=1)
    first, elapsed = _started(top, elapsed_seconds)
    return first * kept ** np.floor(elapsed / step)


@dataclass(frozen=True, slots=True)
class SolventAuction:
    """The discount of Derive's auction of a solvent account: fast from ``start`` to ``cutoff``, then slowly to 0.

    The defaults are those of mainnet (derivexyz/v2-core, ``DutchAuction.sol`` and its deployment's parameters).

    Raises:
        RiskInputError: the fractions are not ``0 <= cutoff <= start <= 1``, or a length is not positive.
    """

    start: float = 0.95
    cutoff: float = 0.70
    fast_seconds: float = 900.0
    slow_seconds: float = 43_200.0
    fee_rate: float = 0.10

    def __post_init__(self) -> None:
        number("start", self.start, least=0, most=1)
        number("cutoff", self.cutoff, least=0, most=self.start)
        number("fast_seconds", self.fast_seconds, above=0)
        number("slow_seconds", self.slow_seconds, above=0)
        number("fee_rate", self.fee_rate, least=0, most=1)

    def discount(self, elapsed_seconds: ArrayLike) -> Floats:
        """Return the fraction of mark to market asked at each time: piecewise linear, 0 when the auction is over.

        Raises:
            RiskInputError: a time is negative.
        """
        elapsed = array("elapsed_seconds", elapsed_seconds, least=0)
        ends = (0.0, self.fast_seconds, self.fast_seconds + self.slow_seconds)
        asked: Floats = np.asarray(np.interp(elapsed, ends, (self.start, self.cutoff, 0.0)), dtype=np.float64)
        return asked

    def bid(
        self,
        mark_to_market_usd: ArrayLike,
        elapsed_seconds: ArrayLike,
        *,
        reserved_usd: ArrayLike = 0.0,
        fraction: ArrayLike = 1.0,
    ) -> Floats:
        """Return what a bidder pays for a fraction of the account: ``(MtM - R) * d(t) * fraction``.

        ``R`` is the cash of earlier bids, which the account keeps and nobody buys.

        Raises:
            RiskInputError: an account is insolvent, its reserve exceeds it, or a fraction is not within [0, 1].
        """
        value, reserved, share, asked = aligned(
            "values, reserves, fractions and times",
            array("mark_to_market_usd", mark_to_market_usd, least=0),
            array("reserved_usd", reserved_usd, least=0),
            array("fraction", fraction, least=0, most=1),
            self.discount(elapsed_seconds),
        )
        bought = array("mark_to_market_usd less reserved_usd", value - reserved, least=0)
        return bought * asked * share

    def fee(self, mark_to_market_usd: ArrayLike, largest_fraction: ArrayLike) -> Floats:
        """Return what the start of an auction pays to the security module: ``f_max * MtM * fee rate``.

        ``f_max`` is the largest fraction that may be bought at no discount (``d = 1``).

        Raises:
            RiskInputError: an account is insolvent, or a fraction is not within [0, 1].
        """
        value, share = aligned(
            "values and fractions",
            array("mark_to_market_usd", mark_to_market_usd, least=0),
            array("largest_fraction", largest_fraction, least=0, most=1),
        )
        return value * share * self.fee_rate


def insolvent_payout(
    mark_to_market_usd: ArrayLike,
    maintenance_usd: ArrayLike,
    elapsed_seconds: ArrayLike,
    *,
    length_seconds: float = 3_600.0,
    fraction: ArrayLike = 1.0,
) -> Floats:
    """Return what the security module pays for a fraction of an insolvent account to be taken over.

    ``-(MtM + (MM - MtM) * min(t / length, 1)) * fraction``: it grows from the hole to the whole of the maintenance
    margin. ``MM`` is the account's margin, negative below its requirement (derivexyz/v2-core, ``DutchAuction.sol``).

    Raises:
        RiskInputError: an account is solvent, its margin is above its mark to market, or a fraction is not in [0, 1].
    """
    value, margin, elapsed, share = aligned(
        "values, margins, times and fractions",
        array("mark_to_market_usd", mark_to_market_usd, most=0),
        array("maintenance_usd", maintenance_usd, most=0),
        array("elapsed_seconds", elapsed_seconds, least=0),
        array("fraction", fraction, least=0, most=1),
    )
    gap = array("mark_to_market_usd less maintenance_usd", value - margin, least=0)
    done = np.minimum(elapsed / number("length_seconds", length_seconds, above=0), 1.0)
    return (gap * done - value) * share


@dataclass(frozen=True, slots=True)
class EulerLiquidation:
    """What a liquidation on Euler v2 may do at most; all of one shape, values in the unit of account.

    ``factor`` is what is paid per value received, ``repaid`` the debt taken over, ``received`` the collateral's value.
    """

    factor: Floats
    repaid: Floats
    received: Floats


def euler_liquidation(
    adjusted_collateral: ArrayLike, liability: ArrayLike, collateral_value: ArrayLike, *, most_discount: float = 0.15
) -> EulerLiquidation:
    """Return Euler v2's reverse Dutch auction by health: the discount is the violation itself, up to a maximum.

    ``factor = max(adjusted / liability, 1 - most_discount)``, repaid is the liability and received
    ``liability / factor``; where the collateral is worth less, all of it, for ``collateral * factor``
    (euler-xyz/euler-vault-kit, ``Liquidation.sol``). A healthy account yields zeros.

    Args:
        adjusted_collateral: Risk-adjusted value of all collateral, after the loan-to-value limits.
        liability: Value of the debt.
        collateral_value: Value of the one collateral seized.
        most_discount: The vault's greatest discount, below 1.

    Raises:
        RiskInputError: a value is negative, a liability is 0, or the greatest discount is not within [0, 1).
    """
    adjusted, owed, held = aligned(
        "adjusted collateral, liabilities and collateral",
        array("adjusted_collateral", adjusted_collateral, least=0),
        array("liability", liability, above=0),
        array("collateral_value", collateral_value, least=0),
    )
    most = number("most_discount", most_discount, least=0)
    if most >= 1:
        raise RiskInputError("most_discount", f"is {most:g}", "give less than 1")
    health = adjusted / owed
    factor = np.maximum(health, 1.0 - most)
    short = owed / factor > held
    violates = health < 1.0
    return EulerLiquidation(
        factor=np.where(violates, factor, 1.0),
        repaid=np.where(violates, np.where(short, held * factor, owed), 0.0),
        received=np.where(violates, np.where(short, held, owed / factor), 0.0),
    )


def _started(top: ArrayLike, elapsed_seconds: ArrayLike) -> tuple[Floats, ...]:
    """Return first prices and the times since, in the shape they make together."""
    first, elapsed = array("top", top, least=0), array("elapsed_seconds", elapsed_seconds, least=0)
    return aligned("prices and times", first, elapsed)
