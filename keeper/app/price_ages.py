"""When a venue's oracle last said something new of each price: the time of the block that told it.

The guard of the second opinion believes whatever the venue itself goes by, so an oracle that has stood still for days
looks fresh to it. The engine remembers which fact told each price; the time of that fact is looked up here.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress

from keeper.core.codec import AnyBody
from keeper.core.errors import Halt
from keeper.core.facts import BlockApplied
from keeper.core.ids import Address
from keeper.engine.market import AssetTrack
from keeper.journal.protocol import Journal
from keeper.journal.recorder import Settled

HEADS_KEPT = 256
"""Heads whose times are at hand: a picture is drawn more often than so many blocks come."""


class PriceAges:
    """Knows when prices were told.

    Args:
        journal: Tells of what was before this run.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._heads: OrderedDict[int, int] = OrderedDict()
        self._told: dict[tuple[str, Address], tuple[int, int]] = {}

    def settled(self, group: Settled) -> None:
        """Take durable records."""
        for sequence, body in enumerate(group.bodies, group.first_sequence):
            timestamp = _timestamp(body)
            if timestamp is not None:
                self._heads[sequence] = timestamp
                if len(self._heads) > HEADS_KEPT:
                    self._heads.popitem(last=False)

    def unmoved_seconds(self, venue: str, track: AssetTrack, now_seconds: int) -> int | None:
        """Return for how long a price has been the same at a head; ``None`` for one that was never seen to move."""
        if not track.has_moved:
            return None
        key = (venue, track.asset)
        known = self._told.get(key)
        if known is None or known[0] != track.sequence:
            timestamp = self._heads.get(track.sequence) or self._looked_up(track.sequence)
            if timestamp is None:
                return None
            known = self._told[key] = (track.sequence, timestamp)
        return max(now_seconds - known[1], 0)

    def _looked_up(self, sequence: int) -> int | None:
        """Read the time of a fact of an earlier run; it may be pruned, and damage is told by whoever needs it whole."""
        with suppress(Halt):
            return next((_timestamp(record.body) for record in self._journal.read(sequence, sequence)), None)
        return None


def _timestamp(body: AnyBody) -> int | None:
    return body.header.timestamp if isinstance(body, BlockApplied) else None
