"""The circuit breaker of each venue: transactions that revert one after the other pause it.

A call is simulated before it is signed, so a revert in a block is either a lost race or a simulation that does not tell
the truth; the second repeats itself until the gas is gone. A liquidation that succeeds, ours or a rival's, shows that
the venue lets itself be liquidated, and forgives the reverts up to its block, whichever of their receipts come before
it; a pause and a new run begin the count anew too. So lost races pause nothing: each of them is somebody's success. A
reorg takes a revert back.
"""

from __future__ import annotations

import msgspec

from keeper.core.ids import Hash32


class Revert(msgspec.Struct, frozen=True):
    """An intent that reverted, and in which block."""

    intent_id: Hash32
    block_number: int


class VenueBreaker(msgspec.Struct):
    """The reverts of one venue after the block of anybody's last success; blocks are zero before the first.

    ``paused_until`` is the last block of a pause.
    """

    venue: str
    reverts: list[Revert] = []
    paused_until: int = 0
    succeeded_at: int = 0


class Breakers:
    """The breakers of all venues that have one."""

    def __init__(self, entries: list[VenueBreaker] | None = None) -> None:
        self._of = {entry.venue: entry for entry in entries or []}

    def reverted(self, venue: str, revert: Revert) -> None:
        """Count a revert, unless its block or a later one holds a success."""
        entry = self._entry(venue)
        if revert.block_number > entry.succeeded_at:
            entry.reverts.append(revert)

    def take_back(self, venue: str, intent_id: Hash32) -> None:
        """Forget an intent's revert: its block was abandoned."""
        entry = self._of.get(venue)
        if entry is not None:
            entry.reverts = [each for each in entry.reverts if each.intent_id != intent_id]

    def succeeded(self, venue: str, block_number: int) -> None:
        """Forgive what reverted up to a block, even if a reorg takes the success back. A pause goes on to its end."""
        entry = self._entry(venue)
        entry.succeeded_at = block_number
        entry.reverts = [each for each in entry.reverts if each.block_number > block_number]

    def trip(self, venue: str, tip_number: int, *, reverts_max: int, window_blocks: int, pause_blocks: int) -> int:
        """Pause a venue if it has reverted too often within the newest blocks.

        Returns:
            How many reverts paused it, zero when it was not paused now.
        """
        entry = self._of.get(venue)
        if entry is None:
            return 0
        entry.reverts = [each for each in entry.reverts if each.block_number > tip_number - window_blocks]
        count = len(entry.reverts)
        if count < reverts_max:
            return 0
        entry.reverts, entry.paused_until = [], tip_number + pause_blocks
        return count

    def reverts(self, venue: str, tip_number: int, window_blocks: int) -> int:
        """Count the reverts of a venue within the newest blocks, with no success since."""
        entry = self._of.get(venue)
        oldest = tip_number - window_blocks
        return 0 if entry is None else sum(each.block_number > oldest for each in entry.reverts)

    def paused_until(self, venue: str) -> int:
        """Return the last block of a venue's pause, zero when it never had one."""
        entry = self._of.get(venue)
        return entry.paused_until if entry is not None else 0

    def _entry(self, venue: str) -> VenueBreaker:
        return self._of.setdefault(venue, VenueBreaker(venue))

    def reset(self) -> None:
        """Forget everything: the operator has started a new run."""
        self._of = {}

    def entries(self) -> list[VenueBreaker]:
        """Return all, sorted by venue."""
        return [self._of[venue] for venue in sorted(self._of)]
