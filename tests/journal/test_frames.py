"""Frames."""

from __future__ import annotations

import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.codec import encoder
from keeper.core.errors import JournalDamaged
from keeper.core.facts import BlockFinalized, BlocksBackfilled
from keeper.core.ids import Hash32
from keeper.journal.expanding import EXPANDED_BYTES_MAX
from keeper.journal.frames import (
    BY_DIGEST,
    CODEC_PLAIN,
    CODEC_ZSTD,
    NO_BLOCK,
    Frame,
    FrameDecoder,
    FrameSealer,
    Group,
    Header,
    check_frame,
    encode_group,
    frame_hash,
)
from keeper.journal.upcast import UPCASTS
from tests.journal.bodies import block, ticks

BIRTH = Hash32(bytes(32))


def seal(*groups: Group) -> Frame:
    """Return the first frame of a journal, of these groups."""
    return FrameSealer(BIRTH).seal(groups)


def changed(header: Header) -> list[Header]:
    """Return the header with each field changed in turn."""
    return [header._replace(**{name: getattr(header, name) + 1}) for name in header._fields[1:]]


def test_every_part_of_a_frame_is_sealed() -> None:
    """Changing any field of the header, the payload, the predecessor or the hash is noticed."""
    frame = seal(encode_group(ticks(3), 1, 5))
    other = Hash32(b"\1" * 32)
    forgeries = [Frame(header, frame.hash, frame.payload) for header in changed(frame.header)]
    forgeries += [frame._replace(payload=frame.payload + b"\0"), frame._replace(hash=other)]

    check_frame(frame, BIRTH, 1, "journal")
    for forgery in forgeries:
        with pytest.raises(JournalDamaged, match="sequence 1 is not what was written"):
            check_frame(forgery, BIRTH, 1, "journal")
    with pytest.raises(JournalDamaged, match="sequence 1 is not what was written"):
        check_frame(frame, other, 1, "journal")


def test_a_gap_is_named() -> None:
    """A frame that does not start where the one before ended is refused with the first missing sequence."""
    frame = seal(encode_group(ticks(1), 9, 0))

    with pytest.raises(JournalDamaged, match="records from sequence 7 are missing"):
        check_frame(frame, BIRTH, 7, "journal")


@pytest.mark.parametrize("count", [1, 15, 16, 65_535, 65_536])
def test_groups_join_into_one_list(count: int) -> None:
    """A frame of several groups is one msgpack list, whatever the size its head must tell."""
    frame = seal(encode_group(ticks(count), 1, 0), encode_group(ticks(1), count + 1, 0))

    records = FrameDecoder(UPCASTS, "journal").decode(frame)
    assert [record.sequence for record in records] == list(range(1, count + 2))


def test_small_frames_stay_plain() -> None:
    """A payload is compressed when that saves something."""
    assert seal(encode_group(ticks(1), 1, 0)).header.codec == CODEC_PLAIN | BY_DIGEST
    assert seal(encode_group(ticks(200), 1, 0)).header.codec == CODEC_ZSTD | BY_DIGEST


def test_the_header_spans_its_records() -> None:
    """Time and block spans cover all groups of a frame, also when the clock went back."""
    finalized = BlockFinalized(1, 3, Hash32(bytes(32)))
    filled = BlocksBackfilled(1, 1, block(2).header, (), (), 9)
    groups = [
        encode_group([(block(7), 0)], 1, 2000),
        encode_group([(finalized, 0), (filled, 0)], 2, 1000),
        encode_group(ticks(60), 4, 1500),
    ]

    assert seal(*groups).header == Header(1, 63, 1000, 2000, 1, 7, CODEC_ZSTD | BY_DIGEST)
    assert seal(groups[2]).header[4:6] == (NO_BLOCK, NO_BLOCK)


def test_misnumbered_records_are_refused() -> None:
    """A sealed frame whose records do not have the sequences it names is not read."""
    header = Header(5, 6, 0, 0, NO_BLOCK, NO_BLOCK, CODEC_PLAIN)
    payload = encoder().encode([[5, 0, 0, ticks(1)[0][0]], [7, 0, 0, ticks(1)[0][0]]])
    frame = Frame(header, frame_hash(BIRTH, header, payload), payload)

    with pytest.raises(JournalDamaged, match="sequence 5 are misnumbered"):
        FrameDecoder(UPCASTS, "journal").decode(frame)


def forged(payload: bytes, codec: int = CODEC_PLAIN, last_sequence: int = 5) -> Frame:
    """Return a frame at sequence 5 that was sealed with whatever it holds."""
    header = Header(5, last_sequence, 0, 0, NO_BLOCK, NO_BLOCK, codec)
    return Frame(header, frame_hash(BIRTH, header, payload), payload)


def bomb(size: int) -> bytes:
    """Return a few kilobytes that are zeros of this size once they are expanded."""
    compressor = zstandard.ZstdCompressor(level=19).compressobj(size=size)
    return b"".join(compressor.compress(bytes(1 << 20)) for _ in range(size >> 20)) + compressor.flush()


TICK = encoder().encode([[5, 0, 0, ticks(1)[0][0]]])


@pytest.mark.fault(22)
@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (forged(b""), r"cannot be decoded \(.*truncated"),
        (forged(TICK[:-1]), r"cannot be decoded \(.*truncated"),
        (forged(TICK + b"\0"), r"cannot be decoded \(.*trailing"),
        (forged(b"\x91\x94\x05\0\0" + b"\x07"), r"cannot be decoded \(Expected `array`"),
        (forged(b"\x91" * 10_000), r"cannot be decoded \("),
        (forged(b"\x91\x94\x05\0\0\x92\xa3odd" + b"\x91" * 10_000), r"cannot be decoded \("),
        (forged(TICK, last_sequence=2**63 - 1), "are misnumbered"),
        (forged(TICK, CODEC_ZSTD), r"cannot be decoded \(is not compressed as it says"),
        (forged(zstandard.compress(TICK) + b"\0", CODEC_ZSTD), r"cannot be decoded \(is not compressed as it says"),
        (forged(b"\x28\xb5\x2f\xfd\xe0" + b"\x7f" * 8, CODEC_ZSTD), r"expands to \d+ bytes, more than 536870912"),
        (forged(zstandard.ZstdCompressor(write_content_size=False).compress(TICK), CODEC_ZSTD), "an unknown length"),
        (forged(TICK, 16), "has codec 16, which is not known; upgrade margin-keeper"),
    ],
)
def test_a_forged_frame_is_refused(frame: Frame, reason: str) -> None:
    """A frame that was sealed over anything but records is refused by its sequence, whatever it would make of us."""
    check_frame(frame, BIRTH, 5, "journal")

    with pytest.raises(JournalDamaged, match=rf"^journal: the (frame|records of the frame) at sequence 5 .*{reason}"):
        FrameDecoder(UPCASTS, "journal").decode(frame)


@pytest.mark.slow
def test_a_bomb_is_not_set_off() -> None:
    """Kilobytes that expand to more than we ever write are refused without the memory they ask for."""
    frame = forged(bomb(EXPANDED_BYTES_MAX + (1 << 20)), CODEC_ZSTD)
    tracemalloc.start()
    try:
        with pytest.raises(JournalDamaged, match=r"sequence 5 cannot be decoded \(expands to 537919488"):
            FrameDecoder(UPCASTS, "journal").decode(frame)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@given(st.integers(0, 2**62), st.integers(0, 2**62), st.binary(max_size=99))
def test_the_hash_is_a_function_of_everything(first: int, unix_ms: int, payload: bytes) -> None:
    """Equal frames have equal hashes."""
    header = Header(first, first, unix_ms, unix_ms, NO_BLOCK, NO_BLOCK, CODEC_PLAIN)

    assert frame_hash(BIRTH, header, payload) == frame_hash(Hash32(bytes(BIRTH)), Header(*header), bytes(payload))
