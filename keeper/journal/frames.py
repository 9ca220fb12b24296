"""A frame: all records that were committed together, and the unit of everything that can go wrong.

Durability costs one fsync whatever the size, so records travel to the disk in frames: one msgpack list, compressed when
that pays, with the spans a reader needs to find it. A frame is whole or absent, so a group of records that one append
handed over is whole or absent too, and is never divided between frames.

Each frame's hash covers the hash before it, every field of its header (codec and spans included) and its payload as
stored. So one comparison, made before anything is decompressed or decoded, proves that a frame is the one that was
written, in the place where it was written, with nothing missing before it.

The payload counts by its digest, so that whoever has only the digest can follow the chain past a frame that he may not
read. Frames of before that (:data:`BY_DIGEST` is not in their codec) are hashed with the payload itself.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from hashlib import blake2b
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import zstandard

from keeper.core.codec import AnyBody, Record, decoder, encoder
from keeper.core.errors import JournalDamaged, JournalForeign, invariant
from keeper.core.facts import BlockApplied, BlockFinalized, BlockReverted, BlocksBackfilled, LogsRepaired
from keeper.core.ids import HASH_LENGTH, Hash32
from keeper.journal.expanding import EXPANDED_BYTES_MAX, expanded
from keeper.journal.upcast import Upcasts, upgrade_records

CODEC_PLAIN = 0
CODEC_ZSTD = 1
BY_DIGEST = 2
"""Added to a codec: the hash covers the payload's digest."""
REDACTED = 4
"""Added to a codec: the records are not as written. Before them stand the digest of what was, and a checksum."""
CUT = 8
"""The codec of a frame of which only spans and hash are kept, as the first: what was before is not here."""
COMPRESS_BYTES_MIN = 512
"""Below this, compressing costs more than the page it saves."""
ZSTD_LEVEL = 1
NO_BLOCK = -1
"""The block span of a frame without blocks."""

RESTORE = "restore the file from a copy; do not edit or skip records"


class Header(NamedTuple):
    """What a frame holds: inclusive spans. Blocks are of any chain in the journal, :data:`NO_BLOCK` for none."""

    first_sequence: int
    last_sequence: int
    first_unix_ms: int
    last_unix_ms: int
    first_block: int
    last_block: int
    codec: int


class Frame(NamedTuple):
    """A header, the hash that seals it to its predecessor, and the payload as stored."""

    header: Header
    hash: Hash32
    payload: bytes


class Group(NamedTuple):
    """The records of one append, encoded, waiting for a frame. ``body`` is a msgpack list without its head."""

    first_sequence: int
    last_sequence: int
    unix_ms: int
    first_block: int
    last_block: int
    body: bytes

    @property
    def record_count(self) -> int:
        """Return how many records the group holds."""
        return self.last_sequence - self.first_sequence + 1


_HEADER = struct.Struct(">7q")
_ENCODER = encoder()
_RECORDS = decoder(list[Record])

_BLOCK_NUMBERS: dict[type, tuple[Callable[[Any], int], ...]] = {
    BlockApplied: (attrgetter("header.number"),),
    BlocksBackfilled: (attrgetter("first"), attrgetter("last.number")),
    BlockReverted: (attrgetter("number"),),
    BlockFinalized: (attrgetter("number"),),
    LogsRepaired: (attrgetter("first"),),
}


def encode_group(bodies: Sequence[tuple[AnyBody, int]], first_sequence: int, unix_ms: int) -> Group:
    """Encode ``(body, cause)`` pairs as records with consecutive sequences."""
    invariant(bodies, "journal", "an append without records")
    # A tuple is encoded as the Record of the same fields is, and costs a third of it.
    records = [(sequence, unix_ms, cause, body) for sequence, (body, cause) in enumerate(bodies, first_sequence)]
    packed = _ENCODER.encode(records)
    invariant(len(packed) <= EXPANDED_BYTES_MAX, "journal", "an append too long to be read again")
    first_block, last_block = _block_span(bodies)
    return Group(
        first_sequence,
        first_sequence + len(records) - 1,
        unix_ms,
        first_block,
        last_block,
        packed[len(_list_head(len(records))) :],
    )


def _block_span(bodies: Sequence[tuple[AnyBody, int]]) -> tuple[int, int]:
    numbers = [number(body) for body, _ in bodies for number in _BLOCK_NUMBERS.get(type(body), ())]
    return min(numbers, default=NO_BLOCK), max(numbers, default=NO_BLOCK)


def _list_head(count: int) -> bytes:
    """Return the msgpack head of a list of ``count`` items (fixarray, array 16, array 32)."""
    if count < 1 << 4:
        return bytes((0x90 | count,))
    if count < 1 << 16:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


class FrameSealer:
    """Turns groups into frames, each sealed to the one before. Not for use from two threads at once.

    Args:
        tip: The hash of the last frame, or of the journal's birth.
    """

    def __init__(self, tip: Hash32) -> None:
        self.tip = tip
        self._compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)

    def seal(self, groups: Sequence[Group]) -> Frame:
        """Return the next frame."""
        packed = b"".join([_list_head(sum(group.record_count for group in groups)), *(group.body for group in groups)])
        codec, payload = CODEC_PLAIN | BY_DIGEST, packed
        if len(packed) >= COMPRESS_BYTES_MIN:
            codec, payload = CODEC_ZSTD | BY_DIGEST, self._compressor.compress(packed)
        header = _header(groups, codec)
        self.tip = frame_hash(self.tip, header, payload)
        return Frame(header, self.tip, payload)


def _header(groups: Sequence[Group], codec: int) -> Header:
    blocks = [block for group in groups for block in group[3:5] if block != NO_BLOCK]
    return Header(
        groups[0].first_sequence,
        groups[-1].last_sequence,
        min(group.unix_ms for group in groups),
        max(group.unix_ms for group in groups),
        min(blocks, default=NO_BLOCK),
        max(blocks, default=NO_BLOCK),
        codec,
    )


def frame_hash(previous: Hash32, header: Header, payload: bytes) -> Hash32:
    """Return blake2b-256 of the hash before, the header (big-endian 64-bit integers) and the payload's digest.

    Of a redacted frame it is the hash of the frame as written.
    """
    if header.codec & REDACTED:
        return link_hash(previous, original_header(header), payload[:HASH_LENGTH])
    return link_hash(previous, header, payload_digest(payload) if header.codec & BY_DIGEST else payload)


def link_hash(previous: Hash32, header: Header, sealed: bytes) -> Hash32:
    """Return a frame's hash from what stands for its payload there."""
    digest = blake2b(previous, digest_size=HASH_LENGTH)
    digest.update(_HEADER.pack(*header))
    digest.update(sealed)
    return Hash32(digest.digest())


def payload_digest(payload: bytes) -> bytes:
    """Return blake2b-256 of a payload as stored."""
    return blake2b(payload, digest_size=HASH_LENGTH).digest()


def original_header(header: Header) -> Header:
    """Return the header that a redacted frame had when it was written."""
    return header._replace(codec=header.codec & ~REDACTED)


def redact_frame(frame: Frame, records: Sequence[Record]) -> Frame:
    """Put other records in the place of a frame's, which must be sealed by its digest; its hash stays."""
    invariant(frame.header.codec & BY_DIGEST, "journal", "a frame whose place could not be proven without its records")
    content = zstandard.ZstdCompressor().compress(_ENCODER.encode(list(records)))
    checksum = payload_digest(frame.hash + content)
    header = frame.header._replace(codec=frame.header.codec | REDACTED)
    return Frame(header, frame.hash, payload_digest(frame.payload) + checksum + content)


def check_frame(frame: Frame, previous: Hash32, first_sequence: int, where: str) -> None:
    """Prove that a frame follows ``previous`` and starts at ``first_sequence``.

    Raises:
        JournalDamaged: it does not; names the sequence.
    """
    header = frame.header
    if header.first_sequence != first_sequence:
        raise JournalDamaged(where, f"records from sequence {first_sequence} are missing", RESTORE)
    if frame_hash(previous, header, frame.payload) != frame.hash or not _redacted_as_written(frame):
        raise JournalDamaged(where, f"the frame at sequence {first_sequence} is not what was written", RESTORE)


def _redacted_as_written(frame: Frame) -> bool:
    if not frame.header.codec & REDACTED:
        return True
    checksum, content = frame.payload[HASH_LENGTH : 2 * HASH_LENGTH], frame.payload[2 * HASH_LENGTH :]
    return checksum == payload_digest(frame.hash + content)


class FrameDecoder:
    """Decodes checked frames, upgrading old records through one table.

    Args:
        upcasts: How old tags are read.
        where: The journal's name, for errors.
    """

    def __init__(self, upcasts: Upcasts, where: str) -> None:
        self._upcasts = upcasts
        self._where = where

    def decode(self, frame: Frame) -> list[Record]:
        """Return the records of a frame whose hash was checked.

        Raises:
            JournalForeign: a record of a newer version, or of no version this program knows.
            JournalDamaged: the payload is no list of records, or they are not numbered as the frame says. Whoever
                forges a file can seal what he likes.
        """
        first, last = frame.header[:2]
        try:
            records = self._records(frame)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            reason = f"the frame at sequence {first} cannot be decoded ({error})"
            raise JournalDamaged(self._where, reason, RESTORE) from error
        numbers = [record.sequence for record in records]
        if len(numbers) != last - first + 1 or numbers != list(range(first, last + 1)):
            raise JournalDamaged(self._where, f"the records of the frame at sequence {first} are misnumbered", RESTORE)
        return records

    def _records(self, frame: Frame) -> list[Record]:
        packed, codec = frame.payload, frame.header.codec
        if codec in (BY_DIGEST | REDACTED, CODEC_ZSTD | BY_DIGEST | REDACTED):
            packed = expanded(packed[2 * HASH_LENGTH :])
        elif codec in (CODEC_ZSTD, CODEC_ZSTD | BY_DIGEST):
            packed = expanded(packed)
        elif codec not in (CODEC_PLAIN, BY_DIGEST):
            reason = f"the frame at sequence {frame.header.first_sequence} has codec {codec}, which is not known"
            raise JournalForeign(self._where, reason, "upgrade margin-keeper to the version that wrote it")
        try:
            records: list[Record] = _RECORDS.decode(packed)
        except msgspec.ValidationError:  # the fast path knows current tags only
            records = upgrade_records(packed, self._upcasts)
        return records
