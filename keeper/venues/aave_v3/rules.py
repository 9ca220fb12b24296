"""What differs between versions of the protocol, chosen by the revision that the pool reports.

The pool is a proxy: an upgrade can change every formula at a block. So the revision is state like any other, known
from ``POOL_REVISION()`` read when the proxy is created and again when it emits ``Upgraded``, and undone with its
block. A revision without rules makes every account unknown, which is safe, where a wrong formula would not be.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from keeper.venues.aave_v3.math import (
    PERCENT,
    WAD,
    compounded_by_series,
    compounded_interest,
    ray_div,
    ray_div_ceil,
    ray_div_floor,
    ray_mul,
    ray_mul_ceil,
    ray_mul_floor,
)

CLOSE_FACTOR_HEALTH = 95 * WAD // 100
CLOSE_FACTOR = PERCENT // 2


class Scaling(msgspec.Struct, frozen=True):
    """How the balances of a kind of token, which are kept scaled, become amounts and back, at an index in ray.

    ``balance(scaled, index)`` is the amount; ``burnt(amount, index)`` the scaled balance that a burn of it takes, and
    ``minted(amount, index)`` what a mint of it brings; ``after(scaled, change, index)`` the scaled balance after events
    printed a change of the amount, below zero when that cannot be.
    """

    balance: Callable[[int, int], int]
    burnt: Callable[[int, int], int]
    after: Callable[[int, int, int], int]
    minted: Callable[[int, int], int]


class Rules(msgspec.Struct, frozen=True):
    """The formulas of a version.

    ``compounded_interest(rate, seconds)`` is a growth factor in ray. ``stable_debt``: some debts have a rate
    of their own. ``member_lists``: an efficiency mode lists its
    assets, and an account's figures are rounded one by one in the pool's favour. ``counted_liquidity``: the pool
    counts what a reserve may pay out, whatever the aToken holds. ``silent_accrual``: a liquidation paid in aTokens
    moves the collateral's indexes without an event. ``token_revisions``: of aToken and debt token, by these rules.
    """

    version: str
    compounded_interest: Callable[[int, int], int]
    supplied: Scaling
    owed: Scaling
    stable_debt: bool
    member_lists: bool
    counted_liquidity: bool
    silent_accrual: bool
    token_revisions: tuple[frozenset[int], frozenset[int]]


def _after_half_up(scaled: int, change: int, index: int) -> int:
    """Events print the amount that was scaled."""
    moved = ray_div(abs(change), index)
    return scaled + moved if change >= 0 else scaled - moved


def _supplied_after(scaled: int, change: int, index: int) -> int:
    """Events print a difference of balances; no two scaled balances have one balance, as an index is a ray or more."""
    left = ray_mul_floor(scaled, index) + change
    return ray_div_ceil(left, index) if left >= 0 else left


def _owed_after(scaled: int, change: int, index: int) -> int:
    """As of a supplied balance, which rounds the other way."""
    left = ray_mul_ceil(scaled, index) + change
    return ray_div_floor(left, index) if left >= 0 else left


_HALF_UP = Scaling(ray_mul, ray_div, _after_half_up, ray_div)

RULES_3_0 = Rules(
    "3.0",
    compounded_interest,
    supplied=_HALF_UP,
    owed=_HALF_UP,
    stable_debt=True,
    member_lists=False,
    counted_liquidity=False,
    silent_accrual=False,
    token_revisions=(frozenset({1}), frozenset({1})),
)
RULES_3_6 = Rules(
    "3.6",
    compounded_by_series,
    supplied=Scaling(ray_mul_floor, ray_div_ceil, _supplied_after, ray_div_floor),
    owed=Scaling(ray_mul_ceil, ray_div_floor, _owed_after, ray_div_ceil),
    stable_debt=False,
    member_lists=True,
    counted_liquidity=True,
    silent_accrual=True,
    token_revisions=(frozenset({5}), frozenset({5, 6})),
)
RULES = {1: RULES_3_0, 10: RULES_3_6}
