"""Time-weighted average prices: Uniswap v3's from a pool's accumulators, and ours from the prices that we recorded.

Uniswap v3 (``OracleLibrary.consult``, v3-periphery commit 0682387): the mean tick is
``floor((cumulative_1 - cumulative_0) / dt)``, towards minus infinity; the price is ``1.0001 ** tick``, so the mean is a
geometric one. The harmonic mean of the liquidity tells how much capital held the price where it was.

All results are integers, so that they are the same on every machine.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Self

import msgspec

from keeper.core.errors import RiskInputError
from keeper.core.units import BigInt, Rounding, mul_div
from keeper.risk.inputs import integer

TICK_MAX = 887_272
"""The outermost tick of a Uniswap v3 pool, on either side."""
_FIXED = 256
"""Binary places of the powers of 1.0001: more than any price in a 256-bit word can show an error of."""
_UINT160 = 2**160


def mean_tick(cumulative_from: int, cumulative_to: int, window_seconds: int) -> int:
    """Return the arithmetic mean tick over the window, rounded towards minus infinity.

    Raises:
        RiskInputError: the window is empty, or a figure is not an integer.
    """
    window = integer("window_seconds", window_seconds, least=1)
    return (integer("cumulative_to", cumulative_to) - integer("cumulative_from", cumulative_from)) // window


def harmonic_mean_liquidity(cumulative_from_x128: int, cumulative_to_x128: int, window_seconds: int) -> int:
    """Return the harmonic mean liquidity over the window: ``dt * (2^160 - 1) // (delta << 32)``.

    ``delta`` is the growth of seconds per liquidity (2^-128), whose accumulator wraps at 2^160.

    Raises:
        RiskInputError: the window is empty, the accumulator did not grow, or a figure is not an integer.
    """
    integer("window_seconds", window_seconds, least=1)
    first = integer("cumulative_from_x128", cumulative_from_x128)
    delta = (integer("cumulative_to_x128", cumulative_to_x128) - first) % _UINT160
    if delta == 0:
        raise RiskInputError(
            "seconds per liquidity", "did not grow", "give the accumulators at both ends of the window"
        )
    return window_seconds * (_UINT160 - 1) // (delta << 32)


def tick_price(tick: int, scale: int) -> BigInt:
    """Return ``1.0001 ** tick * scale``, to the nearest integer: token1 per token0, both in their smallest units.

    Raises:
        RiskInputError: the tick is outermost, or the scale is not positive.
    """
    integer("tick", tick, least=-TICK_MAX, most=TICK_MAX)
    integer("scale", scale, least=1)
    power, base = 1 << _FIXED, (10_001 << _FIXED) // 10_000
    exponent = abs(tick)
    while exponent:
        if exponent & 1:
            power = power * base >> _FIXED
        base = base * base >> _FIXED
        exponent >>= 1
    whole = 1 << _FIXED
    numerator, divisor = (power, whole) if tick >= 0 else (whole, power)
    return BigInt(mul_div(scale, numerator, divisor, Rounding.HALF_UP))


class RecordedPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A price that held from then on, and ``sum(price * seconds)`` up to then."""

    at_seconds: int
    price: BigInt
    cumulative: BigInt


class PriceRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Prices as they were recorded, in order; each holds until the next.

    Attributes:
        kept_seconds: The longest window asked for; what is older is dropped.
        points: Oldest first. The first may be older than the window: it is the price at the window's start.
    """

    kept_seconds: int
    points: tuple[RecordedPrice, ...] = ()

    def append(self, at_seconds: int, price: int) -> Self:
        """Return the record with one more price; of two at one time the later counts.

        Raises:
            RiskInputError: it is older than the last, or the price is not positive.
        """
        integer("price", price, least=1)
        integer("at_seconds", at_seconds)
        cumulative = 0
        points = self.points
        if points:
            last = points[-1]
            integer("at_seconds", at_seconds, least=last.at_seconds)
            cumulative = last.cumulative + last.price * (at_seconds - last.at_seconds)
        first = max(_place(points, at_seconds - self.kept_seconds), 0)
        added = RecordedPrice(at_seconds, BigInt(price), BigInt(cumulative))
        return msgspec.structs.replace(self, points=(*points[first:], added))

    def covers(self, now_seconds: int, window_seconds: int) -> bool:
        """Return whether a price is recorded for the whole window that ends now.

        Raises:
            RiskInputError: a time is not an integer, or the window negative.
        """
        integer("now_seconds", now_seconds)
        integer("window_seconds", window_seconds, least=0)
        if not self.points or window_seconds > self.kept_seconds:
            return False
        return self.points[0].at_seconds <= now_seconds - window_seconds and self.points[-1].at_seconds <= now_seconds

    def twap(self, now_seconds: int, window_seconds: int) -> BigInt:
        """Return ``sum(price * seconds) / window``, rounded down.

        Raises:
            RiskInputError: the window is empty, or not :meth:`covered <covers>`.
        """
        integer("window_seconds", window_seconds, least=1)
        if not self.covers(now_seconds, window_seconds):
            raise RiskInputError(
                "prices",
                f"are not recorded for the {window_seconds} s before {now_seconds}",
                "ask for a shorter window",
            )
        grown = self._cumulative(now_seconds) - self._cumulative(now_seconds - window_seconds)
        return BigInt(grown // window_seconds)

    def _cumulative(self, at_seconds: int) -> int:
        point = self.points[_place(self.points, at_seconds)]
        return point.cumulative + point.price * (at_seconds - point.at_seconds)


def _place(points: tuple[RecordedPrice, ...], at_seconds: int) -> int:
    """Return the place of the price that held then; -1 if none did."""
    return bisect_right(points, at_seconds, key=lambda point: point.at_seconds) - 1
