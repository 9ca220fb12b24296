"""History below finality, in ranges as large as the provider allows, without holes.

Each range is one batch: the headers of its two ends and its logs, so the backend that answers proves that it has the
range at all, and the ends are linked to what came before by parent hash. A range is complete only when the contracts
that its logs make necessary were watched from its first block; otherwise it is fetched again with them.

Providers limit ranges by blocks, by results, by bytes and by time, and say so in a dozen texts. None is parsed: any
failure halves the range, down to one block, and success grows it again. What still fails then is tried as the retry
policy says and raised at last; the watermark does not move past it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial

import msgspec

from keeper.chain.pool import ProviderPool
from keeper.chain.retry import OnError, RetryPolicy, ignore, retrying
from keeper.chain.rpc import RpcCall
from keeper.chain.source import BlockSource, check_bloom
from keeper.chain.watch import DISCOVERY_ROUNDS_MAX, Watch
from keeper.chain.wire import BlockLogs, decode_header, decode_range_logs
from keeper.core.errors import FinalityViolated, InvariantBroken, NodeError, NodeMalformed, NodeRefused
from keeper.core.facts import BackfilledBlock, BlockHeader, BlocksBackfilled, ContractRead
from keeper.core.ids import Hash32, to_hex
from keeper.core.ports import Clock, Node

RANGE_BLOCKS_FIRST = 256


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

    async def ranges(
        self, first: int, last: int, *, parent: Hash32, head_number: int
    ) -> AsyncIterator[BlocksBackfilled]:
        """Yield the blocks ``first`` to ``last``, both included, in complete ranges; reads are made at ``last`` only.

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
            first, parent = found.last.number + 1, found.last.hash

    async def _next(self, first: int, last: int, parent: Hash32, head_number: int) -> BlocksBackfilled:
        """Read the range at ``first``, as long as is answered. A refusal costs no attempt while it can be halved."""
        while True:
            to = min(first + self._size.blocks - 1, last)
            try:
                found = await self._attempt(first, to, parent)
            except NodeError:
                self._size.shrink(to - first + 1)
                raise
            if not isinstance(found, NodeRefused):
                self._size.grow()
                reads = await self._reads(found) if to == last else ()
                return msgspec.structs.replace(found, reads=reads, behind_blocks=head_number - to)
            self._on_error(found)
            self._size.shrink(to - first + 1)

    async def _attempt(self, first: int, to: int, parent: Hash32) -> BlocksBackfilled | NodeRefused:
        """Read one range from one provider; a refusal of several blocks is no fault of the provider."""
        with self._pool.pinned() as node:
            try:
                return await self._range(node, first, to, parent)
            except NodeRefused as refusal:
                if first == to:
                    raise
                return refusal

    async def _range(self, node: Node, first: int, to: int, parent: Hash32) -> BlocksBackfilled:
        for _ in range(DISCOVERY_ROUNDS_MAX):
            ends, blocks = await self._fetch(node, first, to)
            if not self._watch.discover([log for block in blocks for log in block.logs]):
                break
        else:
            raise InvariantBroken(f"blocks {first} to {to}", "discovery does not come to an end")
        if ends[first].parent_hash != parent:
            reason = f"its parent is {to_hex(ends[first].parent_hash)}, we hold {to_hex(parent)}"
            raise FinalityViolated(f"block {first}", reason, "compare the provider with another one")
        dated = await self._dated(node, ends, blocks)
        return BlocksBackfilled(self._chain_id, first, ends[to], dated, (), 0)

    async def _fetch(self, node: Node, first: int, to: int) -> tuple[dict[int, BlockHeader], tuple[BlockLogs, ...]]:
        """Ask for the two ends and the logs of a range in one batch."""
        wanted = self._watch.wanted()
        logs, *headers = await node.batch([("eth_getLogs", (wanted.between(first, to),)), *_by_number((first, to))])
        ends = {number: decode_header(each, number=number) for number, each in zip((first, to), headers, strict=True)}
        return ends, decode_range_logs(logs, wanted, first, to)

    async def _dated(
        self, node: Node, known: dict[int, BlockHeader], blocks: Sequence[BlockLogs]
    ) -> tuple[BackfilledBlock, ...]:
        """Give each block its timestamp, from its header where the logs do not say it."""
        missing = [block.number for block in blocks if block.timestamp is None and block.number not in known]
        answers = await node.batch(_by_number(missing)) if missing else []
        headers = known | {
            number: decode_header(answer, number=number) for number, answer in zip(missing, answers, strict=True)
        }
        return tuple(_dated(block, headers.get(block.number)) for block in blocks)

    async def _reads(self, found: BlocksBackfilled) -> tuple[ContractRead, ...]:
        logs = [log for block in found.blocks for log in block.logs]
        with self._pool.pinned() as node:
            source = BlockSource(self._pool, node, self._watch)
            return await source.reads(found.last.hash, self._watch.reads(logs))


def _by_number(numbers: Sequence[int]) -> list[RpcCall]:
    return [("eth_getBlockByNumber", (hex(number), False)) for number in numbers]


def _dated(block: BlockLogs, header: BlockHeader | None) -> BackfilledBlock:
    """Combine a block's logs with its header, when that was fetched; they must be of one block."""
    if header is None:
        return BackfilledBlock(block.number, block.hash, block.timestamp or 0, block.logs)
    if header.hash != block.hash:
        reason = f"its header has hash {to_hex(header.hash)}"
        raise NodeMalformed(f"logs of block {block.number} {to_hex(block.hash)}", reason, "use another provider")
    check_bloom(header, block.logs)
    return BackfilledBlock(block.number, block.hash, header.timestamp, block.logs)
