"""What differs between versions of the protocol, chosen by the revision that the pool reports.

The pool is a proxy: an upgrade can change every formula at a block. So the revision is state like any other, known
from ``POOL_REVISION()`` read when the proxy is created and again when it emits ``Upgraded``, and undone with its
block. A revision without rules makes every account unknown, which is safe, where a wrong formula would not be.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from keeper.venues.aave_v3.math import PERCENT, WAD, compounded_interest

CLOSE_FACTOR_HEALTH = 95 * WAD // 100
CLOSE_FACTOR = PERCENT // 2


class Rules(msgspec.Struct, frozen=True):
    """The formulas of a version.

    ``compounded_interest(rate, seconds)`` is a growth factor in ray; ``close_factor(health)`` is the share (1e-4) of
    one reserve's debt that one call may repay.
    """

    version: str
    compounded_interest: Callable[[int, int], int]
    close_factor: Callable[[int], int]


def _close_factor(health: int) -> int:
    """Half above a health of 0.95, all at or below it (LiquidationLogic, v3.0)."""
    return CLOSE_FACTOR if health > CLOSE_FACTOR_HEALTH else PERCENT


RULES_3_0 = Rules("3.0", compounded_interest, _close_factor)
RULES = {1: RULES_3_0}
