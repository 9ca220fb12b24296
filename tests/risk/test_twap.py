"""Averages over time: of a pool's accumulators, and of the prices that were recorded."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.twap import TICK_MAX, PriceRecord, harmonic_mean_liquidity, mean_tick, tick_price


@pytest.mark.parametrize(
    ("cumulative_from", "cumulative_to", "window_seconds", "tick"),
    [(12, 12, 3, 0), (-10, -12, 4, -1), (12, 12, 1, 0), (0, 7, 2, 3), (0, -8, 4, -2)],
)
def test_the_mean_tick_is_rounded_towards_minus_infinity(
    cumulative_from: int, cumulative_to: int, window_seconds: int, tick: int
) -> None:
    """Uniswap v3-periphery's ``OracleLibrary.spec``: (-10, -12) over 4 s is -1, not 0."""
    assert mean_tick(cumulative_from, cumulative_to, window_seconds) == tick


@pytest.mark.parametrize(("cumulatives", "window_seconds"), [((10, 20), 3), ((10, 15), 4)])
def test_the_harmonic_mean_liquidity_is_the_contracts(cumulatives: tuple[int, int], window_seconds: int) -> None:
    """Uniswap v3-periphery's ``OracleLibrary.spec``: ``dt * (2^160 - 1) // ((to - from) << 32)``."""
    expected = window_seconds * (2**160 - 1) // ((cumulatives[1] - cumulatives[0]) * 2**32)

    assert harmonic_mean_liquidity(*cumulatives, window_seconds) == expected


@given(st.integers(1, 2**100), st.integers(1, 86_400), st.integers(0, 2**160 - 1))
def test_a_constant_liquidity_is_its_own_harmonic_mean(liquidity: int, seconds: int, start: int) -> None:
    """Seconds per liquidity grow by ``dt * 2^128 / L``, wrap at 2^160, and give ``L`` back."""
    grown = (seconds << 128) // liquidity
    mean = harmonic_mean_liquidity(start, (start + grown) % 2**160, seconds)

    assert mean >= liquidity - 1
    assert mean == pytest.approx(liquidity, rel=2 / grown + 1e-9, abs=1)


def test_a_pool_without_a_window_has_no_mean() -> None:
    """An empty window, and accumulators that are one and the same, are refused by name."""
    with pytest.raises(RiskInputError, match="window_seconds"):
        mean_tick(0, 0, 0)
    with pytest.raises(RiskInputError, match="seconds per liquidity: did not grow"):
        harmonic_mean_liquidity(5, 5, 10)


@pytest.mark.parametrize("tick", [0, 1, -1, 100, -100, 46_054, -200_000, 400_000, TICK_MAX, -TICK_MAX])
def test_the_price_of_a_tick_is_a_power(tick: int) -> None:
    """``1.0001 ** tick`` (Uniswap v3 whitepaper, 6.1), against floating point."""
    scale = 10**60

    assert tick_price(tick, scale) / scale == pytest.approx(1.0001**tick, rel=1e-9)


def test_the_price_of_a_tick_is_exact_where_that_can_be_checked() -> None:
    """``1.0001^3 = 1.000300030001`` and its inverse, with no digit lost or added."""
    assert tick_price(3, 10**20) == 100_030_003_000_100_000_000
    assert tick_price(-3, 10**20) == round(Fraction(10**20) / Fraction(10_001, 10_000) ** 3)


def test_a_tick_beyond_the_outermost_has_no_price() -> None:
    """Uniswap v3's ``TickMath.MAX_TICK`` is 887,272."""
    with pytest.raises(RiskInputError, match="tick"):
        tick_price(TICK_MAX + 1, 1)
    with pytest.raises(RiskInputError, match="scale"):
        tick_price(0, 0)


def recorded(*points: tuple[int, int], kept_seconds: int = 1_000) -> PriceRecord:
    """Return the record of these times and prices."""
    record = PriceRecord(kept_seconds=kept_seconds)
    for at_seconds, price in points:
        record = record.append(at_seconds, price)
    return record


def test_a_recorded_price_weighs_as_long_as_it_held() -> None:
    """100 for 30 s, 200 for 20 s and 400 for 10 s are 183 on average (11,000 / 60, rounded down)."""
    record = recorded((0, 100), (30, 200), (50, 400))

    assert record.twap(60, 60) == 183
    assert record.twap(60, 10) == 400
    assert record.twap(55, 20) == (15 * 200 + 5 * 400) // 20
    assert record.twap(70, 10) == 400


def test_a_price_that_held_no_time_weighs_nothing() -> None:
    """Of two prices at one time the later counts: what a flash loan does within a block leaves no trace."""
    assert recorded((0, 100), (30, 9_000), (30, 100)).twap(60, 60) == 100


def test_a_window_that_was_not_recorded_has_no_average() -> None:
    """Before the first price, before the last and beyond what is kept there is nothing to average."""
    record = recorded((10, 100), (40, 200), kept_seconds=100)

    assert record.covers(60, 50)
    for now_seconds, window_seconds in [(60, 51), (39, 20), (500, 101)]:
        assert not record.covers(now_seconds, window_seconds)
        with pytest.raises(RiskInputError, match="prices: are not recorded"):
            record.twap(now_seconds, window_seconds)
    with pytest.raises(RiskInputError, match="window_seconds"):
        record.twap(60, 0)
    assert not PriceRecord(kept_seconds=1).covers(0, 1)


def test_a_record_is_only_ever_appended_to() -> None:
    """A price from before the last is refused, and the record before the new price is what it was."""
    record = recorded((10, 100))

    with pytest.raises(RiskInputError, match="at_seconds"):
        record.append(9, 100)
    with pytest.raises(RiskInputError, match="price"):
        record.append(11, 0)
    record.append(11, 200)
    assert len(record.points) == 1


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10**30)), min_size=1, max_size=20), st.integers(1, 100))
def test_what_is_dropped_from_a_record_was_not_needed(steps: list[tuple[int, int]], window_seconds: int) -> None:
    """A record that keeps the window only gives the same average as one that keeps all, within the prices' range."""
    short, whole, now_seconds = PriceRecord(kept_seconds=window_seconds), PriceRecord(kept_seconds=10_000), 0
    for waited_seconds, price in steps:
        now_seconds += waited_seconds
        short, whole = short.append(now_seconds, price), whole.append(now_seconds, price)

    assert short.covers(now_seconds, window_seconds) == whole.covers(now_seconds, window_seconds)
    if whole.covers(now_seconds, window_seconds):
        assert short.twap(now_seconds, window_seconds) == whole.twap(now_seconds, window_seconds)
        prices = [price for _, price in steps]
        assert min(prices) <= whole.twap(now_seconds, window_seconds) <= max(prices)
