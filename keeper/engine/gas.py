"""What gas costs, in wei and in the base currency. Integers, rounded against the keeper.

The price of the head is the most that the next block's base fee can be, one eighth above this block's (EIP-1559), and
the priority fee that the node suggests. What is really offered is the executor's choice, under the intent's ceiling.
"""

from __future__ import annotations

from collections.abc import Iterable

from keeper.core.facts import BlockHeader, SignerRead
from keeper.core.runconfig import ChainSpec
from keeper.core.units import BaseAmount, Rounding, TokenAmount, Wei, mul_div
from keeper.core.venue import VenueView

NATIVE_WEI = 10**18


def gas_price_wei(head: BlockHeader, wallet: SignerRead | None) -> Wei:
    """Return the most that gas costs in the block after ``head``; without a wallet no priority fee is counted."""
    base_fee = Wei(mul_div(head.base_fee_wei, 9, 8, Rounding.CEIL))
    return base_fee if wallet is None else base_fee + wallet.priority_fee_wei


def native_price_base(chain: ChainSpec, venues: Iterable[VenueView]) -> BaseAmount | None:
    """Return the value of one native coin, USD 1e-8; ``None`` when none of the chain's venues prices the wrapped token.

    A slice pays for gas what every other does, whichever venue it is of. Where venues differ the dearest counts. A
    price of zero is no price: it would make gas free.
    """
    if chain.wrapped_native is None:
        return None
    known = [venue.value_base(chain.wrapped_native, TokenAmount(NATIVE_WEI)) for venue in venues]
    return max((price for price in known if price), default=None)


def cost_base(gas: int, price_wei: Wei, native_base: BaseAmount) -> BaseAmount:
    """Return the cost of ``gas`` at ``price_wei`` per unit, USD 1e-8, rounded up."""
    return BaseAmount(mul_div(gas * int(price_wei), int(native_base), NATIVE_WEI, Rounding.CEIL))


def price_wei_borne(headroom_base: BaseAmount, gas: int, native_base: BaseAmount | None, limit: Wei) -> Wei:
    """Return the highest gas price that costs at most ``headroom_base``, and never more than ``limit``."""
    divisor = gas * int(native_base or 0)
    if divisor == 0:
        return limit
    borne = mul_div(int(headroom_base), NATIVE_WEI, divisor, Rounding.FLOOR)
    return min(limit, Wei(max(0, borne)))
