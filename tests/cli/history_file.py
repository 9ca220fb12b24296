"""A history written to a real journal file, as the recorder would have."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from keeper.core.codec import Record
from keeper.engine.replay import replay
from keeper.engine.step import ENGINE_VERSION, Engine
from keeper.journal.sqlite import SqliteJournal
from tests.engine.history import CHAIN, new_engine


@dataclass(frozen=True)
class JournalFile:
    """A journal, and what was written to it."""

    path: Path
    records: Sequence[Record]

    @property
    def url(self) -> str:
        """The url that commands take."""
        return f"sqlite://{self.path}"


def write_history(
    path: Path,
    records: Sequence[Record],
    *,
    chain_ids: Sequence[int] = (CHAIN,),
    snapshots: Sequence[int] = (),
    states: dict[int, bytes] | None = None,
) -> JournalFile:
    """Write records, a fact and its decisions as one group in a frame of its own.

    Args:
        path: Of the new journal.
        records: Numbered from one.
        chain_ids: The journal's.
        snapshots: The sequences after which the engine's state is saved.
        states: Other states to save there instead.
    """
    asyncio.run(_write(path, records, chain_ids, {each: (states or {}).get(each) for each in snapshots}))
    return JournalFile(path, records)


async def _write(
    path: Path, records: Sequence[Record], chain_ids: Sequence[int], snapshots: dict[int, bytes | None]
) -> None:
    with SqliteJournal(path, chain_ids) as journal:
        for _, group in groupby(records, key=lambda record: record.cause or record.sequence):
            members = list(group)
            last = journal.append([(record.body, record.cause) for record in members], members[0].recorded_at_ms)
            await journal.wait_durable(last)
        for sequence, state in snapshots.items():
            saved = state if state is not None else state_after(records, sequence)
            journal.save_snapshot(sequence, str(ENGINE_VERSION), saved)


def state_after(records: Sequence[Record], sequence: int) -> bytes:
    """Return the engine's state after a record."""
    engine: Engine = new_engine()
    replay(records[:sequence], engine)
    return engine.snapshot()
