"""Sums over a window: what slices earned, what gas cost, how long stages took, what was refused by which rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from keeper.core.decisions import IntentState, ProposalRefused, ProtectionRefused
from keeper.core.ids import Address, Hash32
from keeper.core.units import BaseAmount, Wei
from keeper.report.bearings import Bearings
from keeper.report.incident import Earned, GasSpent, Liquidation, RefusalGroup, StageTimes
from keeper.report.lives import Life, profit
from keeper.report.model import Moment

STAGES = ("decided", "sent", "included", "final")


@dataclass(slots=True)
class _Money:
    slices: int = 0
    waiting: int = 0
    repaid: int = 0
    seized: int = 0
    gas: int = 0
    slippage: int = 0
    profit: int = 0


def earned(ended: Iterable[Life], liquidations: Iterable[Liquidation], lives: dict[Hash32, Life]) -> tuple[Earned, ...]:
    """Add up the slices that became final, by venue and strategy.

    Args:
        ended: The intents that ended in the window.
        liquidations: The window's; those of ours that are not final are counted as waiting.
        lives: All intents.
    """
    found: dict[tuple[str, str], _Money] = {}
    for life in ended:
        if life.state is IntentState.FINAL_SUCCESS and life.proposal is not None and life.effect is not None:
            _add(found.setdefault((life.proposal.venue, life.proposal.strategy), _Money()), life)
    for each in liquidations:
        own = lives.get(each.intent_id) if each.intent_id is not None else None
        if own is not None and own.proposal is not None and each.stands and own.ended is None:
            found.setdefault((own.proposal.venue, own.proposal.strategy), _Money()).waiting += 1
    return tuple(
        Earned(
            venue=venue,
            strategy=strategy,
            slices=each.slices,
            waiting=each.waiting,
            repaid_base=BaseAmount(each.repaid),
            seized_base=BaseAmount(each.seized),
            gas_base=BaseAmount(each.gas),
            slippage_base=BaseAmount(each.slippage),
            profit_base=BaseAmount(each.profit),
        )
        for (venue, strategy), each in sorted(found.items())
    )


def _add(money: _Money, life: Life) -> None:
    if life.proposal is None or life.effect is None:
        return
    repaid_base, seized_base = life.proposal.preview.value_base(life.effect)
    money.slices += 1
    money.repaid += int(repaid_base)
    money.seized += int(seized_base)
    money.gas += int(life.proposal.gas_cost_base)
    money.slippage += int(life.proposal.slippage_base)
    money.profit += int(profit(life.proposal, life.effect))


def gas_spent(ended: Iterable[Life], bearings: Bearings) -> tuple[GasSpent, ...]:
    """Add up the fees of intents that ended, by chain and signer."""
    found: dict[tuple[str, str], list[Life]] = {}
    for life in ended:
        if life.receipt is not None:
            found.setdefault((bearings.name(life.intent.chain_id), life.intent.signer), []).append(life)
    return tuple(
        GasSpent(
            chain=chain,
            signer=signer,
            transactions=len(paid),
            reverted=sum(life.receipt is not None and not life.receipt.succeeded for life in paid),
            wei=Wei(sum(life.gas_wei for life in paid)),
        )
        for (chain, signer), paid in sorted(found.items())
    )


def stage_times(lives: Iterable[Life]) -> tuple[StageTimes, ...]:
    """Sum up how long each stage of the slices took; what has no proposal (approvals, exits) is not counted."""
    times: dict[str, list[int]] = {stage: [] for stage in STAGES}
    for life in lives:
        if life.proposal is None:
            continue
        stages = life.stages()
        for stage in STAGES:
            value = getattr(stages, stage)
            if value is not None:
                times[stage].append(value)
    return tuple(
        StageTimes(stage, len(found), ranked(found, 50), ranked(found, 95), max(found))
        for stage, found in times.items()
        if found
    )


def ranked(values: Sequence[int], percent: int) -> int:
    """Return a percentile by the nearest rank: a value that was measured, never one in between."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


@dataclass(slots=True)
class _Refused:
    first: Moment
    last: Moment
    count: int = 0
    example: str = ""
    profits: dict[Address, int] = field(default_factory=dict)


class Refusals:
    """Takes the window's refusals."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], _Refused] = {}

    def take(self, body: ProposalRefused | ProtectionRefused, at: Moment) -> None:
        """Take the next one."""
        proposal = body.proposal
        group = self._groups.setdefault((proposal.venue, proposal.strategy, body.reason), _Refused(at, at))
        group.last, group.example = at, body.detail
        group.count += 1
        group.profits[proposal.account] = int(body.proposal.profit_base) if isinstance(body, ProposalRefused) else 0

    def groups(self) -> Iterator[RefusalGroup]:
        """Yield what was refused by rule, most often first."""
        ordered = sorted(self._groups.items(), key=lambda item: (-item[1].count, item[0]))
        for (venue, strategy, reason), group in ordered:
            yield RefusalGroup(
                venue=venue,
                strategy=strategy,
                reason=reason,
                count=group.count,
                accounts=len(group.profits),
                profit_base=BaseAmount(sum(group.profits.values())),
                first=group.first,
                last=group.last,
                example=group.example,
            )
