"""The arithmetic is the contracts': products and quotients half up, interest by their series."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from hypothesis import given
from hypothesis import strategies as st

from keeper.venues.aave_v3.math import (
    RAY,
    SECONDS_PER_YEAR,
    WAD,
    compounded_interest,
    linear_interest,
    percent_div,
    percent_mul,
    ray_div,
    ray_mul,
    wad_div,
)

amounts = st.integers(min_value=0, max_value=2**128)
indexes = st.integers(min_value=RAY, max_value=100 * RAY)
rates = st.integers(min_value=0, max_value=5 * RAY)
spans = st.integers(min_value=0, max_value=5 * SECONDS_PER_YEAR)
bonuses = st.integers(min_value=1, max_value=65_535)


def _half_up(exact: Fraction) -> int:
    return floor(exact + Fraction(1, 2))


@given(amounts, indexes, bonuses)
def test_products_and_quotients_round_half_up(amount: int, index: int, bonus: int) -> None:
    """Each is the exact rational, rounded once; halves go up where the divisor is even."""
    assert ray_mul(amount, index) == _half_up(Fraction(amount * index, RAY))
    assert percent_mul(amount, bonus) == _half_up(Fraction(amount * bonus, 10_000))
    assert ray_div(amount, index) == (amount * RAY + index // 2) // index
    assert percent_div(amount, bonus) == (amount * 10_000 + bonus // 2) // bonus
    assert wad_div(amount, index) == (amount * WAD + index // 2) // index


@given(amounts, indexes)
def test_a_whole_balance_burns_to_nothing(scaled: int, index: int) -> None:
    """Dividing a balance by the index it was multiplied with gives the scaled balance back: no dust is left."""
    assert ray_div(ray_mul(scaled, index), index) == scaled


@given(rates, spans)
def test_compound_interest_is_at_least_simple_and_at_most_exponential(rate: int, seconds: int) -> None:
    """The three-term series lies between one plus x and four terms' worth of e to the x."""
    simple = linear_interest(rate, seconds)
    x = Fraction(rate * seconds, SECONDS_PER_YEAR * RAY)
    assert simple == RAY + floor(x * RAY)
    assert simple <= compounded_interest(rate, seconds) <= (1 + x + x**2 / 2 + x**3 / 6) * RAY + 2


def test_no_time_gives_no_interest() -> None:
    """At the second of the last update the index is what was stored."""
    assert compounded_interest(RAY, 0) == RAY


def test_one_second_and_two_have_fewer_terms() -> None:
    """The third term begins with the third second."""
    rate = 3 * RAY
    power_two = ray_mul(rate, rate) // SECONDS_PER_YEAR**2
    assert compounded_interest(rate, 1) == RAY + rate // SECONDS_PER_YEAR
    assert compounded_interest(rate, 2) == RAY + 2 * rate // SECONDS_PER_YEAR + power_two
