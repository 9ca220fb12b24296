"""Start-up: the engine's state from the journal, with the venues and strategies that ship."""

from __future__ import annotations

from keeper.core.ports import Clock
from keeper.journal import restore
from keeper.journal.protocol import Journal
from keeper.journal.restore import Restored
from keeper.venues import open_ledger
from strategies import STRATEGIES


def restored(journal: Journal, clock: Clock) -> Restored:
    """Return the engine as it was after the journal's last record.

    Raises:
        JournalForeign: this code decides otherwise than the code that wrote the tail.
        JournalDamaged: a record is not what was written.
    """
    return restore.restored(journal, open_ledger, STRATEGIES, clock)
