"""Start-up: the engine's state from the newest good snapshot and the records after it."""

from __future__ import annotations

import structlog

from keeper.core.errors import JournalDamaged, JournalForeign
from keeper.engine.replay import replay
from keeper.engine.step import ENGINE_VERSION, Engine
from keeper.journal.protocol import Journal
from keeper.venues import open_ledger
from strategies import STRATEGIES


def restored_engine(journal: Journal) -> Engine:
    """Return the engine as it was after the journal's last record.

    Raises:
        JournalForeign: this code decides otherwise than the code that wrote the tail. Going on would orphan the
            intents that are in flight.
        JournalDamaged: a record is not what was written.
    """
    engine = _from_snapshot(journal)
    result = replay(journal.read(engine.sequence + 1), engine)
    if result.divergence is not None:
        raise JournalForeign(
            f"journal record {result.divergence.sequence}",
            "this version decides otherwise than the one that wrote it",
            "drain with that version and start a new journal; `keeper replay` shows the difference",
        )
    return engine


def _from_snapshot(journal: Journal) -> Engine:
    for snapshot in journal.snapshots(str(ENGINE_VERSION)):
        engine = Engine(open_ledger, STRATEGIES)
        try:
            engine.load(snapshot.state)
        except JournalDamaged as error:
            structlog.get_logger().warning("snapshot skipped", sequence=snapshot.sequence, reason=str(error))
        else:
            return engine
    return Engine(open_ledger, STRATEGIES)
