"""What the engine knows of a chain: the newest blocks, what is final, when the head last moved.

The follower is the one that walks headers; the engine checks that what it was given is a chain and stops otherwise.
Headers are kept back to the finalised block, and at least :data:`RECENT_BLOCKS_MIN` of them, so that any block that
can still be abandoned can be.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from keeper.core.errors import FinalityViolated, invariant
from keeper.core.facts import BlockApplied, BlockHeader, BlocksBackfilled, LogsRepaired, RangeVerified
from keeper.core.ids import Hash32, to_hex
from keeper.engine.unverified import Unverified

RECENT_BLOCKS_MIN = 256


class ChainState(msgspec.Struct):
    """One followed chain.

    ``headers`` are newest last, without their blooms (nobody asks for those again, and they are most of a header's
    bytes in a snapshot). ``head_seen_ms`` is when a block at the head came last. ``unverified`` stays empty unless the
    chain is ``scanned``.
    """

    chain_id: int
    headers: list[BlockHeader] = []
    finalized_number: int = 0
    behind_blocks: int = 0
    head_seen_ms: int = 0
    scanned: bool = False
    unverified: Unverified = msgspec.field(default_factory=Unverified)

    @property
    def settled_number(self) -> int:
        """The newest block that can change no more: it is final, and verified or given up."""
        waiting = self.unverified.first
        return self.finalized_number if waiting is None else min(self.finalized_number, waiting - 1)

    @property
    def tip(self) -> BlockHeader | None:
        """The newest block, or ``None`` before the first."""
        return self.headers[-1] if self.headers else None

    @property
    def recent(self) -> list[tuple[int, Hash32]]:
        """Number and hash of the blocks held, newest last."""
        return [(header.number, header.hash) for header in self.headers]

    @property
    def tip_number(self) -> int:
        """The newest block's number.

        Raises:
            InvariantBroken: no block was applied yet.
        """
        invariant(self.headers, f"chain {self.chain_id}", "has no block yet")
        return self.headers[-1].number

    def scan(self, *, on: bool) -> None:
        """Begin or end to keep what a second provider has not confirmed."""
        self.scanned = on
        if not on:
            self.unverified = Unverified()

    def apply(self, fact: BlockApplied, elapsed_ms: int) -> None:
        """Take the next block, whose parent must be the tip."""
        header, behind_blocks = fact.header, fact.behind_blocks
        tip = self.tip
        follows = tip is None or (header.parent_hash, header.number) == (tip.hash, tip.number + 1)
        invariant(follows, f"block {header.number} of chain {self.chain_id}", "does not follow the tip")
        self.headers.append(_without_bloom(header))
        self.behind_blocks = behind_blocks
        if behind_blocks == 0:
            self.head_seen_ms = elapsed_ms
        if self.scanned:
            self.unverified.add(header.number, header.number, fact.source)
            self.unverified.fold(header.number, header.hash, fact.logs)
            self.unverified.bound(header.number)

    def begin(self, header: BlockHeader) -> None:
        """Take the final block at which the chain's venues were read: everything before it is settled."""
        invariant(self.tip is None, f"chain {self.chain_id}", "was followed before its venues were read")
        self.headers = [_without_bloom(header)]
        self.finalized_number = header.number

    def backfill(self, fact: BlocksBackfilled) -> None:
        """Take a complete range of final blocks that starts right after the tip."""
        tip = self.tip
        invariant(
            tip is None or fact.first == tip.number + 1,
            f"range {fact.first} to {fact.last.number} of chain {self.chain_id}",
            "does not follow the tip",
        )
        self.headers = [_without_bloom(fact.last)]
        self.behind_blocks = fact.behind_blocks
        self.finalized_number = max(self.finalized_number, fact.last.number)
        if self.scanned:
            self.unverified.add(fact.first, fact.last.number, fact.source)
            for block in fact.blocks:
                self.unverified.fold(block.number, block.hash, block.logs)
            self.unverified.bound(fact.last.number)

    def verify(self, fact: RangeVerified) -> None:
        """Take the word of a second provider for a range.

        Raises:
            InvariantBroken: the range is not final, or what was folded is something else.
        """
        name = f"range {fact.first} to {fact.last} of chain {self.chain_id}"
        invariant(fact.last <= self.finalized_number, name, "was verified before it was final")
        invariant(self.unverified.agrees(fact), name, "was verified with other logs than were folded")
        self.unverified.take(fact.first, fact.last)

    def repair(self, fact: LogsRepaired) -> None:
        """Take the right logs of the blocks from ``first`` to the tip, which nobody has confirmed yet.

        Raises:
            InvariantBroken: the repair does not end at the tip, or reaches below what can be taken back.
        """
        name, tip = f"repair from block {fact.first} of chain {self.chain_id}", self.tip
        invariant(fact.blocks, name, "holds no block")
        last = fact.blocks[-1].block
        is_tip = tip is not None and (tip.number, tip.hash) == (last.number, last.hash)
        invariant(is_tip, name, "does not end at the tip")
        invariant(fact.first > self.settled_number, name, "begins where everything is settled")
        self.unverified.revert(fact.first)
        self.unverified.add(fact.first, last.number, fact.source)
        for each in fact.blocks:
            self.unverified.fold(each.block.number, each.block.hash, each.block.logs)

    def revert(self, number: int, block_hash: Hash32) -> None:
        """Give up the tip.

        Raises:
            FinalityViolated: the block is final.
            InvariantBroken: it is not the tip.
        """
        if number <= self.finalized_number:
            raise FinalityViolated(
                f"block {number} {to_hex(block_hash)} of chain {self.chain_id}",
                "was abandoned by the chain after it was final",
                "check the providers before anything is signed again",
            )
        tip = self.tip
        is_tip = tip is not None and (tip.number, tip.hash) == (number, block_hash)
        invariant(is_tip, f"block {number} of chain {self.chain_id}", "was reverted but is not the tip")
        self.headers.pop()
        self.unverified.revert(number)

    def finalize(self, number: int, block_hash: Hash32) -> bool:
        """Move finality forward; ``False`` when it is already there.

        Raises:
            FinalityViolated: another block of that number is held.
        """
        if number <= self.finalized_number:
            return False
        invariant(number <= self.tip_number, f"block {number} of chain {self.chain_id}", "is final but not applied")
        held = self._hash_at(number)
        if held is not None and held != block_hash:
            raise FinalityViolated(
                f"block {number} of chain {self.chain_id}",
                f"is final as {to_hex(block_hash)} but is held as {to_hex(held)}",
                "check the providers before anything is signed again",
            )
        self.finalized_number = number
        self._forget()
        return True

    def is_canonical(self, number: int, block_hash: Hash32) -> bool:
        """Tell whether the chain holds this block. Blocks older than what is held are final and taken as told."""
        if not self.headers or number > self.headers[-1].number:
            return False
        if number < self.headers[0].number:
            return number <= self.finalized_number
        return self._hash_at(number) == block_hash

    def is_stale(self, elapsed_ms: int, stale_after_seconds: int) -> bool:
        """Tell whether no block at the head arrived for too long."""
        return elapsed_ms - self.head_seen_ms > stale_after_seconds * 1000

    def _hash_at(self, number: int) -> Hash32 | None:
        index = number - self.headers[0].number
        return self.headers[index].hash if 0 <= index < len(self.headers) else None

    def _forget(self) -> None:
        spare = max(0, len(self.headers) - RECENT_BLOCKS_MIN)
        keep_from = min(spare, self.finalized_number - self.headers[0].number)
        if keep_from > 0:
            del self.headers[:keep_from]


def _without_bloom(header: BlockHeader) -> BlockHeader:
    return replace(header, logs_bloom=b"")
