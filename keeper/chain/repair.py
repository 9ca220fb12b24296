"""The right logs of everything from a block on, when what was recorded there turned out to be wrong.

Final blocks come by ranges, those above by hash, all from the provider that was found to be right about the first, and
all must be the blocks that are held. It may be wrong about the others: where it tells otherwise than what is held, the
other providers are asked about that block too, and nothing is repaired on one provider's word. Venue reads are made
again as a back-fill makes them: at the newest final block for all that the final logs call for, and at every block
above, so that each of those can still be abandoned by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from keeper.chain.member import Member
from keeper.chain.ranges import by_number, dated, read_range
from keeper.chain.source import BlockSource
from keeper.chain.watch import DISCOVERY_ROUNDS_MAX, Watch
from keeper.chain.window import Window
from keeper.chain.wire import decode_header
from keeper.core.digest import block_digest
from keeper.core.errors import InvariantBroken, NodeMalformed, invariant
from keeper.core.facts import BackfilledBlock, BlockHeader, RawLog, RepairedBlock
from keeper.core.ids import Hash32, to_hex
from keeper.core.ports import Pulse
from keeper.engine.unverified import Unverified

RANGE_BLOCKS = 256
"""At once; a repair is rare and reaches back a few thousand blocks at most."""


@dataclass(frozen=True, slots=True)
class Arbiter:
    """What is held of the blocks that were not confirmed yet, and who settles one that is told otherwise."""

    held: Callable[[], Unverified]
    settle: Callable[[int, Hash32], Awaitable[tuple[RawLog, ...]]]

    async def right(self, watch: Watch, block: BackfilledBlock) -> BackfilledBlock:
        """Return a block with its right logs.

        Raises:
            RetryLater: it is told otherwise than it is held, and it cannot be told who is right.
        """
        told = watch.since(block.number, block.logs)
        digest = block_digest(block.hash, told) if told else None
        if digest == self.held().blocks(block.number, block.number).get(block.number):
            return block
        return _block(block, await self.settle(block.number, block.hash))


async def right_blocks(
    source: BlockSource, node: Member, watch: Watch, window: Window, first: int, arbiter: Arbiter, pulse: Pulse
) -> tuple[RepairedBlock, ...]:
    """Return what is right of the blocks from ``first``, which is final, to the tip; ``pulse`` is told of progress.

    Raises:
        NodeError: the provider failed, or is on another branch.
        RetryLater: it cannot be told what the logs of a block are.
    """
    invariant(window.finalized is not None, f"repair from block {first}", "begins where nothing is final")
    final = window.finalized or 0
    above = [await source.header(number, held) for number, held in window.hashes.items() if number > final]
    for _ in range(DISCOVERY_ROUNDS_MAX):
        below = await _final_blocks(node, watch, window, first, final, arbiter, pulse)
        told = zip(above, await source.logs(above), strict=True)
        pulse.progressed()
        recent = [await arbiter.right(watch, _block(header, own)) for header, own in told]
        if not watch.discover([*_logs(below), *_logs(recent)], first):
            break
        source.forget_logs()
    else:
        raise InvariantBroken(f"repair from block {first}", "discovery does not come to an end")
    repaired = [RepairedBlock(block, ()) for block in below[:-1]]
    repaired.append(RepairedBlock(below[-1], await source.reads(below[-1].hash, watch.reads(_logs(below)))))
    repaired += [RepairedBlock(each, await source.reads(each.hash, watch.reads(each.logs))) for each in recent]
    return tuple(repaired)


async def _final_blocks(
    node: Member, watch: Watch, window: Window, first: int, final: int, arbiter: Arbiter, pulse: Pulse
) -> list[BackfilledBlock]:
    """Return the final blocks that have watched logs, and the newest in any case."""
    found: dict[int, BackfilledBlock] = {}
    for start in range(first, final + 1, RANGE_BLOCKS):
        ends, blocks = await read_range(node, watch.wanted(), start, min(start + RANGE_BLOCKS - 1, final))
        found |= {block.number: block for block in await dated(node, ends, blocks)}
        pulse.progressed()
    untold = sorted({final, *arbiter.held().blocks(first, final)} - found.keys())
    answers = await node.batch(by_number(untold)) if untold else []
    for number, answer in zip(untold, answers, strict=True):
        found[number] = _block(decode_header(answer, number=number), ())
    for block in found.values():
        held = window.hashes.get(block.number, block.hash)
        if block.hash != held:
            raise NodeMalformed(f"block {block.number} {to_hex(block.hash)}", f"is not {to_hex(held)}, which we hold")
    right = [await arbiter.right(watch, found[number]) for number in sorted(found)]
    return [block for block in right if block.logs or block.number == final]


def _block(header: BlockHeader | BackfilledBlock, logs: Sequence[RawLog]) -> BackfilledBlock:
    return BackfilledBlock(header.number, header.hash, header.timestamp, tuple(logs))


def _logs(blocks: Sequence[BackfilledBlock]) -> list[RawLog]:
    return [log for block in blocks for log in block.logs]
