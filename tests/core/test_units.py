"""Money refuses to mix and names its rounding."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.units import BaseAmount, Ray, Rounding, TokenAmount, Wei, mul_div

integers = st.integers(min_value=-(2**260), max_value=2**260)


@given(integers, integers, st.integers(min_value=1, max_value=2**256))
def test_mul_div_equals_the_rational_rounded_as_named(value: int, factor: int, divisor: int) -> None:
    """mul_div is the exact rational, then one rounding."""
    exact = Fraction(value * factor, divisor)

    assert mul_div(value, factor, divisor, Rounding.FLOOR) == floor(exact)
    assert mul_div(value, factor, divisor, Rounding.CEIL) == ceil(exact)
    assert mul_div(value, factor, divisor, Rounding.HALF_UP) == floor(exact + Fraction(1, 2))


def test_mul_div_refuses_a_divisor_that_is_not_positive() -> None:
    """A zero divisor is an error that names it."""
    with pytest.raises(ValueError, match="divisor 0"):
        mul_div(1, 1, 0, Rounding.FLOOR)


@given(integers, integers)
def test_same_units_add_and_keep_their_type(left: int, right: int) -> None:
    """Wei plus Wei is Wei, and exact."""
    total = Wei(left) + Wei(right)

    assert type(total) is Wei
    assert int(total) == left + right
    assert sum([Wei(left), Wei(right)]) == total


@pytest.mark.parametrize(
    "mixed",
    [
        lambda: Wei(1) + Ray(1),
        lambda: Wei(1) + 1,
        lambda: 1 + Wei(1),
        lambda: Wei(1) - TokenAmount(1),
        lambda: 1 - Wei(1),
        lambda: Wei(1) < Ray(2),
        lambda: Wei(1) >= 0,
        lambda: Wei(2) * Wei(2),
        lambda: Wei(2) // 2,
        lambda: 2 / Wei(2),
        lambda: BaseAmount(2) / BaseAmount(1),
    ],
)
def test_different_units_refuse_to_mix(mixed: object) -> None:
    """Adding, comparing, multiplying or dividing across units is a TypeError."""
    with pytest.raises(TypeError):
        mixed()  # type: ignore[operator]
