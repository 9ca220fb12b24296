"""The journals that daemons under test leave behind."""

from __future__ import annotations

from pathlib import Path

from keeper.core.codec import Record
from keeper.engine.replay import ReplayResult, replay
from keeper.engine.step import ENGINE_VERSION, Engine
from keeper.journal.urls import open_reader
from keeper.journal.verify import verify
from keeper.venues import open_ledger
from strategies import STRATEGIES


def read_journal(path: Path) -> list[Record]:
    """Return every record."""
    with open_reader(f"sqlite://{path}") as journal:
        return list(journal.read())


def replayed(path: Path) -> ReplayResult:
    """Check every frame and return what a replay from sequence zero gives."""
    with open_reader(f"sqlite://{path}") as journal:
        assert verify(journal).violation is None
        return replay(journal.read(), Engine(open_ledger, STRATEGIES))


def replayed_from_snapshots(path: Path) -> list[ReplayResult]:
    """Return what replays of the tail give, from each snapshot beside the journal."""
    results = []
    with open_reader(f"sqlite://{path}") as journal:
        for snapshot in journal.snapshots(str(ENGINE_VERSION)):
            engine = Engine(open_ledger, STRATEGIES)
            engine.load(snapshot.state)
            assert engine.state_hash() == snapshot.state_hash
            results.append(replay(journal.read(engine.sequence + 1), engine))
    return results
