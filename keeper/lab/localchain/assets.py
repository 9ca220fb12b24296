"""What the local market lists: four assets of different decimals and two efficiency-mode categories.

The figures are those of a mainnet market in shape: volatile collateral, cheap stablecoins, a stable-rate asset so
that stable debt can be exercised. They are data; :mod:`keeper.lab.localchain.aave` deploys whatever it is given.
"""

from __future__ import annotations

from dataclasses import dataclass

PRICE_DECIMALS = 8
STABLECOINS = 1
BLUE_CHIPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetSpec:
    """What an asset of the market is to be like; ratios in basis points, price in 1e-8 USD per whole token."""

    symbol: str
    decimals: int
    price: int
    ltv_bps: int
    threshold_bps: int
    bonus_bps: int
    reserve_factor_bps: int
    optimal_usage_bps: int
    slope1_bps: int
    slope2_bps: int
    category: int = 0
    stable_borrowing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """An efficiency-mode category, without a price source of its own; ratios in basis points."""

    number: int
    label: str
    ltv_bps: int
    threshold_bps: int
    bonus_bps: int


ASSETS = (
    AssetSpec(
        symbol="WETH",
        decimals=18,
        price=2_500 * 10**PRICE_DECIMALS,
        ltv_bps=8_000,
        threshold_bps=8_250,
        bonus_bps=10_500,
        reserve_factor_bps=1_500,
        optimal_usage_bps=8_000,
        slope1_bps=330,
        slope2_bps=8_000,
    ),
    AssetSpec(
        symbol="WBTC",
        decimals=8,
        price=60_000 * 10**PRICE_DECIMALS,
        ltv_bps=7_300,
        threshold_bps=7_800,
        bonus_bps=10_500,
        reserve_factor_bps=2_000,
        optimal_usage_bps=4_500,
        slope1_bps=400,
        slope2_bps=30_000,
    ),
    AssetSpec(
        symbol="USDC",
        decimals=6,
        price=10**PRICE_DECIMALS,
        ltv_bps=7_700,
        threshold_bps=8_000,
        bonus_bps=10_450,
        reserve_factor_bps=1_000,
        optimal_usage_bps=9_000,
        slope1_bps=350,
        slope2_bps=6_000,
        category=STABLECOINS,
    ),
    AssetSpec(
        symbol="DAI",
        decimals=18,
        price=10**PRICE_DECIMALS,
        ltv_bps=7_500,
        threshold_bps=7_800,
        bonus_bps=10_500,
        reserve_factor_bps=1_000,
        optimal_usage_bps=8_000,
        slope1_bps=400,
        slope2_bps=7_500,
        category=STABLECOINS,
        stable_borrowing=True,
    ),
)

CATEGORIES = (
    Category(number=STABLECOINS, label="Stablecoins", ltv_bps=9_700, threshold_bps=9_750, bonus_bps=10_100),
    Category(number=BLUE_CHIPS, label="Blue chips", ltv_bps=9_000, threshold_bps=9_300, bonus_bps=10_200),
)
