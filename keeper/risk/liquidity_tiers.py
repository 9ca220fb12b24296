"""Which collateral counts for how much: tiers by liquidity, and caps on what counts of one asset in all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Floats, Integers, array, number


class LiquidityTier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A class of collateral: what its market must offer, and the parameters that it then gets.

    Attributes:
        name: What it is called.
        depth_usd_min: The depth within 2 % of the mid that is asked for.
        volume_daily_usd_min: The average volume of a day that is asked for.
        floor_haircut: What is taken off always.
        horizon_seconds: How long a liquidation is taken to last.
        cap_usd: What counts of such an asset in all accounts together.

    Raises:
        RiskInputError: one is out of range.
    """

    name: str
    depth_usd_min: float
    volume_daily_usd_min: float
    floor_haircut: float
    horizon_seconds: float
    cap_usd: float

    def __post_init__(self) -> None:
        number("depth_usd_min", self.depth_usd_min, least=0)
        number("volume_daily_usd_min", self.volume_daily_usd_min, least=0)
        number("floor_haircut", self.floor_haircut, least=0, most=1)
        number("horizon_seconds", self.horizon_seconds, least=0)
        number("cap_usd", self.cap_usd, least=0)


def tier_places(tiers: Sequence[LiquidityTier], depth_usd: ArrayLike, volume_daily_usd: ArrayLike) -> Integers:
    """Return for each asset the place of the first tier whose two minima it meets: the worse of the two decides.

    Args:
        tiers: From the most liquid to the least; the last asks for nothing, so that every asset has one.
        depth_usd: (U,) the depth of each asset's market.
        volume_daily_usd: (U,) the average volume of a day.

    Raises:
        RiskInputError: the tiers are not in that order (less may be asked from tier to tier, a floor, a horizon may not
            fall, a cap may not rise), or an input is negative.
    """
    _check_order(tiers)
    depth = array("depth_usd", depth_usd, ndim=1, least=0)
    volume = array("volume_daily_usd", volume_daily_usd, ndim=1, length=len(depth), least=0)
    depth_min = np.array([tier.depth_usd_min for tier in tiers])
    volume_min = np.array([tier.volume_daily_usd_min for tier in tiers])
    met = (depth[:, None] >= depth_min) & (volume[:, None] >= volume_min)
    places: Integers = np.argmax(met, axis=1).astype(np.int64)
    return places


def counted_values(values_usd: ArrayLike, caps_usd: ArrayLike) -> Floats:
    """Return what counts of each account's collateral: up to an asset's cap in all, and beyond it pro rata.

    ``counted[a, u] = value[a, u] * min(1, cap[u] / sum over a of value[., u])``.

    Args:
        values_usd: (A, U) accounts' collateral by asset; or (A,) of one asset.
        caps_usd: (U,) what counts of each asset; or a number.

    Raises:
        RiskInputError: a value or a cap is negative, or the shapes do not go together.
    """
    values = array("values_usd", values_usd, least=0)
    caps = array("caps_usd", caps_usd, least=0)
    if values.ndim == 0 or caps.shape not in {(), values.shape[1:]}:
        raise RiskInputError("caps_usd", f"has shape {caps.shape} for values of {values.shape}", "give one per asset")
    totals = values.sum(axis=0)
    within = np.divide(caps, totals, out=np.ones(np.shape(totals)), where=totals > caps)
    counted: Floats = values * within
    return counted


def _check_order(tiers: Sequence[LiquidityTier]) -> None:
    if not tiers or tiers[-1].depth_usd_min > 0 or tiers[-1].volume_daily_usd_min > 0:
        raise RiskInputError("tiers", "have no last one that asks for nothing", "add a tier with minima of 0")
    for better, worse in pairwise(tiers):
        asks_more = worse.depth_usd_min > better.depth_usd_min
        asks_more |= worse.volume_daily_usd_min > better.volume_daily_usd_min
        gives_more = worse.floor_haircut < better.floor_haircut
        gives_more |= worse.horizon_seconds < better.horizon_seconds or worse.cap_usd > better.cap_usd
        if asks_more or gives_more:
            raise RiskInputError("tiers", f"{worse.name} is not below {better.name}", "order them by liquidity")
