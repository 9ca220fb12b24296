"""Transactions of the simulated chain: ours decoded from their signed bytes, everybody else's made here."""

from __future__ import annotations

from typing import NamedTuple

from eth_utils.crypto import keccak

from keeper.core.ids import Address, Hash32, content_id

DYNAMIC_FEE_TYPE = 2
_SHORT, _LONG_STRING, _LIST, _LONG_LIST = 0x80, 0xB8, 0xC0, 0xF8


class Transaction(NamedTuple):
    """A transaction. ``raw`` are the signed bytes of ours, empty for everybody else's."""

    hash: Hash32
    sender: Address
    nonce: int
    to: Address
    data: bytes
    gas_limit: int
    fee_wei_max: int
    tip_wei_max: int
    raw: bytes

    @property
    def cost_wei_max(self) -> int:
        """The most that it can cost its sender (no value is ever sent)."""
        return self.gas_limit * self.fee_wei_max

    def tip_wei(self, base_fee_wei: int) -> int:
        """What a miner gets for each unit of gas; negative when it cannot be in the block."""
        return min(self.tip_wei_max, self.fee_wei_max - base_fee_wei)


def others(sender: Address, to: Address, data: bytes, tip_wei: int, *salt: int | str | bytes) -> Transaction:
    """Make a transaction that nobody signed, of somebody whose nonces and fees do not matter."""
    tx_hash = content_id("transaction", sender, to, data, *salt)
    return Transaction(tx_hash, sender, 0, to, data, 10**7, 10**18, tip_wei, b"")


def decode_signed(raw: bytes, sender: Address) -> Transaction:
    """Decode an EIP-1559 transaction from its signed bytes. Nobody but our signer signs in this world.

    Raises:
        ValueError: it is no such transaction.
    """
    if raw[0] != DYNAMIC_FEE_TYPE:
        raise ValueError("not a dynamic fee transaction")
    (start, end) = _payload(raw, 1)
    fields, at = [], start
    while at < end:
        first, last = _payload(raw, at)
        fields.append(raw[first:last])
        at = last
    _, nonce, tip, fee, gas, to, _, data, *_ = fields
    return Transaction(
        hash=Hash32(keccak(raw)),
        sender=sender,
        nonce=_number(nonce),
        to=Address(to),
        data=data,
        gas_limit=_number(gas),
        fee_wei_max=_number(fee),
        tip_wei_max=_number(tip),
        raw=raw,
    )


def _payload(raw: bytes, at: int) -> tuple[int, int]:
    """Return where the payload of an RLP item begins and ends (Ethereum yellow paper, appendix B)."""
    head = raw[at]
    if head < _SHORT:
        return at, at + 1
    if head < _LONG_STRING:
        return at + 1, at + 1 + head - _SHORT
    if head < _LIST:
        size = head - _LONG_STRING + 1
    elif head < _LONG_LIST:
        return at + 1, at + 1 + head - _LIST
    else:
        size = head - _LONG_LIST + 1
    start = at + 1 + size
    return start, start + int.from_bytes(raw[at + 1 : start], "big")


def _number(field: bytes) -> int:
    return int.from_bytes(field, "big")
