"""The status picture: what the running parts say of themselves, gathered when it is asked for."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

from keeper import __version__
from keeper.app.watchdog import Late
from keeper.core.decisions import Decision
from keeper.core.facts import RunStarted
from keeper.core.ids import Hash32, to_hex
from keeper.core.ports import Clock
from keeper.core.runconfig import ChainSpec, RunConfig, VenueSpec
from keeper.core.units import TokenAmount
from keeper.core.venue import Ledger
from keeper.core.venue import Status as HealthStatus
from keeper.engine.intents import TrackedIntent
from keeper.engine.step import Engine
from keeper.journal.protocol import Journal
from keeper.journal.recorder import JournalRecorder, Settled
from keeper.observe.lines import summary
from keeper.observe.status import (
    BlockPlace,
    ChainStatus,
    DecisionStatus,
    IntentStatus,
    JournalStatus,
    LateStatus,
    ReadingStatus,
    SignerStatus,
    Status,
    VenueStatus,
)

DECISIONS_KEPT = 50


class Picture:
    """Draws a :class:`~keeper.observe.status.Status` of a running daemon.

    Args:
        run_id: Of this run.
        config: Of this run.
        engine: Read only.
        journal: Read only.
        recorder: Says when it last made progress.
        clock: For ages.
        followed: Tells whether a chain's head was followed since the start.
        late: Tells which parts hang.
    """

    def __init__(
        self,
        run_id: Hash32,
        config: RunConfig,
        engine: Engine,
        journal: Journal,
        recorder: JournalRecorder,
        clock: Clock,
        followed: Callable[[int], bool],
        late: Callable[[], Sequence[Late]] = tuple,
    ) -> None:
        self._run_id = run_id
        self._config = config
        self._engine = engine
        self._journal = journal
        self._recorder = recorder
        self._clock = clock
        self._followed = followed
        self._late = late
        self._started_unix_ms = clock.unix_ms()
        self._decisions: deque[DecisionStatus] = deque(maxlen=DECISIONS_KEPT)
        self._names = {chain.chain_id: chain.name for chain in config.chains}
        self._begun = False
        self.loop_lag_seconds = 0.0
        self.draining = False

    def settled(self, group: Settled) -> None:
        """Remember the newest decisions, and that the run has begun."""
        for sequence, body in enumerate(group.bodies, group.first_sequence):
            self._begun = self._begun or isinstance(body, RunStarted)
            if isinstance(body, Decision):
                kind = type(body).__name__
                self._decisions.append(
                    DecisionStatus(sequence=sequence, unix_ms=group.unix_ms, kind=kind, summary=summary(body))
                )

    def status(self) -> Status:
        """Draw it now."""
        return Status(
            run_id=to_hex(self._run_id) if self._begun else None,
            code_version=__version__,
            live=self._config.live,
            started_unix_ms=self._started_unix_ms,
            unix_ms=self._clock.unix_ms(),
            progress_age_seconds=self._clock.monotonic() - self._recorder.progressed_at,
            kill_switch_armed=self._engine.kill_switch_armed,
            draining=self.draining,
            journal=self._journal_status(),
            chains=tuple(self._chain(spec) for spec in self._config.chains if spec.chain_id in self._engine.chains),
            venues=tuple(self._venue(spec) for spec in self._config.venues if spec.name in self._engine.ledgers),
            signers=tuple(self._signers()),
            intents=tuple(_intent(tracked) for tracked in self._engine.intents.all_open()),
            last_decisions=tuple(reversed(self._decisions)),
            loop_lag_seconds=self.loop_lag_seconds,
            late=tuple(LateStatus(part=late.name, seconds=late.seconds) for late in self._late()),
        )

    def _journal_status(self) -> JournalStatus:
        figures = self._journal.statistics()
        return JournalStatus(
            last_sequence=figures.last_sequence,
            durable_sequence=figures.durable_sequence,
            queued_records=figures.queued_records,
            fault=figures.fault,
        )

    def _chain(self, spec: ChainSpec) -> ChainStatus:
        chain = self._engine.chains[spec.chain_id]
        tip = chain.tip
        return ChainStatus(
            name=spec.name,
            chain_id=spec.chain_id,
            watermark=None if tip is None else BlockPlace(tip.number, to_hex(tip.hash), tip.timestamp),
            behind_blocks=chain.behind_blocks,
            finalized_block=chain.finalized_number,
            followed=self._followed(spec.chain_id),
            stale=self._engine.is_stale(spec.chain_id),
        )

    def _venue(self, spec: VenueSpec) -> VenueStatus:
        ledger = self._engine.ledgers[spec.name]
        margins = [margin for (venue, _), margin in self._engine.margins.items() if venue == spec.name]
        counts = Counter(margin.health.status for margin in margins)
        unknown = [margin for margin in margins if margin.health.status is HealthStatus.UNKNOWN]
        debt = sum(int(margin.debt_base) for margin in margins)
        if self._engine.sees(spec.name):
            totals = ledger.totals()
            counts[HealthStatus.HEALTHY] = max(0, totals.accounts - len(margins))
            debt = max(debt, int(totals.debt_base))
        unpriced = [token for token in ledger.tokens() if ledger.value_base(token, TokenAmount(1)) is None]
        return VenueStatus(
            name=spec.name,
            protocol=spec.protocol,
            chain=self._names[spec.chain_id],
            discovered=ledger.spender is not None,
            accounts={status.value: counts[status] for status in HealthStatus},
            debt_base=str(debt),
            debt_unknown_base=str(sum(int(margin.debt_base) for margin in unknown)),
            unknown_reasons=dict(sorted(Counter(margin.health.reason or "" for margin in unknown).items())),
            prices_missing=tuple(to_hex(token) for token in unpriced),
            reading=_reading(ledger),
        )

    def _signers(self) -> Iterator[SignerStatus]:
        addresses = {signer.name: signer.address for signer in self._config.signers}
        for (chain_id, name), wallet in self._engine.wallets.items():
            yield SignerStatus(
                name=name,
                chain=self._names[chain_id],
                address=to_hex(addresses[name]),
                balance_wei=str(int(wallet.balance_wei)),
                next_nonce=self._engine.intents.next_nonce(chain_id, name),
                halted=self._engine.intents.halted(name),
            )


def _reading(ledger: Ledger) -> ReadingStatus | None:
    reading = ledger.reading
    if reading is None or (header := reading.header) is None:
        return None
    progress = reading.progress
    return ReadingStatus(
        block=header.number,
        searched_to_block=progress.searched_to,
        holders=progress.holders,
        unread=progress.unread,
    )


def _intent(tracked: TrackedIntent) -> IntentStatus:
    intent = tracked.intent
    newest = tracked.sent[-1].attempt if tracked.sent else None
    return IntentStatus(
        intent_id=to_hex(intent.intent_id),
        kind=intent.kind,
        venue=intent.venue,
        account=to_hex(intent.account),
        signer=intent.signer,
        state=tracked.state.value,
        nonce=newest.nonce if newest is not None else None,
        attempts=len(tracked.sent),
        tx_hash=to_hex(newest.tx_hash) if newest is not None else None,
        admitted_at_block=intent.admitted_at_block,
    )
