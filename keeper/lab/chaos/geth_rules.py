"""The rules of geth's transaction pool that the local node lacks, in geth's own words.

The local node takes a replacement that offers five per cent more, and names known bytes in words of its own. A keeper
that is only ever refused by it has not been refused by a real one (go-ethereum ``core/txpool/errors.go``,
``legacypool`` ``PriceBump``).
"""

from __future__ import annotations

from typing import NamedTuple

import rlp  # type: ignore[import-untyped]  # it has no annotations
from eth_utils.crypto import keccak

PRICE_BUMP_PERCENT = 10
DYNAMIC_FEE_TYPE = 2


class Offer(NamedTuple):
    """What the pool weighs of a signed transaction; fees in wei for each unit of gas."""

    tx_hash: str
    nonce: int
    priority_fee_wei: int
    fee_wei: int


def read_offer(raw: str) -> Offer | None:
    """Read a signed EIP-1559 transaction; ``None`` for bytes that are not one (the node will say so)."""
    data = bytes.fromhex(raw.removeprefix("0x"))
    if not data or data[0] != DYNAMIC_FEE_TYPE:
        return None
    try:
        _, nonce, priority_fee, fee, *_ = rlp.decode(data[1:])
    except (rlp.DecodingError, ValueError):
        return None
    numbers = (int.from_bytes(field, "big") for field in (nonce, priority_fee, fee))
    return Offer("0x" + keccak(data).hex(), *numbers)


class PoolRules:
    """Decides by geth's rules what the node is not asked about; one signer's transactions, told apart by nonce."""

    def __init__(self) -> None:
        self._offers: dict[int, Offer] = {}

    def incumbent(self, offer: Offer) -> Offer | None:
        """Return what was taken for the same nonce before."""
        return self._offers.get(offer.nonce)

    def refusal(self, offer: Offer, incumbent: Offer | None) -> str | None:
        """Return geth's refusal of an offer, ``None`` when the node may have it.

        Args:
            offer: What is sent.
            incumbent: What the pool still holds for the nonce.
        """
        if incumbent is None:
            return None
        if incumbent.tx_hash == offer.tx_hash:
            return "already known"
        if _bumps(incumbent.fee_wei, offer.fee_wei) and _bumps(incumbent.priority_fee_wei, offer.priority_fee_wei):
            return None
        return "replacement transaction underpriced"

    def took(self, offer: Offer) -> None:
        """Remember an offer that the node took."""
        self._offers[offer.nonce] = offer


def _bumps(old: int, new: int) -> bool:
    return new > old and 100 * new >= (100 + PRICE_BUMP_PERCENT) * old
