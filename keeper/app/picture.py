"""The status picture: what the running parts say of themselves, gathered when it is asked for."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from keeper import __version__
from keeper.app.at_risk import at_risk
from keeper.app.price_ages import PriceAges
from keeper.app.watchdog import Late
from keeper.core.decisions import Decision
from keeper.core.facts import RunStarted
from keeper.core.ids import Hash32, to_hex
from keeper.core.ports import Clock
from keeper.core.risk import PPM, RiskStatus
from keeper.core.runconfig import ChainSpec, RunConfig, VenueSpec
from keeper.core.units import TokenAmount
from keeper.core.venue import Ledger
from keeper.core.venue import Status as HealthStatus
from keeper.engine.intents import TrackedIntent
from keeper.engine.market import AssetTrack
from keeper.engine.step import Engine
from keeper.journal.protocol import Journal
from keeper.journal.recorder import JournalRecorder, Settled
from keeper.observe.status import (
    BlockPlace,
    ChainStatus,
    DecisionStatus,
    IntentStatus,
    JournalStatus,
    LateStatus,
    PriceStatus,
    ProviderStatus,
    ReadingStatus,
    RiskPicture,
    SignerStatus,
    Status,
    VenueStatus,
)
from keeper.observe.told import told

DECISIONS_KEPT = 50
REFUSALS_KEPT = 30
DISTANCES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""The distances for which debt is added up."""
PROFILE_SECONDS = 15.0
"""That is done no more often: it looks at every account."""


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
        providers: Tells how the providers stand.
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
        providers: Callable[[], Iterable[ProviderStatus]] = tuple,
    ) -> None:
        self._run_id = run_id
        self._config = config
        self._engine = engine
        self._journal = journal
        self._recorder = recorder
        self._clock = clock
        self._followed = followed
        self._late = late
        self._providers = providers
        self._started_unix_ms = clock.unix_ms()
        self._decisions: deque[DecisionStatus] = deque(maxlen=DECISIONS_KEPT)
        self._refusals: deque[DecisionStatus] = deque(maxlen=REFUSALS_KEPT)
        self._names = {chain.chain_id: chain.name for chain in config.chains}
        self._ages = PriceAges(journal)
        self._begun = False
        self.loop_lag_seconds = 0.0
        self.draining = False
        self._owed: dict[str, tuple[float, dict[str, str]]] = {}

    def settled(self, group: Settled) -> None:
        """Remember the newest decisions, when heads told prices, and that the run has begun."""
        self._ages.settled(group)
        for sequence, body in enumerate(group.bodies, group.first_sequence):
            self._begun = self._begun or isinstance(body, RunStarted)
            if isinstance(body, Decision):
                line = told(body, sequence, group.unix_ms)
                self._decisions.append(line)
                if line.reason is not None:
                    self._refusals.append(line)

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
            spend_hour_base=str(self._engine.spend_hour_base),
            providers=tuple(self._providers()),
            last_refusals=tuple(reversed(self._refusals)),
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
        ledger, breakers = self._engine.ledgers[spec.name], self._engine.intents.breakers
        tip = self._engine.chains[spec.chain_id].tip
        tip_number = 0 if tip is None else tip.number
        margins = [margin for (venue, _), margin in self._engine.margins.items() if venue == spec.name]
        counts = Counter(margin.health.status for margin in margins)
        unknown = [margin for margin in margins if margin.health.status is HealthStatus.UNKNOWN]
        debt = sum(int(margin.debt_base) for margin in margins)
        if self._engine.sees(spec.name):
            totals = ledger.totals()
            counts[HealthStatus.HEALTHY] = max(0, totals.accounts - len(margins))
            debt = max(debt, int(totals.debt_base))
        at_risk_count, nearest = at_risk(self._engine, spec.name)
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
            owed_within=self._owed_within(ledger) if self._engine.sees(spec.name) else {},
            risk=self._risk(spec),
            reverts=breakers.reverts(spec.name, tip_number, self._engine.limits.breaker_window_blocks),
            paused=tip is not None and tip_number <= breakers.paused_until(spec.name),
            at_risk_count=at_risk_count,
            at_risk=nearest,
        )

    def _owed_within(self, ledger: Ledger) -> dict[str, str]:
        now = self._clock.monotonic()
        asked, known = self._owed.get(ledger.name, (-PROFILE_SECONDS, {}))
        if now - asked >= PROFILE_SECONDS:
            owed = ledger.owed_within(DISTANCES)
            known = {str(bound): str(int(each)) for bound, each in zip(DISTANCES, owed, strict=True)}
            self._owed[ledger.name] = (now, known)
        return known

    def _risk(self, spec: VenueSpec) -> RiskPicture | None:
        risk = self._engine.risk
        model = risk.model(spec.name)
        if model is None:
            return None
        counts = Counter(each.status for (venue, _), each in risk.unsafe.items() if venue == spec.name)
        now_seconds = self._clock.unix_ms() // 1000
        vols, tip = risk.vols_annual(spec.name), self._engine.chains[spec.chain_id].tip

        def price(track: AssetTrack) -> PriceStatus:
            unmoved = None if tip is None else self._ages.unmoved_seconds(spec.name, track, tip.timestamp)
            return _price(track, vols[track.asset], now_seconds, unmoved)

        return RiskPicture(
            model=model.model,
            accounts={status.value: counts[status] for status in RiskStatus if status is not RiskStatus.SAFE},
            prices=tuple(price(track) for track in risk.tracks(spec.name)),
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


def _price(track: AssetTrack, vol_annual: float, now_seconds: int, unmoved_seconds: int | None) -> PriceStatus:
    observed = track.verdict.observed_at_seconds
    return PriceStatus(
        asset=to_hex(track.asset),
        verdict=track.verdict.status.value,
        reason=track.verdict.reason,
        age_seconds=None if observed is None else max(now_seconds - observed, 0),
        move_ppm=track.move_ppm,
        samples=track.samples,
        vol_annual_ppm=round(vol_annual * PPM),
        stress_ppm=None if isinstance(track.stress_ppm, msgspec.UnsetType) else track.stress_ppm,
        unmoved_seconds=unmoved_seconds,
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
