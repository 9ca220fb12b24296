"""Margins that grow with size: Synthetix's skew scale and Drift's premium."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.scaling import SkewScale, drift_asset_weight, drift_liability_weight

BTC = SkewScale(100.0, 2.0, 0.01, 0.5, 1000.0)
ETH = SkewScale(1000.0, 2.0, 0.01, 0.5, 500.0)


def test_synthetix_ratios() -> None:
    """Two bitcoin at a scale of 100 and twenty ether at one of 1,000 both need 5 % (Synthetix v3's margin tests)."""
    assert BTC.initial_ratio(-2.0) == pytest.approx(0.05, abs=1e-12)
    assert ETH.initial_ratio(20.0) == pytest.approx(0.05, abs=1e-12)


def test_synthetix_margins() -> None:
    """The two positions need 6,500 to open and 4,000 to keep, 1,500 of it by minimum (Synthetix v3's margin tests)."""
    opened = BTC.margin_usd(-2.0, 30_000.0, initial=True) + ETH.margin_usd(20.0, 2_000.0, initial=True)
    kept = BTC.margin_usd(-2.0, 30_000.0, initial=False) + ETH.margin_usd(20.0, 2_000.0, initial=False)
    assert (float(opened), float(kept)) == pytest.approx((6_500.0, 4_000.0), abs=1e-6)


SIZES = np.array([-1.0, 20.0, 2_000.0, 5_000.0, 5_000.0])
ENTRIES_USD = np.array([30_000.0, 2_000.0, 5.0, 2.0, 2.0])
FIVE = [
    SkewScale(100.0, 2.0, 0.01, 0.5),
    SkewScale(1_000.0, 2.0, 0.01, 0.5),
    SkewScale(100_000.0, 2.0, 0.01, 0.5),
    SkewScale(100_000.0, 1.5, 0.035, 0.5),
    SkewScale(100_000.0, 1.5, 0.035, 0.5),
]
"""Bitcoin, ether, Link, Arbitrum and Optimism of Synthetix v3's test of margins in a liquidation."""


def kept_usd(prices_usd: list[float]) -> float:
    """Return the maintenance margin of the five positions."""
    return sum(
        float(market.margin_usd(size, price, initial=False))
        for market, size, price in zip(FIVE, SIZES, prices_usd, strict=True)
    )


@pytest.mark.parametrize(
    ("prices", "available", "liquidatable"),
    [
        ([30_000.0, 2_000.0, 5.0, 2.0, 2.0], 18_850.0, False),
        ([28_000.0, 1_900.0, 4.6, 1.9, 1.8], 16_550.0, False),
        ([31_000.0, 1_775.0, 3.0, 1.0, 1.13], 0.0, True),
        ([31_000.0, 1_820.0, 3.0, 1.0, 1.0], 250.0, True),
    ],
)
def test_synthetix_five_markets(prices: list[float], available: float, liquidatable: bool) -> None:  # noqa: FBT001 - a column of the table
    """Five positions of 100,000 with 20,000 of collateral: 18,850, 16,550, 0 and 250 (Liquidation.margin.test.ts)."""
    # Whoever takes the skew from nothing to q pays q * price * q / (2 * scale) in the fill, and would pay it back.
    scales = np.array([market.skew_scale for market in FIVE])
    filled = ENTRIES_USD * (1 + SIZES / (2 * scales))
    margin = 20_000.0 + float(SIZES @ (np.array(prices) - filled))

    assert float(np.abs(SIZES) @ ENTRIES_USD) == 100_000.0
    assert margin == pytest.approx(available, abs=1e-6)
    assert (margin < kept_usd(prices)) is liquidatable


def test_no_position_needs_no_minimum() -> None:
    """A closed position frees its minimum."""
    assert list(BTC.margin_usd([0.0, 1.0], 30_000.0, initial=True)) == pytest.approx([0.0, 1_900.0], abs=1e-9)


@given(st.floats(-1e6, 1e6), st.floats(1.0, 1e6), st.floats(1.0, 5.0))
def test_synthetix_asks_more_of_more(size: float, price: float, times: float) -> None:
    """Maintenance is at most initial, and the ratio of a larger position is at least that of a smaller one."""
    assert ETH.margin_usd(size, price, initial=False) <= ETH.margin_usd(size, price, initial=True)
    assert ETH.initial_ratio(size * times) >= ETH.initial_ratio(size)


def test_drift_liability_weight() -> None:
    """A weight of .1 and a premium of .001 make .18 at a size of 10,000 (Drift, math/margin)."""
    assert drift_liability_weight(0.1, 0.001, 1e4) == pytest.approx(0.18, abs=1e-12)


def test_drift_asset_weight() -> None:
    """A premium of .0001 leaves .55 of an asset at a size of 100 million (Drift, math/margin)."""
    assert drift_asset_weight(1.0, 0.0001, 1e8) == pytest.approx(0.55, abs=1e-12)


@given(st.floats(0.0, 1.5), st.floats(0.0, 0.01), st.lists(st.floats(0, 1e9), min_size=2, max_size=8).map(sorted))
def test_drift_weights_never_help_the_large(weight: float, imf: float, sizes: list[float]) -> None:
    """As size grows a liability weighs at least as much and an asset at most as much, and never better than small."""
    liabilities, assets = drift_liability_weight(weight, imf, sizes), drift_asset_weight(weight, imf, sizes)
    assert (np.diff(liabilities) >= -1e-12).all()
    assert (liabilities >= weight).all()
    assert (np.diff(assets) <= 1e-12).all()
    assert (assets <= weight).all()


def test_bad_sizes_are_refused() -> None:
    """A scale of nothing and a negative size have no weight."""
    with pytest.raises(RiskInputError, match="skew_scale"):
        SkewScale(0.0, 1.0, 0.01, 0.5).initial_ratio(1.0)
    with pytest.raises(RiskInputError, match="sizes"):
        drift_asset_weight(1.0, 0.1, -1.0)
