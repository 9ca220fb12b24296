"""Places in a journal that a time, a block or a sequence names, widened to whole frames."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from keeper.core.errors import UsageError

if TYPE_CHECKING:
    from keeper.journal.frames import Frame
    from keeper.journal.reader import JournalReader


def unix_ms_of(text: str) -> int | None:
    """Return the time that an ISO text names, ``None`` when it is none; without a zone it is UTC."""
    if not (text[4:5] == "-" and text[7:8] == "-"):
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(repr(text), "is no time", "write it as 2026-11-26T14:28:00Z") from None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def window_of(reader: JournalReader, first: str, last: str) -> list[Frame]:
    """Return the frames between two places, both included.

    Raises:
        UsageError: a place is not in the journal, or nothing lies between them.
    """
    begin, begin_ms = _place(reader, first, is_end=False)
    end, end_ms = _place(reader, last, is_end=True)
    found = [
        frame
        for frame in reader.frames(begin, end)
        if frame.header.last_unix_ms >= begin_ms and frame.header.first_unix_ms <= end_ms
    ]
    if not found:
        raise UsageError(f"from {first} to {last}", "holds no record", "`keeper journal stat` shows the times it has")
    return found


def _place(reader: JournalReader, text: str, *, is_end: bool) -> tuple[int, int]:
    """Return a sequence and a time that bound a window; one of them bounds nothing."""
    from keeper.cli.journals import sequence_of

    unix_ms = unix_ms_of(text)
    if unix_ms is None:
        return sequence_of(reader, text), 2**62 if is_end else 0
    return reader.last_sequence if is_end else reader.first_sequence, unix_ms
