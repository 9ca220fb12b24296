"""A liquidation heals below the frontier and harms above it; a market liquidates so much in a window."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.toxicity import LiquidationWindow, after_liquidation, cp_amm_slippage, toxic_frontier

WINDOW = LiquidationWindow(0.007, 0.003, skew_scale=1000, multiplier=1, window_seconds=10)


def test_the_frontier_without_and_with_slippage() -> None:
    """Incentive 5 %: 1 / 1.05; a million of collateral against 5 million of reserve is lambda 1.4, hence .680272."""
    slippage = cp_amm_slippage(1e6, 5e6)

    assert slippage == pytest.approx(1.4)
    assert toxic_frontier(0.05, [1.0, float(slippage)]) == pytest.approx([0.952381, 0.680272], abs=1e-6)


@pytest.mark.parametrize("reserve", [None, 5e6])
def test_a_small_liquidation_turns_toxic_at_the_frontier(reserve: float | None) -> None:
    """A dollar repaid of a million heals just below the frontier, with its pool or without, and harms just above."""
    line = float(toxic_frontier(0.05, 1.0 if reserve is None else cp_amm_slippage(1e6, reserve)))
    after = after_liquidation(1e6, [1e6 * (line - 1e-4), 1e6 * (line + 1e-4)], 1.0, 0.05, reserve_usd=reserve)

    assert after.toxic.tolist() == [False, True]


def test_a_liquidation_by_hand() -> None:
    """Of 100 against 80, repaying 40 at 5 % leaves 58 against 40; sold into 42 the price is a quarter of it."""
    after = after_liquidation(100, 80, 40, 0.05, reserve_usd=[1e18, 42])

    assert after.collateral_usd == pytest.approx([58, 14.5])
    assert after.ltv == pytest.approx([40 / 58, 40 / 14.5])
    assert after.toxic.tolist() == [False, True]


def test_no_more_is_seized_than_there_is() -> None:
    """Collateral of 100 bears 100; debt without collateral is infinitely bad, neither is nothing."""
    after = after_liquidation(100, [120, 100], 100, 0.05)

    assert after.collateral_usd.tolist() == [0, 0]
    assert after.ltv.tolist() == [np.inf, 0]


@given(st.floats(0.3, 1.2), st.floats(0.01, 0.3), st.floats(0, 0.15))
def test_without_a_pool_any_size_is_toxic_beyond_the_frontier_alone(ltv: float, part: float, bonus: float) -> None:
    """Without slippage the frontier does not depend on the size."""
    line = float(toxic_frontier(bonus))
    after = after_liquidation(1, ltv, part * ltv, bonus)

    assert bool(after.toxic) == (ltv > line) or abs(ltv - line) < 1e-9


@given(st.floats(1, 1e9), st.floats(1, 1e9), st.floats(0, 0.2))
def test_a_deeper_pool_moves_the_frontier_out(reserve: float, other: float, incentive: float) -> None:
    """Depth never makes a liquidation more toxic."""
    shallow, deep = sorted((reserve, other))

    assert toxic_frontier(incentive, cp_amm_slippage(1e6, shallow)) <= toxic_frontier(
        incentive, cp_amm_slippage(1e6, deep)
    )


def test_a_window_liquidates_what_the_contract_does() -> None:
    """Synthetix v3 perps, Liquidation tests (100 per 10 s): 50 of 150 are left, nothing at +6 s, the rest at +11 s."""
    assert WINDOW.capacity == pytest.approx(100)
    first, window = WINDOW.liquidate(150, 1_000)
    second, window = window.liquidate(150 - first, 1_006)
    third, window = window.liquidate(150 - first - second, 1_011)

    assert (150 - first, second, third) == pytest.approx((50, 0, 50))

    other, window = window.liquidate(150, 1_011)
    last, _ = window.liquidate(150 - other, 1_021)

    assert (other, last) == pytest.approx((50, 100))


def test_a_small_premium_opens_the_window_again() -> None:
    """A market under its premium liquidates a whole capacity more, though not twice in one second."""
    market = LiquidationWindow(0.007, 0.003, skew_scale=1000, multiplier=1, window_seconds=10, premium_most=0.05)
    _, used = market.liquidate(150, 0)

    assert used.liquidate(50, 0, premium=0.01)[0] == 0
    assert used.liquidate(50, 1, premium=0.05)[0] == 0
    assert used.liquidate(50, 1, premium=0.01)[0] == 50


def test_a_market_without_capacity_has_no_limit() -> None:
    """As the contract says, a window of nothing was not set."""
    assert LiquidationWindow(0, 0, skew_scale=0, multiplier=1, window_seconds=10).liquidate(150, 0)[0] == 150


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 80)), min_size=1, max_size=30))
def test_no_window_liquidates_more_than_its_capacity(calls: list[tuple[float, float]]) -> None:
    """Whatever is asked and when, any ten seconds liquidate a hundred at most."""
    window, now, done = WINDOW, 0.0, []
    for waited, size in calls:
        now += waited
        allowed, window = window.liquidate(size, now)
        done.append((now, allowed))

    for end, _ in done:
        assert sum(size for time, size in done if end - 10 < time <= end) <= 100 + 1e-9


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: toxic_frontier(-0.1),
        lambda: toxic_frontier(0.1, 0.9),
        lambda: cp_amm_slippage(1, 0),
        lambda: after_liquidation(100, 50, 60, 0.05),
        lambda: after_liquidation(0, 50, 40, 0.05),
        lambda: after_liquidation(100, float("nan"), 40, 0.05),
        lambda: LiquidationWindow(-1, 0, 1, 1, 1),
        lambda: WINDOW.liquidate(-1, 0),
        lambda: WINDOW.liquidate(1, 5)[1].liquidate(1, 4),
    ],
)
def test_a_liquidation_of_nonsense_is_refused(wrong: Callable[[], object]) -> None:
    """No verdict comes out of a wrong parameter."""
    with pytest.raises(RiskInputError):
        wrong()
