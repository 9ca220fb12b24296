"""What a liquidator earns: bonuses that depend on health, on the market's limit, on time and on stress.

A bonus factor is what is seized per value repaid, 1.05 for five percent. Whatever is an array is broadcast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Bools, Floats, aligned, array, number

MORPHO_CURSOR = 0.3
MORPHO_LARGEST_FACTOR = 1.15
DRIFT_GRACE_SLOTS = 1_500
"""About ten minutes of Solana's slots."""
DRIFT_INCREASE_PER_SLOT = 1e-6


def aave_v4_bonus(
    health_factor: ArrayLike, most_factor: ArrayLike, *, factor: ArrayLike, health_for_most: ArrayLike
) -> Floats:
    """Return Aave v4's bonus factor: the least at a health of 1, growing linearly to the most at ``health_for_most``.

    ``least = (most - 1) * factor + 1``; below ``health_for_most`` it stays the most (aave/aave-v4,
    ``LiquidationLogic.sol``, calculateLiquidationBonus).

    Raises:
        RiskInputError: a health is not within [0, 1], a bonus below 1, ``factor`` not within [0, 1], or
            ``health_for_most`` not within [0, 1).
    """
    health, most, share, full_at = aligned(
        "healths, bonuses and factors",
        array("health_factor", health_factor, least=0, most=1),
        array("most_factor", most_factor, least=1),
        array("factor", factor, least=0, most=1),
        _below_one("health_for_most", health_for_most),
    )
    least = (most - 1.0) * share + 1.0
    bonus: Floats = least + (most - least) * np.minimum((1.0 - health) / (1.0 - full_at), 1.0)
    return bonus


def protocol_fee(seized_usd: ArrayLike, bonus_factor: ArrayLike, fee: ArrayLike) -> Floats:
    """Return what the protocol keeps of the seized: a fraction ``fee`` of the bonus, not of what repays the debt.

    ``seized * fee * (bonus - 1) / bonus`` (aave/aave-v4, ``LiquidationLogic.sol``).

    Raises:
        RiskInputError: an amount is negative, a bonus factor below 1, or a fee not within [0, 1].
    """
    seized, bonus, share = aligned(
        "amounts, bonuses and fees",
        array("seized_usd", seized_usd, least=0),
        array("bonus_factor", bonus_factor, least=1),
        array("fee", fee, least=0, most=1),
    )
    kept: Floats = seized * share * (bonus - 1.0) / bonus
    return kept


def splitting_never_pays(most_factor: ArrayLike, *, collateral_factor: ArrayLike, health_for_most: ArrayLike) -> Bools:
    """Return where a liquidation in parts seizes no more than one at once: ``most * collateral factor <= hf_most``.

    A part repaid raises the health while ``bonus * collateral factor <= health``; then no later part has a greater
    bonus. Where the bonus still grows, health is above ``health_for_most``, so the inequality is enough (aave-v4,
    ``LiquidationEngine.md``).

    Raises:
        RiskInputError: a bonus is below 1, a collateral factor not within [0, 1], or a health not within [0, 1).
    """
    most, limit, full_at = aligned(
        "bonuses, collateral factors and healths",
        array("most_factor", most_factor, least=1),
        array("collateral_factor", collateral_factor, least=0, most=1),
        _below_one("health_for_most", health_for_most),
    )
    holds: Bools = most * limit <= full_at
    return holds


def morpho_factor(lltv: ArrayLike) -> Floats:
    """Return Morpho Blue's liquidation incentive factor ``min(1.15, 1 / (1 - 0.3 * (1 - LLTV)))``.

    In float64, for risk: the venue's own is in integers (morpho-org/morpho-blue, ``Morpho.sol``).

    Raises:
        RiskInputError: an LLTV is not within [0, 1].
    """
    limit = array("lltv", lltv, least=0, most=1)
    return np.minimum(MORPHO_LARGEST_FACTOR, 1.0 / (1.0 - MORPHO_CURSOR * (1.0 - limit)))


@dataclass(frozen=True, slots=True)
class PreLiquidation:
    """How far accounts are into a pre-liquidation's zone, and what it offers there: three arrays of one shape."""

    depth: Floats
    incentive: Floats
    close_factor: Floats


def pre_liquidation(
    ltv: ArrayLike, *, zone: tuple[float, float], incentive: tuple[float, float], close_factor: tuple[float, float]
) -> PreLiquidation:
    """Return the offer of a pre-liquidation contract: incentive and close factor, linear in the depth of the LTV.

    ``q = (LTV - preLLTV) / (LLTV - preLLTV)`` (morpho-org/pre-liquidation, ``PreLiquidation.sol``).

    Args:
        ltv: The accounts' loan to value, inside the zone.
        zone: preLLTV and LLTV.
        incentive: preLIF1 and preLIF2: at the zone's beginning and end.
        close_factor: preLCF1 and preLCF2.

    Raises:
        RiskInputError: an LTV is outside the zone, or the zone or a pair of terms is not in order.
    """
    first = number("zone[0]", zone[0], least=0)
    last = number("zone[1]", zone[1], above=first, most=1)
    gives = _rising("incentive", incentive, least=1.0, most=1.0 / last)
    closes = _rising("close_factor", close_factor, least=0.0, most=1.0)
    depth = (array("ltv", ltv, least=first, most=last) - first) / (last - first)
    return PreLiquidation(
        depth=depth,
        incentive=gives[0] + depth * (gives[1] - gives[0]),
        close_factor=closes[0] + depth * (closes[1] - closes[0]),
    )


def drift_fee(
    base: ArrayLike,
    most: ArrayLike,
    slots_since_active: ArrayLike,
    *,
    per_slot: float = DRIFT_INCREASE_PER_SLOT,
    grace_slots: float = DRIFT_GRACE_SLOTS,
) -> Floats:
    """Return Drift's liquidation fee: the base during the grace period, then risen by every slot since the activity.

    The slots of the grace period count once it is over, so the fee jumps there; it ends at the most
    (drift-labs/protocol-v2, ``math/liquidation.rs``, get_liquidation_fee).

    Raises:
        RiskInputError: a fee or a number of slots is negative, or the most is below the base.
    """
    first, last, slots = aligned(
        "bases, mosts and slots",
        array("base", base, least=0),
        array("most", most, least=0),
        array("slots_since_active", slots_since_active, least=0),
    )
    array("most less base", last - first, least=0)
    risen = np.minimum(first + slots * number("per_slot", per_slot, least=0), last)
    return np.where(slots < number("grace_slots", grace_slots, least=0), first, risen)


def dydx_fill_spread(
    net_collateral: ArrayLike,
    maintenance_total: ArrayLike,
    maintenance_position: ArrayLike,
    *,
    bankruptcy_adjustment: float = 1.0,
    spread_to_maintenance: float = 1.5,
) -> Floats:
    """Return how far below its notional dYdX may sell a position, in its quote: ``ABR * SMMR * PMMR``.

    ``ABR = clamp(BA * (1 - TNC / TMMR), 0, 1)``; the defaults are genesis (dydxprotocol/v4-chain,
    ``x/clob/keeper/liquidations.go``, GetFillablePrice). The exact price is
    :func:`keeper.risk.insurance.fillable_price`.

    Raises:
        RiskInputError: a requirement is not positive, or the adjustment is below 1.
    """
    net, total, position = aligned(
        "collateral and requirements",
        array("net_collateral", net_collateral),
        array("maintenance_total", maintenance_total, above=0),
        array("maintenance_position", maintenance_position, least=0),
    )
    adjustment = number("bankruptcy_adjustment", bankruptcy_adjustment, least=1)
    rating = np.clip(adjustment * (1.0 - net / total), 0.0, 1.0)
    return rating * number("spread_to_maintenance", spread_to_maintenance, least=0) * position


@dataclass(frozen=True, slots=True)
class StressFee:
    """A liquidation fee that grows from ``least`` to ``most`` as volatility or congestion does.

    ``fee = least + (most - least) * (1 - (1 - v) * (1 - c))``, where ``v`` is the volatility's place between
    ``calm_vol_annual`` and ``panic_vol_annual`` and ``c`` the congestion, both cut to [0, 1]. Either alone reaches the
    most; both together reach it sooner; in calm the fee is the least. A liquidator is so paid for the price risk of the
    block it waits, and for the gas it competes with.

    Raises:
        RiskInputError: the fees or the volatilities are not in order, or negative.
    """

    least: float
    most: float
    calm_vol_annual: float
    panic_vol_annual: float

    def __post_init__(self) -> None:
        number("most", self.most, least=number("least", self.least, least=0))
        number(
            "panic_vol_annual", self.panic_vol_annual, above=number("calm_vol_annual", self.calm_vol_annual, least=0)
        )

    def at(self, vol_annual: ArrayLike, congestion: ArrayLike) -> Floats:
        """Return the fee at a volatility, and at a fullness of blocks (or of the queue) of 0 to 1.

        Raises:
            RiskInputError: a volatility or a congestion is negative.
        """
        span = self.panic_vol_annual - self.calm_vol_annual
        vol, fullness = aligned(
            "volatilities and congestions",
            array("vol_annual", vol_annual, least=0),
            array("congestion", congestion, least=0),
        )
        shaken = np.clip((vol - self.calm_vol_annual) / span, 0.0, 1.0)
        crowded = np.minimum(fullness, 1.0)
        return self.least + (self.most - self.least) * (1.0 - (1.0 - shaken) * (1.0 - crowded))


def _below_one(name: str, values: ArrayLike) -> Floats:
    checked = array(name, values, least=0, most=1)
    if bool(np.any(checked >= 1.0)):
        raise RiskInputError(name, "is 1", "give less than 1")
    return checked


def _rising(name: str, pair: tuple[float, float], *, least: float, most: float) -> tuple[float, float]:
    first = number(f"{name}[0]", pair[0], least=least, most=most)
    return first, number(f"{name}[1]", pair[1], least=first, most=most)
