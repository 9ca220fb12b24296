"""Digests of watched logs: what two providers must agree on for the same blocks.

Order, count and content are in it, and the hash of each block that has logs. A block without watched logs adds
nothing, so a log that one side hides makes a difference, whether its block has others or not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import msgspec

from keeper.core.facts import RawLog
from keeper.core.ids import HASH_LENGTH, Hash32

_ENCODER = msgspec.msgpack.Encoder()


def block_digest(block_hash: Hash32, logs: Sequence[RawLog]) -> Hash32:
    """Return the digest of a block's watched logs, at least one, in their order."""
    return Hash32(blake2b(block_hash + _ENCODER.encode(logs), digest_size=HASH_LENGTH).digest())


def range_digest(blocks: Iterable[Hash32]) -> Hash32:
    """Return the digest of a range from the digests of its blocks that have watched logs, oldest first."""
    return Hash32(blake2b(b"".join(blocks), digest_size=HASH_LENGTH).digest())
