"""Prices that were not to be relied on: not believed by the oracle guard, or the same for suspiciously long.

Which fact told a price is in the engine's state; when that was is in the record of the fact.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator

from keeper.core.codec import Record
from keeper.core.facts import BlockApplied
from keeper.core.ids import to_hex
from keeper.core.risk import UNMOVED_SECONDS_MAX
from keeper.engine.market import AssetTrack
from keeper.engine.step import Engine
from keeper.report.incident import Trouble
from keeper.report.model import Moment


class HeadTimes:
    """When each head was made, by the sequence of its record."""

    def __init__(self) -> None:
        self._sequences = array("q")
        self._timestamps = array("q")

    def take(self, record: Record) -> None:
        """Take the next record."""
        if isinstance(record.body, BlockApplied):
            self._sequences.append(record.sequence)
            self._timestamps.append(record.body.header.timestamp)

    def of(self, sequence: int) -> int | None:
        """Return the time of the head that a record told, ``None`` where it tells none that was taken."""
        place = bisect_left(self._sequences, sequence)
        known = place < len(self._sequences) and self._sequences[place] == sequence
        return self._timestamps[place] if known else None


class Doubts:
    """Looks at the prices of the second opinion after each head of a window.

    Args:
        times: Takes every record before this looks.
    """

    def __init__(self, times: HeadTimes) -> None:
        self._times = times
        self._found: dict[tuple[str, str], tuple[Moment, str, int]] = {}

    def look(self, engine: Engine, chain_id: int, at: Moment, now_seconds: int) -> None:
        """Look at the venues of a chain, at a head of it."""
        for venue, ledger in engine.ledgers.items():
            if ledger.chain_id != chain_id:
                continue
            for track in engine.risk.tracks(venue):
                told = self._doubt(track, now_seconds)
                if told is not None:
                    kind, detail = told
                    key = (f"price {kind}", f"{venue} {to_hex(track.asset)}")
                    since, _, heads = self._found.get(key, (at, "", 0))
                    self._found[key] = (since, detail, heads + 1)

    def troubles(self) -> Iterator[Trouble]:
        """Yield each price and doubt once: its first head, its last words, and at how many heads it was so."""
        for (kind, subject), (at, detail, heads) in self._found.items():
            yield Trouble(at=at, kind=kind, subject=subject, detail=detail, count=heads)

    def _doubt(self, track: AssetTrack, now_seconds: int) -> tuple[str, str] | None:
        if track.doubt is not None:
            return track.verdict.status.value, track.verdict.reason
        told_seconds = self._times.of(track.sequence)
        if told_seconds is None or not is_stale(track, now_seconds - told_seconds):
            return None
        return "stale", f"nothing new for {(now_seconds - told_seconds) / 3600:.1f} h"


def is_stale(track: AssetTrack, age_seconds: int) -> bool:
    """Tell whether a price is suspect for its age: one that moves, and has not for longer than feeds usually rest."""
    return track.has_moved and age_seconds > UNMOVED_SECONDS_MAX
