"""The timeline: what happened, block by block, each line with the first record that tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import TypeVar

from keeper.core.venue import Status
from keeper.report.incident import Breach, Call, Happening, Incident, Liquidation
from keeper.report.wording import counted, factor, short, usd

Told = TypeVar("Told", Breach, Call, Liquidation)
Key = TypeVar("Key")
NAMED_MAX = 3
"""More accounts than these of one block are counted and not named."""
_QUIET_TROUBLES = ("kill switch cleared", "signer released")


def happenings(told: Incident) -> tuple[Happening, ...]:
    """Return the lines in order of their records."""
    found = [*_calls(told), *_breaches(told), *_liquidations(told), *_refusals(told), *_troubles(told), *_debts(told)]
    return tuple(sorted(found, key=lambda each: (each.at.sequence, each.kind)))


def _calls(told: Incident) -> Iterator[Happening]:
    for venue, calls in _by_block(told.calls, lambda each: each.venue):
        text = f"{venue}: margin call of {_named(calls)}"
        yield Happening(at=calls[0].at, kind="margin call", tone="warn", text=text)


def _breaches(told: Incident) -> Iterator[Happening]:
    for (venue, status), breaches in _by_block(told.breaches, lambda each: (each.venue, each.status)):
        if status == Status.UNKNOWN.value:
            text = f"{venue}: health of {_named(breaches)} unknown ({breaches[0].reason})"
            yield Happening(at=breaches[0].at, kind="unknown", tone="note", text=text)
        else:
            healths = [each.health for each in breaches if each.health is not None]
            lowest = f", lowest health {factor(min(healths))}" if healths else ""
            text = f"{venue}: {_named(breaches)} fell below the line{lowest}"
            yield Happening(at=breaches[0].at, kind="breach", tone="bad", text=text)


def _liquidations(told: Incident) -> Iterator[Happening]:
    for (venue, ours, stands), found in _by_block(
        told.liquidations, lambda each: (each.venue, each.is_ours, each.stands)
    ):
        gone = "" if stands else "; the block was abandoned"
        if ours:
            repaid = sum(int(each.repaid_base or 0) for each in found)
            text = f"{venue}: {counted(len(found), 'slice')} of ours in block {found[0].block}, {usd(repaid)} repaid"
            yield Happening(at=found[0].at, kind="slice", tone="ok" if stands else "note", text=text + gone)
        else:
            verdicts = ", ".join(sorted({each.verdict for each in found}))
            text = f"{venue}: others liquidated {_named(found)} in block {found[0].block} ({verdicts})"
            yield Happening(at=found[0].at, kind="taken by others", tone="bad" if stands else "note", text=text + gone)


def _refusals(told: Incident) -> Iterator[Happening]:
    for each in told.refusals:
        text = f"{each.venue}: {each.reason} begins to refuse, {counted(each.count, 'time')} in all ({each.example})"
        yield Happening(at=each.first, kind="refusal", tone="note", text=text.replace(" ()", ""))


def _troubles(told: Incident) -> Iterator[Happening]:
    for reorg in told.reorgs:
        undone = f", and {counted(reorg.undone, 'liquidation')} with them" if reorg.undone else ""
        text = f"{reorg.chain}: {counted(reorg.depth, 'block')} abandoned, from block {reorg.first} on{undone}"
        yield Happening(at=reorg.at, kind="reorg", tone="warn", text=text)
    for each in told.troubles:
        times = f" ({counted(each.count, 'time')})" if each.count > 1 else ""
        tone = "note" if each.kind in _QUIET_TROUBLES else "warn"
        text = f"{each.subject}: {each.detail}" if each.detail else each.subject
        yield Happening(at=each.at, kind=each.kind, tone=tone, text=text + times)


def _debts(told: Incident) -> Iterator[Happening]:
    for path in told.bad_debt:
        for point in path.points:
            text = f"{path.venue}: bad debt {usd(point.base)} of {counted(point.accounts, 'account')}"
            yield Happening(at=point.at, kind="bad debt", tone="bad" if point.accounts else "ok", text=text)


def _by_block(found: Iterable[Told], key: Callable[[Told], Key]) -> Iterator[tuple[Key, list[Told]]]:
    """Yield what belongs together by a key and by the block that its records stand at."""
    ordered = sorted(found, key=lambda each: (str(key(each)), each.at.sequence))
    for (_, _), group in groupby(ordered, key=lambda each: (str(key(each)), each.at.block)):
        members = list(group)
        yield key(members[0]), members


def _named(found: list[Told]) -> str:
    accounts = list(dict.fromkeys(each.account for each in found))
    if len(accounts) > NAMED_MAX:
        return counted(len(accounts), "account")
    return ", ".join(map(short, accounts))
