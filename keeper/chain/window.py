"""The last blocks we hold, and what a new head changes: the pure half of following a chain.

The chain is a tree; we hold one branch of it back to some block below finality. A new head is a leaf. Walking from it
by parent hash we meet our branch at the *join*: what we hold above the join is abandoned, newest first, and what was
walked is applied, oldest first. Two situations look alike and must not be mixed up:

* A head that we hold, or one at or below finality, is *stale*: a lagging node. It changes nothing.
* A head above finality whose branch does not meet ours above finality *replaces* a final block: that is no longer a
  reorg, and the process halts.

Nothing here fetches anything: the follower asks :meth:`Window.joins` after each header it fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from keeper.core.errors import FinalityViolated, invariant
from keeper.core.facts import BlockHeader
from keeper.core.ids import Hash32, to_hex

BLOCKS_MIN = 256
"""Blocks kept even when they are final."""
BLOCKS_MAX = 8192
"""Blocks kept even when nothing becomes final."""


@dataclass(frozen=True, slots=True)
class Branch:
    """The way from our tip to a new head."""

    reverted: tuple[tuple[int, Hash32], ...]
    """Blocks abandoned, newest first: number, hash."""
    applied: tuple[BlockHeader, ...]
    """Blocks added, oldest first."""


@dataclass(frozen=True, slots=True)
class Window:
    """Hashes by number, contiguous and ascending; ``start`` is the first block of interest, ever.

    ``finalized`` is the highest final block number, ``None`` before any is known.
    """

    start: int
    hashes: dict[int, Hash32] = field(default_factory=dict)
    finalized: int | None = None

    @classmethod
    def resumed(cls, start: int, recent: Sequence[tuple[int, Hash32]], finalized: int) -> Window:
        """Return the window of a chain state: the newest blocks it holds, oldest first, and what is final of them."""
        return cls(start, dict(recent), finalized if recent else None)

    @property
    def tip(self) -> tuple[int, Hash32] | None:
        """The newest block: number and hash; ``None`` before the first."""
        if not self.hashes:
            return None
        number = next(reversed(self.hashes))
        return number, self.hashes[number]

    @property
    def next_number(self) -> int:
        """The number of the block after the tip."""
        tip = self.tip
        return self.start if tip is None else tip[0] + 1

    def holds(self, number: int, block_hash: Hash32) -> bool:
        """Tell whether the block is on our branch."""
        return self.hashes.get(number) == block_hash

    def is_stale(self, number: int, block_hash: Hash32) -> bool:
        """Tell whether a head changes nothing: held, final already, or before everything."""
        settled = self.start - 1 if self.finalized is None else max(self.start - 1, self.finalized)
        return number <= settled or self.holds(number, block_hash)

    def joins(self, header: BlockHeader) -> bool:
        """Tell whether the block stands directly on our branch (or is the first block of all).

        Raises:
            FinalityViolated: it does not, and its parent would be final or older than all we hold.
        """
        below = header.number - 1
        if self.holds(below, header.parent_hash):
            return True
        oldest = next(iter(self.hashes), self.start)
        if header.number == self.start == oldest and (self.finalized is None or self.finalized < self.start):
            return True
        if below < oldest or (self.finalized is not None and below <= self.finalized):
            raise FinalityViolated(
                f"block {header.number} {to_hex(header.hash)}",
                f"its branch leaves ours at or below block {below}, where all is final (finalized {self.finalized})",
                "compare the provider with another one; if the chain really did this, restart from a new journal",
            )
        return False

    def branch(self, walked: Sequence[BlockHeader]) -> Branch:
        """Return what changes when ``walked``, newest first and ending where it joins, becomes our branch."""
        join = walked[-1].number - 1
        reverted = tuple((number, held) for number, held in reversed(self.hashes.items()) if number > join)
        return Branch(reverted=reverted, applied=tuple(reversed(walked)))

    def extended(self, headers: Sequence[BlockHeader]) -> Window:
        """Return the window with blocks added, oldest first, in place of all at their height or above."""
        kept = {number: held for number, held in self.hashes.items() if number < headers[0].number}
        for header in headers:
            last = next(reversed(kept), header.number - 1)
            linked = last == header.number - 1 and kept.get(last, header.parent_hash) == header.parent_hash
            invariant(linked, f"block {header.number}", "added to the window without its parent")
            kept[header.number] = header.hash
        return Window(self.start, kept, self.finalized)

    def finalized_at(self, number: int) -> Window | None:
        """Return the window with this block final, old blocks dropped; ``None`` when that is no news.

        Finality never goes back: a lower number is ignored, and so is one that we do not hold yet.
        """
        if number not in self.hashes or (self.finalized is not None and number <= self.finalized):
            return None
        return Window(self.start, self.hashes, number).pruned()

    def pruned(self) -> Window:
        """Return the window without blocks that no reorg can reach."""
        newest = self.next_number - 1
        keep_from = newest - BLOCKS_MIN + 1
        if self.finalized is None or self.finalized < keep_from:
            keep_from = max(newest - BLOCKS_MAX + 1, -1 if self.finalized is None else self.finalized)
        kept = {number: held for number, held in self.hashes.items() if number >= keep_from}
        return Window(self.start, kept, self.finalized)
