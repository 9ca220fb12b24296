"""Reads the venues of one chain at one final block, so that a venue with years of history is watched in minutes.

Each venue says what it wants next: view calls, all pinned to the block's hash, or the logs that name everyone who may
have a position. Every answer is recorded before the next question, so a crash resumes with what is missing. The logs
are asked in ranges as wide as the provider allows, several at once.

A node serves the state of a block for a limited time only, unless it is an archive. When it refuses for good, and a
newer block is final by then, the reading begins anew at that block; what was searched for holders stays searched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

from keeper.chain.backfill import RangeSize
from keeper.chain.heads import HeadSlot
from keeper.chain.pool import ProviderPool
from keeper.chain.retry import OnError, RetryPolicy, ignore, retrying
from keeper.chain.source import contract_read
from keeper.chain.wire import HeadHint, LogFilter, decode_header, decode_range_logs
from keeper.core.errors import NodeError, NodeMalformed, NodeRefused, RetryLater
from keeper.core.facts import (
    BlockHeader,
    BootstrapCompleted,
    BootstrapStarted,
    ContractRead,
    HoldersFound,
    RawLog,
    ReadRequest,
    VenueRead,
)
from keeper.core.ids import Hash32, to_hex
from keeper.core.ports import UNWATCHED, Clock, Pulse, Recorder
from keeper.core.reading import HolderSearch, ReadingProgress, VenueReading

Result = TypeVar("Result")
CALLS_PER_ITEM = 2
"""About as many calls an item has; for the size of a part only."""


class Progress(NamedTuple):
    """How far the reading of a venue is, at which block."""

    venue: str
    block: int
    reading: ReadingProgress


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapOptions:
    """How venues are read.

    Attributes:
        finality_depth_blocks: Blocks this far below the head are final; ``None`` takes the chain's ``finalized`` tag.
        range_blocks_max: The ceiling of a range of logs.
        batch_size_max: Requests in one batch.
        concurrency_max: Batches or ranges asked for at once.
        retry: How what failed is tried again.
    """

    finality_depth_blocks: int | None = None
    range_blocks_max: int = 2000
    batch_size_max: int = 100
    concurrency_max: int = 8
    retry: RetryPolicy = field(default_factory=RetryPolicy)


class Bootstrap:
    """Reads the venues of one chain.

    Args:
        chain_id: The chain's id, for the facts.
        pool: Who is asked.
        readings: How each venue is read, by its name; at least one.
        recorder: Where facts go; the venues take them from there.
        clock: Paces retries.
        options: How to read.
        on_error: Told of each failure that was survived.
        on_progress: Told after each part.
        pulse: Told when the reading goes on and stops; the recorder and ``on_error`` know of its progress.
    """

    def __init__(
        self,
        chain_id: int,
        pool: ProviderPool,
        readings: Mapping[str, VenueReading],
        recorder: Recorder,
        clock: Clock,
        options: BootstrapOptions | None = None,
        on_error: OnError = ignore,
        on_progress: OnProgress = lambda _: None,
        pulse: Pulse = UNWATCHED,
    ) -> None:
        self._chain_id = chain_id
        self._pool = pool
        self._readings = readings
        self._recorder = recorder
        self._clock = clock
        self._options = options or BootstrapOptions()
        self._on_error = on_error
        self._on_progress = on_progress
        self._pulse = pulse
        self._size = RangeSize(self._options.range_blocks_max)

    async def run(self, slot: HeadSlot) -> None:
        """Read until all venues are complete; after a failure, at the next hint, go on where it was.

        Raises:
            Halt: the journal stopped.
            ConfigError: a provider serves another chain.
        """
        complete = False
        while not complete:
            hint = await slot.wait_hint()
            try:
                with self._pulse.working():
                    complete = await self.advance(hint)
            except (NodeError, RetryLater) as error:
                self._on_error(error)

    async def advance(self, hint: HeadHint) -> bool:
        """Read as far as possible and tell whether the venues are complete.

        Args:
            hint: The newest head known: what is final follows from it, if a reading has to begin.

        Raises:
            NodeError: something could not be read; what was read stays.
            RetryLater: no block is final yet.
        """
        header = self._header()
        if header is None:
            header = await self._final(hint)
            await self._begin(header, searched_anew=False)
        try:
            for venue, reading in self._readings.items():
                await self._read(venue, reading, header)
        except NodeRefused as refusal:
            newer = await self._final(hint)
            if newer.number <= header.number:
                raise
            self._on_error(refusal)
            await self._begin(newer, searched_anew=False)
            return False
        return await self._complete(header, hint)

    def _header(self) -> BlockHeader | None:
        return next(iter(self._readings.values())).header

    async def _final(self, hint: HeadHint) -> BlockHeader:
        """Return the newest final block's header."""
        depth = self._options.finality_depth_blocks
        if depth is None:
            return decode_header(await self._pool.call("eth_getBlockByNumber", ("finalized", False)))
        number = hint.number - depth
        if number < 0:
            raise RetryLater(f"head {hint.number}", f"no block is {depth} blocks below it yet")
        return decode_header(await self._pool.call("eth_getBlockByNumber", (hex(number), False)), number=number)

    async def _begin(self, header: BlockHeader, *, searched_anew: bool) -> None:
        await self._recorder.record([BootstrapStarted(self._chain_id, header, searched_anew)])

    async def _complete(self, header: BlockHeader, hint: HeadHint) -> bool:
        """End the reading if nobody was left out, else begin it anew."""
        short = [reason for reading in self._readings.values() if (reason := reading.shortfall()) is not None]
        if not short:
            await self._recorder.record([BootstrapCompleted(self._chain_id, header.hash)])
            return True
        thing = f"logs up to block {header.number}"
        self._on_error(
            NodeMalformed(thing, short[0], 'use another provider, an earlier from_block, or bootstrap "logs"')
        )
        await self._begin(await self._final(hint), searched_anew=True)
        return False

    async def _read(self, venue: str, reading: VenueReading, header: BlockHeader) -> None:
        part = max(1, self._options.batch_size_max * self._options.concurrency_max // CALLS_PER_ITEM)
        while True:
            if items := reading.items(part):
                reads = await self._retrying(partial(self._answers, reading, items, header.hash))
                await self._recorder.record([VenueRead(self._chain_id, venue, header.hash, items, reads)])
            elif (search := reading.search()) is not None:
                await self._search(venue, reading, search, header)
            else:
                return
            self._on_progress(Progress(venue, header.number, reading.progress))

    async def _answers(
        self, reading: VenueReading, items: Sequence[bytes], block_hash: Hash32
    ) -> tuple[ContractRead, ...]:
        requests = [request for item in items for request in reading.requests(item)]
        size = self._options.batch_size_max
        batches = [requests[start : start + size] for start in range(0, len(requests), size)]
        answered = await _all([self._batch(batch, block_hash) for batch in batches], self._options.concurrency_max)
        reads = tuple(read for batch in answered for read in batch)
        reading.check(items, reads)
        return reads

    async def _batch(self, requests: Sequence[ReadRequest], block_hash: Hash32) -> list[ContractRead]:
        block = {"blockHash": to_hex(block_hash)}
        calls = [({"to": to_hex(each.target), "data": to_hex(each.calldata)}, block) for each in requests]
        results = await self._pool.batch([("eth_call", call) for call in calls])
        return [contract_read(request, result) for request, result in zip(requests, results, strict=True)]

    async def _search(self, venue: str, reading: VenueReading, search: HolderSearch, header: BlockHeader) -> None:
        """Record the holders of the next ranges of blocks, as many at once as may be asked for."""
        last, logs = await self._retrying(partial(self._ranges, search, header.number))
        await self._recorder.record([HoldersFound(self._chain_id, venue, search.first, last, reading.holders(logs))])

    async def _ranges(self, search: HolderSearch, last: int) -> tuple[int, list[RawLog]]:
        """Return the logs of the next ranges and where they end. A refusal costs no attempt while it can be halved."""
        while True:
            blocks, first = self._size.blocks, search.first
            end = min(last, first + blocks * self._options.concurrency_max - 1)
            ranges = [(start, min(end, start + blocks - 1)) for start in range(first, end + 1, blocks)]
            try:
                found = await _all([self._range(search, *each) for each in ranges], self._options.concurrency_max)
            except NodeError as error:
                self._size.shrink(min(blocks, end - first + 1))
                if blocks == 1 or not isinstance(error, NodeRefused):
                    raise
                self._on_error(error)
            else:
                self._size.grow()
                return end, [log for logs in found for log in logs]

    async def _range(self, search: HolderSearch, first: int, last: int) -> list[RawLog]:
        """Ask for a range, and in the same batch for its last block: who knows that one has its logs."""
        wanted = LogFilter(search.addresses, search.topics)
        with self._pool.pinned() as node:
            logs, end = await node.batch(
                [("eth_getLogs", (wanted.between(first, last),)), ("eth_getBlockByNumber", (hex(last), False))]
            )
            decode_header(end, number=last)
            return [log for block in decode_range_logs(logs, wanted, first, last) for log in block.logs]

    async def _retrying(self, operation: Callable[[], Awaitable[Result]]) -> Result:
        return await retrying(operation, self._options.retry, self._clock, self._on_error)


async def _all(asked: Sequence[Awaitable[Result]], at_once: int) -> list[Result]:
    """Wait for all, so many at once; the first failure is raised when none is under way any more."""
    slots = asyncio.Semaphore(at_once)

    async def one(each: Awaitable[Result]) -> Result:
        async with slots:
            return await each

    outcomes = await asyncio.gather(*map(one, asked), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
