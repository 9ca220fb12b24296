"""What every EVM contract shares: selectors, topics, words, two standard forms of a revert, a token's allowance."""

from __future__ import annotations

from eth_utils.crypto import keccak

from keeper.core.ids import ADDRESS_LENGTH, Address
from keeper.core.units import TokenAmount
from keeper.core.venue import Call

WORD = 32
ADDRESS_PADDING = bytes(WORD - ADDRESS_LENGTH)


def selector_of(signature: str) -> bytes:
    """Return the four bytes that call a function."""
    return bytes(keccak(text=signature)[:4])


def topic_of(signature: str) -> bytes:
    """Return the first topic of an event from its canonical signature."""
    return bytes(keccak(text=signature))


ERROR_STRING = selector_of("Error(string)")
PANIC = selector_of("Panic(uint256)")
APPROVE = selector_of("approve(address,uint256)")


def word(value: int) -> bytes:
    """Return an unsigned integer as an argument."""
    return value.to_bytes(WORD, "big")


def address_word(address: Address) -> bytes:
    """Return an address as an argument."""
    return ADDRESS_PADDING + address


def approval_call(token: Address, spender: Address, amount: TokenAmount) -> Call:
    """Return the call that lets a spender take an amount of an ERC-20 token."""
    return Call(token, APPROVE + address_word(spender) + word(int(amount)))


def revert_reason(data: bytes) -> str | None:
    """Return the message of ``Error(string)`` or ``Panic(0x..)``; ``None`` for data of any other form."""
    selector, body = data[:4], data[4:]
    if selector == PANIC and len(body) == WORD:
        return f"Panic({int.from_bytes(body, 'big'):#04x})"
    return _message(body) if selector == ERROR_STRING else None


def _message(body: bytes) -> str | None:
    length = int.from_bytes(body[WORD : 2 * WORD], "big")
    raw = body[2 * WORD : 2 * WORD + length]
    if int.from_bytes(body[:WORD], "big") != WORD or len(raw) != length or len(body) < 2 * WORD:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None
