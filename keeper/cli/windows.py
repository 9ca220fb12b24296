"""Windows of a journal between two places: a time, a block or a sequence, whole records at both ends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from keeper.cli.journal_places import unix_ms_of
from keeper.core.errors import UsageError
from keeper.core.facts import BlockApplied, BlocksBackfilled

if TYPE_CHECKING:
    from keeper.journal.reader import JournalReader

UNIX_SECONDS_MIN = 10**9
"""A plain number from here on is a time (2001), below it a sequence."""
UNIX_SECONDS_END = 10**11
_NUMBER = re.compile(r"[0-9]{1,19}(\.[0-9]{1,6})?")
_BLOCK = re.compile(r"block:(?:([0-9]{1,19}):)?([0-9]{1,19})")
_STAT = "`keeper journal stat` shows what it has"
_REMEDY = "write it as 2026-11-26T14:28:00Z, as Unix seconds, as block:N (block:CHAIN:N of several), or a sequence"


class Place(NamedTuple):
    """One end: exactly one of the three is given."""

    sequence: int | None = None
    unix_ms: int | None = None
    block: tuple[int, int] | None = None


def span_of(reader: JournalReader, first: str | None, last: str | None) -> tuple[int, int]:
    """Return the first and the last sequence between two places, widened to whole frames; ``None``: the journal's end.

    Raises:
        UsageError: a place cannot be read or is not in the journal, they are the wrong way round, or nothing lies
            between them.
        JournalDamaged: a record is not what was written.
    """
    begin = None if first is None else _place(reader, first)
    end = None if last is None else _place(reader, last)
    if begin is not None and end is not None:
        _check_order(begin, end, f"from {first} to {last}")
    low = reader.first_sequence if begin is None else _begin(reader, begin, str(first))
    high = reader.last_sequence if end is None else _end(reader, end, str(last))
    if low > high and begin is not None and end is not None:
        raise UsageError(f"from {first} to {last}", "ends before it begins", "change the two round")
    begin_ms = begin.unix_ms if begin is not None and begin.unix_ms is not None else 0
    end_ms = end.unix_ms if end is not None and end.unix_ms is not None else 2**62
    found = [
        (frame.header.first_sequence, frame.header.last_sequence)
        for frame in reader.frames(low, high)
        if frame.header.last_unix_ms >= begin_ms and frame.header.first_unix_ms <= end_ms
    ]
    if not found:
        raise UsageError(f"from {first or 'the beginning'} to {last or 'the end'}", "holds no record", _STAT)
    return found[0][0], found[-1][1]


def _check_order(begin: Place, end: Place, what: str) -> None:
    pairs = ((begin.sequence, end.sequence), (begin.unix_ms, end.unix_ms))
    wrong = any(low is not None and high is not None and low > high for low, high in pairs)
    if begin.block is not None and end.block is not None and begin.block[0] == end.block[0]:
        wrong = begin.block[1] > end.block[1]
    if wrong:
        raise UsageError(what, "ends before it begins", "change the two round")


def _place(reader: JournalReader, text: str) -> Place:
    unix_ms = unix_ms_of(text)
    if unix_ms is not None:
        return Place(unix_ms=unix_ms)
    block = _BLOCK.fullmatch(text)
    if block is not None:
        return Place(block=(_chain(reader, block[1], text), int(block[2])))
    if not (text.isascii() and _NUMBER.fullmatch(text)):
        raise UsageError(repr(text)[:80], "names no place in a journal", _REMEDY)
    if "." in text or int(text) >= UNIX_SECONDS_MIN:
        seconds = float(text)
        if not UNIX_SECONDS_MIN <= seconds < UNIX_SECONDS_END:
            raise UsageError(text, "is neither a sequence nor Unix seconds", _REMEDY)
        return Place(unix_ms=round(seconds * 1000))
    number, kept = int(text), (reader.first_sequence, reader.last_sequence)
    if not kept[0] <= number <= kept[1]:
        raise UsageError(f"sequence {number}", "is not in the journal", f"give one from {kept[0]} to {kept[1]}")
    return Place(sequence=number)


def _chain(reader: JournalReader, named: str | None, text: str) -> int:
    chains = reader.birth.chain_ids
    listed = ", ".join(map(str, chains))
    if named is None and len(chains) > 1:
        raise UsageError(text, f"the journal has chains {listed}", "name one, as block:CHAIN:N")
    if named is not None and int(named) not in chains:
        raise UsageError(text, f"the journal has no chain {named}", f"it has: {listed}")
    return chains[0] if named is None else int(named)


def _begin(reader: JournalReader, place: Place, text: str) -> int:
    if place.sequence is not None:
        return place.sequence
    return reader.first_sequence if place.block is None else _blocks(reader, place.block, text)[0]


def _end(reader: JournalReader, place: Place, text: str) -> int:
    if place.sequence is not None:
        return place.sequence
    return reader.last_sequence if place.block is None else _blocks(reader, place.block, text)[1]


def _blocks(reader: JournalReader, block: tuple[int, int], text: str) -> tuple[int, int]:
    """Return where a block was first reached, and the last record before the block after it came to stay."""
    chain_id, number = block
    first = end = 0
    watermark = -1
    for record in reader.read():
        body = record.body
        if not isinstance(body, BlockApplied | BlocksBackfilled) or body.chain_id != chain_id:
            continue
        tip = body.header.number if isinstance(body, BlockApplied) else body.last.number
        if not first and tip >= number:
            first = record.sequence
        if watermark <= number < tip:
            end = record.sequence - 1
        watermark = tip
    if watermark <= number:
        end = reader.last_sequence
    if not first or not end or watermark < number:
        raise UsageError(text, "is not in the journal", _STAT)
    return first, end
