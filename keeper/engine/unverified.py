"""Which final blocks were not read again elsewhere yet, and digests of what was folded from them.

One provider's word made the ledgers; a second one's must confirm it. Until then what a block changed can be taken back,
so the undo is kept and a wrong log costs a repair, not a new journal. That is bounded: blocks more than
:data:`UNVERIFIED_BLOCKS_MAX` below the tip are given up. They stay as trustworthy as with a single provider, which is
what is left when the second is away for that long: going blind would turn its outage into ours, while nothing says that
anything is wrong. The state audit goes on looking, and the journal tells which ranges nobody confirmed.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from keeper.core.digest import block_digest, range_digest
from keeper.core.facts import RangeVerified, RawLog
from keeper.core.ids import Hash32

UNVERIFIED_BLOCKS_MAX = 4096
"""How far below the tip the undo reaches at most: half a day of twelve-second blocks."""


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Blocks ``first`` to ``last`` that one provider gave (its redacted name)."""

    first: int
    last: int
    source: str


class Folded(msgspec.Struct, frozen=True, array_like=True):
    """A block with watched logs: their digest."""

    number: int
    digest: Hash32


class Unverified(msgspec.Struct):
    """Spans in order without overlap, and every block with watched logs in them."""

    spans: list[Span] = []
    folded: list[Folded] = []

    @property
    def first(self) -> int | None:
        """The oldest block that waits, ``None`` when none does."""
        return self.spans[0].first if self.spans else None

    def add(self, first: int, last: int, source: str) -> None:
        """Take a range that follows all others."""
        newest = self.spans[-1] if self.spans else None
        if newest is not None and (newest.last + 1, newest.source) == (first, source):
            self.spans[-1] = Span(newest.first, last, source)
        else:
            self.spans.append(Span(first, last, source))

    def fold(self, number: int, block_hash: Hash32, logs: Sequence[RawLog]) -> None:
        """Take a block's logs, newer than all others."""
        if logs:
            self.folded.append(Folded(number, block_digest(block_hash, logs)))

    def revert(self, number: int) -> None:
        """Give up all blocks from ``number`` on."""
        self.spans = [Span(span.first, min(span.last, number - 1), span.source) for span in self.spans]
        self.spans = [span for span in self.spans if span.first <= span.last]
        while self.folded and self.folded[-1].number >= number:
            self.folded.pop()

    def take(self, first: int, last: int) -> None:
        """Take blocks ``first`` to ``last`` off: they are verified, or given up."""
        kept: list[Span] = []
        for span in self.spans:
            below, above = min(span.last, first - 1), max(span.first, last + 1)
            kept += [Span(span.first, below, span.source)] if span.first <= below else []
            kept += [Span(above, span.last, span.source)] if above <= span.last else []
        self.spans = kept
        self.folded = [each for each in self.folded if not first <= each.number <= last]

    def bound(self, tip_number: int) -> None:
        """Give up what is too far below the tip."""
        if self.spans and self.spans[0].first <= tip_number - UNVERIFIED_BLOCKS_MAX:
            self.take(self.spans[0].first, tip_number - UNVERIFIED_BLOCKS_MAX)

    def covers(self, first: int, last: int) -> bool:
        """Tell whether every block of a range waits."""
        waiting = sum(max(0, min(span.last, last) - max(span.first, first) + 1) for span in self.spans)
        return waiting == last - first + 1

    def blocks(self, first: int, last: int) -> dict[int, Hash32]:
        """Return the digest of each block with watched logs in a range, oldest first."""
        return {each.number: each.digest for each in self.folded if first <= each.number <= last}

    def agrees(self, fact: RangeVerified) -> bool:
        """Tell whether a verified digest is that of what was folded; of given-up blocks nobody knows any more."""
        if not self.covers(fact.first, fact.last):
            return True
        return range_digest(self.blocks(fact.first, fact.last).values()) == fact.digest
