"""What is hard to sell counts for less, and no asset for more than its cap."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.liquidity_tiers import LiquidityTier, counted_values, tier_places

TIERS = [
    LiquidityTier(
        name=name,
        depth_usd_min=depth,
        volume_daily_usd_min=volume,
        floor_haircut=floor,
        horizon_seconds=horizon,
        cap_usd=cap,
    )
    for name, depth, volume, floor, horizon, cap in [
        ("major", 1e7, 1e9, 0.02, 3_600, 1e9),
        ("middle", 1e6, 1e7, 0.1, 14_400, 1e8),
        ("minor", 0, 0, 0.4, 86_400, 1e6),
    ]
]


def test_an_asset_is_of_the_first_tier_that_it_meets() -> None:
    """Both depth and volume must be there: much of one makes up for nothing of the other."""
    assert tier_places(TIERS, [1e7, 1e7, 1e9, 1e6, 0], [1e9, 1e8, 1e6, 1e7, 1e12]).tolist() == [0, 1, 2, 1, 2]


@given(st.floats(0, 1e8), st.floats(0, 1e10), st.floats(0, 1e8), st.floats(0, 1e10))
def test_a_better_market_never_means_a_worse_tier(depth: float, volume: float, more: float, busier: float) -> None:
    """The tier is monotone in depth and in volume."""
    before, after = tier_places(TIERS, [depth, depth + more], [volume, volume + busier])

    assert after <= before


@pytest.mark.parametrize(
    "tiers",
    [
        [],
        TIERS[:2],
        [TIERS[1], TIERS[0], TIERS[2]],
        [TIERS[0], msgspec.structs.replace(TIERS[2], floor_haircut=0.0)],
        [TIERS[0], msgspec.structs.replace(TIERS[2], cap_usd=1e10)],
    ],
)
def test_tiers_that_do_not_descend_are_refused(tiers: list[LiquidityTier]) -> None:
    """Each tier asks for less and gives less, and the last takes every asset."""
    with pytest.raises(RiskInputError, match=r"^tiers: "):
        tier_places(tiers, [1.0], [1.0])


def test_beyond_the_cap_accounts_share_it_by_what_they_hold() -> None:
    """A cap of 600 on holdings of 300 and 900 counts 150 and 450; an asset below its cap counts in full."""
    counted = counted_values([[300.0, 5.0], [900.0, 7.0]], [600.0, 12.0])

    assert counted == pytest.approx(np.array([[150.0, 5.0], [450.0, 7.0]]), rel=1e-9)
    assert counted_values([300.0, 900.0], 600.0) == pytest.approx([150.0, 450.0], rel=1e-9)


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=8), st.floats(0, 1e9))
def test_no_more_than_the_cap_counts(values: list[float], cap: float) -> None:
    """Together the accounts count the lesser of what they hold and the cap, and nobody more than he holds."""
    counted = counted_values(values, cap)

    assert counted.sum() == pytest.approx(min(sum(values), cap), rel=1e-9, abs=1e-6)
    assert np.all((counted >= 0) & (counted <= np.array(values)))


def test_caps_that_do_not_match_the_assets_are_refused() -> None:
    """Two assets have two caps."""
    with pytest.raises(RiskInputError, match="caps_usd"):
        counted_values([[1.0, 2.0]], [1.0])
    with pytest.raises(RiskInputError, match="cap_usd"):
        msgspec.structs.replace(TIERS[0], cap_usd=-1.0)
