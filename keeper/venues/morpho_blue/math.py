"""The protocol's fixed-point arithmetic on plain integers (MathLib, SharesMathLib, ConstantsLib).

Every division says which way it rounds, and a product that does not fit 256 bits raises ``OverflowError``, where the
contract panics. Totals are counted with one virtual asset and a million virtual shares, so that no share price is ever
undefined.
"""

from __future__ import annotations

from keeper.core.units import UINT256_MAX

WAD = 10**18
ORACLE_PRICE_SCALE = 10**36
VIRTUAL_SHARES = 10**6
VIRTUAL_ASSETS = 1
LIQUIDATION_CURSOR = 3 * WAD // 10
MAX_LIQUIDATION_INCENTIVE_FACTOR = 115 * WAD // 100
UINT128_MAX = 2**128 - 1


def mul_div_down(value: int, factor: int, divisor: int) -> int:
    """Return ``value * factor / divisor`` rounded down; ``divisor`` is not zero."""
    return _fitting(value * factor) // divisor


def mul_div_up(value: int, factor: int, divisor: int) -> int:
    """Return ``value * factor / divisor`` rounded up; ``divisor`` is not zero."""
    return _fitting(value * factor + divisor - 1) // divisor


def _fitting(value: int) -> int:
    if value > UINT256_MAX:
        raise OverflowError
    return value


def to_shares_down(assets: int, total_assets: int, total_shares: int) -> int:
    """Return the shares that assets are worth, rounded down."""
    return mul_div_down(assets, total_shares + VIRTUAL_SHARES, total_assets + VIRTUAL_ASSETS)


def to_shares_up(assets: int, total_assets: int, total_shares: int) -> int:
    """Return the shares that assets are worth, rounded up."""
    return mul_div_up(assets, total_shares + VIRTUAL_SHARES, total_assets + VIRTUAL_ASSETS)


def to_assets_down(shares: int, total_assets: int, total_shares: int) -> int:
    """Return the assets that shares are worth, rounded down."""
    return mul_div_down(shares, total_assets + VIRTUAL_ASSETS, total_shares + VIRTUAL_SHARES)


def to_assets_up(shares: int, total_assets: int, total_shares: int) -> int:
    """Return the assets that shares are worth, rounded up."""
    return mul_div_up(shares, total_assets + VIRTUAL_ASSETS, total_shares + VIRTUAL_SHARES)


def taylor_compounded(rate: int, seconds: int) -> int:
    """Return e to the ``rate * seconds`` less one, in wad, by its first three terms; ``rate`` is wad per second."""
    first = _fitting(rate * seconds)
    second = mul_div_down(first, first, 2 * WAD)
    third = mul_div_down(second, first, 3 * WAD)
    return first + second + third


def liquidation_incentive_factor(lltv: int) -> int:
    """Return what is seized per value repaid, in wad, in a market with this liquidation loan to value (wad)."""
    discounted = WAD - mul_div_down(LIQUIDATION_CURSOR, WAD - lltv, WAD)
    return min(MAX_LIQUIDATION_INCENTIVE_FACTOR, mul_div_down(WAD, WAD, discounted))
