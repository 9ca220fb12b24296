"""How records become bytes: msgpack through msgspec, big integers as signed big-endian bytes.

Encoding is canonical for equal values (struct fields are positional, dictionaries are sorted), so hashes of encoded
state compare between machines.
"""

from __future__ import annotations

from typing import Any

import msgspec

from keeper.core.decisions import AnyDecision
from keeper.core.facts import AnyFact
from keeper.core.units import BigInt

AnyBody = AnyFact | AnyDecision
COUNT_LIMIT = 2**63
"""What a record and its frame hold of a plain integer; whatever may be larger is a :class:`BigInt`."""


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
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
        return int(value).to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
    raise NotImplementedError(f"{type(value).__name__} cannot be journalled")


def decode_hook(kind: type, value: object) -> object:
    """Build a :class:`BigInt` (or unit) from the bytes of :func:`encode_hook`."""
    if issubclass(kind, BigInt) and isinstance(value, bytes):
        return kind(int.from_bytes(value, "big", signed=True))
    raise NotImplementedError(f"{kind.__name__} cannot be read from {type(value).__name__}")


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
