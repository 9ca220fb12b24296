"""One range of blocks from one provider: its two ends and its watched logs in one batch.

The backend that answers thereby proves that it has the range at all: a node that is asked beyond its own head answers
an empty list, and a load balancer may send logs and headers to different nodes. A log index may lag behind the blocks,
too: so when the last block's bloom may hold a watched log and none of that block came, it is asked for by its hash.
"""

from __future__ import annotations

from collections.abc import Sequence

from keeper.chain.bloom import may_hold
from keeper.chain.rpc import RpcCall
from keeper.chain.source import check_bloom
from keeper.chain.wire import BlockLogs, LogFilter, decode_block_logs, decode_header, decode_range_logs
from keeper.core.digest import block_digest
from keeper.core.errors import NodeMalformed
from keeper.core.facts import BackfilledBlock, BlockHeader
from keeper.core.ids import Hash32, to_hex
from keeper.core.ports import Node

Ends = dict[int, BlockHeader]
FoundRange = tuple[Ends, tuple[BlockLogs, ...]]
"""The headers of the two ends, by number, and the blocks that have watched logs, oldest first."""


async def read_range(node: Node, wanted: LogFilter, first: int, to: int) -> FoundRange:
    """Return the headers of the two ends, by number, and the blocks that have watched logs, oldest first.

    Raises:
        NodeError: the node failed, does not have the range, or has not indexed its end.
    """
    logs, *headers = await node.batch([("eth_getLogs", (wanted.between(first, to),)), *by_number((first, to))])
    ends = {number: decode_header(each, number=number) for number, each in zip((first, to), headers, strict=True)}
    blocks = decode_range_logs(logs, wanted, first, to)
    await _prove_end(node, wanted, ends[to], blocks)
    return ends, blocks


async def _prove_end(node: Node, wanted: LogFilter, end: BlockHeader, blocks: Sequence[BlockLogs]) -> None:
    has_logs = bool(blocks) and blocks[-1].number == end.number
    if has_logs or not may_hold(end.logs_bloom, wanted.addresses, wanted.topics):
        return
    answer = await node.call("eth_getLogs", (wanted.at(end.hash),))
    if decode_block_logs(answer, wanted, end.number, end.hash):
        reason = "has logs when asked by hash, and none when asked by range"
        raise NodeMalformed(
            f"block {end.number} {to_hex(end.hash)}", reason, "it is asked again, then another provider"
        )


async def dated(node: Node, known: Ends, blocks: Sequence[BlockLogs]) -> tuple[BackfilledBlock, ...]:
    """Give each block its timestamp, from its header where the logs do not say it.

    Raises:
        NodeError: the node failed, or a header is of another branch than its logs.
    """
    missing = [block.number for block in blocks if block.timestamp is None and block.number not in known]
    answers = await node.batch(by_number(missing)) if missing else []
    headers = known | {
        number: decode_header(answer, number=number) for number, answer in zip(missing, answers, strict=True)
    }
    return tuple(_dated(block, headers.get(block.number)) for block in blocks)


def by_number(numbers: Sequence[int]) -> list[RpcCall]:
    """Return the questions for headers at some heights."""
    return [("eth_getBlockByNumber", (hex(number), False)) for number in numbers]


def digests(blocks: Sequence[BlockLogs]) -> dict[int, Hash32]:
    """Return the digest of each block's logs, by number."""
    return {block.number: block_digest(block.hash, block.logs) for block in blocks}


def _dated(block: BlockLogs, header: BlockHeader | None) -> BackfilledBlock:
    """Combine a block's logs with its header, when that was fetched; they must be of one block."""
    if header is None:
        return BackfilledBlock(block.number, block.hash, block.timestamp or 0, block.logs)
    if header.hash != block.hash:
        reason = f"its header has hash {to_hex(header.hash)}"
        raise NodeMalformed(f"logs of block {block.number} {to_hex(block.hash)}", reason, "use another provider")
    check_bloom(header, block.logs)
    return BackfilledBlock(block.number, block.hash, header.timestamp, block.logs)
