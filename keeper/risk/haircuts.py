"""Haircuts of collateral: what it may lose until it is sold, what selling it costs, and what others take off for it.

The dynamic haircut is ``h = clip(z * sigma * sqrt(h_liq) + slip(Q) + h_floor, 0, cap)``: the fall over the time that a
liquidation takes, at a quantile of ``z`` standard deviations; the cost of selling the size ``Q``; and a floor that is
there always. Haircuts and slippages are fractions of value. Sizes and depths are in one unit, whichever; times are in
seconds, volatilities per square root of a year of 365 days. Every function takes scalars or arrays, which broadcast.

Sources: square-root impact, Toth et al. 2011 and Almgren et al. 2005; Basel scaling and table, 12 CFR 1240.39;
Synthetix v3 ``Margin.getDiscountedCollateralPrice`` (commit 23585f7); Compound III ``quoteCollateral`` (d5a30b0).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import DAYS_PER_YEAR, SECONDS_PER_YEAR, Floats, aligned, array, history, number, whole

BASEL_HOLDING_DAYS = 10
"""The business days that the supervisory haircuts are for."""
BASEL_FX_HAIRCUT = 0.08
"""What a mismatch of currencies takes off (12 CFR 1240.39 (b)(2)(ii))."""
BASEL_MAIN_INDEX_HAIRCUT = 0.15
"""Main-index equities and gold (12 CFR 1240.39, table 1)."""
BASEL_LISTED_HAIRCUT = 0.25
"""Other publicly traded equities, and whatever the table does not name."""
_MATURITY_BOUNDS_YEARS = (1.0, 5.0)
_SOVEREIGN_HAIRCUTS = {
    0.0: (0.005, 0.02, 0.04),
    0.2: (0.01, 0.03, 0.06),
    0.5: (0.01, 0.03, 0.06),
    1.0: (0.15, 0.15, 0.15),
}
_ISSUER_HAIRCUTS = {0.2: (0.01, 0.04, 0.08), 0.5: (0.02, 0.06, 0.12), 1.0: (0.04, 0.08, 0.16)}


class Haircut(NamedTuple):
    """A haircut and what it consists of; ``total`` is the clipped sum of the others."""

    volatility: Floats
    slippage: Floats
    floor: Floats
    total: Floats


def quantile_move(vol_annual: ArrayLike, horizon_seconds: ArrayLike, quantile_sigmas: float) -> Floats:
    """Return ``z * sigma * sqrt(t)``: the relative move over a horizon at a quantile.

    Args:
        vol_annual: ``sigma``, at least 0.
        horizon_seconds: ``t``, at least 0.
        quantile_sigmas: ``z`` in standard deviations, of whichever distribution (``keeper.risk.tail`` has some).

    Raises:
        RiskInputError: an argument is not finite, or negative.
    """
    sigma, seconds = aligned(
        "volatilities and horizons",
        array("vol_annual", vol_annual, least=0),
        array("horizon_seconds", horizon_seconds, least=0),
    )
    moved: Floats = number("quantile_sigmas", quantile_sigmas, least=0) * sigma * np.sqrt(seconds / SECONDS_PER_YEAR)
    return moved


def dynamic_haircut(
    vol_annual: ArrayLike,
    horizon_seconds: ArrayLike,
    slippage: ArrayLike = 0.0,
    *,
    quantile_sigmas: float,
    floor: ArrayLike = 0.0,
    cap: float = 1.0,
) -> Haircut:
    """Return ``clip(z * sigma * sqrt(h_liq) + slip + floor, 0, cap)`` with its parts.

    Args:
        vol_annual: Volatility of the collateral.
        horizon_seconds: How long a liquidation takes, until all is sold.
        slippage: The cost of selling it, from one of the functions below.
        quantile_sigmas: The quantile of the fall, in standard deviations.
        floor: What is taken off always.
        cap: The most that is taken off.

    Raises:
        RiskInputError: an argument is out of range.
    """
    moved, slipped, always = aligned(
        "parts of a haircut",
        quantile_move(vol_annual, horizon_seconds, quantile_sigmas),
        array("slippage", slippage, least=0),
        array("floor", floor, least=0, most=1),
    )
    total: Floats = np.minimum(moved + slipped + always, number("cap", cap, least=0, most=1))
    return Haircut(moved, slipped, always, total)


def linear_slippage(size: ArrayLike, depth: ArrayLike) -> Floats:
    """Return ``Q / (2 y)``, at most 1: the mid-to-average slippage when the marginal price falls by ``Q / y``.

    ``y`` is the size that would take the marginal price to zero, if the slope stayed. A constant-product pool that
    holds the reserve ``x`` of what is sold has ``dP / P = -2 dx / x``, hence ``y = x / 2``, to first order.

    Raises:
        RiskInputError: a size is negative, or a depth not positive.
    """
    sold, deep = aligned("sizes and depths", array("size", size, least=0), array("depth", depth, above=0))
    slipped: Floats = np.minimum(sold / (2 * deep), 1.0)
    return slipped


def constant_product_slippage(size: ArrayLike, reserve: ArrayLike) -> Floats:
    """Return ``Q / (x + Q)``: the exact mid-to-average slippage of a constant-product pool without a fee.

    Args:
        size: What is sold.
        reserve: What the pool holds of it.

    Raises:
        RiskInputError: a size is negative, or a reserve not positive.
    """
    sold, held = aligned("sizes and reserves", array("size", size, least=0), array("reserve", reserve, above=0))
    slipped: Floats = sold / (held + sold)
    return slipped


def depth_slippage(size: ArrayLike, cumulative_sizes: ArrayLike, offsets: ArrayLike) -> Floats:
    """Return the average slippage of selling into a depth curve, piecewise linear and cumulative.

    ``(1 / Q) * integral of offset(q) from 0 to Q``, where ``offset(q)`` is how far below the mid the next unit sells
    once ``q`` are sold. What the curve has no buyer for is taken to be worth nothing.

    Args:
        size: What is sold, any shape.
        cumulative_sizes: (K,) what can be sold down to each offset, ascending from 0.
        offsets: (K,) how far below the mid, ascending fractions; the first is half of the spread.

    Raises:
        RiskInputError: the curve does not start at 0, does not ascend, or a value is out of range.
    """
    sizes = history("cumulative_sizes", cumulative_sizes, shortest=2, least=0)
    lower = array("offsets", offsets, ndim=1, length=len(sizes), least=0, most=1)
    if sizes[0] != 0 or np.any(np.diff(sizes) <= 0) or np.any(np.diff(lower) < 0):
        raise RiskInputError("depth", "does not ascend from a size of 0", "give sizes and offsets in ascending order")
    sold = array("size", size, least=0)
    costs = np.concatenate(([0.0], np.cumsum(np.diff(sizes) * (lower[1:] + lower[:-1]) / 2)))
    bought = np.minimum(sold, sizes[-1])
    left = np.clip(np.searchsorted(sizes, bought, side="right") - 1, 0, len(sizes) - 2)
    within = bought - sizes[left]
    slope = (lower[left + 1] - lower[left]) / (sizes[left + 1] - sizes[left])
    cost = costs[left] + within * (lower[left] + slope * within / 2) + (sold - bought)
    averaged: Floats = np.divide(cost, sold, out=np.full(np.shape(sold), lower[0]), where=sold > 0)
    return averaged


def square_root_impact(
    size: ArrayLike, volume_daily: ArrayLike, vol_annual: ArrayLike, coefficient: float = 1.0
) -> Floats:
    """Return ``Y * sigma * sqrt(Q / ADV)``, at most 1, with the volatility of a day.

    Args:
        size: What is sold.
        volume_daily: ADV, the average volume of a day, in the unit of ``size``.
        vol_annual: Volatility; ``sigma`` is ``vol_annual / sqrt(365)``.
        coefficient: ``Y``, near 1 in most markets.

    Raises:
        RiskInputError: an argument is negative, or a volume not positive.
    """
    sold, volume, sigma = aligned(
        "sizes, volumes and volatilities",
        array("size", size, least=0),
        array("volume_daily", volume_daily, above=0),
        array("vol_annual", vol_annual, least=0),
    )
    moved = number("coefficient", coefficient, least=0) * sigma * np.sqrt(sold / volume / DAYS_PER_YEAR)
    impact: Floats = np.minimum(moved, 1.0)
    return impact


def expected_loss(intensity_annual: ArrayLike, horizon_seconds: ArrayLike, loss_given_event: ArrayLike) -> Floats:
    """Return ``(1 - exp(-lambda * T)) * LGD``: what an event of constant intensity is expected to cost within ``T``.

    Args:
        intensity_annual: ``lambda``, events in a year.
        horizon_seconds: ``T``.
        loss_given_event: LGD, the share that is lost then.

    Raises:
        RiskInputError: an argument is out of range.
    """
    intensity, seconds, lost = aligned(
        "intensities, horizons and losses",
        array("intensity_annual", intensity_annual, least=0),
        array("horizon_seconds", horizon_seconds, least=0),
        array("loss_given_event", loss_given_event, least=0, most=1),
    )
    expected: Floats = -np.expm1(-intensity * seconds / SECONDS_PER_YEAR) * lost
    return expected


def synthetix_discount(amount: ArrayLike, skew_scale: ArrayLike, scalar: float, lower: float, upper: float) -> Floats:
    """Return ``clip(amount / skew_scale * scalar, lower, upper)``, by which Synthetix v3 discounts collateral.

    The value that counts is ``amount * price * (1 - discount)``. A skew scale of 0 means no discount, as there.

    Raises:
        RiskInputError: an argument is out of range, or the bounds cross.
    """
    scaled, scale = aligned(
        "amounts and skew scales",
        array("amount", amount, least=0) * number("scalar", scalar, least=0),
        array("skew_scale", skew_scale, least=0),
    )
    least = number("lower", lower, least=0, most=1)
    most = number("upper", upper, least=least, most=1)
    share = np.divide(scaled, scale, out=np.zeros(scale.shape), where=scale > 0)
    discount: Floats = np.where(scale > 0, np.clip(share, least, most), 0.0)
    return discount


def basel_haircut(haircut: ArrayLike, *, holding_days: int = BASEL_HOLDING_DAYS, revaluation_days: int = 1) -> Floats:
    """Return ``H_10 * sqrt((N_R + T_M - 1) / 10)``: a ten-day haircut for another period or rarer revaluation.

    Args:
        haircut: ``H_10``, the haircut for ten business days.
        holding_days: ``T_M``, the minimum holding period in business days.
        revaluation_days: ``N_R``, business days from one revaluation or remargining to the next.

    Raises:
        RiskInputError: a haircut is not a fraction, or a period is less than a day.
    """
    days = whole("holding_days", holding_days, least=1) + whole("revaluation_days", revaluation_days, least=1) - 1
    scaled: Floats = array("haircut", haircut, least=0, most=1) * np.sqrt(days / BASEL_HOLDING_DAYS)
    return scaled


def basel_debt_haircut(maturity_years: float, risk_weight: float, *, sovereign: bool) -> float:
    """Return the supervisory ten-day haircut of a debt security (12 CFR 1240.39, table 1).

    Args:
        maturity_years: The residual maturity: to 1, to 5, or more.
        risk_weight: The issuer's, as a fraction: 0 (sovereigns only), 0.2, 0.5 or 1.
        sovereign: Whether a sovereign has issued it.

    Raises:
        RiskInputError: the table has no such risk weight, or the maturity is negative.
    """
    table = _SOVEREIGN_HAIRCUTS if sovereign else _ISSUER_HAIRCUTS
    if risk_weight not in table:
        raise RiskInputError("risk_weight", f"is {risk_weight}", f"give one of {', '.join(f'{w:g}' for w in table)}")
    maturity = number("maturity_years", maturity_years, least=0)
    return table[risk_weight][sum(maturity > bound for bound in _MATURITY_BOUNDS_YEARS)]


def storefront_discount(liquidation_factor: float, storefront_price_factor: float) -> float:
    """Return ``storeFrontPriceFactor * (1 - liquidationFactor)``, at which Compound III sells what it has seized.

    Raises:
        RiskInputError: a factor is not a fraction.
    """
    kept = number("liquidation_factor", liquidation_factor, least=0, most=1)
    return number("storefront_price_factor", storefront_price_factor, least=0, most=1) * (1 - kept)


def storefront_quote(
    paid_usd: ArrayLike, price_usd: ArrayLike, liquidation_factor: float, storefront_price_factor: float
) -> Floats:
    """Return how much collateral Compound III sells for a payment: ``paid / (price * (1 - discount))``.

    Raises:
        RiskInputError: an argument is out of range, or the discount is the whole price.
    """
    share = 1 - storefront_discount(liquidation_factor, storefront_price_factor)
    number("1 - discount", share, above=0)
    paid, price = aligned(
        "payments and prices", array("paid_usd", paid_usd, least=0), array("price_usd", price_usd, above=0)
    )
    quoted: Floats = paid / (price * share)
    return quoted
