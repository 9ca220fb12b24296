"""Money: integers in base units, inside types that refuse to mix.

Every unit is an ``int`` underneath, so comparing with a contract's ``uint256`` is exact and free. What a unit
adds is refusal: ``Wei(1) + Ray(1)`` is a ``TypeError``, and so is division, because division must name its
rounding (:func:`mul_div`). Inside a venue the contract's own arithmetic runs on plain ``int`` exactly as the EVM
runs it; a figure becomes a unit when it leaves the venue.
"""

from __future__ import annotations

from enum import Enum
from typing import NoReturn, Self, TypeVar


class Rounding(Enum):
    """How an integer division loses its remainder."""

    FLOOR = "floor"
    CEIL = "ceil"
    HALF_UP = "half_up"


def mul_div(value: int, factor: int, divisor: int, rounding: Rounding) -> int:
    """Return ``value * factor / divisor`` as an integer, rounded as named.

    The product is never truncated before the division (Python integers are unbounded, like Solidity's ``mulDiv``).

    Args:
        value: Any integer.
        factor: Any integer.
        divisor: A positive integer.
        rounding: ``FLOOR`` towards minus infinity, ``CEIL`` towards plus infinity, ``HALF_UP`` to nearest, ties up.

    Raises:
        ValueError: ``divisor`` is not positive.
    """
    if divisor <= 0:
        raise ValueError(f"mul_div: divisor {divisor} must be positive")
    product = int(value) * int(factor)
    if rounding is Rounding.FLOOR:
        return product // divisor
    if rounding is Rounding.CEIL:
        return -(-product // divisor)
    return (2 * product + divisor) // (2 * divisor)


class BigInt(int):
    """An integer of any size that the journal can carry (msgpack stops at 64 bits). Arithmetic gives a plain int."""

    __slots__ = ()


class Unit(BigInt):
    """The base of all units: same-type addition, scaling by a plain int, ordering; everything else refuses."""

    __slots__ = ()

    def _same(self, other: object, operation: str) -> int:
        if type(other) is not type(self):
            raise TypeError(f"{type(self).__name__} {operation} {type(other).__name__}: units differ")
        return int(other)

    def __add__(self, other: int) -> Self:
        return type(self)(int(self) + self._same(other, "+"))

    def __radd__(self, other: int) -> Self:
        if other == 0 and type(other) is int:  # sum() starts from a plain zero
            return self
        return self.__add__(other)

    def __sub__(self, other: int) -> Self:
        return type(self)(int(self) - self._same(other, "-"))

    def __rsub__(self, other: int) -> Self:
        return type(self)(self._same(other, "-") - int(self))

    def __mul__(self, other: int) -> Self:
        if type(other) is not int:
            raise TypeError(f"{type(self).__name__} * {type(other).__name__}: scale by a plain int, or use mul_div")
        return type(self)(int(self) * other)

    __rmul__ = __mul__

    def __neg__(self) -> Self:
        return type(self)(-int(self))

    def _refuse_division(self, other: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__} / {type(other).__name__}: name the rounding with mul_div")

    __truediv__ = __floordiv__ = __rfloordiv__ = __rtruediv__ = _refuse_division

    def __lt__(self, other: int) -> bool:
        return int(self) < self._same(other, "<")

    def __le__(self, other: int) -> bool:
        return int(self) <= self._same(other, "<=")

    def __gt__(self, other: int) -> bool:
        return int(self) > self._same(other, ">")

    def __ge__(self, other: int) -> bool:
        return int(self) >= self._same(other, ">=")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({int(self)})"

    __str__ = int.__repr__


AnyUnit = TypeVar("AnyUnit", bound=Unit)


class Wei(Unit):
    """Native coin, 1e-18."""


class Wad(Unit):
    """A ratio in 1e-18 (a health factor)."""

    ONE = 10**18


class Ray(Unit):
    """A ratio in 1e-27 (an interest index or rate)."""

    ONE = 10**27


class Bps(Unit):
    """A ratio in 1e-4."""

    ONE = 10**4


class TokenAmount(Unit):
    """Base units of one token; the token's address always stands beside it."""


class Price(Unit):
    """Base currency per whole token, in the venue's price unit (Aave: USD, 1e-8)."""


class BaseAmount(Unit):
    """A value in the venue's base currency unit (Aave: USD, 1e-8)."""

    ONE = 10**8


UINT256_MAX = 2**256 - 1
