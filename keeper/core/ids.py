"""Ids: addresses and hashes as bytes inside, hexadecimal at the edge; ids of our own are derived from content.

An id that is a hash of what it names cannot collide by accident of timing and comes out the same in every replay.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NewType

import msgspec

Address = NewType("Address", bytes)
"""20 bytes."""
Hash32 = NewType("Hash32", bytes)
"""32 bytes: a block hash, transaction hash, topic or content id."""

ADDRESS_LENGTH = 20
HASH_LENGTH = 32
ZERO_ADDRESS = Address(bytes(ADDRESS_LENGTH))


def parse_address(text: str) -> Address:
    """Read a ``0x``-prefixed 20-byte hexadecimal address, of any letter case.

    Raises:
        ValueError: not 0x and 40 hexadecimal digits.
    """
    return Address(_parse_hex(text, ADDRESS_LENGTH, "an address"))


def parse_hash(text: str) -> Hash32:
    """Read a ``0x``-prefixed 32-byte hexadecimal hash.

    Raises:
        ValueError: not 0x and 64 hexadecimal digits.
    """
    return Hash32(_parse_hex(text, HASH_LENGTH, "a hash"))


def _parse_hex(text: str, length: int, what: str) -> bytes:
    if not text.startswith("0x") or len(text) != 2 + 2 * length:
        raise ValueError(f"{text!r} is not {what}: expected 0x and {2 * length} hexadecimal digits")
    try:
        raw = bytes.fromhex(text[2:])
    except ValueError:
        raw = b""
    if len(raw) != length:  # fromhex passes over spaces
        raise ValueError(f"{text!r} is not {what}: not hexadecimal")
    return raw


def to_hex(raw: bytes) -> str:
    """Write bytes as ``0x`` and lower-case hexadecimal digits."""
    return "0x" + raw.hex()


def content_id(*parts: str | int | bytes) -> Hash32:
    """Derive an id from content: blake2b-256 of the parts in order, each with its length (msgpack).

    Integers of any size are allowed and count as their decimal text.
    """
    packed = msgspec.msgpack.encode([part if isinstance(part, str | bytes) else str(int(part)) for part in parts])
    return Hash32(blake2b(packed, digest_size=HASH_LENGTH).digest())
