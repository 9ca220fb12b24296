"""Calldata and revert data, by slicing."""

from __future__ import annotations

from keeper.core.ids import Address, to_hex
from keeper.core.units import UINT256_MAX
from keeper.core.venue import Call
from keeper.venues.abi import WORD, address_word, selector_of, word

LIQUIDATE = selector_of("liquidate(address,address,int256)")
LIQUIDATE_COLLATERAL = selector_of("liquidateCollateral(address,address,uint256,bool)")
CLOSE_POSITION = selector_of("closePosition((address,uint160,uint256,uint256,bytes32))")
ERROR_STRING = selector_of("Error(string)")


def sale_call(vault: Address, trader: Address, token: Address, amount: int, *, in_settlement: bool) -> Call:
    """Return the call that buys a trader's collateral: an amount to pay, or an amount of the token to get."""
    arguments = address_word(trader) + address_word(token) + word(amount) + word(int(in_settlement))
    return Call(vault, LIQUIDATE_COLLATERAL + arguments)


def takeover_call(clearing_house: Address, trader: Address, base: Address, size: int) -> Call:
    """Return the call that takes over a size of a position, signed as the position; 0 for the most."""
    number = size.to_bytes(WORD, "big", signed=True)
    return Call(clearing_house, LIQUIDATE + address_word(trader) + address_word(base) + number)


def exit_call(clearing_house: Address, base: Address, bound: int) -> Call:
    """Return the call that closes the sender's position, for at least (a long) or at most (a short) so much quote."""
    terms = (word(0), word(bound), word(UINT256_MAX), word(0))  # no price limit of the pool's, no deadline, no referral
    return Call(clearing_house, CLOSE_POSITION + address_word(base) + b"".join(terms))


def revert_name(data: bytes) -> str:
    """Return the contract's message for revert data, which is its name for the error; else hexadecimal."""
    body = data[4:]
    length = int.from_bytes(body[WORD : 2 * WORD], "big")
    raw = body[2 * WORD : 2 * WORD + length]
    if data[:4] != ERROR_STRING or len(body) < 2 * WORD or len(raw) != length:
        return to_hex(data)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return to_hex(data)
