"""Follows one chain: from hints to facts that are complete, ordered and linked by hash.

For each head: fetch headers backwards by parent hash to the join with what we hold; then for every new block, oldest
first, its logs by block hash; then, at the head (and where something begins that only calls can tell), the venues'
reads and the signers' accounts, pinned to that block's hash. All of it goes to the recorder as one group, so that a
crash leaves the whole head or nothing of it. In the steady state that is one round trip to the node.

Everything for one head comes from one pinned provider. When anything fails the head is tried again as a whole, from
whichever provider is healthiest then; after that it is given up and the next hint, which polling guarantees, makes up
for it. Nothing is ever skipped: what is applied always stands on what was applied before.

Far behind (the first start, a long outage), blocks below finality come in ranges instead: :mod:`keeper.chain.backfill`.

Contracts that logs make necessary are watched from the very block that did: its logs are fetched again with them
before the block is recorded. As the ledgers learn of them only when the engine has stepped that group, the follower
waits for it in that case, and between the groups of one head, so that reads are asked with the ledgers up to date.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Never, TypeVar

from keeper.chain.backfill import Backfill
from keeper.chain.finality import FALLBACK_DEPTH_BLOCKS, Finality
from keeper.chain.heads import HeadSlot
from keeper.chain.member import Member
from keeper.chain.pool import ProviderPool
from keeper.chain.repair import Arbiter, right_blocks
from keeper.chain.retry import OnError, RetryPolicy, ignore, retrying
from keeper.chain.source import BlockSource
from keeper.chain.watch import DISCOVERY_ROUNDS_MAX, Watch
from keeper.chain.window import BLOCKS_MAX, Branch, Window
from keeper.chain.wire import HeadHint, decode_header
from keeper.core.errors import InvariantBroken, NodeError, RetryLater
from keeper.core.facts import (
    AnyFact,
    BlockApplied,
    BlockFinalized,
    BlockHeader,
    BlockReverted,
    LogsRepaired,
    RawLog,
    SignerRead,
)
from keeper.core.ids import Hash32
from keeper.core.ports import UNWATCHED, Clock, Pulse, Recorder

Result = TypeVar("Result")
Observe = Callable[[BlockHeader], Awaitable[Sequence[SignerRead]]]
"""Reads the signers' accounts at a head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerOptions:
    """How a chain is followed.

    Attributes:
        finality_depth_blocks: Blocks this far below the head are final; ``None`` takes the chain's ``finalized`` tag.
        gap_blocks_max: A head further away than this is approached by ranges first, as far as finality allows.
        range_blocks_max: The ceiling of such a range.
        group_blocks_max: Blocks recorded at once after a gap.
        read_every_block: Make the venues' reads at every block, not only at the head (for tests of exactness).
        retry: How a head or range that failed is tried again.
        finality_depth_fallback: Takes the place of the tag while no quorum of providers knows one.
    """

    finality_depth_blocks: int | None = None
    gap_blocks_max: int = 256
    range_blocks_max: int = 2000
    group_blocks_max: int = 64
    read_every_block: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    finality_depth_fallback: int = FALLBACK_DEPTH_BLOCKS


async def observe_nobody(_: BlockHeader) -> Sequence[SignerRead]:
    """Read no signer."""
    return ()


class Follower:
    """Turns head hints of one chain into recorded facts.

    Args:
        chain_id: The chain's id, for the facts.
        pool: Where blocks come from.
        watch: Which logs and reads the ledgers want.
        recorder: Where facts go.
        clock: Paces retries.
        window: What the journal already holds.
        options: How to follow.
        observe: Reads the signers' accounts at a head.
        on_error: Told of each failure that was survived.
        pulse: Told when a head is taken up and done with; the recorder and ``on_error`` know of its progress.
        finality_pulse: Of :attr:`finality`, which runs beside it.
    """

    def __init__(
        self,
        chain_id: int,
        pool: ProviderPool,
        watch: Watch,
        recorder: Recorder,
        clock: Clock,
        window: Window,
        options: FollowerOptions | None = None,
        observe: Observe = observe_nobody,
        on_error: OnError = ignore,
        pulse: Pulse = UNWATCHED,
        *,
        finality_pulse: Pulse = UNWATCHED,
    ) -> None:
        self.window = window
        self._chain_id = chain_id
        self._pool = pool
        self._watch = watch
        self._recorder = recorder
        self._clock = clock
        self._options = options or FollowerOptions()
        self._observe = observe
        self._on_error = on_error
        self._pulse = pulse
        self._one_at_a_time = asyncio.Lock()
        self._seen_unix_ms = 0
        self.finality = Finality(
            pool,
            clock,
            depth_blocks=self._options.finality_depth_blocks,
            fallback_depth_blocks=self._options.finality_depth_fallback,
            on_error=on_error,
            pulse=finality_pulse,
        )
        self.followed = False
        """Whether a head was followed to its end since the start; before, what is held may be old."""
        self._backfill = Backfill(
            chain_id,
            pool,
            watch,
            clock,
            blocks_max=self._options.range_blocks_max,
            policy=self._options.retry,
            on_error=on_error,
        )

    async def run(self, slot: HeadSlot) -> Never:
        """Follow the hints of a slot until cancelled.

        Raises:
            Halt: a final block was replaced, or the journal stopped.
            ConfigError: a provider serves another chain.
        """
        while True:
            hint = await slot.wait_hint()
            with self._pulse.working():
                await self.follow(hint)

    async def follow(self, hint: HeadHint) -> None:
        """Record what one head changes; nothing when it is stale. A failure is reported and leaves all as it was.

        Raises:
            Halt: a final block was replaced, or the journal stopped.
            ConfigError: a provider serves another chain.
        """
        self._seen_unix_ms = self._clock.unix_ms()
        self.finality.want()
        async with self._one_at_a_time:
            try:
                if hint.number - self.window.next_number >= self._options.gap_blocks_max:
                    await self._catch_up(hint)
                await self._retrying(partial(self._advance, hint))
                self.followed = True
            except (NodeError, RetryLater) as error:
                self._on_error(error)

    async def repair(self, first: int, node: Member, liar: str, arbiter: Arbiter) -> None:
        """Record the right logs from a block on in place of what is held; no head meanwhile.

        Args:
            first: The first block whose logs were recorded wrong; final.
            node: Who was found to be right.
            liar: Who gave the wrong logs, by its redacted name.
            arbiter: Asked about every other block of which the provider tells otherwise than is held.

        Raises:
            NodeError: the provider failed, or is on another branch; nothing is recorded.
            RetryLater: it cannot be told what the logs of a block are; nothing is recorded.
        """
        async with self._one_at_a_time:
            source = BlockSource(self._pool, node, self._watch)
            with self._pulse.working():
                blocks = await right_blocks(source, node, self._watch, self.window, first, arbiter, self._pulse)
                await self._recorder.record([LogsRepaired(self._chain_id, first, blocks, node.name, liar)])

    async def _retrying(self, operation: Callable[[], Awaitable[Result]]) -> Result:
        return await retrying(operation, self._options.retry, self._clock, self._on_error)

    async def _advance(self, hint: HeadHint) -> None:
        if self.window.is_stale(hint.number, hint.hash):
            return
        with self._pool.pinned() as node:
            source = BlockSource(self._pool, node, self._watch)
            await source.prefetch(hint, self._gap(hint), finality=self.finality.by_tag)
            self.finality.heard(node, source.finalized)
            head = await source.header(hint.number, hint.hash)
            branch = await self._walk(source, head)
            if await self._is_sure(node, branch):
                await self._emit(source, branch, node.name)

    async def _is_sure(self, node: Member, branch: Branch) -> bool:
        """Tell whether to follow a branch now.

        One that is not longer than ours, and that a single provider tells of, may be a stray block that loses. It is
        left alone until another provider has it at that height too, or the next block makes it longer.
        """
        others = [each for each in self._pool.healthy() if each is not node]
        if not others or len(branch.applied) > len(branch.reverted):
            return True
        head = branch.applied[-1]
        answers = await asyncio.gather(*(self._header_at(each, head.number) for each in others))
        return head.hash in answers

    async def _header_at(self, node: Member, number: int) -> Hash32 | None:
        try:
            answer = await node.call("eth_getBlockByNumber", (hex(number), False))
            return None if answer is None else decode_header(answer, number=number).hash
        except NodeError as error:
            self._on_error(error)
            return None

    def _gap(self, hint: HeadHint) -> range:
        """Return the numbers between our tip and a head, when that many may still change."""
        gap = range(self.window.next_number, hint.number)
        if len(gap) >= BLOCKS_MAX:
            reason = f"{len(gap)} blocks before it are not final; at most {BLOCKS_MAX} are followed unfinalised"
            raise RetryLater(f"head {hint.number}", reason, "set the chain's finality to a depth in blocks")
        return gap

    async def _walk(self, source: BlockSource, head: BlockHeader) -> Branch:
        """Fetch headers backwards by parent hash to the join."""
        walked = [head]
        while not self.window.joins(walked[-1]):
            walked.append(await source.header(walked[-1].number - 1, walked[-1].parent_hash))
        return self.window.branch(walked)

    async def _emit(self, source: BlockSource, branch: Branch, giver: str) -> None:
        """Record a branch in groups; the first one carries all that is abandoned."""
        facts = self._reverted(branch)
        head = branch.applied[-1]
        for start in range(0, len(branch.applied), self._options.group_blocks_max):
            part = branch.applied[start : start + self._options.group_blocks_max]
            logs, discovered = await self._complete_logs(source, part)
            facts += await self._applied(source, part, logs, head, giver)
            window = self.window.extended(part)
            if part[-1] is head:
                window, final = self._finalized(window, head)
                facts += final
            wait = discovered or part[-1] is not head
            await (self._recorder.record if wait else self._recorder.submit)(facts)
            self.window = window
            facts = []

    def _reverted(self, branch: Branch) -> list[AnyFact]:
        return [BlockReverted(self._chain_id, number, block_hash) for number, block_hash in branch.reverted]

    async def _complete_logs(
        self, source: BlockSource, headers: Sequence[BlockHeader]
    ) -> tuple[list[tuple[RawLog, ...]], bool]:
        """Return the logs of blocks, with those of every contract they made necessary, and whether they did."""
        for discoveries in range(DISCOVERY_ROUNDS_MAX):
            logs = await source.logs(headers)
            if not self._watch.discover([log for block in logs for log in block], headers[0].number):
                return logs, discoveries > 0
            source.forget_logs()
        raise InvariantBroken(f"block {headers[0].number}", "discovery does not come to an end")

    async def _applied(
        self,
        source: BlockSource,
        part: Sequence[BlockHeader],
        logs: Sequence[tuple[RawLog, ...]],
        head: BlockHeader,
        giver: str,
    ) -> list[AnyFact]:
        facts: list[AnyFact] = []
        seen: list[RawLog] = []
        for header, block_logs in zip(part, logs, strict=True):
            seen += block_logs
            is_read = header is head or self._options.read_every_block or self._watch.starts(block_logs)
            wanted = self._watch.reads(seen) if is_read else ()
            reads = await source.reads(header.hash, wanted)
            if header is head:
                facts += await self._observe(header)
            behind_blocks = head.number - header.number
            seen_unix_ms = self._seen_unix_ms
            facts.append(BlockApplied(self._chain_id, header, block_logs, reads, behind_blocks, seen_unix_ms, giver))
        return facts

    def _finalized(self, window: Window, head: BlockHeader) -> tuple[Window, list[BlockFinalized]]:
        """Move finality as far as the chain or the depth says; it never goes back."""
        final = self.finality.final(window, head.number)
        moved = None if final is None else window.finalized_at(final)
        if moved is None or final is None:
            return window.pruned(), []
        return moved, [BlockFinalized(self._chain_id, final, window.hashes[final])]

    async def _catch_up(self, hint: HeadHint) -> None:
        """Record the final blocks that we miss, in ranges, on the branch that became final."""
        last, branch = await self._retrying(partial(self._approach, hint))
        if branch is None:
            return
        facts = self._reverted(branch)
        first = branch.applied[0]
        async for found in self._backfill.ranges(first.number, last, parent=first.parent_hash, head_number=hint.number):
            number, block_hash = found.fact.last.number, found.fact.last.hash
            verified = [found.verified] if found.verified is not None else []
            await self._recorder.record([*facts, found.fact, *verified])
            self.window = Window(self.window.start, {number: block_hash}, number)
            facts = []

    async def _approach(self, hint: HeadHint) -> tuple[int, Branch | None]:
        """Return the newest final block, and how the final branch leaves ours; ``None`` when we hold that block."""
        with self._pool.pinned() as node:
            source = BlockSource(self._pool, node, self._watch)
            last = await self._last_final(source, hint)
            if last < self.window.next_number:
                return last, None
            return last, await self._walk(source, await source.header_at(self.window.next_number))

    async def _last_final(self, source: BlockSource, hint: HeadHint) -> int:
        """Return the newest final block below the head, which must exist; -1 when there is none."""
        if self._options.finality_depth_blocks is not None:
            head = await source.header(hint.number, hint.hash)
            return head.number - max(1, self._options.finality_depth_blocks)
        await self.finality.ask()
        final = self.finality.final(self.window, hint.number)
        return -1 if final is None else min(final, hint.number - 1)
