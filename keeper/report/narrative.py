"""The story of a window in plain sentences, each with the records that it can be checked with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from keeper.core.ids import to_hex
from keeper.core.venue import Status
from keeper.report.incident import AccountPath, Chapter, Incident, Liquidation, Sentence
from keeper.report.model import Moment
from keeper.report.wording import counted, ether, factor, short, span, usd, utc

STORIES_MAX = 25
"""More accounts than these are told of in sums; the tables have them all."""
CITED_MAX = 6
"""How many records a sentence over many of them names."""


def narrative(told: Incident) -> tuple[Chapter, ...]:
    """Tell a window: chapters without a sentence are left out."""
    chapters = (
        Chapter("What happened", tuple(_summary(told))),
        Chapter("Account by account", tuple(_accounts(told))),
        Chapter("What others did", tuple(_others(told))),
        Chapter("What was refused", tuple(_refusals(told))),
        Chapter("What went wrong around it", tuple(_troubles(told))),
        Chapter("What it came to", tuple(_money(told))),
    )
    return tuple(chapter for chapter in chapters if chapter.sentences)


def _summary(told: Incident) -> Iterator[Sentence]:
    window = told.window
    blocks = " and ".join(f"blocks {each.first} to {each.last} of {each.chain}" for each in window.blocks)
    seconds = span(window.last_unix_ms - window.first_unix_ms)
    yield Sentence(
        f"The window holds {counted(window.records, 'record')} from {utc(window.first_unix_ms)} to "
        f"{utc(window.last_unix_ms)} ({seconds}){', ' + blocks if blocks else ''}.",
        (window.first_sequence, window.last_sequence),
    )
    yield from _prices(told)
    called = {(each.venue, each.account) for each in told.calls}
    if called:
        text = (
            f"The second opinion made {counted(len(told.calls), 'margin call')} of {counted(len(called), 'account')}."
        )
        yield Sentence(text, _cited([each.at for each in told.calls]))
    breaches = [each for each in told.breaches if each.status == Status.LIQUIDATABLE.value]
    hurt = {(each.venue, each.account) for each in breaches}
    if hurt:
        forewarned = sum(_lead(each) is not None for each in told.accounts if (each.venue, each.account) in hurt)
        text = (
            f"{counted(len(hurt), 'account')} fell below the venue's own line, {counted(len(breaches), 'time')} in all"
        )
        yield Sentence(
            f"{text}; {forewarned} of them had been called in an earlier block.", _cited([each.at for each in breaches])
        )
    else:
        yield Sentence("No account fell below its venue's line.", ())
    if told.ours:
        helped = {(each.venue, each.account) for each in told.ours}
        repaid = sum(int(each.repaid_base or 0) for each in told.ours)
        text = f"The keeper closed {counted(len(told.ours), 'slice')} of {counted(len(helped), 'account')}, repaying"
        yield Sentence(f"{text} {usd(repaid)}.", _cited([each.at for each in told.ours]))


def _prices(told: Incident) -> Iterator[Sentence]:
    moved = []
    for path in told.prices:
        first, last = path.points[0], path.points[-1]
        lowest = min(path.points, key=lambda point: int(point.price))
        fall = int(lowest.price) / int(first.price) - 1 if int(first.price) else 0.0
        if fall < 0:
            moved.append((fall, path, lowest.at, int(last.price) / int(first.price) - 1, first.at))
    for fall, path, at, end, begun in sorted(moved, key=lambda each: (each[0], each[1].venue, each[1].asset))[:3]:
        text = f"At {path.venue} the price of {short(path.asset)} fell by {-fall:.2%} to its lowest in block {at.block}"
        yield Sentence(f"{text}, and ended {end:+.2%} from where it began.", (begun.sequence, at.sequence))


def _accounts(told: Incident) -> Iterator[Sentence]:
    hurt = [path for path in told.accounts if path.breached is not None or path.slices or path.taken_by_others]
    ordered = sorted(hurt, key=lambda path: (-int(path.repaid_base), path.venue, path.account))
    for path in ordered[:STORIES_MAX]:
        yield _story(path, [one for one in told.liquidations if _is_of(one, path)])
    if len(ordered) > STORIES_MAX:
        text = f"{counted(len(ordered) - STORIES_MAX, 'more account')} had smaller slices; the table has them all."
        yield Sentence(text, ())


def _story(path: AccountPath, found: Sequence[Liquidation]) -> Sentence:
    """Tell one account: called, breached, decided, sent, included, final, and where it stands."""
    cited: list[Moment] = []
    parts: list[str] = []
    if path.called is not None:
        parts.append(f"was called at block {path.called.block}")
        cited.append(path.called)
    if path.breached is not None:
        lead = _lead(path)
        early = f", {counted(lead, 'block')} after its call" if lead else ""
        parts.append(f"fell below the line at block {path.breached.block}{early}")
        cited.append(path.breached)
    if path.health_min is not None:
        parts.append(f"was at {factor(path.health_min)} at its lowest")
    for one in found:
        if len(found) <= CITED_MAX:
            parts.append(_slice(one))
            cited += [at for at in (one.admitted, one.at, one.final) if at is not None]
    if len(found) > CITED_MAX:
        ours = [one for one in found if one.is_ours and one.stands]
        repaid = usd(sum(int(one.repaid_base or 0) for one in ours))
        parts.append(f"was helped by {counted(len(ours), 'slice')} that repaid {repaid}")
        cited += [found[0].at, found[-1].at]
    if path.status:
        health = f" at {factor(path.health)}" if path.health is not None else ""
        parts.append(f"ended {path.status}{health}, owing {usd(path.debt_base)}")
    account = to_hex(path.account)
    last = max((at.sequence for at in cited), default=0)
    check = f"keeper explain {account} --venue {path.venue} --at {last}" if last else None
    sequences = tuple(dict.fromkeys(at.sequence for at in cited))
    return Sentence(f"{path.venue} {short(path.account)} {_listed(parts)}.", sequences, check)


def _slice(one: Liquidation) -> str:
    if not one.is_ours:
        gone = "" if one.stands else " in a block that was abandoned"
        return f"was liquidated by {short(one.liquidator)} in block {one.block}{gone} ({one.verdict})"
    took = one.stages
    decided = f" {span(took.decided)} after its head was heard of" if took is not None else ""
    included = f", included {span(took.included)} after it was sent" if took is not None and took.included else ""
    after = f", for a health of {factor(one.health_after)}" if one.health_after is not None else ""
    final = f", final in block {one.final.block}" if one.final is not None else ""
    gone = "" if one.stands else ", in a block that was abandoned"
    return (
        f"was helped by a slice decided{decided}, repaying {usd(one.repaid_base)}{after}, in block {one.block}"
        f"{included}{final}{gone}"
    )


def _others(told: Incident) -> Iterator[Sentence]:
    for one in told.others[:STORIES_MAX]:
        worth = f", repaying {usd(one.repaid_base)}" if one.repaid_base is not None else ""
        why = f": {one.why}" if one.why else ""
        yield Sentence(
            f"{short(one.liquidator)} liquidated {short(one.account)} at {one.venue} in block {one.block}{worth}; "
            f"for us that is {one.verdict}{why}.",
            (one.at.sequence,),
            f"keeper explain {to_hex(one.account)} --venue {one.venue} --at {one.at.sequence}",
        )
    left = len(told.others) - STORIES_MAX
    if left > 0:
        yield Sentence(f"Others liquidated {counted(left, 'time')} more; the table has them all.", ())


def _refusals(told: Incident) -> Iterator[Sentence]:
    for each in told.refusals:
        detail = f", last because {each.example}" if each.example else ""
        yield Sentence(
            f"At {each.venue} the rule {each.reason} refused {counted(each.count, 'proposal')} of {each.strategy} for "
            f"{counted(each.accounts, 'account')}{detail}; together the last of each would have earned "
            f"{usd(each.profit_base)}.",
            tuple(dict.fromkeys((each.first.sequence, each.last.sequence))),
        )


def _troubles(told: Incident) -> Iterator[Sentence]:
    for reorg in told.reorgs:
        undone = f"; {counted(reorg.undone, 'liquidation')} went with them" if reorg.undone else ""
        text = f"{reorg.chain} abandoned {counted(reorg.depth, 'block')} from block {reorg.first} on{undone}."
        yield Sentence(text, (reorg.at.sequence,))
    for each in told.troubles:
        times = f", {counted(each.count, 'time')}" if each.count > 1 else ""
        detail = f": {each.detail}" if each.detail else ""
        yield Sentence(f"{each.kind.capitalize()} ({each.subject}){times}{detail}.", (each.at.sequence,))
    failed = Counter((each.kind, each.state, each.reason) for each in told.endings)
    for (kind, state, reason), count in sorted(failed.items()):
        first = next(each.at for each in told.endings if (each.kind, each.state, each.reason) == (kind, state, reason))
        why = f" ({reason})" if reason else ""
        what = counted(count, f"intent of kind {kind}", f"intents of kind {kind}")
        yield Sentence(f"{what} stood at {state}{why} without an effect.", (first.sequence,))


def _money(told: Incident) -> Iterator[Sentence]:
    for each in told.earned:
        waiting = f" ({each.waiting} more not final yet)" if each.waiting else ""
        yield Sentence(
            f"At {each.venue} {each.strategy} earned {usd(each.profit_base)} with {counted(each.slices, 'final slice')}"
            f"{waiting}: {usd(each.seized_base)} received for {usd(each.repaid_base)} repaid, less "
            f"{usd(each.gas_base)} of gas and {usd(each.slippage_base)} of slippage as reckoned when deciding.",
            (),
        )
    for gas in told.gas:
        reverted = f", {gas.reverted} of them reverted" if gas.reverted else ""
        paid = f"{gas.signer} paid {ether(gas.wei)} coins for gas on {gas.chain}"
        yield Sentence(f"{paid}, for {counted(gas.transactions, 'transaction')}{reverted}.", ())
    for path in told.bad_debt:
        if path.points:
            worst, last = max(path.points, key=lambda point: int(point.base)), path.points[-1]
            text = f"{path.venue} had bad debt of {usd(worst.base)} at worst, in block {worst.at.block}"
            end = f", and {usd(last.base)} at the end." if int(last.base) else ", and none at the end."
            yield Sentence(text + end, tuple(dict.fromkeys((worst.at.sequence, last.at.sequence))))
    if not any(path.points for path in told.bad_debt):
        yield Sentence("No account owed more than its collateral at any head.", ())


def _is_of(one: Liquidation, path: AccountPath) -> bool:
    return (one.venue, one.account) == (path.venue, path.account)


def _lead(path: AccountPath) -> int | None:
    """Return how many blocks before its breach an account was called; ``None`` when it was not, or in that block."""
    called, breached = path.called, path.breached
    if called is None or breached is None or called.block is None or breached.block is None:
        return None
    return breached.block - called.block if called.block < breached.block else None


def _cited(places: Sequence[Moment]) -> tuple[int, ...]:
    """Name the first and the last of many records."""
    sequences = [at.sequence for at in places]
    if len(sequences) <= CITED_MAX:
        return tuple(dict.fromkeys(sequences))
    return (*sequences[: CITED_MAX // 2], *sequences[-CITED_MAX // 2 :])


def _listed(parts: Sequence[str]) -> str:
    if not parts:
        return "was looked at"
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])}, and {parts[-1]}"
