"""Two providers say different logs of one final block: who is right.

Everybody healthy is asked for the block by its hash. What more providers say than anything else is right. Where that
is a draw (two providers, two stories), the receipts of the transactions in dispute are asked of both: a story is right
when the receipts of at least two providers tell it. A story with a log that the block's own bloom excludes is invented.
What cannot be told stays open, and nothing is changed on one provider's word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from keeper.chain.bloom import outside
from keeper.chain.finality import QUORUM
from keeper.chain.member import Member
from keeper.chain.watch import Watch
from keeper.chain.wire import LogFilter, decode_block_logs, decode_header, decode_receipt_logs, decode_transaction_logs
from keeper.core.errors import NodeError, RetryLater
from keeper.core.facts import RawLog
from keeper.core.ids import Hash32, to_hex

Story = tuple[RawLog, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The right logs of a block, who told them, and who did not."""

    logs: Story
    right: tuple[Member, ...]
    wrong: tuple[Member, ...]


async def settle(members: Sequence[Member], wanted: LogFilter, number: int, block_hash: Hash32) -> Verdict | None:
    """Find out what the watched logs of a block are; ``None`` when it cannot be told.

    Args:
        members: The healthy providers.
        wanted: Which logs are watched.
        number: The block's number.
        block_hash: Its hash.
    """
    told = await asyncio.gather(*(_told(member, wanted, number, block_hash) for member in members))
    stories = {member: each.logs for member, each in zip(members, told, strict=True) if each and each.possible}
    invented = tuple(member for member, each in zip(members, told, strict=True) if each and not each.possible)
    different = set(stories.values())
    if invented and len(different) == 1:
        winner: Story | None = different.pop()
    else:
        winner = _most(list(stories.values()), QUORUM) or await _by_receipts(stories, wanted, number, block_hash)
    right = tuple(member for member, story in stories.items() if story == winner)
    wrong = tuple(member for member, story in stories.items() if story != winner)
    return None if winner is None or not right else Verdict(winner, right, wrong + invented)


class Hearing:
    """Settles blocks among the same providers, each once, and remembers who told wrong logs of which block first."""

    def __init__(self, members: Sequence[Member], watch: Watch) -> None:
        self.members = members
        self.liars: dict[Member, int] = {}
        self._watch = watch
        self._verdicts: dict[tuple[Hash32, LogFilter], Verdict] = {}

    async def verdict(self, number: int, block_hash: Hash32) -> Verdict:
        """Find out what the watched logs of a block are.

        Raises:
            RetryLater: it cannot be told.
        """
        wanted = self._watch.wanted()
        verdict = self._verdicts.get((block_hash, wanted)) or await settle(self.members, wanted, number, block_hash)
        if verdict is None:
            reason = "the providers tell different logs, and none can be shown to be right"
            raise RetryLater(f"block {number} {to_hex(block_hash)}", reason, "add a third provider")
        self._verdicts[block_hash, wanted] = verdict
        self.liars = {**dict.fromkeys(verdict.wrong, number), **self.liars}
        return verdict

    async def right_logs(self, number: int, block_hash: Hash32) -> Story:
        """Return the watched logs of a block.

        Raises:
            RetryLater: they cannot be told.
        """
        return (await self.verdict(number, block_hash)).logs


class _Told(NamedTuple):
    logs: Story
    possible: bool


async def _told(member: Member, wanted: LogFilter, number: int, block_hash: Hash32) -> _Told | None:
    """Return what a provider says of a block, and whether the block's bloom allows it; ``None`` without an answer."""
    calls = [("eth_getLogs", (wanted.at(block_hash),)), ("eth_getBlockByHash", (to_hex(block_hash), False))]
    try:
        logs, header = await member.batch(calls)
        story = decode_block_logs(logs, wanted, number, block_hash)
        bloom = decode_header(header, block_hash=block_hash).logs_bloom
    except NodeError:
        return None
    return _Told(story, outside(bloom, story) is None)


async def _by_receipts(
    stories: dict[Member, Story], wanted: LogFilter, number: int, block_hash: Hash32
) -> Story | None:
    """Return the story that the receipts of at least two providers tell."""
    different = list(dict.fromkeys(stories.values()))
    common = set(different[0]).intersection(*different[1:]) if different else set()
    disputed = list(dict.fromkeys(log.tx_hash for story in different for log in story if log not in common))
    receipts = await asyncio.gather(
        *(_receipt_logs(member, disputed, wanted, number, block_hash) for member in stories)
    )
    told = [
        story
        for logs in receipts
        if logs is not None
        for story in different
        if all((log in logs) is (log in story) for each in different for log in each if log not in common)
    ]
    return _most(told, QUORUM)


async def _receipt_logs(
    member: Member, transactions: Sequence[Hash32], wanted: LogFilter, number: int, block_hash: Hash32
) -> set[RawLog] | None:
    """Return the logs that a block's receipts hold, ``None`` when the provider cannot tell.

    The receipts of the whole block say what is not in it too. Where a provider does not give those, the disputed
    transactions' own must all be there: a missing receipt is not a receipt without logs.
    """
    calls = [("eth_getTransactionReceipt", (to_hex(each),)) for each in transactions]
    try:
        whole, *single = await member.batch([("eth_getBlockReceipts", (to_hex(block_hash),)), *calls])
        if isinstance(whole, list):
            return set(decode_receipt_logs(whole, wanted, number, block_hash))
        if None in single:
            return None
        return {log for answer in single for log in decode_transaction_logs(answer, block_hash)}
    except NodeError:
        return None


def _most(stories: Sequence[Story], least: int) -> Story | None:
    """Return the story told by more than any other, and by ``least`` at least; ``None`` on a draw."""
    counts = {story: stories.count(story) for story in stories}
    best = max(counts.values(), default=0)
    leading = [story for story, count in counts.items() if count == best]
    return leading[0] if len(leading) == 1 and best >= least else None
