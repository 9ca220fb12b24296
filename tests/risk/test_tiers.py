"""Brackets, leverage tiers, open interest and factors of collateral."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.core.units import Rounding
from keeper.risk.tiers import (
    BINANCE_2025,
    BINANCE_2025_AMOUNTS_USD,
    DERIVE_COLLATERAL,
    DYDX_GENESIS_TIERS,
    HYPERLIQUID_BTC,
    PPM,
    Brackets,
    LiquidityTier,
    share_ppm,
)

MILLION = 10**6
QUANTUMS = 10**6
"""Quote quantums of one USD."""
LADDERS = st.lists(st.integers(1, 10**9), min_size=1, max_size=6, unique=True).flatmap(
    lambda bounds: st.tuples(
        st.just(sorted(map(float, bounds))),
        st.lists(st.floats(1e-4, 1.0), min_size=len(bounds) + 1, max_size=len(bounds) + 1).map(sorted),
    )
)


@pytest.mark.parametrize(
    ("notional", "margin"),
    [(5e4, 200.0), (1e5, 450.0), (2.5e5, 1_200.0), (1e6, 8_700.0), (5e6, 108_700.0), (1e7, 233_700.0)],
)
def test_binance_brackets(notional: float, margin: float) -> None:
    """The margin is size times rate less the bracket's amount (Binance USD-M brackets, 2025)."""
    assert BINANCE_2025.margin_usd(notional) == pytest.approx(margin, abs=1e-6)


def test_binance_publishes_the_amounts_that_follow() -> None:
    """Rates and bounds alone give every amount published with them (Binance USD-M brackets, 2025)."""
    BINANCE_2025.check_amounts(BINANCE_2025_AMOUNTS_USD)
    assert pytest.approx(BINANCE_2025_AMOUNTS_USD, abs=1e-6) == BINANCE_2025.amounts_usd


def test_an_amount_that_makes_the_margin_jump_is_refused() -> None:
    """A wrong amount is named with the right one."""
    wrong = list(BINANCE_2025_AMOUNTS_USD)
    wrong[3] = 16_000.0
    with pytest.raises(RiskInputError, match=r"amounts_usd\[3\]: is 16000; give 16300"):
        BINANCE_2025.check_amounts(wrong)


def test_hyperliquid_tiers() -> None:
    """Hyperliquid keeps half of the initial margin: 1,875,000 at 150 million and 3,125,000 at 200 million."""
    assert HYPERLIQUID_BTC.margin_usd([1.5e8, 2e8]) == pytest.approx([1_875_000.0, 3_125_000.0], abs=1e-6)


@given(LADDERS)
def test_no_margin_jumps_at_a_bound(ladder: tuple[list[float], list[float]]) -> None:
    """Just above a bound the margin is what it is just below, whatever rates and bounds."""
    brackets = Brackets.of(*ladder)
    bounds = brackets.bounds_usd
    below = bounds * brackets.rates[:-1] - brackets.amounts_usd[:-1]
    above = bounds * brackets.rates[1:] - brackets.amounts_usd[1:]
    assert np.allclose(below, above, rtol=1e-9, atol=1e-6)
    assert np.allclose(brackets.margin_usd(bounds), above, rtol=1e-9, atol=1e-6)


@given(LADDERS, st.floats(0, 1e9), st.floats(1, 10))
def test_tiers_only_ever_ask_more_of_more(ladder: tuple[list[float], list[float]], size: float, times: float) -> None:
    """A position that is so many times larger needs at least so many times the margin."""
    brackets = Brackets.of(*ladder)
    small, large = brackets.margin_usd([size, size * times])
    assert large >= small * times * (1 - 1e-9) - 1e-6


def test_brackets_that_fall_or_do_not_fit_are_refused() -> None:
    """A ladder has rising bounds and rates, one rate more than bounds, and no position above its limit."""
    with pytest.raises(RiskInputError, match="rising order"):
        Brackets.of((2.0, 1.0), (0.1, 0.2, 0.3))
    with pytest.raises(RiskInputError, match="rising order"):
        Brackets.of((1.0,), (0.2, 0.1))
    with pytest.raises(RiskInputError, match="rates"):
        Brackets.of((1.0,), (0.2,))
    with pytest.raises(RiskInputError, match="limit_usd"):
        Brackets.of((1.0,), (0.1, 0.2), 1.0)
    with pytest.raises(RiskInputError, match="notionals_usd"):
        BINANCE_2025.margin_usd(5e7 + 1)


def tier(lower_usd: float, upper_usd: float) -> LiquidityTier:
    """Return a tier of 20 % between two open interests."""
    return LiquidityTier(200_000, 500_000, round(lower_usd * QUANTUMS), round(upper_usd * QUANTUMS))


def test_dydx_fraction_between_the_caps() -> None:
    """Base 20 %, caps of 1 and 2 million, 1,234,567 open: 387,653 ppm rounded down (dYdX v4, liquidity tiers)."""
    assert tier(1e6, 2e6).initial_fraction_ppm(1_234_567 * QUANTUMS) == 387_653


def test_dydx_requirement_between_the_caps() -> None:
    """Caps of 25 and 60 million, 28,123,456.789123 open: 500,000 need 135,697, rounded up (dYdX v4, tiers)."""
    assert tier(25e6, 60e6).initial(500_000, 28_123_456_789_123) == 135_697


def test_dydx_fraction_at_the_caps() -> None:
    """Up to the lower cap the base, from the upper cap on one, and the base without caps (dYdX v4, liquidity tiers)."""
    market = tier(1e6, 2e6)
    assert market.initial_fraction_ppm(1_000_000 * QUANTUMS) == 200_000
    assert market.initial_fraction_ppm(2_000_000 * QUANTUMS) == PPM
    assert market.initial(7, 3_000_000 * QUANTUMS) == 7
    assert LiquidityTier(200_000, 500_000).initial_fraction_ppm(10**20) == 200_000
    assert LiquidityTier(200_000, 500_000, 5, 5).initial_fraction_ppm(5) == PPM


def test_dydx_rounds_a_requirement_up() -> None:
    """56.7243 % of 123,456 is 70,030 (dYdX v4, liquidity tiers)."""
    assert LiquidityTier(567_243, 500_000).initial(123_456) == 70_030
    assert share_ppm(123_456, 567_243, Rounding.CEIL) == 70_030
    assert share_ppm(123_456, 567_243, Rounding.FLOOR) == 70_029


@given(
    st.integers(0, PPM), st.integers(0, 10**15), st.integers(1, 10**15), st.integers(0, 10**16), st.integers(0, 10**15)
)
def test_dydx_integers_are_the_exact_fraction_rounded(
    base: int, lower: int, width: int, open_interest: int, notional: int
) -> None:
    """The fraction is floored and the requirement ceiled from the exact rational, and maintenance stays below it."""
    market = LiquidityTier(base, 600_000, lower, lower + width)
    scale = min(max(Fraction(open_interest - lower, width), Fraction(0)), Fraction(1))
    exact = Fraction(base, PPM) + scale * (1 - Fraction(base, PPM))
    assert market.initial_fraction_ppm(open_interest) == floor(exact * PPM)
    assert market.initial(notional, open_interest) == ceil(exact * notional)
    assert market.maintenance(notional) <= market.initial(notional, open_interest) <= notional


def test_dydx_genesis_tiers() -> None:
    """A large-cap position keeps 1.2 % and a small-cap one 5 %, and the caps are those of genesis (dYdX v4)."""
    kept = {name: market.maintenance(PPM) for name, market in DYDX_GENESIS_TIERS.items()}
    assert kept == {
        "Large-Cap": 12_000,
        "Small-Cap": 50_000,
        "Long-Tail": 100_000,
        "Safety": 200_000,
        "Isolated": 30_000,
        "Mid-Cap": 30_000,
        "FX": 5_000,
    }
    assert DYDX_GENESIS_TIERS["Isolated"].open_interest_lower == 500_000 * QUANTUMS
    assert DYDX_GENESIS_TIERS["Mid-Cap"].open_interest_upper == 100 * MILLION * QUANTUMS
    assert DYDX_GENESIS_TIERS["Large-Cap"].open_interest_upper == 0


def test_negative_integers_are_refused() -> None:
    """Neither a negative size nor a negative open interest has a margin."""
    with pytest.raises(RiskInputError, match="notional"):
        tier(1e6, 2e6).initial(-1)
    with pytest.raises(RiskInputError, match="open_interest"):
        tier(1e6, 2e6).initial(1, -1)


@pytest.mark.parametrize(
    ("asset", "maintenance", "initial"),
    [
        ("ETH", 0.8, 0.75),
        ("BTC", 0.75, 0.6975),
        ("USDT", 0.98, 0.9604),
        ("LRT", 0.65, 0.5005),
        ("sDAI", 0.875, 0.800625),
    ],
)
def test_derive_collateral(asset: str, maintenance: float, initial: float) -> None:
    """Ether counts for 80 % to keep and for 75 % to open, and others likewise (Derive, config-mainnet)."""
    factor = DERIVE_COLLATERAL[asset]
    assert factor.secures_usd(1.0, initial=False) == pytest.approx(maintenance, abs=1e-12)
    assert factor.secures_usd(1.0, initial=True) == pytest.approx(initial, abs=1e-12)


def test_no_collateral_opens_more_than_it_keeps() -> None:
    """What counts for the initial margin counts at least as much for maintenance, and never in full."""
    for factor in DERIVE_COLLATERAL.values():
        assert factor.secures_usd(1.0, initial=True) < factor.secures_usd(1.0, initial=False) < 1.0
