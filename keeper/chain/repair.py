"""The right logs of everything from a block on, when what was recorded there turned out to be wrong.

Final blocks come by ranges, those above by hash, all from the provider that was found to be right, and all must be the
blocks that are held. Venue reads are made again as a back-fill makes them: at the newest final block for all that the
final logs call for, and at every block above, so that each of those can still be abandoned by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from keeper.chain.member import Member
from keeper.chain.ranges import dated, read_range
from keeper.chain.source import BlockSource
from keeper.chain.watch import DISCOVERY_ROUNDS_MAX, Watch
from keeper.chain.window import Window
from keeper.core.errors import InvariantBroken, NodeMalformed, invariant
from keeper.core.facts import BackfilledBlock, BlockHeader, RawLog, RepairedBlock
from keeper.core.ids import to_hex

RANGE_BLOCKS = 256
"""At once; a repair is rare and reaches back a few thousand blocks at most."""


async def right_blocks(
    source: BlockSource, node: Member, watch: Watch, window: Window, first: int
) -> tuple[RepairedBlock, ...]:
    """Return what is right of the blocks from ``first``, which is final, to the tip.

    Raises:
        NodeError: the provider failed, or is on another branch.
    """
    invariant(window.finalized is not None, f"repair from block {first}", "begins where nothing is final")
    final = window.finalized or 0
    above = [await source.header(number, held) for number, held in window.hashes.items() if number > final]
    for _ in range(DISCOVERY_ROUNDS_MAX):
        below = await _final_blocks(node, watch, window, first, final)
        logs = await source.logs(above)
        if not watch.discover([*_logs(below), *(log for each in logs for log in each)], first):
            break
        source.forget_logs()
    else:
        raise InvariantBroken(f"repair from block {first}", "discovery does not come to an end")
    repaired = [RepairedBlock(block, ()) for block in below[:-1]]
    repaired.append(RepairedBlock(below[-1], await source.reads(below[-1].hash, watch.reads(_logs(below)))))
    for header, own in zip(above, logs, strict=True):
        reads = await source.reads(header.hash, watch.reads(own))
        repaired.append(RepairedBlock(_block(header, own), reads))
    return tuple(repaired)


async def _final_blocks(node: Member, watch: Watch, window: Window, first: int, final: int) -> list[BackfilledBlock]:
    """Return the final blocks that have watched logs, and the newest in any case."""
    found: list[BackfilledBlock] = []
    for start in range(first, final + 1, RANGE_BLOCKS):
        ends, blocks = await read_range(node, watch.wanted(), start, min(start + RANGE_BLOCKS - 1, final))
        found += await dated(node, ends, blocks)
        if final in ends and (not found or found[-1].number != final):
            found.append(_block(ends[final], ()))
    for block in found:
        held = window.hashes.get(block.number, block.hash)
        if block.hash != held:
            raise NodeMalformed(f"block {block.number} {to_hex(block.hash)}", f"is not {to_hex(held)}, which we hold")
    return found


def _block(header: BlockHeader, logs: Sequence[RawLog]) -> BackfilledBlock:
    return BackfilledBlock(header.number, header.hash, header.timestamp, tuple(logs))


def _logs(blocks: Sequence[BackfilledBlock]) -> list[RawLog]:
    return [log for block in blocks for log in block.logs]
