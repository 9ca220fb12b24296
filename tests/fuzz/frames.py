"""Frames of a journal whose hashes somebody made right, with the bytes as their payload."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import zstandard

from keeper.cli.plain import plain
from keeper.core.codec import encoder
from keeper.core.errors import KeeperError
from keeper.core.ids import Hash32
from keeper.journal.frames import (
    CODEC_PLAIN,
    CODEC_ZSTD,
    NO_BLOCK,
    Frame,
    FrameDecoder,
    Header,
    check_frame,
    frame_hash,
)
from keeper.journal.upcast import UPCASTS
from keeper.observe.lines import summary
from tests.golden import golden_records

BIRTH = Hash32(bytes(32))
RECORDS = golden_records()[:12]
PACKED = encoder().encode(RECORDS)
SAMPLES = (
    PACKED,
    zstandard.compress(PACKED),
    *(encoder().encode([record]) for record in golden_records()[12::7]),
)
FOUND = (
    b"",
    b"\x91\x94\x01\0\0\x07",
    b"\x91" * 3000,
    b"\x28\xb5\x2f\xfd\xe0" + b"\x7f" * 8,
    encoder().encode([[1, 0, 0, ["SignerRead/1", 1, "main", 7, BIRTH, 5, 3, []]]]),
    encoder().encode([[1, 0, 0, ["SignerRead/1", 1, "main", 7, BIRTH, b"\x7f" * 9000, 3, []]]]),
)
"""No list, no record, nested without end, more than there is memory, and amounts that are none or cannot be printed."""


def harness(raw: bytes) -> None:
    """Check and decode a frame, and print what was in it."""
    for codec in (CODEC_PLAIN, CODEC_ZSTD, CODEC_ZSTD + 1):
        header = Header(1, len(RECORDS), 0, 0, NO_BLOCK, NO_BLOCK, codec)
        frame = Frame(header, frame_hash(BIRTH, header, raw), raw)
        with suppress(KeeperError):
            check_frame(frame, BIRTH, 1, "journal")
            for record in FrameDecoder(UPCASTS, "journal").decode(frame):
                msgspec.json.encode(plain(record))
                summary(record.body)
