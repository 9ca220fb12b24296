"""Calldata and revert data, by slicing."""

from __future__ import annotations

from keeper.core.ids import Address, to_hex
from keeper.core.venue import Call
from keeper.venues.abi import WORD, address_word, selector_of, word

LIQUIDATE = selector_of("liquidate(address,address,int256)")
LIQUIDATE_COLLATERAL = selector_of("liquidateCollateral(address,address,uint256,bool)")
ERROR_STRING = selector_of("Error(string)")


def sale_call(vault: Address, trader: Address, token: Address, amount: int, *, in_settlement: bool) -> Call:
    """Return the call that buys a trader's collateral: an amount to pay, or an amount of the token to get."""
    arguments = address_word(trader) + address_word(token) + word(amount) + word(int(in_settlement))
    return Call(vault, LIQUIDATE_COLLATERAL + arguments)


def takeover_call(clearing_house: Address, trader: Address, base: Address, size: int) -> Call:
    """Return the call that takes over a size of a position, signed as the position; 0 for the most."""
    number = size.to_bytes(WORD, "big", signed=True)
    return Call(clearing_house, LIQUIDATE + address_word(trader) + address_word(base) + number)


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
