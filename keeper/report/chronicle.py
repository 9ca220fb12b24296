"""The second pass of a postmortem: every record, and beside those of the window the engine that has stepped them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from keeper.core.codec import Record
from keeper.core.decisions import (
    HealthChanged,
    ProposalRefused,
    ProtectionRefused,
    RiskHealthChanged,
)
from keeper.core.facts import BlockApplied, BlocksBackfilled, ReceiptSeen, RunStarted
from keeper.core.risk import RiskStatus
from keeper.core.units import BaseAmount, Wei
from keeper.core.venue import Status
from keeper.engine.step import Engine
from keeper.report.bearings import Bearings
from keeper.report.explaining import margin_held
from keeper.report.happenings import happenings
from keeper.report.incident import (
    AccountPath,
    BlockSpan,
    Breach,
    Call,
    GasPoint,
    Incident,
    Liquidation,
    Proof,
    Trouble,
    Window,
)
from keeper.report.lives import Lives, Observation, ended_between
from keeper.report.model import Moment
from keeper.report.pricing import Doubts, HeadTimes
from keeper.report.sampling import Samples
from keeper.report.sums import Refusals, earned, gas_spent, stage_times
from keeper.report.survey import Subject, Survey
from keeper.report.troubles import Troubles


class Chronicle:
    """Takes every record up to the window's end, in order.

    Args:
        first: The window's first sequence.
        last: Its last.
        survey: What the first pass found in it.
    """

    def __init__(self, first: int, last: int, survey: Survey) -> None:
        self._first, self._last, self._survey = first, last, survey
        self._bearings = Bearings()
        self._lives = Lives(self._bearings)
        self._troubles = Troubles(self._bearings)
        self._times_of_heads = HeadTimes()
        self._doubts = Doubts(self._times_of_heads)
        self._refusals = Refusals()
        self._samples = Samples(survey.traced, survey.stride)
        self._calls: list[Call] = []
        self._breaches: list[Breach] = []
        self._called: dict[Subject, Moment] = {}
        self._breached: dict[Subject, Moment] = {}
        self._gas: dict[tuple[int, int], GasPoint] = {}
        self._spans: dict[int, tuple[int, int]] = {}
        self._versions: list[str] = []
        self._times: list[int] = []
        self._records = 0
        self._handlers: Mapping[type, Callable[[Any, Record], None]] = MappingProxyType(
            {
                BlockApplied: self._applied,
                BlocksBackfilled: lambda fact, _: self._spanned(fact.chain_id, fact.first, fact.last.number),
                HealthChanged: self._health_changed,
                RiskHealthChanged: self._risk_changed,
                ProposalRefused: self._refused,
                ProtectionRefused: self._refused,
                ReceiptSeen: self._paid,
            }
        )

    def take(self, record: Record, engine: Engine | None) -> None:
        """Take the next record.

        Args:
            record: It.
            engine: As it stands after the record; ``None`` where it was not stepped (before a snapshot, or behind a
                decision that came out otherwise).
        """
        inside = self._first <= record.sequence <= self._last
        body = record.body
        self._bearings.take(record)
        self._times_of_heads.take(record)
        if isinstance(body, RunStarted) and body.code_version not in self._versions:
            self._versions = [*self._versions, body.code_version] if inside else [body.code_version]
        seen = self._lives.take(record, inside=inside)
        if seen is not None and engine is not None:
            seen.values = _values(seen, engine)
        self._troubles.take(record, inside=inside, undone=self._lives.undone())
        if isinstance(body, RiskHealthChanged) and body.opinion.status is RiskStatus.CALL:
            self._call(body, record, inside=inside)
        if not inside:
            return
        self._records += 1
        self._times.append(record.recorded_at_ms)
        handler = self._handlers.get(type(body))
        if handler is not None:
            handler(body, record)
        if engine is not None and isinstance(body, BlockApplied | BlocksBackfilled) and not body.behind_blocks:
            at = self._bearings.of_chain(record, body.chain_id)
            self._samples.look(engine, body.chain_id, at)
            if isinstance(body, BlockApplied):
                self._doubts.look(engine, body.chain_id, at, body.header.timestamp)

    def _call(self, body: RiskHealthChanged, record: Record, *, inside: bool) -> None:
        """Keep an account's first call within the window, or until then the last one before it."""
        subject = (body.opinion.venue, body.opinion.account)
        known = self._called.get(subject)
        if not inside or known is None or known.sequence < self._first:
            self._called[subject] = self._bearings.of_venue(record, body.opinion.venue)

    def _applied(self, fact: BlockApplied, record: Record) -> None:
        number = fact.header.number
        self._spanned(fact.chain_id, number, number)
        at = self._bearings.of_chain(record, fact.chain_id)
        self._gas[fact.chain_id, number] = GasPoint(at, Wei(fact.header.base_fee_wei), None)

    def _spanned(self, chain_id: int, first: int, last: int) -> None:
        low, high = self._spans.get(chain_id, (first, last))
        self._spans[chain_id] = (min(low, first), max(high, last))

    def _health_changed(self, body: HealthChanged, record: Record) -> None:
        margin, at = body.margin, self._bearings.of_venue(record, body.margin.venue)
        subject = (margin.venue, margin.account)
        self._samples.note(subject, margin.health_wad, at)
        if margin.health.status is Status.HEALTHY:
            return
        if margin.health.status is Status.LIQUIDATABLE:
            self._breached.setdefault(subject, at)
        self._breaches.append(
            Breach(
                at=at,
                venue=margin.venue,
                account=margin.account,
                status=margin.health.status.value,
                reason=margin.health.reason,
                health=margin.health_wad,
                debt_base=margin.debt_base,
            )
        )

    def _risk_changed(self, body: RiskHealthChanged, record: Record) -> None:
        opinion = body.opinion
        if opinion.status is RiskStatus.CALL:
            self._calls.append(
                Call(
                    at=self._bearings.of_venue(record, opinion.venue),
                    venue=opinion.venue,
                    account=opinion.account,
                    previous=body.previous,
                    health=opinion.health_wad,
                    stressed=opinion.stressed_wad,
                    breach_ppm=opinion.breach_ppm,
                )
            )

    def _refused(self, body: ProposalRefused | ProtectionRefused, record: Record) -> None:
        self._refusals.take(body, self._bearings.of_venue(record, body.proposal.venue))

    def _paid(self, fact: ReceiptSeen, _: Record) -> None:
        life = self._lives.lives.get(fact.intent_id)
        if life is None:
            return
        key = (life.intent.chain_id, fact.block_number)
        known = self._gas.get(key)
        if known is not None:
            self._gas[key] = GasPoint(known.at, known.base_fee_wei, fact.gas_price_wei)

    def incident(self, journal: str, proof: Proof, engine: Engine | None) -> Incident:
        """Put everything together.

        Args:
            journal: Its name for people, without a secret.
            proof: What was checked; ``run_versions`` are filled in.
            engine: At the window's end, ``None`` where the state there is not known.
        """
        liquidations = tuple(self._lives.liquidations())
        lives = self._lives.lives
        ended = list(ended_between(lives.values(), self._first, self._last))
        decided = [life for life in lives.values() if self._first <= life.admitted.sequence <= self._last]
        told = Incident(
            journal=journal,
            window=self._window(),
            proof=replace(proof, run_versions=tuple(self._versions)),
            prices=self._samples.prices(),
            accounts=tuple(self._path(subject, liquidations, engine) for subject in self._survey.traced),
            accounts_left_out=len(self._survey.debts) - len(self._survey.traced),
            calls=tuple(self._calls),
            breaches=tuple(self._breaches),
            liquidations=liquidations,
            endings=tuple(self._lives.endings(self._first, self._last)),
            stages=stage_times(decided),
            refusals=tuple(self._refusals.groups()),
            reorgs=tuple(self._troubles.reorgs()),
            troubles=tuple(sorted((*self._troubles.troubles(), *self._doubts.troubles()), key=_place)),
            bad_debt=self._samples.bad_debt(),
            earned=earned(ended, liquidations, lives),
            gas=gas_spent(ended, self._bearings),
            gas_points=tuple(self._gas[key] for key in sorted(self._gas)),
            timeline=(),
        )
        return replace(told, timeline=happenings(told))

    def _window(self) -> Window:
        return Window(
            first_sequence=self._first,
            last_sequence=self._last,
            first_unix_ms=min(self._times),
            last_unix_ms=max(self._times),
            records=self._records,
            blocks=tuple(
                BlockSpan(chain_id, self._bearings.name(chain_id), first, last)
                for chain_id, (first, last) in sorted(self._spans.items())
            ),
        )

    def _path(self, subject: Subject, liquidations: tuple[Liquidation, ...], engine: Engine | None) -> AccountPath:
        venue, account = subject
        own = [one for one in liquidations if (one.venue, one.account) == subject and one.stands]
        margin = margin_held(engine, venue, account) if engine is not None and venue in engine.ledgers else None
        nothing = BaseAmount(0)
        return AccountPath(
            venue=venue,
            account=account,
            points=self._samples.distances(subject),
            health_min=self._samples.lowest.get(subject),
            called=self._called.get(subject),
            breached=self._breached.get(subject),
            slices=sum(one.is_ours for one in own),
            taken_by_others=sum(not one.is_ours for one in own),
            repaid_base=sum((one.repaid_base or nothing for one in own if one.is_ours), nothing),
            status="" if margin is None else margin.health.status.value,
            health=None if margin is None else margin.health_wad,
            debt_base=nothing if margin is None else margin.debt_base,
            collateral_base=nothing if margin is None else margin.collateral_base,
        )


def _place(trouble: Trouble) -> int:
    return trouble.at.sequence


def _values(seen: Observation, engine: Engine) -> tuple[BaseAmount | None, BaseAmount | None]:
    """Value a liquidation at the venue's prices after its block; what the venue does not list has no value."""
    event = seen.body.liquidation
    ledger = engine.ledgers.get(event.venue)
    if ledger is None:
        return None, None
    return ledger.value_base(event.debt_asset, event.repaid), ledger.value_base(event.collateral_asset, event.seized)
