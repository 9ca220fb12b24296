"""A haircut grows with what may happen until the collateral is sold, and is never more than all of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from keeper.core.errors import RiskInputError
from keeper.risk.haircuts import (
    BASEL_FX_HAIRCUT,
    BASEL_LISTED_HAIRCUT,
    BASEL_MAIN_INDEX_HAIRCUT,
    basel_debt_haircut,
    basel_haircut,
    constant_product_slippage,
    depth_slippage,
    dynamic_haircut,
    expected_loss,
    linear_slippage,
    quantile_move,
    square_root_impact,
    storefront_discount,
    storefront_quote,
    synthetix_discount,
)

DAY = 86_400
SIZES = [0.0, 100.0, 300.0, 1_000.0]
OFFSETS = [0.001, 0.01, 0.02, 0.2]
"""A book: half a spread of 10 bp, then thinner and thinner."""


def test_a_haircut_is_the_sum_of_its_parts() -> None:
    """``z * sigma * sqrt(h) + slip + floor``: 2 * 73 % * sqrt(1 / 365) is 7.64 %, with 1 % and 2 % added 10.64 %."""
    parts = dynamic_haircut(0.73, DAY, 0.01, quantile_sigmas=2.0, floor=0.02)

    assert parts.volatility == pytest.approx(2 * 0.73 / math.sqrt(365), rel=1e-9)
    assert parts.total == pytest.approx(0.106420, abs=1e-6)
    assert parts.total == pytest.approx(float(parts.volatility + parts.slippage + parts.floor), rel=1e-9)


def test_a_haircut_is_clipped_to_its_cap() -> None:
    """No more than the cap is taken off, and never more than the whole."""
    assert dynamic_haircut(5.0, 365 * DAY, quantile_sigmas=3.0).total == 1.0
    assert dynamic_haircut(5.0, 365 * DAY, quantile_sigmas=3.0, cap=0.9).total == 0.9


POSITIVE = st.floats(0, 1e3)


@given(
    st.floats(0, 5), st.floats(0, 3e7), st.floats(0, 1), st.floats(0, 1), st.floats(0, 5), st.tuples(*[POSITIVE] * 3)
)
def test_a_haircut_rises_with_volatility_horizon_and_cost(
    vol: float, horizon: float, slippage: float, floor: float, sigmas: float, more: tuple[float, float, float]
) -> None:
    """More of anything never lowers a haircut, and it stays in [0, 1]."""
    plain = dynamic_haircut(vol, horizon, slippage, quantile_sigmas=sigmas, floor=floor).total
    for raised in [
        dynamic_haircut(vol + more[0], horizon, slippage, quantile_sigmas=sigmas, floor=floor).total,
        dynamic_haircut(vol, horizon + more[1], slippage, quantile_sigmas=sigmas, floor=floor).total,
        dynamic_haircut(vol, horizon, slippage + more[2], quantile_sigmas=sigmas, floor=floor).total,
    ]:
        assert 0 <= plain <= raised <= 1


@given(st.floats(0, 1e4), st.floats(0, 1e4))
def test_a_slippage_rises_with_size(size: float, more: float) -> None:
    """Each way of selling costs more for more, from nothing to everything."""
    sizes = np.array([size, size + more])
    for slipped in [
        linear_slippage(sizes, 700.0),
        constant_product_slippage(sizes, 700.0),
        depth_slippage(sizes, SIZES, OFFSETS),
        square_root_impact(sizes, 700.0, 0.8),
    ]:
        assert np.all((slipped >= 0) & (slipped <= 1))
        assert slipped[0] <= slipped[1] + 1e-12


def test_a_linear_market_costs_half_of_what_it_moves() -> None:
    """A sale that moves the marginal price by 10 % has cost 5 % on average; and all is the most there is to lose."""
    assert linear_slippage(10.0, 100.0) == pytest.approx(0.05, rel=1e-9)
    assert linear_slippage(1e6, 100.0) == 1.0


def test_a_constant_product_pool_pays_what_its_curve_says() -> None:
    """Selling 100 into a pool of 1,000 at 2,000 each brings 2e6 - 2e9 / 1,100, which is 9.0909 % below the mid."""
    received = 2e6 - 2e9 / 1_100

    assert constant_product_slippage(100.0, 1_000.0) == pytest.approx(1 - received / (100 * 2_000), rel=1e-9)


def test_a_small_sale_into_a_pool_is_linear_with_a_depth_of_half_of_the_reserve() -> None:
    """``dP / P = -2 dx / x``: both forms agree to first order."""
    assert linear_slippage(1e-3, 1_000.0 / 2) == pytest.approx(
        float(constant_product_slippage(1e-3, 1_000.0)), rel=1e-5
    )


@pytest.mark.parametrize("size", [1e-6, 50.0, 100.0, 250.0, 1_000.0])
def test_the_average_over_a_book_is_the_integral_of_its_offsets(size: float) -> None:
    """The closed form equals numeric integration of the piecewise linear offset."""
    integral = quad(lambda sold: float(np.interp(sold, SIZES, OFFSETS)), 0, size, points=[100.0, 300.0], limit=200)[0]

    assert depth_slippage(size, SIZES, OFFSETS) == pytest.approx(integral / size, rel=1e-8)


def test_what_a_book_has_no_buyer_for_is_lost() -> None:
    """Twice what a book holds: the second half counts for nothing; and a sale of nothing costs half of the spread."""
    full = float(depth_slippage(1_000.0, SIZES, OFFSETS))

    assert depth_slippage(2_000.0, SIZES, OFFSETS) == pytest.approx((full + 1) / 2, rel=1e-9)
    assert depth_slippage([0.0, 0.0], SIZES, OFFSETS) == pytest.approx([0.001, 0.001])


@pytest.mark.parametrize(
    ("sizes", "offsets"), [([1.0, 2.0], [0.0, 0.1]), ([0.0, 0.0], [0.0, 0.1]), ([0.0, 1.0], [0.1, 0.0])]
)
def test_a_book_that_does_not_ascend_is_refused(sizes: list[float], offsets: list[float]) -> None:
    """A curve starts at nothing sold and only goes down in price."""
    with pytest.raises(RiskInputError, match="depth: does not ascend"):
        depth_slippage(1.0, sizes, offsets)


def test_the_square_root_law_has_the_volatility_of_a_day() -> None:
    """A quarter of a day's volume moves the price by half of a day's standard deviation (Toth et al. 2011, Y = 1)."""
    assert square_root_impact(25.0, 100.0, 0.8) == pytest.approx(0.5 * 0.8 / math.sqrt(365), rel=1e-9)


def test_the_arrays_of_a_haircut_broadcast() -> None:
    """Three assets by two horizons are one call; shapes that do not go together are named."""
    parts = dynamic_haircut([0.2, 0.5, 0.8], [[DAY], [7 * DAY]], quantile_sigmas=2.33)

    assert parts.total.shape == (2, 3)
    with pytest.raises(RiskInputError, match="have shapes"):
        quantile_move([0.2, 0.5], [1.0, 2.0, 3.0], 1.0)


@pytest.mark.parametrize(
    ("haircut", "holding_days", "revaluation_days", "expected"),
    [
        (0.15, 20, 1, 0.212132),
        (0.15, 5, 1, 0.106066),
        (0.15, 10, 5, 0.177482),
        (BASEL_FX_HAIRCUT, 20, 1, 0.113137),
        (0.15, 10, 1, 0.15),
    ],
)
def test_basel_scales_with_the_square_root_of_time(
    haircut: float, holding_days: int, revaluation_days: int, expected: float
) -> None:
    """``H_10 * sqrt((N_R + T_M - 1) / 10)``: 21.2132 % for 20 days, 10.6066 % for 5, 17.748 % if remargined weekly."""
    scaled = basel_haircut(haircut, holding_days=holding_days, revaluation_days=revaluation_days)

    assert scaled == pytest.approx(expected, abs=1e-6)


def test_the_supervisory_table_is_the_rules() -> None:
    """12 CFR 1240.39, table 1: sovereigns of zero weight 0.5, 2 and 4 %, main index 15 %, other listed 25 %, FX 8 %."""
    assert [basel_debt_haircut(years, 0, sovereign=True) for years in (1, 5, 5.1)] == [0.005, 0.02, 0.04]
    assert [basel_debt_haircut(years, 0.5, sovereign=True) for years in (0, 1.1, 30)] == [0.01, 0.03, 0.06]
    assert [basel_debt_haircut(years, 0.2, sovereign=False) for years in (1, 2, 6)] == [0.01, 0.04, 0.08]
    assert [basel_debt_haircut(years, 1, sovereign=False) for years in (1, 2, 6)] == [0.04, 0.08, 0.16]
    assert basel_debt_haircut(3, 1, sovereign=True) == BASEL_MAIN_INDEX_HAIRCUT == 0.15
    assert (BASEL_LISTED_HAIRCUT, BASEL_FX_HAIRCUT) == (0.25, 0.08)
    with pytest.raises(RiskInputError, match=r"risk_weight: is 0; give one of 0.2, 0.5, 1"):
        basel_debt_haircut(1, 0, sovereign=False)


def test_compound_sells_seized_collateral_at_a_discount() -> None:
    """Compound III: factors of .6 and .5 are 20 % off, COMP at 200 sells for 160, and 200 USDC buys 1.25."""
    discount = storefront_discount(0.6, 0.5)

    assert discount == pytest.approx(0.2, rel=1e-9)
    assert 200 * (1 - discount) == pytest.approx(160, rel=1e-9)
    assert storefront_quote(200.0, 200.0, 0.6, 0.5) == pytest.approx(1.25, rel=1e-9)
    with pytest.raises(RiskInputError, match="1 - discount"):
        storefront_quote(200.0, 200.0, 0.0, 1.0)


def test_synthetix_discounts_what_would_move_its_market() -> None:
    """``clip(amount / skewScale * scalar, lower, upper)``, and none where the skew scale is 0 (Synthetix v3)."""
    discount = synthetix_discount([1.0, 300.0, 1e6, 1e6], [1e4, 1e4, 1e4, 0.0], 1.0, 0.01, 0.05)

    assert discount == pytest.approx([0.01, 0.03, 0.05, 0.0], rel=1e-9)
    with pytest.raises(RiskInputError, match="upper"):
        synthetix_discount(1.0, 1.0, 1.0, 0.5, 0.1)


def test_an_expected_loss_is_the_chance_times_the_loss() -> None:
    """A constant intensity of 3 % a year for 30 days with 80 % lost: .197017 %."""
    assert expected_loss(0.03, 30 * DAY, 0.8) == pytest.approx(0.00197017, abs=1e-8)


@pytest.mark.parametrize("wrong", [math.nan, -1.0])
def test_what_is_no_size_or_volatility_is_refused(wrong: float) -> None:
    """No haircut comes of a figure that is missing or negative."""
    calls: list[Callable[[], object]] = [
        lambda: dynamic_haircut(wrong, 1.0, quantile_sigmas=1.0),
        lambda: dynamic_haircut(1.0, wrong, quantile_sigmas=1.0),
        lambda: linear_slippage(wrong, 1.0),
        lambda: constant_product_slippage(1.0, wrong),
        lambda: depth_slippage(wrong, SIZES, OFFSETS),
        lambda: square_root_impact(1.0, wrong, 1.0),
        lambda: expected_loss(wrong, 1.0, 1.0),
    ]
    for call in calls:
        with pytest.raises(RiskInputError):
            call()
