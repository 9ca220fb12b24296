"""The lives of all intents and the liquidations of a window, from records and the times at which they were made.

Times, stages and money are those of the metrics (``keeper/observe/slices.py``): the first send counts, the first
inclusion ends its stage, the last one begins the stage ``final``; money counts at finality, gas by the newest receipt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from keeper.core.codec import Record
from keeper.core.decisions import Intent, IntentAdmitted, IntentAdvanced, IntentState, LiquidationObserved, Proposal
from keeper.core.facts import (
    AttemptPrepared,
    AttemptSent,
    BlockReverted,
    IntentDropped,
    LogsRepaired,
    ReceiptSeen,
)
from keeper.core.ids import Hash32
from keeper.core.units import BaseAmount, Wei
from keeper.core.venue import LiquidationSeen
from keeper.engine.intents import TERMINAL
from keeper.report.bearings import Bearings
from keeper.report.incident import Ending, Liquidation, Stages
from keeper.report.model import Moment


@dataclass(slots=True)
class Life:
    """One intent, and where its records stand."""

    intent: Intent
    proposal: Proposal | None
    admitted: Moment
    seen_unix_ms: int
    attempts: int = 0
    sent: Moment | None = None
    included_first: Moment | None = None
    included: Moment | None = None
    ended: Moment | None = None
    state: IntentState = IntentState.ADMITTED
    reason: str = ""
    effect: LiquidationSeen | None = None
    receipt: ReceiptSeen | None = None
    receipt_at: Moment | None = None

    @property
    def gas_wei(self) -> int:
        """What the newest receipt says was paid."""
        return 0 if self.receipt is None else self.receipt.gas_used * int(self.receipt.gas_price_wei)

    def stages(self) -> Stages:
        """Return how long each stage took; a clock may step back, but a stage never took less than none."""
        sent, first = self.sent, self.included_first
        return Stages(
            max(0, self.admitted.unix_ms - self.seen_unix_ms),
            None if sent is None else _span(self.admitted, sent),
            None if first is None else _span(sent or self.admitted, first),
            None if self.ended is None or self.included is None else _span(self.included, self.ended),
        )


@dataclass(slots=True)
class Observation:
    """A liquidation that was seen, until its block is abandoned or its logs turn out wrong."""

    at: Moment
    chain_id: int
    body: LiquidationObserved
    stands: bool = True
    values: tuple[BaseAmount | None, BaseAmount | None] = (None, None)


@dataclass(slots=True)
class Lives:
    """Takes every record; observations are kept of those in the window."""

    bearings: Bearings
    lives: dict[Hash32, Life] = field(default_factory=dict)
    observations: list[Observation] = field(default_factory=list)

    def take(self, record: Record, *, inside: bool) -> Observation | None:
        """Take the next record; return the observation that it is."""
        match record.body:
            case IntentAdmitted() as body:
                seen = self.bearings.seen_unix_ms.get(body.intent.chain_id, record.recorded_at_ms)
                at = self.bearings.of_chain(record, body.intent.chain_id)
                self.lives[body.intent.intent_id] = Life(body.intent, body.proposal, at, seen)
            case LiquidationObserved() as body:
                return self._observed(record, body, inside=inside)
            case BlockReverted(chain_id=chain_id, number=number):
                self._undo(chain_id, number)
            case LogsRepaired(chain_id=chain_id, first=number):
                self._undo(chain_id, number)
            case AttemptPrepared() | AttemptSent() | ReceiptSeen() | IntentAdvanced() | IntentDropped() as body:
                self._lived(record, body)
            case _:
                pass
        return None

    def _lived(
        self, record: Record, body: AttemptPrepared | AttemptSent | ReceiptSeen | IntentAdvanced | IntentDropped
    ) -> None:
        life = self.lives.get(body.intent_id)
        if life is None:
            return
        at = self.bearings.of_chain(record, life.intent.chain_id)
        match body:
            case AttemptPrepared():
                life.attempts += 1
            case AttemptSent():
                life.sent = life.sent or at
            case ReceiptSeen():
                life.receipt, life.receipt_at = body, at
            case IntentDropped(reason=reason):
                life.reason = reason
            case IntentAdvanced(state=state, reason=reason):
                life.state = state
                if state is IntentState.MINED:
                    life.included_first, life.included = life.included_first or at, at
                if state in TERMINAL:
                    life.ended, life.reason = at, life.reason or reason

    def _observed(self, record: Record, body: LiquidationObserved, *, inside: bool) -> Observation | None:
        life = self.lives.get(body.intent_id) if body.intent_id is not None else None
        if life is not None:
            life.effect = body.liquidation
        if not inside:
            return None
        venue = body.liquidation.venue
        chain_id = self.bearings.chains.get(venue, 0)
        self.observations.append(Observation(self.bearings.of_venue(record, venue), chain_id, body))
        return self.observations[-1]

    def _undo(self, chain_id: int, first: int) -> None:
        for each in self.observations:
            if each.chain_id == chain_id and each.body.block_number >= first:
                each.stands = False

    def undone(self) -> int:
        """Return how many observations do not stand."""
        return sum(not each.stands for each in self.observations)

    def liquidations(self) -> Iterator[Liquidation]:
        """Yield the window's liquidations, in order."""
        for each in self.observations:
            life = self.lives.get(each.body.intent_id) if each.body.intent_id is not None else None
            yield _liquidation(each, life)

    def endings(self, first: int, last: int) -> Iterator[Ending]:
        """Yield the intents that ended without an effect between two sequences, and those that are open at the end."""
        for life in self.lives.values():
            at = life.ended or life.admitted
            if life.state is IntentState.FINAL_SUCCESS or not (life.ended is None or first <= at.sequence <= last):
                continue
            yield Ending(
                at=at,
                intent_id=life.intent.intent_id,
                kind=life.intent.kind,
                venue=life.intent.venue,
                account=life.intent.account,
                state=life.state.value,
                reason=life.reason,
                attempts=life.attempts,
                gas_wei=Wei(life.gas_wei),
            )


def _liquidation(seen: Observation, life: Life | None) -> Liquidation:
    event, proposal = seen.body.liquidation, None if life is None else life.proposal
    repaid_base, seized_base = seen.values if proposal is None else proposal.preview.value_base(event)
    success = life is not None and life.state is IntentState.FINAL_SUCCESS
    return Liquidation(
        at=seen.at,
        block=seen.body.block_number,
        stands=seen.stands,
        venue=event.venue,
        account=event.account,
        liquidator=event.liquidator,
        verdict=seen.body.verdict.value,
        why=seen.body.why,
        intent_id=seen.body.intent_id,
        admitted=None if life is None else life.admitted,
        debt_asset=event.debt_asset,
        repaid=event.repaid,
        collateral_asset=event.collateral_asset,
        seized=event.seized,
        repaid_base=repaid_base,
        seized_base=seized_base,
        profit_base=None if proposal is None else profit(proposal, event),
        health_before=None if proposal is None else proposal.health_before,
        health_after=None if proposal is None else proposal.preview.health_after,
        state=None if life is None else life.state.value,
        final=life.ended if life is not None and success else None,
        gas_wei=None if life is None or life.receipt is None else Wei(life.gas_wei),
        tx_hash=event.tx_hash,
        stages=None if life is None else life.stages(),
    )


def profit(proposal: Proposal, event: LiquidationSeen) -> BaseAmount:
    """Return what a slice earned: received less repaid, and gas and slippage as the decision reckoned them."""
    repaid_base, seized_base = proposal.preview.value_base(event)
    return seized_base - repaid_base - proposal.gas_cost_base - proposal.slippage_base


def ended_between(lives: Iterable[Life], first: int, last: int) -> Iterator[Life]:
    """Yield the intents that ended between two sequences."""
    for life in lives:
        if life.ended is not None and first <= life.ended.sequence <= last:
            yield life


def _span(since: Moment, until: Moment) -> int:
    return max(0, until.unix_ms - since.unix_ms)
