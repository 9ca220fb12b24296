"""The protocol's fixed-point arithmetic on plain integers (WadRayMath, PercentageMath, MathUtils).

A ray is 1e-27, a wad 1e-18, a percentage 1e-4. A product or quotient rounds half up unless its name says otherwise,
as in the contracts; Python's integers do not overflow where those would revert, which takes amounts beyond 2^128.
"""

from __future__ import annotations

WAD = 10**18
RAY = 10**27
HALF_RAY = RAY // 2
PERCENT = 10_000
HALF_PERCENT = PERCENT // 2
SECONDS_PER_YEAR = 31_536_000


def ray_mul(left: int, right: int) -> int:
    """Multiply two rays, or an amount by a ray."""
    return (left * right + HALF_RAY) // RAY


def ray_div(left: int, right: int) -> int:
    """Divide two rays, or an amount by a ray (not zero)."""
    return (left * RAY + right // 2) // right


def ray_mul_floor(left: int, right: int) -> int:
    """Multiply an amount by a ray, rounding down."""
    return left * right // RAY


def ray_mul_ceil(left: int, right: int) -> int:
    """Multiply an amount by a ray, rounding up."""
    return -(-left * right // RAY)


def ray_div_floor(left: int, right: int) -> int:
    """Divide an amount by a ray (not zero), rounding down."""
    return left * RAY // right


def ray_div_ceil(left: int, right: int) -> int:
    """Divide an amount by a ray (not zero), rounding up."""
    return -(-left * RAY // right)


def mul_div_ceil(left: int, right: int, divisor: int) -> int:
    """Return a product divided by ``divisor`` (not zero), rounding up."""
    return -(-left * right // divisor)


def wad_div(left: int, right: int) -> int:
    """Divide two amounts into a wad; ``right`` is not zero."""
    return (left * WAD + right // 2) // right


def percent_mul(value: int, percentage: int) -> int:
    """Take a percentage (1e-4) of a value."""
    return (value * percentage + HALF_PERCENT) // PERCENT


def percent_div(value: int, percentage: int) -> int:
    """Return what ``value`` is that percentage (1e-4, not zero) of."""
    return (value * PERCENT + percentage // 2) // percentage


def percent_mul_floor(value: int, percentage: int) -> int:
    """Take a percentage (1e-4) of a value, rounding down."""
    return value * percentage // PERCENT


def percent_div_ceil(value: int, percentage: int) -> int:
    """Return what ``value`` is that percentage (1e-4, not zero) of, rounding up."""
    return -(-value * PERCENT // percentage)


def linear_interest(rate: int, seconds: int) -> int:
    """Return the growth factor, in ray, of simple interest at a yearly ``rate`` in ray."""
    return RAY + rate * seconds // SECONDS_PER_YEAR


def compounded_interest(rate: int, seconds: int) -> int:
    """Return the growth factor, in ray, by the three-term binomial of v3.0 (MathUtils.calculateCompoundedInterest)."""
    if seconds == 0:
        return RAY
    less_one = seconds - 1
    less_two = max(seconds - 2, 0)
    power_two = ray_mul(rate, rate) // (SECONDS_PER_YEAR * SECONDS_PER_YEAR)
    power_three = ray_mul(power_two, rate) // SECONDS_PER_YEAR
    second_term = seconds * less_one * power_two // 2
    third_term = seconds * less_one * less_two * power_three // 6
    return RAY + rate * seconds // SECONDS_PER_YEAR + second_term + third_term


def compounded_by_series(rate: int, seconds: int) -> int:
    """Return the growth factor, in ray, by three terms of the exponential series, as the contracts do since v3.4."""
    growth = rate * seconds // SECONDS_PER_YEAR
    return RAY + growth + ray_mul(growth, growth // 2 + ray_mul(growth, growth // 6))
