"""Header blooms: what a block's logs must be in, and the only thing in a header that can doubt an empty answer.

A bloom is 2048 bits; an address or topic sets three of them, taken from the first three 16-bit words of its keccak
hash, modulo 2048 (Ethereum yellow paper, section 4.3.1). It has false positives and no false negatives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from eth_hash.auto import keccak

from keeper.core.facts import RawLog

BLOOM_LENGTH = 256
"""Bytes."""
_MASKS_MAX = 65536


@lru_cache(maxsize=_MASKS_MAX)
def bloom_mask(value: bytes) -> int:
    """Return the three bits that an address or topic sets, as a 2048-bit integer."""
    digest = keccak(value)
    mask = 0
    for start in (0, 2, 4):
        mask |= 1 << (int.from_bytes(digest[start : start + 2], "big") % (8 * BLOOM_LENGTH))
    return mask


def bloom_of(logs: Iterable[RawLog]) -> bytes:
    """Return the bloom of logs (256 bytes)."""
    bits = 0
    for log in logs:
        for value in (log.address, *log.topics):
            bits |= bloom_mask(value)
    return bits.to_bytes(BLOOM_LENGTH, "big")


def outside(bloom: bytes, logs: Iterable[RawLog]) -> RawLog | None:
    """Return the first log that cannot be in a block with this bloom; ``None`` when all can."""
    bits = int.from_bytes(bloom, "big")
    for log in logs:
        if any(bloom_mask(value) & ~bits for value in (log.address, *log.topics)):
            return log
    return None


def may_hold(bloom: bytes, addresses: Sequence[bytes], topics: Sequence[bytes]) -> bool:
    """Tell whether a block with this bloom may hold a log of one of the addresses with one of the first topics."""
    bits = int.from_bytes(bloom, "big")
    return any(not bloom_mask(address) & ~bits for address in addresses) and any(
        not bloom_mask(topic) & ~bits for topic in topics
    )
