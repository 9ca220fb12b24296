"""The arithmetic is the contract's: every division rounds as named, interest by three terms, the curve by its drift."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, exp, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.units import UINT256_MAX
from keeper.venues.morpho_blue import rate
from keeper.venues.morpho_blue.math import (
    MAX_LIQUIDATION_INCENTIVE_FACTOR,
    WAD,
    liquidation_incentive_factor,
    mul_div_down,
    mul_div_up,
    taylor_compounded,
    to_assets_down,
    to_assets_up,
    to_shares_down,
    to_shares_up,
)

amounts = st.integers(min_value=0, max_value=2**100)
divisors = st.integers(min_value=1, max_value=2**128)
rates = st.integers(min_value=0, max_value=8 * WAD // rate.YEAR_SECONDS)
spans = st.integers(min_value=0, max_value=rate.YEAR_SECONDS)
used = st.integers(min_value=0, max_value=WAD)
at_target = st.integers(min_value=rate.MIN_RATE_AT_TARGET, max_value=rate.MAX_RATE_AT_TARGET)


@given(amounts, amounts, divisors)
def test_divisions_round_as_named(value: int, factor: int, divisor: int) -> None:
    """Down is the floor of the rational, up its ceiling."""
    exact = Fraction(value * factor, divisor)
    assert (mul_div_down(value, factor, divisor), mul_div_up(value, factor, divisor)) == (floor(exact), ceil(exact))


@pytest.mark.parametrize("divide", [mul_div_down, mul_div_up])
def test_a_product_beyond_256_bits_overflows(divide: object) -> None:
    """Where the contract panics no figure is given; the largest word is still one."""
    assert callable(divide)
    assert divide(UINT256_MAX, 1, 1) == UINT256_MAX
    with pytest.raises(OverflowError):
        divide(UINT256_MAX, 2, 2)


@given(amounts, amounts, amounts)
def test_shares_never_favour_who_asks(assets: int, total_assets: int, total_shares: int) -> None:
    """Assets to shares and back loses nothing upwards, and gains nothing downwards."""
    assert to_assets_down(to_shares_down(assets, total_assets, total_shares), total_assets, total_shares) <= assets
    assert to_assets_up(to_shares_up(assets, total_assets, total_shares), total_assets, total_shares) >= assets


def test_an_empty_market_has_a_share_price() -> None:
    """One virtual asset and a million virtual shares: a first asset is a million shares."""
    assert (to_shares_down(1, 0, 0), to_assets_up(1, 0, 0)) == (10**6, 1)


@given(rates, spans)
def test_interest_lies_between_simple_and_exponential(per_second: int, seconds: int) -> None:
    """The first three terms of the series are at least the first, and at most all of them."""
    x = per_second * seconds
    terms = x + Fraction(x * x, 2 * WAD) + Fraction(x**3, 6 * WAD**2)
    assert x <= taylor_compounded(per_second, seconds) <= terms
    assert terms - taylor_compounded(per_second, seconds) < 2 + Fraction(x, 3 * WAD)


@pytest.mark.parametrize(
    ("lltv_percent", "factor"),
    [(86, 1_043_841_336_116_910_229), (945, 1_016_776_817_488_561_260), (0, MAX_LIQUIDATION_INCENTIVE_FACTOR)],
)
def test_the_incentive_follows_from_the_loan_to_value(lltv_percent: int, factor: int) -> None:
    """One over one less three tenths of what the loan to value leaves, and never more than fifteen percent."""
    lltv = lltv_percent * WAD // (1_000 if lltv_percent > 100 else 100)
    assert liquidation_incentive_factor(lltv) == factor


@given(st.integers(min_value=-(41 * WAD), max_value=90 * WAD))
def test_the_exponential_is_near_the_true_one(exponent: int) -> None:
    """A power of two and a parabola: within a percent above, and a unit below which it is nothing."""
    true = exp(exponent / WAD)
    assert abs(rate.exponential(exponent) / WAD - true) <= 0.01 * true + 2e-18


def test_the_exponential_is_clipped() -> None:
    """Below the smallest unit it is zero, above the largest word it stays."""
    assert rate.exponential(rate.LN_WEI - 1) == 0
    assert rate.exponential(rate.EXP_UPPER_BOUND) == rate.exponential(10 * rate.EXP_UPPER_BOUND) == rate.EXP_UPPER_VALUE


@given(at_target, spans)
def test_at_target_the_rate_stands_still(start: int, seconds: int) -> None:
    """At 90 % utilization there is no error, so the rate is the rate at target, for ever."""
    assert rate.average_rate(rate.TARGET_UTILIZATION, start, seconds) == start


@given(at_target)
def test_the_curve_is_four_times_as_steep_at_the_ends(start: int) -> None:
    """At once, all lent out costs four times the rate at target, and nothing lent out a quarter of it."""
    assert rate.average_rate(WAD, start, 0) == 4 * start
    assert rate.average_rate(0, start, 0) == start // 4


@given(used, at_target, spans, spans)
def test_the_rate_drifts_with_time(utilization: int, start: int, first: int, second: int) -> None:
    """Above the target the rate rises with the span, below it falls, never out of its bounds."""
    short, long = (rate.average_rate(utilization, start, seconds) for seconds in sorted((first, second)))
    assert short <= long if utilization >= rate.TARGET_UTILIZATION else short >= long
    assert rate.MIN_RATE_AT_TARGET // 4 <= min(short, long) <= max(short, long) <= 4 * rate.MAX_RATE_AT_TARGET


def test_before_the_first_accrual_the_rate_is_the_initial_one() -> None:
    """Four percent a year at target, read off the curve."""
    assert rate.average_rate(rate.TARGET_UTILIZATION, 0, 10) == rate.INITIAL_RATE_AT_TARGET


def test_nothing_supplied_is_not_used() -> None:
    """Of nothing, nothing is lent out."""
    assert (rate.utilization(0, 0), rate.utilization(4, 1)) == (0, WAD // 4)
