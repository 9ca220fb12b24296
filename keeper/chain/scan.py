"""The second look: final blocks are read again from another provider than gave them, and wrong logs are put right.

It runs beside the follower and never in its way: a range at a time, with a pause after each. What it compares with is
what the engine folded (:mod:`keeper.engine.unverified`), so it survives a restart. When the two differ it is found out
who is right (:mod:`keeper.chain.dispute`). If our record is wrong, the follower records the right logs from the first
wrong block to the tip and the engine folds them again. Who told wrong logs goes into quarantine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Never

import structlog

from keeper.chain.backfill import RangeSize
from keeper.chain.dispute import Hearing, Verdict
from keeper.chain.member import Member
from keeper.chain.pool import ProviderPool
from keeper.chain.ranges import read_range
from keeper.chain.repair import Arbiter
from keeper.chain.retry import OnError, ignore
from keeper.chain.watch import Watch
from keeper.core.digest import block_digest, range_digest
from keeper.core.errors import NodeError, NodeMalformed, RetryLater
from keeper.core.facts import RangeVerified
from keeper.core.ids import Hash32, to_hex
from keeper.core.ports import UNWATCHED, Clock, Pulse, Recorder
from keeper.engine.chain_state import ChainState
from keeper.engine.unverified import Span

PAUSE_SECONDS = 1.0
"""After each range, and while there is nothing to do."""
Repair = Callable[[int, Member, str, Arbiter], Awaitable[None]]
"""Records the right logs from a block on, as a provider tells them, and names who told the wrong ones."""


class Scan:
    """Confirms final blocks of one chain.

    Args:
        pool: Who is asked.
        watch: Which logs are wanted.
        recorder: Where confirmations go.
        clock: Paces the scan.
        state: Returns what the engine holds of the chain.
        repair: Puts logs right (:meth:`keeper.chain.follower.Follower.repair`).
        blocks_max: The ceiling of a range.
        on_error: Told of each failure.
        pulse: Told of each thing that is asked; a repair may wait for long, for the follower, which has its own.
    """

    def __init__(
        self,
        pool: ProviderPool,
        watch: Watch,
        recorder: Recorder,
        clock: Clock,
        *,
        state: Callable[[], ChainState],
        repair: Repair,
        blocks_max: int,
        on_error: OnError = ignore,
        pulse: Pulse = UNWATCHED,
    ) -> None:
        self._pool = pool
        self._watch = watch
        self._recorder = recorder
        self._clock = clock
        self._state = state
        self._repair = repair
        self._size = RangeSize(blocks_max)
        self._on_error = on_error
        self._pulse = pulse
        self._log = structlog.get_logger()

    async def run(self) -> Never:
        """Confirm what becomes final, until cancelled."""
        while True:
            try:
                await self.once()
            except (NodeError, RetryLater) as error:
                self._on_error(error)
            await self._clock.sleep(PAUSE_SECONDS)

    async def once(self) -> bool:
        """Confirm the oldest range that waits; ``False`` when none does, or nobody else can be asked.

        Raises:
            NodeError: the other provider failed; the next range is smaller.
            RetryLater: the providers differ, and it cannot be told who is right.
        """
        state = self._state()
        if not state.unverified.spans or state.unverified.spans[0].first > state.finalized_number:
            return False
        span = state.unverified.spans[0]
        last = min(span.last, state.finalized_number, span.first + self._size.blocks - 1)
        other = next((member for member in self._pool.healthy() if member.name != span.source), None)
        if other is None:
            return False
        try:
            await self._confirm(state, Span(span.first, last, span.source), other)
        except NodeError:
            self._size.shrink(last - span.first + 1)
            raise
        self._size.grow()
        return True

    async def _confirm(self, state: ChainState, span: Span, other: Member) -> None:
        ours, held = state.unverified.blocks(span.first, span.last), dict(state.recent)
        with self._pulse.working():
            ends, blocks = await read_range(other, self._watch.wanted(), span.first, span.last)
        last = ends[span.last]
        if held.get(last.number, last.hash) != last.hash:
            self._pool.quarantine(other, f"has another final block {last.number}")
            raise NodeMalformed(f"block {last.number} {to_hex(last.hash)}", "is not the one that is final here")
        told = {block.number: (block.hash, self._watch.since(block.number, block.logs)) for block in blocks}
        theirs = {number: block_digest(own, logs) for number, (own, logs) in told.items() if logs}
        disputed = sorted(number for number in ours.keys() | theirs.keys() if ours.get(number) != theirs.get(number))
        if disputed:
            hashes = held | {number: own for number, (own, _) in told.items()}
            if await self._put_right(state, span, disputed, hashes, other):
                return
        digest = range_digest(ours.values())
        with self._pulse.working():
            await self._recorder.record(
                [RangeVerified(state.chain_id, span.first, span.last, digest, (span.source, other.name))]
            )

    async def _put_right(
        self, state: ChainState, span: Span, disputed: list[int], hashes: dict[int, Hash32], other: Member
    ) -> bool:
        """Settle every block in dispute, and repair from the first one that we hold wrong; tell whether any was.

        Who lied goes into quarantine when all of it is done: until then everybody is a witness.
        """
        hearing = Hearing(self._pool.healthy(), self._watch)
        repaired = False
        for number in disputed:
            with self._pulse.working():
                block_hash = hashes[number] if number in hashes else await self._hash_at(other, number)
                verdict = await hearing.verdict(number, block_hash)
            if not self._is_ours(state, number, block_hash, verdict):
                await self._repair_from(number, span, verdict, hearing)
                repaired = True
                break
        for liar, number in hearing.liars.items():
            self._pool.quarantine(liar, f"told wrong logs of block {number}")
        return repaired

    def _is_ours(self, state: ChainState, number: int, block_hash: Hash32, verdict: Verdict) -> bool:
        logs = self._watch.since(number, verdict.logs)
        right = block_digest(block_hash, logs) if logs else None
        return state.unverified.blocks(number, number).get(number) == right

    async def _repair_from(self, number: int, span: Span, verdict: Verdict, hearing: Hearing) -> None:
        self._log.error("logs recorded wrong", block=number, gave=span.source, right=verdict.right[0].name)
        hearing.liars |= {member: number for member in hearing.members if member.name == span.source}
        arbiter = Arbiter(lambda: self._state().unverified, hearing.right_logs)
        await self._repair(number, verdict.right[0], span.source, arbiter)

    async def _hash_at(self, other: Member, number: int) -> Hash32:
        """Return the hash of a block of which only our own record has logs."""
        ends, _ = await read_range(other, self._watch.wanted(), number, number)
        return ends[number].hash
