"""Blocks from one provider for the length of one operation: every question asked once, many in one round trip.

In the steady state a head is one block on our tip, and :meth:`BlockSource.prefetch` asks for its header, its logs,
its reads and finality in a single batch. The other methods answer from what is already here and ask only for what is
missing (after a gap, a reorg or the discovery of a contract), so the common path and the rare ones are one code.

An empty answer is where providers lie most, mostly innocently (the log index lags behind the block). So logs are
asked by block hash, which an honest node refuses when it does not know the block; each log must be in the header's
bloom; and when the bloom says that a watched log may be there but none came, the question is asked again, of another
provider where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from keeper.chain.bloom import may_hold, outside
from keeper.chain.pool import ProviderPool
from keeper.chain.watch import Watch
from keeper.chain.wire import HeadHint, decode_block_logs, decode_header, decode_output
from keeper.core.errors import NodeError, NodeMalformed, NodeRefused
from keeper.core.facts import BlockHeader, ContractRead, RawLog, ReadRequest
from keeper.core.ids import Hash32, to_hex
from keeper.core.ports import Node

ERROR_CHARACTERS_MAX = 200


class _Question(NamedTuple):
    method: str
    params: tuple[object, ...]
    take: Callable[[object], None]


class BlockSource:
    """What one provider says about blocks, remembered for one operation.

    Args:
        pool: Where another provider is found when an empty answer is doubtful.
        node: The provider, pinned.
        watch: Which logs and reads are wanted.
    """

    def __init__(self, pool: ProviderPool, node: Node, watch: Watch) -> None:
        self._pool = pool
        self._node = node
        self._watch = watch
        self._headers: dict[Hash32, BlockHeader] = {}
        self._logs: dict[Hash32, tuple[RawLog, ...]] = {}
        self._reads: dict[tuple[Hash32, ReadRequest], ContractRead] = {}
        self.finalized: HeadHint | None = None
        """The chain's own finalized block, when it was asked for and the node knows one."""

    async def prefetch(self, head: HeadHint, gap: range, *, finality: bool) -> None:
        """Ask in one batch for a head and for what most likely goes with it.

        Args:
            head: The block that was announced.
            gap: Numbers of the blocks that are probably between our tip and the head.
            finality: Ask for the ``finalized`` tag too.

        Raises:
            NodeError: the node failed, or it does not know the head.
        """
        questions = [self._ask_header(head.hash), self._ask_logs(head)]
        questions += [self._ask_read(head.hash, request) for request in self._watch.reads(())]
        questions += [_Question("eth_getBlockByNumber", (hex(number), False), self._take_guess) for number in gap]
        if finality:
            questions.append(self._ask_finalized())
        await self._ask(self._node, questions)

    async def header(self, number: int, block_hash: Hash32) -> BlockHeader:
        """Return a block's header by its hash; its number must be ``number``.

        Raises:
            NodeError: the node failed, or it does not know the block.
        """
        if block_hash not in self._headers:
            await self._ask(self._node, [self._ask_header(block_hash)])
        header = self._headers[block_hash]
        if header.number != number:
            raise NodeMalformed(f"block {to_hex(block_hash)}", f"has number {header.number}, not {number}")
        return header

    async def header_at(self, number: int) -> BlockHeader:
        """Return the header that the node has at a height.

        Raises:
            NodeError: the node failed, or it has no such block.
        """
        return decode_header(await self._node.call("eth_getBlockByNumber", (hex(number), False)), number=number)

    async def finality(self) -> HeadHint | None:
        """Ask for the chain's own finalized block; ``None`` while there is none.

        Raises:
            NodeError: the node failed.
        """
        await self._ask(self._node, [self._ask_finalized()])
        return self.finalized

    async def logs(self, headers: Sequence[BlockHeader]) -> list[tuple[RawLog, ...]]:
        """Return the watched logs of each block.

        Raises:
            NodeError: the node failed, does not know a block, or gave logs that the block's bloom excludes.
        """
        missing = [header for header in headers if header.hash not in self._logs]
        await self._ask(self._node, [self._ask_logs(header) for header in missing])
        await self._confirm_empty(headers)
        for header in headers:
            check_bloom(header, self._logs[header.hash])
        return [self._logs[header.hash] for header in headers]

    def forget_logs(self) -> None:
        """Drop all logs: they were asked with a filter that is too narrow by now."""
        self._logs.clear()

    async def reads(self, block_hash: Hash32, requests: Sequence[ReadRequest]) -> tuple[ContractRead, ...]:
        """Return the answers of view calls at the end of a block, in the order of the requests.

        Raises:
            NodeError: the node failed, or a call failed other than by reverting.
        """
        missing = [request for request in requests if (block_hash, request) not in self._reads]
        await self._ask(self._node, [self._ask_read(block_hash, request) for request in missing])
        return tuple(self._reads[block_hash, request] for request in requests)

    async def _confirm_empty(self, headers: Sequence[BlockHeader]) -> None:
        """Ask again for blocks that gave no log though their bloom may hold one."""
        wanted = self._watch.wanted()
        doubtful = [
            header
            for header in headers
            if not self._logs[header.hash] and may_hold(header.logs_bloom, wanted.addresses, wanted.topics)
        ]
        if not doubtful:
            return
        second = self._pool.another(self._node)
        try:
            await self._ask(second, [self._ask_logs(header) for header in doubtful])
        except NodeError:
            if second is self._node:
                raise
            await self._ask(self._node, [self._ask_logs(header) for header in doubtful])

    async def _ask(self, node: Node, questions: Sequence[_Question]) -> None:
        if not questions:
            return
        results = await node.batch([(question.method, question.params) for question in questions])
        for question, result in zip(questions, results, strict=True):
            question.take(result)

    def _ask_header(self, block_hash: Hash32) -> _Question:
        def take(result: object) -> None:
            self._headers[block_hash] = decode_header(result, block_hash=block_hash)

        return _Question("eth_getBlockByHash", (to_hex(block_hash), False), take)

    def _ask_logs(self, block: BlockHeader | HeadHint) -> _Question:
        wanted = self._watch.wanted()

        def take(result: object) -> None:
            self._logs[block.hash] = decode_block_logs(result, wanted, block.number, block.hash)

        return _Question("eth_getLogs", (wanted.at(block.hash),), take)

    def _ask_finalized(self) -> _Question:
        return _Question("eth_getBlockByNumber", ("finalized", False), self._take_finalized)

    def _ask_read(self, block_hash: Hash32, request: ReadRequest) -> _Question:
        def take(result: object) -> None:
            self._reads[block_hash, request] = contract_read(request, result)

        return read_question(request, block_hash, take)

    def _take_guess(self, result: object) -> None:
        """Keep a header that was asked by number; whether it is on the branch, its hash will tell."""
        if isinstance(result, dict):
            header = decode_header(result)
            self._headers[header.hash] = header

    def _take_finalized(self, result: object) -> None:
        """Keep the finalized block. A young chain has none; then nothing is final yet."""
        if isinstance(result, dict):
            header = decode_header(result)
            self.finalized = HeadHint(header.number, header.hash)


def read_question(request: ReadRequest, block_hash: Hash32, take: Callable[[object], None]) -> _Question:
    """Return the question for a view call pinned to a block hash (EIP-1898)."""
    call = {"to": to_hex(request.target), "data": to_hex(request.calldata)}
    return _Question("eth_call", (call, {"blockHash": to_hex(block_hash)}), take)


def contract_read(request: ReadRequest, result: object) -> ContractRead:
    """Return the answer to a view call; a revert is an answer too.

    Raises:
        NodeRefused: the call failed other than by reverting.
        NodeMalformed: the answer is not hexadecimal data.
    """
    if not isinstance(result, NodeRefused):
        return ContractRead(request.target, request.calldata, decode_output(result), None)
    if not result.reverted:
        raise result
    return ContractRead(request.target, request.calldata, None, result.message[:ERROR_CHARACTERS_MAX])


def check_bloom(header: BlockHeader, logs: Sequence[RawLog]) -> None:
    """Refuse logs that the block's own header excludes.

    Raises:
        NodeMalformed: a log is not in the header's bloom.
    """
    alien = outside(header.logs_bloom, logs)
    if alien is not None:
        reason = f"log {alien.log_index} is not in the header's bloom"
        raise NodeMalformed(f"logs of block {header.number} {to_hex(header.hash)}", reason, "use another provider")
