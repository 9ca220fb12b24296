"""EIP-1559 fees as integers: what to offer first, and by how much to raise it.

Two rules of other people bound everything here. The base fee of a block can rise by an eighth over its parent's
(EIP-1559), so ``2 * base fee + tip`` stays includable for five full blocks (1.125^5 < 2 < 1.125^6). And a node takes
a second transaction for a nonce only if *both* fee fields are at least a tenth higher (geth, ``PriceBump`` 10); an
eighth leaves room for nodes that want a little more.

The operator's limit is not spent on calls to its last part: one raise is kept back, so that an expired call that was
offered at its ceiling can still be replaced by the cancel that frees its nonce (:func:`call_ceiling`).
"""

from __future__ import annotations

from typing import NamedTuple

from keeper.core.units import Rounding, Wei, mul_div

TIP_WEI_MAX = Wei(50 * 10**9)
"""A node's suggestion above this is not believed."""
RAISE_NUMERATOR, RAISE_DENOMINATOR = 9, 8


class Fees(NamedTuple):
    """What a transaction offers for each unit of gas: at most, and of that to the block's builder."""

    fee_wei_max: Wei
    priority_fee_wei_max: Wei


def call_ceiling(limit: Wei, intent_ceiling: Wei) -> Wei:
    """Return the most a call may offer: its intent's ceiling, and the limit less one raise."""
    return min(Wei(mul_div(limit, RAISE_DENOMINATOR, RAISE_NUMERATOR, Rounding.FLOOR)), intent_ceiling)


def first_fees(base_fee: Wei, tip: Wei, ceiling: Wei) -> Fees | None:
    """Return ``2 * base fee + tip`` under the ceiling; ``None`` when the ceiling is below the base fee.

    Args:
        base_fee: Of the head.
        tip: What the node suggests; believed up to :data:`TIP_WEI_MAX`.
        ceiling: The most that ``fee_wei_max`` may be.
    """
    if ceiling < base_fee:
        return None
    believed = min(tip, TIP_WEI_MAX)
    fee = min(base_fee * 2 + believed, ceiling)
    return Fees(fee, min(believed, fee))


def raised_fees(previous: Fees, base_fee: Wei, tip: Wei, ceiling: Wei) -> Fees | None:
    """Return both fields an eighth or more above ``previous``, and up to what is asked for at this base fee.

    ``None`` when the ceiling forbids the eighth: a smaller raise would be refused by the node's replacement rule.
    """
    least = Fees(_raised(previous.fee_wei_max), _raised(previous.priority_fee_wei_max))
    if ceiling < least.fee_wei_max:
        return None
    fresh = first_fees(base_fee, tip, ceiling) or least
    fee = max(least.fee_wei_max, fresh.fee_wei_max)
    return Fees(fee, min(max(least.priority_fee_wei_max, fresh.priority_fee_wei_max), fee))


def _raised(fee: Wei) -> Wei:
    """Return the fee an eighth higher, rounded up, and by one wei at least."""
    return max(Wei(mul_div(fee, RAISE_NUMERATOR, RAISE_DENOMINATOR, Rounding.CEIL)), fee + Wei(1))
