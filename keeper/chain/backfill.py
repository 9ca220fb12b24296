"""History below finality, in ranges as large as the provider allows, without holes.

Each range is one batch: the headers of its two ends and its logs, so the backend that answers proves that it has the
range at all, and the ends are linked to what came before by parent hash. A range is complete only when the contracts
that its logs make necessary were watched from its first block; otherwise it is fetched again with them.

A second provider, where there is one, is asked for the same range at the same time, and what the two say is compared
before anything is recorded. When they differ, it is found out who is right, who is wrong goes into quarantine, and the
range is read again. A range that only one provider answered is recorded too, and counts as unverified.

Providers limit ranges by blocks, by results, by bytes and by time, and say so in a dozen texts. None is parsed: any
failure halves the range, down to one block, and success grows it again. What still fails then is tried as the retry
policy says and raised at last; the watermark does not move past it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import NamedTuple

import msgspec

from keeper.chain.dispute import settle
from keeper.chain.member import Member
from keeper.chain.pool import ProviderPool
from keeper.chain.ranges import FoundRange, dated, digests, read_range
from keeper.chain.retry import OnError, RetryPolicy, ignore, retrying
from keeper.chain.source import BlockSource
from keeper.chain.watch import DISCOVERY_ROUNDS_MAX, Watch
from keeper.chain.wire import LogFilter
from keeper.core.digest import range_digest
from keeper.core.errors import FinalityViolated, InvariantBroken, NodeError, NodeMalformed, NodeRefused
from keeper.core.facts import BlocksBackfilled, ContractRead, RangeVerified
from keeper.core.ids import Hash32, to_hex
from keeper.core.ports import Clock

RANGE_BLOCKS_FIRST = 256


class Range(NamedTuple):
    """A range, and a second provider's confirmation of it where there is one."""

    fact: BlocksBackfilled
    verified: RangeVerified | None


class RangeSize:
    """How many blocks to ask for: doubles until the first failure, later grows by an eighth; a failure halves it.

    Args:
        blocks_max: The ceiling, in blocks.
    """

    def __init__(self, blocks_max: int) -> None:
        self._blocks_max = blocks_max
        self._doubling_below = blocks_max
        self.blocks = min(RANGE_BLOCKS_FIRST, blocks_max)

    def grow(self) -> None:
        """A range of this size was answered."""
        step = self.blocks if self.blocks < self._doubling_below else max(1, self.blocks // 8)
        self.blocks = min(self._blocks_max, self.blocks + step)

    def shrink(self, failed_blocks: int) -> None:
        """A range of ``failed_blocks`` was not answered."""
        self.blocks = max(1, failed_blocks // 2)
        self._doubling_below = self.blocks


class Backfill:
    """Reads ranges of final blocks of one chain.

    Args:
        chain_id: The chain's id, for the facts.
        pool: Who is asked; a range comes from one provider.
        watch: Which logs and reads are wanted.
        clock: Paces retries.
        blocks_max: The ceiling of a range.
        policy: How a failing range is tried again.
        on_error: Told of each failure.
    """

    def __init__(
        self,
        chain_id: int,
        pool: ProviderPool,
        watch: Watch,
        clock: Clock,
        *,
        blocks_max: int,
        policy: RetryPolicy,
        on_error: OnError = ignore,
    ) -> None:
        self._chain_id = chain_id
        self._pool = pool
        self._watch = watch
        self._clock = clock
        self._size = RangeSize(blocks_max)
        self._policy = policy
        self._on_error = on_error

    async def ranges(self, first: int, last: int, *, parent: Hash32, head_number: int) -> AsyncIterator[Range]:
        """Yield the blocks ``first`` to ``last``, both included, in complete ranges; reads are made at ``last``.

        A range ends, and is read, at a block too that begins what can only be followed from there: a node that does
        not serve the state of such a block cannot serve this history.

        The ledgers must have folded a range before the next one is asked for.

        Args:
            first: First block number.
            last: Last block number, final.
            parent: The hash that the parent of ``first`` must have.
            head_number: The newest block known: what ``behind_blocks`` counts to.

        Raises:
            NodeError: a range could not be read; nothing after it is yielded.
            FinalityViolated: the chain below ``first`` is not the one we hold.
        """
        while first <= last:
            operation = partial(self._next, first, last, parent, head_number)
            found = await retrying(operation, self._policy, self._clock, self._on_error)
            yield found
            first, parent = found.fact.last.number + 1, found.fact.last.hash

    async def _next(self, first: int, last: int, parent: Hash32, head_number: int) -> Range:
        """Read the range at ``first``, as long as is answered. A refusal costs no attempt while it can be halved."""
        while True:
            to = min(first + self._size.blocks - 1, last)
            try:
                found = await self._attempt(first, to, parent)
            except NodeError:
                self._size.shrink(to - first + 1)
                raise
            cut = to if isinstance(found, NodeRefused) else self._start_in(found.fact)
            if cut < to:
                to = cut
                found = await self._attempt(first, to, parent)
            if not isinstance(found, NodeRefused):
                self._size.grow()
                reads = await self._reads(found.fact) if to in (cut, last) else ()
                fact = msgspec.structs.replace(found.fact, reads=reads, behind_blocks=head_number - to)
                return found._replace(fact=fact)
            self._on_error(found)
            self._size.shrink(to - first + 1)

    def _start_in(self, fact: BlocksBackfilled) -> int:
        """Return the first block of a range that has to be read at its own end; one behind the range when none has."""
        starts = (block.number for block in fact.blocks if self._watch.starts(block.logs))
        return next(starts, fact.last.number + 1)

    async def _attempt(self, first: int, to: int, parent: Hash32) -> Range | NodeRefused:
        """Read one range from one provider; a refusal of several blocks is no fault of the provider."""
        with self._pool.pinned() as node:
            try:
                return await self._range(node, first, to, parent)
            except NodeRefused as refusal:
                if first == to:
                    raise
                return refusal

    async def _range(self, node: Member, first: int, to: int, parent: Hash32) -> Range:
        for _ in range(DISCOVERY_ROUNDS_MAX):
            wanted, second = self._watch.wanted(), self._second(node)
            both = [read_range(each, wanted, first, to) for each in (node, *second)]
            found, *others = await asyncio.gather(*both, return_exceptions=True)
            if isinstance(found, BaseException):
                raise found
            ends, blocks = found
            if not self._watch.discover([log for block in blocks for log in block.logs], first):
                break
        else:
            raise InvariantBroken(f"blocks {first} to {to}", "discovery does not come to an end")
        if ends[first].parent_hash != parent:
            reason = f"its parent is {to_hex(ends[first].parent_hash)}, we hold {to_hex(parent)}"
            raise FinalityViolated(f"block {first}", reason, "compare the provider with another one")
        verified = await self._compared(found, others[0], (node, *second), wanted) if others else None
        fact = BlocksBackfilled(self._chain_id, first, ends[to], await dated(node, ends, blocks), (), 0, node.name)
        return Range(fact, verified)

    def _second(self, node: Member) -> tuple[Member, ...]:
        """Return who is asked too: the best provider that is another one, if there is any."""
        return tuple(each for each in self._pool.healthy() if each.name != node.name)[:1]

    async def _compared(
        self, found: FoundRange, other: FoundRange | BaseException, nodes: tuple[Member, ...], wanted: LogFilter
    ) -> RangeVerified | None:
        """Return the confirmation by the second provider; ``None`` when it did not answer.

        Raises:
            NodeMalformed: the providers differ. Who is known to be wrong is in quarantine.
        """
        if isinstance(other, NodeError):
            self._on_error(other)
            return None
        if isinstance(other, BaseException):
            raise other
        (ends, blocks), (other_ends, other_blocks) = found, other
        first, last = ends[min(ends)], ends[max(ends)]
        thing = f"blocks {first.number} to {last.number}"
        if other_ends[last.number].hash != last.hash:
            raise NodeMalformed(thing, "providers have different final blocks", "find out which one is right")
        ours, theirs = digests(blocks), digests(other_blocks)
        if ours == theirs:
            names = tuple(node.name for node in nodes)
            return RangeVerified(self._chain_id, first.number, last.number, range_digest(ours.values()), names)
        hashes = {block.number: block.hash for block in (*blocks, *other_blocks)}
        number = min(number for number in ours.keys() | theirs.keys() if ours.get(number) != theirs.get(number))
        verdict = await settle(self._pool.healthy(), wanted, number, hashes[number])
        for liar in () if verdict is None else verdict.wrong:
            self._pool.quarantine(liar, f"told wrong logs of block {number}")
        raise NodeMalformed(thing, f"providers tell different logs of block {number}", "they are read again")

    async def _reads(self, found: BlocksBackfilled) -> tuple[ContractRead, ...]:
        logs = [log for block in found.blocks for log in block.logs]
        with self._pool.pinned() as node:
            source = BlockSource(self._pool, node, self._watch)
            return await source.reads(found.last.hash, self._watch.reads(logs))
