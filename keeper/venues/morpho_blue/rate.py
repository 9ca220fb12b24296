"""The adaptive curve, the interest-rate model of nearly every market (AdaptiveCurveIrm), on plain integers.

The rate at 90 % utilization drifts with the time since the last accrual, the faster the further utilization is from
there; the rate charged is read off a curve through that point. So the rate of the *next* accrual depends on when it
will be, and an answer read at one block is not the rate of the next: it must be worked out. All divisions go to zero,
as Solidity's signed ones do.
"""

from __future__ import annotations

from keeper.venues.morpho_blue.math import WAD

YEAR_SECONDS = 31_536_000
CURVE_STEEPNESS = 4 * WAD
ADJUSTMENT_SPEED = 50 * WAD // YEAR_SECONDS
TARGET_UTILIZATION = 9 * WAD // 10
INITIAL_RATE_AT_TARGET = 4 * WAD // 100 // YEAR_SECONDS
MIN_RATE_AT_TARGET = WAD // 1_000 // YEAR_SECONDS
MAX_RATE_AT_TARGET = 2 * WAD // YEAR_SECONDS
LN_2 = 693_147_180_559_945_309
LN_WEI = -41_446_531_673_892_822_312
EXP_UPPER_BOUND = 93_859_467_695_000_404_319
EXP_UPPER_VALUE = 57_716_089_161_558_943_949_701_069_502_944_508_345_128_422_502_756_744_429_568


def utilization(supply_assets: int, borrow_assets: int) -> int:
    """Return the share of the supply that is lent out, in wad; zero of nothing."""
    return borrow_assets * WAD // supply_assets if supply_assets else 0


def average_rate(used: int, rate_at_target: int, seconds: int) -> int:
    """Return the rate charged for a span since the last accrual, in wad per second.

    Args:
        used: Utilization since the last accrual, wad.
        rate_at_target: The rate at target utilization after the last accrual, wad per second; zero before the first.
        seconds: The span.
    """
    norm = WAD - TARGET_UTILIZATION if used > TARGET_UTILIZATION else TARGET_UTILIZATION
    error = _to_zero((used - TARGET_UTILIZATION) * WAD, norm)
    return _curve(_average_at_target(error, rate_at_target, seconds), error)


def _average_at_target(error: int, start: int, seconds: int) -> int:
    """Integrate the drift by the trapezoidal rule in two steps."""
    if start == 0:
        return INITIAL_RATE_AT_TARGET
    adaptation = _to_zero(ADJUSTMENT_SPEED * error, WAD) * seconds
    if adaptation == 0:
        return start
    end, middle = _drifted(start, adaptation), _drifted(start, _to_zero(adaptation, 2))
    return (start + end + 2 * middle) // 4


def _drifted(start: int, adaptation: int) -> int:
    return min(max(start * exponential(adaptation) // WAD, MIN_RATE_AT_TARGET), MAX_RATE_AT_TARGET)


def _curve(rate_at_target: int, error: int) -> int:
    steepness = WAD - WAD * WAD // CURVE_STEEPNESS if error < 0 else CURVE_STEEPNESS - WAD
    return (_to_zero(steepness * error, WAD) + WAD) * rate_at_target // WAD


def exponential(exponent: int) -> int:
    """Return e to an exponent, both in wad, by the contract's approximation: a power of two and a parabola."""
    if exponent < LN_WEI:
        return 0
    if exponent >= EXP_UPPER_BOUND:
        return EXP_UPPER_VALUE
    half = LN_2 // 2
    power = _to_zero(exponent + (half if exponent >= 0 else -half), LN_2)
    rest = exponent - power * LN_2
    fraction = WAD + rest + rest * rest // WAD // 2
    return fraction << power if power >= 0 else fraction >> -power


def _to_zero(value: int, divisor: int) -> int:
    """Divide by a positive integer, losing the remainder towards zero."""
    return value // divisor if value >= 0 else -(-value // divisor)
