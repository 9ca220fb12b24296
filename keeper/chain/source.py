"""Blocks from one provider for the length of one operation: every question asked once, many in one round trip.

In the steady state a head is one block on our tip, and :meth:`BlockSource.prefetch` asks for its header, its logs,
its reads and finality in a single batch. The other methods answer from what is already here and ask only for what is
missing (after a gap, a reorg or the discovery of a contract), so the common path and the rare ones are one code.

An empty answer is where providers lie most, mostly innocently (the log index lags behind the block). So logs are
asked by block hash, which an honest node refuses when it does not know the block; each log must be in the header's
bloom; and when the bloom says that a watched log may be there but none came, another provider must say the same. Where
there is no other, the block's receipts tell, or the same provider is asked again.

Where the chain has a quorum, all that is asked by block hash must be given alike by that many providers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from keeper.chain.bloom import may_hold, outside
from keeper.chain.pool import ProviderPool
from keeper.chain.rpc import RpcCall
from keeper.chain.watch import Watch
from keeper.chain.wire import HeadHint, decode_block_logs, decode_header, decode_output, decode_receipt_logs
from keeper.core.errors import NodeError, NodeMalformed, NodeRefused
from keeper.core.facts import BlockHeader, ContractRead, RawLog, ReadRequest
from keeper.core.ids import Hash32, to_hex
from keeper.core.ports import Node

ERROR_CHARACTERS_MAX = 200


_NO_SUCH_METHOD = (-32601, -32004)
"""Method not found; method not supported (EIP-1474)."""
_RECEIPTS = "eth_getBlockReceipts"


@dataclass(slots=True)
class _Known:
    """Decoded answers."""

    headers: dict[Hash32, BlockHeader] = field(default_factory=dict)
    logs: dict[Hash32, tuple[RawLog, ...]] = field(default_factory=dict)
    reads: dict[tuple[Hash32, ReadRequest], ContractRead] = field(default_factory=dict)
    guesses: dict[Hash32, BlockHeader] = field(default_factory=dict)
    finalized: HeadHint | None = None

    def pinned(self) -> object:
        """Return what providers must agree about: all that was asked by block hash, without the wording of reverts."""
        reads = {key: (read.output, read.error is None) for key, read in self.reads.items()}
        return self.headers, self.logs, reads

    def add(self, other: _Known) -> None:
        """Take over what another one knows."""
        self.headers |= other.headers
        self.logs |= other.logs
        self.reads |= other.reads
        self.guesses |= other.guesses
        self.finalized = other.finalized or self.finalized


class _Question(NamedTuple):
    method: str
    params: tuple[object, ...]
    take: Callable[[object, _Known], None]


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
        self._known = _Known()

    @property
    def finalized(self) -> HeadHint | None:
        """The chain's own finalized block, when it was asked for and the node knows one."""
        return self._known.finalized

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
        questions += [_Question("eth_getBlockByNumber", (hex(number), False), _take_guess) for number in gap]
        if finality:
            questions.append(_FINALIZED)
        await self._agree(questions)
        guesses = list(self._known.guesses.items())
        if self._pool.quorum == 1:
            self._known.headers |= guesses
        else:
            await self._agree([self._ask_header(block_hash) for block_hash, _ in guesses])

    async def header(self, number: int, block_hash: Hash32) -> BlockHeader:
        """Return a block's header by its hash; its number must be ``number``.

        Raises:
            NodeError: the node failed, or it does not know the block.
        """
        if block_hash not in self._known.headers:
            await self._agree([self._ask_header(block_hash)])
        header = self._known.headers[block_hash]
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
        self._known.add(await self._ask(self._node, [_FINALIZED]))
        return self.finalized

    async def logs(self, headers: Sequence[BlockHeader]) -> list[tuple[RawLog, ...]]:
        """Return the watched logs of each block.

        Raises:
            NodeError: the node failed, does not know a block, or gave logs that the block's bloom excludes.
        """
        missing = [header for header in headers if header.hash not in self._known.logs]
        await self._agree([self._ask_logs(header) for header in missing])
        await self._confirm_empty(headers)
        for header in headers:
            check_bloom(header, self._known.logs[header.hash])
        return [self._known.logs[header.hash] for header in headers]

    def forget_logs(self) -> None:
        """Drop all logs: they were asked with a filter that is too narrow by now."""
        self._known.logs.clear()

    async def reads(self, block_hash: Hash32, requests: Sequence[ReadRequest]) -> tuple[ContractRead, ...]:
        """Return the answers of view calls at the end of a block, in the order of the requests.

        Raises:
            NodeError: the node failed, or a call failed other than by reverting.
        """
        missing = [request for request in requests if (block_hash, request) not in self._known.reads]
        await self._agree([self._ask_read(block_hash, request) for request in missing])
        return tuple(self._known.reads[block_hash, request] for request in requests)

    async def _confirm_empty(self, headers: Sequence[BlockHeader]) -> None:
        """Doubt blocks that gave no log though their bloom may hold one: another provider must say the same."""
        doubtful = self._doubtful(headers)
        if doubtful and self._pool.quorum == 1:
            second = self._pool.another(self._node)
            try:
                await (self._confirm_alone(doubtful) if second is self._node else self._confirm_by(second, doubtful))
            except NodeError:
                if second is self._node:
                    raise
                await self._confirm_alone(doubtful)
        for _ in self._doubtful(doubtful):
            self._pool.on_count("bloom_false_positive", "")

    def _doubtful(self, headers: Sequence[BlockHeader]) -> list[BlockHeader]:
        wanted = self._watch.wanted()
        return [
            header
            for header in headers
            if not self._known.logs[header.hash] and may_hold(header.logs_bloom, wanted.addresses, wanted.topics)
        ]

    async def _confirm_by(self, node: Node, headers: Sequence[BlockHeader]) -> None:
        """Take the logs of blocks from ``node``."""
        self._known.add(await self._ask(node, [self._ask_logs(header) for header in headers]))

    async def _confirm_alone(self, headers: Sequence[BlockHeader]) -> None:
        """Find the logs in the blocks' receipts, or ask for them again where the node gives none."""
        if self._pool.lacks(self._node, _RECEIPTS):
            return await self._confirm_by(self._node, headers)
        try:
            found = await self._ask(self._node, [self._ask_receipts(header) for header in headers])
        except NodeRefused as refusal:
            if refusal.code in _NO_SUCH_METHOD:
                self._pool.remember_lack(self._node, _RECEIPTS)
            return await self._confirm_by(self._node, headers)
        self._known.add(found)
        return None

    async def _agree(self, questions: Sequence[_Question]) -> None:
        """Ask what decisions stand on: of the pinned provider, and of as many others as the quorum wants."""
        if not questions:
            return
        if self._pool.quorum == 1:
            self._known.add(await self._ask(self._node, questions))
            return
        read = partial(_read_all, questions)
        self._known.add(
            await self._pool.agreed_on(_calls(questions), self._pool.quorum, read, _Known.pinned, self._node)
        )

    async def _ask(self, node: Node, questions: Sequence[_Question]) -> _Known:
        return _read_all(questions, await node.batch(_calls(questions)))

    def _ask_header(self, block_hash: Hash32) -> _Question:
        def take(result: object, known: _Known) -> None:
            known.headers[block_hash] = decode_header(result, block_hash=block_hash)

        return _Question("eth_getBlockByHash", (to_hex(block_hash), False), take)

    def _ask_logs(self, block: BlockHeader | HeadHint) -> _Question:
        wanted = self._watch.wanted()

        def take(result: object, known: _Known) -> None:
            known.logs[block.hash] = decode_block_logs(result, wanted, block.number, block.hash)

        return _Question("eth_getLogs", (wanted.at(block.hash),), take)

    def _ask_receipts(self, block: BlockHeader) -> _Question:
        wanted = self._watch.wanted()

        def take(result: object, known: _Known) -> None:
            known.logs[block.hash] = decode_receipt_logs(result, wanted, block.number, block.hash)

        return _Question(_RECEIPTS, (to_hex(block.hash),), take)

    def _ask_read(self, block_hash: Hash32, request: ReadRequest) -> _Question:
        def take(result: object, known: _Known) -> None:
            known.reads[block_hash, request] = contract_read(request, result)

        call = {"to": to_hex(request.target), "data": to_hex(request.calldata)}
        return _Question("eth_call", (call, {"blockHash": to_hex(block_hash)}), take)  # EIP-1898


def _calls(questions: Sequence[_Question]) -> list[RpcCall]:
    return [(question.method, question.params) for question in questions]


def _read_all(questions: Sequence[_Question], results: Sequence[object]) -> _Known:
    known = _Known()
    for question, result in zip(questions, results, strict=True):
        question.take(result, known)
    return known


def _take_guess(result: object, known: _Known) -> None:
    """Keep a header that was asked by number; whether it is on the branch, its hash will tell."""
    if isinstance(result, dict):
        header = decode_header(result)
        known.guesses[header.hash] = header


def _take_finalized(result: object, known: _Known) -> None:
    """Keep the finalized block. A young chain has none; then nothing is final yet."""
    if isinstance(result, dict):
        header = decode_header(result)
        known.finalized = HeadHint(header.number, header.hash)


_FINALIZED = _Question("eth_getBlockByNumber", ("finalized", False), _take_finalized)


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
