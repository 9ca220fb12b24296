"""Journals that commands read: opened, restored to a place, replayed with a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from keeper.cli.terminal import Advance
from keeper.core.codec import Record
from keeper.core.errors import JournalForeign, UsageError
from keeper.core.facts import BlockApplied, BlocksBackfilled
from keeper.engine.replay import ReplayResult, replay
from keeper.engine.step import ENGINE_VERSION, Engine
from keeper.journal.protocol import Snapshot
from keeper.journal.reader import JournalReader
from keeper.journal.urls import open_reader
from keeper.observe.log import configure_logging
from keeper.venues import open_ledger
from strategies import STRATEGIES

if TYPE_CHECKING:
    from keeper.settings import Settings

ADVANCE_RECORDS = 1000
Watch = Callable[[Engine, Record], None]
"""What looks at an engine after each record that it was given."""
DIGITS_MAX = 19
"""Of a sequence or a block number: both fit into 63 bits."""
_BLOCK = "block:"


@contextmanager
def opened(url: str) -> Iterator[JournalReader]:
    """Open a journal for reading; what its reader warns of goes to stderr.

    Raises:
        KeeperError: as :func:`keeper.journal.urls.open_reader`.
    """
    configure_logging(sys.stderr, level="warning")
    with open_reader(url) as reader:
        yield reader


def check_chains(reader: JournalReader, settings: Settings) -> None:
    """See that a journal holds the chains of a configuration.

    Raises:
        JournalForeign: it holds others.
    """
    wanted = tuple(sorted(chain.chain_id for chain in settings.chains.values()))
    if reader.birth.chain_ids != wanted:
        reason = f"holds chain {_listed(reader.birth.chain_ids)}, the configuration is of chain {_listed(wanted)}"
        raise JournalForeign(f"journal {reader.path}", reason, "name the journal of this configuration")


def new_engine() -> Engine:
    """Return an engine of all venues and strategies that has stepped nothing."""
    return Engine(open_ledger, STRATEGIES)


def first_engine(reader: JournalReader) -> Engine:
    """Return an engine as it was before the first record that is kept.

    Raises:
        JournalForeign: records were pruned, and the state before the first kept is not of this version.
    """
    cut = reader.first_sequence - 1
    if cut == 0:
        return new_engine()
    for snapshot in reader.snapshots(str(ENGINE_VERSION)):
        if snapshot.sequence == cut:
            return engine_from(snapshot)
    reason = f"begins at sequence {cut + 1}, and the state before it is not of this version"
    raise JournalForeign(reader.where, reason, "read it with the version that cut it")


def best_snapshot(reader: JournalReader, until: int) -> Snapshot | None:
    """Return the newest good snapshot at or before a sequence."""
    snapshots = reader.snapshots(str(ENGINE_VERSION))
    return next((snapshot for snapshot in snapshots if snapshot.sequence <= until), None)


def engine_from(snapshot: Snapshot | None) -> Engine:
    """Return an engine in the state of a snapshot, or a new one.

    Raises:
        JournalDamaged: the snapshot is not a state of this engine.
    """
    engine = new_engine()
    if snapshot is not None:
        engine.load(snapshot.state)
    return engine


def replayed(reader: JournalReader, engine: Engine, until: int, advance: Advance) -> ReplayResult:
    """Step an engine through the records after its own place, ``until`` included."""
    return replay(counted(reader.read(engine.sequence + 1, until), advance), engine)


def state_at(reader: JournalReader, until: int, advance: Advance) -> Engine:
    """Return the engine's state after a record, the quickest way.

    Raises:
        JournalForeign: this version decides otherwise than the one that wrote the journal.
        JournalDamaged: a record is not what was written.
    """
    engine = engine_before(reader, until)
    _check(replayed(reader, engine, until, advance))
    return engine


def state_beside(reader: JournalReader, until: int, advance: Advance, take: Callable[[Record], None]) -> Engine:
    """Return the engine's state after a record, and hand over every record up to there, all in one pass.

    Raises:
        JournalForeign: this version decides otherwise than the one that wrote the journal.
        JournalDamaged: a record is not what was written.
    """
    engine = engine_before(reader, until)
    _check(replay(_handed(counted(reader.read(1, until), advance), take), engine))
    return engine


def state_watched(reader: JournalReader, until: int, advance: Advance, watch: Watch) -> Engine:
    """Return the engine's state after a record; a watch sees the engine after every record from the first.

    Raises:
        JournalForeign: this version decides otherwise than the one that wrote the journal.
        JournalDamaged: a record is not what was written.
    """
    engine = first_engine(reader)
    _check(replay(_watched(counted(reader.read(1, until), advance), engine, watch), engine))
    return engine


def engine_before(reader: JournalReader, until: int) -> Engine:
    """Return the engine of the newest good snapshot at or before a sequence, or that before the first record."""
    snapshot = best_snapshot(reader, until)
    return first_engine(reader) if snapshot is None else engine_from(snapshot)


def _watched(records: Iterable[Record], engine: Engine, watch: Watch) -> Iterator[Record]:
    """Yield the records; who asks for the next has stepped the engine through the last."""
    for record in records:
        yield record
        watch(engine, record)


def end_of_group(reader: JournalReader, sequence: int) -> int:
    """Return the last record that follows from the same fact as this one: decisions are not torn from their fact."""
    for record in reader.read(sequence + 1):
        if record.cause == 0:
            return record.sequence - 1
    return max(sequence, reader.last_sequence)


def record_at(reader: JournalReader, sequence: int) -> Record:
    """Return the record at a place that the journal has."""
    return next(iter(reader.read(sequence, sequence)))


def _check(result: ReplayResult) -> None:
    if result.divergence is not None:
        place = f"journal record {result.divergence.sequence}"
        reason = "this version decides otherwise than the one that wrote it"
        raise JournalForeign(place, reason, "read it with that version; `keeper replay` shows the difference")


def sequence_of(reader: JournalReader, place: str | None) -> int:
    """Return the sequence that ``SEQ``, ``block:N`` or nothing (the end) names.

    Raises:
        UsageError: it is neither, is not in the journal, or the journal has several chains with a block of that number.
    """
    if place is None:
        return reader.last_sequence
    number = _number(place.removeprefix(_BLOCK), place)
    if place.startswith(_BLOCK):
        return _end_of_block(reader, number)
    first = reader.first_sequence
    if not first <= number <= reader.last_sequence:
        remedy = f"give one from {first} to {reader.last_sequence}"
        raise UsageError(f"sequence {number}", "is not in the journal", remedy)
    return number


def _number(digits: str, place: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= DIGITS_MAX):
        raise UsageError(repr(place), "names no place in a journal", "give a sequence, or block:NUMBER")
    return int(digits)


def _end_of_block(reader: JournalReader, number: int) -> int:
    """Return the last sequence at which a block was the watermark: on the branch that stayed."""
    chains = reader.birth.chain_ids
    if len(chains) > 1:
        raise UsageError(f"block {number}", f"the journal has chains {_listed(chains)}", "give a sequence instead")
    watermark, end = -1, 0
    for record in reader.read():
        block = _watermark_after(record)
        if block is not None:
            if watermark <= number < block:
                end = record.sequence - 1
            watermark = block
    if watermark <= number:
        end = reader.last_sequence
    if number > watermark or end == 0:
        raise UsageError(f"block {number}", "is not in the journal", "`keeper journal stat` shows the blocks it has")
    return end


def _watermark_after(record: Record) -> int | None:
    match record.body:
        case BlockApplied(header=header):
            return header.number
        case BlocksBackfilled(last=last):
            return last.number
    return None


def _handed(records: Iterable[Record], take: Callable[[Record], None]) -> Iterator[Record]:
    for record in records:
        take(record)
        yield record


def counted(records: Iterable[Record], advance: Advance) -> Iterator[Record]:
    """Pass records on, and tell how many there were."""
    for count, record in enumerate(records, 1):
        yield record
        if count % ADVANCE_RECORDS == 0:
            advance(ADVANCE_RECORDS)


def _listed(chain_ids: tuple[int, ...]) -> str:
    return ", ".join(str(chain_id) for chain_id in chain_ids)
