"""The contracts' arithmetic on plain integers: Solidity truncates where Python floors."""

from __future__ import annotations

WAD = 10**18
Q96 = 1 << 96
RATIO = 10**6
DAY_SECONDS = 86_400
WAD_DIGITS = 18
TICK_MAX = 887_272
DUST = 10
"""Sizes and notionals below this are nothing to the contracts."""

_STEPS = (
    0xFFF97272373D413259A46990580E213A,
    0xFFF2E50F5F656932EF12357CF3C7FDCC,
    0xFFE5CACA7E10E4E61C3624EAA0941CD0,
    0xFFCB9843D60F6159C9DB58835C926644,
    0xFF973B41FA98C081472E6896DFB254C0,
    0xFF2EA16466C96A3843EC78B326B52861,
    0xFE5DEE046A99A2A811C461F1969C3053,
    0xFCBE86C7900A88AEDCFFC83B479AA3A4,
    0xF987A7253AC413176F2B074CF7815E54,
    0xF3392B0822B70005940C7A398E4B70F3,
    0xE7159475A2C29B7443B29C7FA6E889D9,
    0xD097F3BDFD2022B8845AD8F792AA5825,
    0xA9F746462D870FDF8A65DC1F90E061E5,
    0x70D869A156D2A1B890BB3DF62BAF32F7,
    0x31BE135F97D08FD981231505542FCFA6,
    0x9AA508B5B7A84E1C677DE54F3E99BC9,
    0x5D6AF8DEDB81196699C329225EE604,
    0x2216E584F5FA1EA926041BEDFE98,
    0x48A170391F7DC42444E8FA2,
)


def divide(value: int, divisor: int) -> int:
    """Return the quotient, truncated towards zero; ``divisor`` is positive."""
    return value // divisor if value >= 0 else -(-value // divisor)


def mul_div(value: int, factor: int, divisor: int) -> int:
    """Return ``PerpMath.mulDiv``: the product is not truncated before the division, which truncates towards zero."""
    return divide(value * factor, divisor)


def mul_ratio(value: int, ratio: int) -> int:
    """Return a share of a value; ``ratio`` is 1e-6."""
    return mul_div(value, ratio, RATIO)


def mul_div_up(value: int, factor: int, divisor: int) -> int:
    """Return ``FullMath.mulDivRoundingUp`` of unsigned integers."""
    return -(-value * factor // divisor)


def to_settlement(value: int, decimals: int) -> int:
    """Return a figure of 1e-18 in settlement tokens, rounded down (a debt away from zero)."""
    unit: int = 10 ** (WAD_DIGITS - decimals)
    return value // unit


def from_settlement(value: int, decimals: int) -> int:
    """Return a figure in settlement tokens in 1e-18."""
    unit: int = 10 ** (WAD_DIGITS - decimals)
    return value * unit


def sqrt_ratio_at_tick(tick: int) -> int:
    """Return ``TickMath.getSqrtRatioAtTick``: the square root of the price at a tick, 2^-96, rounded up."""
    distance = abs(tick)
    ratio = 0xFFFCB933BD6FAD37AA2D162D1A594001 if distance & 1 else 1 << 128
    for place, step in enumerate(_STEPS, 1):
        if distance >> place & 1:
            ratio = ratio * step >> 128
    if tick > 0:
        ratio = ((1 << 256) - 1) // ratio
    return (ratio >> 32) + (1 if ratio & 0xFFFFFFFF else 0)


def price_x96(sqrt_price: int) -> int:
    """Return the price, 2^-96, of a square root in the same unit."""
    return sqrt_price * sqrt_price // Q96


def price_wad(sqrt_price: int) -> int:
    """Return the price, 1e-18, of a square root in 2^-96."""
    return price_x96(sqrt_price) * WAD // Q96
