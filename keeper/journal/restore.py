"""The engine's state at a start: from the newest good snapshot and the records after it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import structlog

from keeper.core.codec import Record
from keeper.core.errors import JournalDamaged, JournalForeign
from keeper.core.ports import Clock
from keeper.engine.replay import replay
from keeper.engine.state import OpenLedger
from keeper.engine.step import ENGINE_VERSION, Engine
from keeper.engine.view import Decide
from keeper.journal.protocol import Journal


class Restored(NamedTuple):
    """An engine, the sequence of the snapshot that it began with (zero: none), and how long it stepped from there."""

    engine: Engine
    snapshot_sequence: int
    seconds: float


def restored(journal: Journal, open_ledger: OpenLedger, strategies: Mapping[str, Decide], clock: Clock) -> Restored:
    """Return the engine as it was after the journal's last record.

    Args:
        journal: Open.
        open_ledger: Opens an empty ledger of a venue.
        strategies: The decider of each kind of strategy.
        clock: Measures the stepping.

    Raises:
        JournalForeign: this code decides otherwise than the code that wrote the tail. Going on would orphan the
            intents that are in flight.
        JournalDamaged: a record is not what was written.
    """
    engine = _from_snapshot(journal, open_ledger, strategies)
    snapshot_sequence, begun = engine.sequence, clock.monotonic()
    result = replay(_whole(journal.read(engine.sequence + 1), engine.sequence), engine)
    if result.divergence is not None:
        raise JournalForeign(
            f"journal record {result.divergence.sequence}",
            "this version decides otherwise than the one that wrote it",
            "drain with that version and start a new journal; `keeper replay` shows the difference",
        )
    return Restored(engine, snapshot_sequence, clock.monotonic() - begun)


def _whole(records: Iterable[Record], sequence: int) -> Iterator[Record]:
    """Pass records on; those of a pruned journal say nothing without the state before them."""
    for count, record in enumerate(records):
        if count == 0 and sequence == 0 and record.sequence != 1:
            place = f"journal record {record.sequence}"
            reason = "is the first that is kept, and no snapshot of this version stands before it"
            raise JournalForeign(place, reason, "drain with the version that pruned it and start a new journal")
        yield record


def _from_snapshot(journal: Journal, open_ledger: OpenLedger, strategies: Mapping[str, Decide]) -> Engine:
    for snapshot in journal.snapshots(str(ENGINE_VERSION)):
        engine = Engine(open_ledger, strategies)
        try:
            engine.load(snapshot.state)
        except JournalDamaged as error:
            structlog.get_logger().warning("snapshot skipped", sequence=snapshot.sequence, reason=str(error))
        else:
            return engine
    return Engine(open_ledger, strategies)
