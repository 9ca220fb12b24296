"""What we knew of an account that somebody liquidated, and what that says about us.

A block that holds a liquidation is folded twice: once to learn of whom, then again, to look at those accounts on the
way. The contract let the liquidation happen, so the account was liquidatable just before it, and the ledger has to say
so too. Where it looks:

* At the block's own timestamp, after every earlier log of the block: from the start of the liquidation's transaction up
  to the first log of it that moves the account. An oracle's update in the same transaction is seen so; the
  liquidation's own transfers, which come before its event, are not.
* A second liquidation of one account in one transaction is looked at from the end of the first.
* An account whose debt appears only within that transaction could be helped by nobody else: that is late.
* A figure that calls tell (a price without an event) is known at the ends of blocks only, so inside a block the ledger
  calls the account unknown. It is looked at once more then with the block's own answers. Liquidatable with those, or at
  the block before, is late. Healthy with both is late too: the figure may have moved to and fro in between, and what
  cannot be shown is not called a bug. Without answers, as in a block that was caught up with, it stays unknown.

What is left, an account with debt that was healthy by logs alone, is ``HEALTH_WRONG``: a bug of ours, or logs that a
node withheld. One case would be called so wrongly: an account that acts, is made unsafe by a price and is liquidated,
all in one transaction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from keeper.core.decisions import AnyDecision, LiquidationObserved, Verdict
from keeper.core.facts import BackfilledBlock, BlockHeader, ContractRead, RawLog
from keeper.core.venue import AccountMargin, Ledger, LiquidationSeen, Status
from keeper.engine.state import EngineState

BORROWED = "it borrowed in the very transaction that liquidated it"
NO_DEBT = "it had no debt that we knew of"
IN_BETWEEN = "it was healthy at both ends of its block, by figures that calls tell and that may have moved in between"
IN_ITS_BLOCK = "it became liquidatable in the very block"
BEFORE = "it was liquidatable at the block before, which was not decided on"
PASSED_OVER = "it was known to be at risk, and no slice of it was proposed or there was no room for one"


class Block(NamedTuple):
    """A block to fold, with the answers to calls at its end; none where nothing was asked."""

    header: BlockHeader | BackfilledBlock
    logs: Sequence[RawLog]
    reads: Sequence[ContractRead]


class Witnessed(NamedTuple):
    """A liquidation, and what the ledger alone says of it."""

    seen: LiquidationSeen
    verdict: Verdict
    why: str


@dataclass
class _Watch:
    """One liquidation, the place of its log, and the account's margins from place ``first`` until it was moved.

    ``answered`` are the same margins with the block's own answers to calls.
    """

    seen: LiquidationSeen
    place: int
    first: int
    parent: AccountMargin
    margins: list[AccountMargin] = field(default_factory=list)
    answered: list[AccountMargin] = field(default_factory=list)
    borrowed: bool = False

    @property
    def needs_answers(self) -> bool:
        """Whether only the block's answers to calls can tell."""
        return not _has(self.margins, Status.LIQUIDATABLE) and _has(self.margins, Status.UNKNOWN)

    def look(self, margin: AccountMargin, margins: list[AccountMargin]) -> None:
        """Take a margin before the log."""
        if not margins or margin.epoch == margins[0].epoch:
            margins.append(margin)
        else:
            self.borrowed = self.borrowed or _owes(margin)

    def verdict(self) -> tuple[Verdict, str]:
        """Say what the ledger's figures were."""
        margins = self.answered or self.margins
        if self.parent.health.status is Status.LIQUIDATABLE and (self.needs_answers or self._fell):
            return Verdict.DECIDED_LATE, BEFORE
        if self._fell:
            return Verdict.DECIDED_LATE, IN_ITS_BLOCK
        if _has(margins, Status.UNKNOWN):
            return Verdict.UNKNOWN, margins[-1].health.reason or "its health changed to unknown and back"
        if any(map(_owes, margins)):
            return (Verdict.DECIDED_LATE, IN_BETWEEN) if self.answered else _wrong(margins[-1])
        return (Verdict.DECIDED_LATE, BORROWED) if self.borrowed else (Verdict.UNTRACKED, NO_DEBT)

    @property
    def _fell(self) -> bool:
        return _has(self.margins, Status.LIQUIDATABLE) or _has(self.answered, Status.LIQUIDATABLE)


_Look = tuple[_Watch, list[AccountMargin]]


def fold_block(ledger: Ledger, block: Block) -> list[Witnessed]:
    """Let a venue fold a block's logs, but not its reads; return the liquidations, in the order of their logs."""
    ledger.begin_block(block.header)
    found = [(place, seen) for place, log in enumerate(block.logs) if (seen := ledger.apply_log(log)) is not None]
    if not found:
        return []
    ledger.undo_block(block.header.number)
    watches = list(_watches(ledger, block.logs, found))
    ledger.begin_block(block.header)
    _fold_again(ledger, block.logs, [(watch, watch.margins) for watch in watches])
    unclear = [(watch, watch.answered) for watch in watches if watch.needs_answers]
    if unclear and block.reads:
        _with_answers(ledger, block, unclear)
    return [Witnessed(watch.seen, *watch.verdict()) for watch in watches]


def _with_answers(ledger: Ledger, block: Block, looks: Sequence[_Look]) -> None:
    """Look at accounts with the answers that the block has at its end; the ledger is left as it was."""
    ledger.undo_block(block.header.number)
    ledger.begin_block(block.header)
    ledger.apply_reads(block.reads)
    _fold_again(ledger, block.logs, looks)
    ledger.undo_block(block.header.number)
    ledger.begin_block(block.header)
    _fold_again(ledger, block.logs, ())


def _watches(ledger: Ledger, logs: Sequence[RawLog], found: Sequence[tuple[int, LiquidationSeen]]) -> Iterator[_Watch]:
    """Yield a watch of each liquidation; the ledger stands at the end of the block before."""
    earlier: dict[object, int] = {}
    for place, seen in found:
        first = place
        while first and logs[first - 1].tx_hash == seen.tx_hash and first - 1 != earlier.get(seen.account):
            first -= 1
        earlier[seen.account] = place
        yield _Watch(seen, place, first, ledger.margin(seen.account))


def _fold_again(ledger: Ledger, logs: Sequence[RawLog], looks: Sequence[_Look]) -> None:
    """Fold logs that were folded and undone, and look at the accounts on the way."""
    due: dict[int, list[_Look]] = defaultdict(list)
    for look in looks:
        for place in range(look[0].first, look[0].place + 1):
            due[place].append(look)
    for place, log in enumerate(logs):
        for watch, margins in due.get(place, ()):
            if not _has(margins, Status.LIQUIDATABLE):
                watch.look(ledger.margin(watch.seen.account), margins)
        ledger.apply_log(log)


def _wrong(margin: AccountMargin) -> tuple[Verdict, str]:
    return Verdict.HEALTH_WRONG, healthy(margin.health_wad)


def healthy(health_wad: int | None) -> str:
    """Say at which health an account was healthy; ``None`` where the venue has no such figure."""
    return "it was healthy" if health_wad is None else f"it was healthy, at {int(health_wad)} / 10^18"


def _owes(margin: AccountMargin) -> bool:
    return margin.health_wad is not None or bool(margin.debt_base)


def _has(margins: Sequence[AccountMargin], status: Status) -> bool:
    return any(margin.health.status is status for margin in margins)


def observe(state: EngineState, witnessed: Witnessed, block: BlockHeader | BackfilledBlock) -> list[AnyDecision]:
    """Judge a liquidation, and let it advance our own intent if it is one's effect."""
    seen, intents = witnessed.seen, state.intents
    intent_id, advanced = intents.effect(seen.tx_hash, block.number, block.hash)
    verdict, why = _judge(state, witnessed) if intent_id is None else (Verdict.OURS, "")
    intents.tries.forgive((seen.venue, seen.account))
    intents.breakers.succeeded(seen.venue, block.number)
    return [LiquidationObserved(seen, block.number, intent_id, verdict, why), *advanced]


def _judge(state: EngineState, witnessed: Witnessed) -> tuple[Verdict, str]:
    """Say why a liquidation that is not ours was another's, by what the engine knew before its block.

    That our health was wrong comes before all else, because it is a bug whatever we had decided; a doubt that an audit
    left is no new one. Then what we had done, then what we had known.
    """
    subject = (witnessed.seen.venue, witnessed.seen.account)
    if witnessed.verdict is Verdict.HEALTH_WRONG and subject not in state.health.doubted:
        return witnessed.verdict, witnessed.why
    under_way = state.intents.unmined_about(subject)
    if under_way is not None:
        return Verdict.OUTBID, f"our intent was {under_way.state.value}"
    refused = state.refusals.standing(*subject)
    if refused is not None:
        return Verdict.REFUSED, refused.reason
    known = state.health.margins.get(subject)
    if known is not None and known.health.status is Status.UNKNOWN:
        return Verdict.UNKNOWN, known.health.reason or ""
    if witnessed.why == BEFORE and known is not None and known.health.status is Status.LIQUIDATABLE:
        return Verdict.DECIDED_LATE, PASSED_OVER
    return witnessed.verdict, witnessed.why
