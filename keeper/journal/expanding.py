"""Compressed bytes of a file become bytes of a bounded length, or an error: what they claim is looked at first.

A few kilobytes of zstd can stand for gigabytes. A file is no proof of who wrote it, so nothing is expanded that says it
is longer than anything we write, or does not say how long it is.
"""

from __future__ import annotations

import zstandard

EXPANDED_BYTES_MAX = 1 << 29
"""Half a GiB: many times the longest group and the largest state."""


def expanded(payload: bytes) -> bytes:
    """Return what one whole zstd frame holds.

    Raises:
        ValueError: it is not one, or is longer than :data:`EXPANDED_BYTES_MAX`.
    """
    try:
        size = zstandard.frame_content_size(payload)
        if not 0 <= size <= EXPANDED_BYTES_MAX:
            length = "an unknown length" if size < 0 else f"{size} bytes"
            raise ValueError(f"expands to {length}, more than {EXPANDED_BYTES_MAX}")
        return zstandard.ZstdDecompressor().decompress(payload, allow_extra_data=False)
    except (zstandard.ZstdError, MemoryError) as error:
        raise ValueError(f"is not compressed as it says: {error}") from error
