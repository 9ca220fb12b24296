"""Collateral that earns: staked coins, vault shares and savings tokens, whose price is ``base * ratio``.

Three risks are kept apart. The *ratio* that a contract reports may be inflated: it counts only up to a cap that grows
at a known rate (the form of Aave's CAPO price adapters, commit 2c280ef; the numbers are risk parameters). It may fall,
by slashing: downwards nothing is capped. And the *market* may pay less than the redemption ratio: a depeg. Who holds
such collateral leaves it by the better of two ways, a sale at the market's discount, or redemption after the
withdrawal queue, whose time is then the liquidity horizon of :func:`keeper.risk.haircuts.dynamic_haircut`.

Ratios are units of the base asset per share. Haircuts are fractions of ``base price * redemption ratio``.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from keeper.core.errors import RiskInputError
from keeper.risk.haircuts import Haircut, expected_loss
from keeper.risk.inputs import DAYS_PER_YEAR, SECONDS_PER_YEAR, Floats, aligned, array, number

SECONDS_PER_DAY = SECONDS_PER_YEAR // DAYS_PER_YEAR
SNAPSHOT_AGE_SECONDS_MIN = 7 * SECONDS_PER_DAY
"""The least age of a snapshot: nobody can inflate a ratio and have it taken for the new base at once."""


class RatioSnapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A ratio that was right, and how fast it may grow from there.

    Attributes:
        ratio: What a share was worth then.
        at_seconds: When that was.
        growth_annual: The most that it may grow in a year, as a share of ``ratio``; simple, not compounded.

    Raises:
        RiskInputError: a ratio is not positive, or a growth negative.
    """

    ratio: float
    at_seconds: int
    growth_annual: float

    def __post_init__(self) -> None:
        number("ratio", self.ratio, above=0)
        number("at_seconds", self.at_seconds)
        number("growth_annual", self.growth_annual, least=0)


class PegStatus(Enum):
    """How the market's ratio stands to the redemption ratio."""

    PEGGED = "pegged"
    STRAINED = "strained"
    """The discount is beyond what trading explains."""
    BROKEN = "broken"
    """The market does not believe in the redemption."""


class PegParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a discount is judged.

    Attributes:
        tolerance: The discount that is taken for noise.
        limit: The discount from which the peg is broken.
        multiple: What each part of a discount beyond the tolerance takes off, at least 1: it is likely to grow until
            the collateral is sold.

    Raises:
        RiskInputError: one is out of range, or the limit is below the tolerance.
    """

    tolerance: float = 0.005
    limit: float = 0.05
    multiple: float = 2.0

    def __post_init__(self) -> None:
        number("tolerance", self.tolerance, least=0, most=1)
        number("limit", self.limit, least=self.tolerance, most=1)
        number("multiple", self.multiple, least=1)


class Peg(NamedTuple):
    """A discount of the market to the redemption ratio, the haircut for it, and its status."""

    discount: float
    haircut: float
    status: PegStatus

    @property
    def usable_for_risk_increase(self) -> bool:
        """Whether a position may grow on this collateral: only while it is pegged."""
        return self.status is PegStatus.PEGGED


class ExitHaircut(NamedTuple):
    """The haircut of either way out, and the lesser of the two."""

    market: Floats
    redemption: Floats
    total: Floats


def ratio_cap(snapshot: RatioSnapshot, now_seconds: int, *, age_seconds_min: int = SNAPSHOT_AGE_SECONDS_MIN) -> float:
    """Return ``r_snap + r_snap * g * (t - t_snap) / 365 d``, the most that the ratio may be by now.

    Raises:
        RiskInputError: the snapshot is younger than the least age, or a time is not finite.
    """
    age_seconds = number("now_seconds", now_seconds) - snapshot.at_seconds
    if age_seconds < number("age_seconds_min", age_seconds_min, least=0):
        raise RiskInputError("snapshot", f"is {age_seconds:g} s old", f"take one at least {age_seconds_min} s old")
    return snapshot.ratio * (1 + snapshot.growth_annual * age_seconds / SECONDS_PER_YEAR)


def capped_price(
    base_price: ArrayLike,
    ratio: ArrayLike,
    snapshot: RatioSnapshot,
    now_seconds: int,
    *,
    age_seconds_min: int = SNAPSHOT_AGE_SECONDS_MIN,
) -> Floats:
    """Return ``base * min(ratio, cap)``; 0 where the ratio or the base price is not positive. Downwards nothing is cut.

    Args:
        base_price: The price of the base asset.
        ratio: What the contract reports now.
        snapshot: Where the cap grows from.
        now_seconds: The time now.
        age_seconds_min: The least age of the snapshot.

    Raises:
        RiskInputError: a figure is not finite, or the snapshot is too young.
    """
    base, reported = aligned("base prices and ratios", array("base_price", base_price), array("ratio", ratio))
    cap = ratio_cap(snapshot, now_seconds, age_seconds_min=age_seconds_min)
    price: Floats = np.where((base > 0) & (reported > 0), base * np.minimum(reported, cap), 0.0)
    return price


def growth_annual(ratio_before: float, ratio_after: float, elapsed_seconds: float) -> float:
    """Return ``(r / r_0 - 1) * 365 d / dt``: the simple annual growth, as the cap has it; negative after slashing.

    Raises:
        RiskInputError: a ratio or the time is not positive.
    """
    before = number("ratio_before", ratio_before, above=0)
    after = number("ratio_after", ratio_after, above=0)
    return (after / before - 1) * SECONDS_PER_YEAR / number("elapsed_seconds", elapsed_seconds, above=0)


def peg(market_ratio: float, redemption_ratio: float, params: PegParams) -> Peg:
    """Return the discount ``d = max(1 - market / redemption, 0)``, its haircut and its status.

    The haircut is ``min(d + (multiple - 1) * max(d - tolerance, 0), 1)``. A premium takes nothing off and adds nothing:
    the cap of the ratio is there for that side.

    Raises:
        RiskInputError: the market's ratio is negative, or the redemption ratio not positive.
    """
    paid = number("market_ratio", market_ratio, least=0)
    discount = max(1 - paid / number("redemption_ratio", redemption_ratio, above=0), 0.0)
    haircut = min(discount + (params.multiple - 1) * max(discount - params.tolerance, 0.0), 1.0)
    if discount >= params.limit and discount > params.tolerance:
        return Peg(discount, haircut, PegStatus.BROKEN)
    return Peg(discount, haircut, PegStatus.STRAINED if discount > params.tolerance else PegStatus.PEGGED)


def queue_seconds(ahead: ArrayLike, processed_daily: ArrayLike, delay_seconds: ArrayLike = 0.0) -> Floats:
    """Return how long a redemption takes: ``ahead / processed per day`` and the delay that the contract has anyway.

    Args:
        ahead: What stands in the queue, one's own share included.
        processed_daily: What leaves it in a day, in the same unit.
        delay_seconds: The fixed part.

    Raises:
        RiskInputError: a figure is negative, or nothing is processed.
    """
    waiting, daily, delay = aligned(
        "queues",
        array("ahead", ahead, least=0),
        array("processed_daily", processed_daily, above=0),
        array("delay_seconds", delay_seconds, least=0),
    )
    seconds: Floats = delay + waiting / daily * SECONDS_PER_DAY
    return seconds


def slashed_ratio(ratio: ArrayLike, slashed_share: ArrayLike, penalty: ArrayLike) -> Floats:
    """Return ``ratio * (1 - share * penalty)`` after so much of the stake has lost so much of itself.

    Raises:
        RiskInputError: a ratio is negative, or a share or a penalty no fraction.
    """
    before, share, lost = aligned(
        "ratios, shares and penalties",
        array("ratio", ratio, least=0),
        array("slashed_share", slashed_share, least=0, most=1),
        array("penalty", penalty, least=0, most=1),
    )
    after: Floats = before * (1 - share * lost)
    return after


def exit_haircut(
    market: Haircut,
    redemption: Haircut,
    *,
    peg_haircut: ArrayLike = 0.0,
    slashing_intensity_annual: float = 0.0,
    slashing_loss: float = 0.0,
    redemption_seconds: ArrayLike = 0.0,
) -> ExitHaircut:
    """Return the lesser of ``market + peg`` and ``redemption + expected slashing``, each at most 1.

    Args:
        market: The haircut of a sale, over the market's horizon and with its slippage.
        redemption: The haircut of a redemption, over the withdrawal queue's time.
        peg_haircut: What a depeg takes off a sale.
        slashing_intensity_annual: How often slashing happens in a year.
        slashing_loss: The share of the ratio that it costs.
        redemption_seconds: How long the stake goes on being at risk, once redemption is asked for.

    Raises:
        RiskInputError: an argument is out of range, or the shapes do not go together.
    """
    fallen, depegged, withdrawn, slashed = aligned(
        "ways out",
        *aligned(
            "haircuts of the market and the peg",
            array("market", market.total, least=0, most=1),
            array("peg_haircut", peg_haircut, least=0, most=1),
        ),
        *aligned(
            "haircuts of the redemption and slashing",
            array("redemption", redemption.total, least=0, most=1),
            expected_loss(slashing_intensity_annual, redemption_seconds, slashing_loss),
        ),
    )
    sold, redeemed = np.minimum(fallen + depegged, 1.0), np.minimum(withdrawn + slashed, 1.0)
    return ExitHaircut(sold, redeemed, np.minimum(sold, redeemed))
