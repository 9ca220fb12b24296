"""How records become bytes: msgpack through msgspec, big integers as signed big-endian bytes.

Encoding is canonical for equal values (struct fields are positional, dictionaries are sorted), so hashes of encoded
state compare between machines.
"""

from __future__ import annotations

from typing import Any

import msgspec

from keeper.core.decisions import AnyDecision
from keeper.core.errors import invariant
from keeper.core.facts import AnyFact
from keeper.core.units import BigInt

AnyBody = AnyFact | AnyDecision
COUNT_LIMIT = 2**63
"""What a record and its frame hold of a plain integer; whatever may be larger is a :class:`BigInt`."""

BIG_INT_BYTES_MAX = 128
"""Twice what the product of two words of the EVM takes: Python would not print one that a forged file could hold."""


class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A fact or a decision with its place in the journal.

    ``cause`` is the sequence of the fact that a decision follows from, zero for a fact. ``recorded_at_ms`` explains;
    only ``sequence`` orders.
    """

    sequence: int
    recorded_at_ms: int
    cause: int
    body: AnyBody


def encode_hook(value: object) -> object:
    """Give msgspec the bytes of a :class:`BigInt`."""
    if isinstance(value, BigInt):
        size = value.bit_length() // 8 + 1
        invariant(size <= BIG_INT_BYTES_MAX, "journal", "an integer too long to be read again")
        return int(value).to_bytes(size, "big", signed=True)
    raise NotImplementedError(f"{type(value).__name__} cannot be journalled")


def decode_hook(kind: type, value: object) -> object:
    """Build a :class:`BigInt` (or unit) from the bytes of :func:`encode_hook`; msgspec says where another thing stands.

    Raises:
        ValueError: it is not bytes, or is longer than any figure of ours.
    """
    if not issubclass(kind, BigInt):
        raise NotImplementedError(f"{kind.__name__} cannot be read from {type(value).__name__}")
    if not isinstance(value, bytes) or len(value) > BIG_INT_BYTES_MAX:
        raise ValueError(f"{type(value).__name__} is not a {kind.__name__}")
    return kind(int.from_bytes(value, "big", signed=True))


def json_hook(value: object) -> object:
    """Give programs what JSON can carry: integers that may pass 2^53 as decimal strings."""
    if isinstance(value, BigInt):
        return str(int(value))
    raise NotImplementedError(f"{type(value).__name__} cannot be printed as JSON")


def encoder() -> msgspec.msgpack.Encoder:
    """Return a canonical msgpack encoder."""
    return msgspec.msgpack.Encoder(enc_hook=encode_hook, order="deterministic")


def decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:  # noqa: ANN401 - msgspec takes any type expression
    """Return a strict msgpack decoder of ``kind``."""
    return msgspec.msgpack.Decoder(kind, dec_hook=decode_hook)
