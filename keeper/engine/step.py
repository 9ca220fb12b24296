"""The engine: a pure, synchronous fold. One fact in, the decisions that follow from it out.

It has no I/O, no clock and no chance, so live operation, replay and simulation are the same code. What it knows of
time, prices, receipts and the operator's wishes arrived as facts; what it decides is a function of those and of nothing
else.

A block is folded by every venue of its chain, observed liquidations advance our own intents, and only when no later
block is known are accounts classified and strategies asked. A reorg takes blocks back, newest first; the health map is
computed again at the next head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any

from keeper.core.decisions import AnyDecision, AuditAgreed, AuditFailed, HealthChanged, VenuePaused
from keeper.core.errors import invariant
from keeper.core.facts import (
    AccountsAudited,
    AnyFact,
    AttemptPrepared,
    AttemptSent,
    BlockApplied,
    BlockFinalized,
    BlockHeader,
    BlockReverted,
    BlocksBackfilled,
    BootstrapCompleted,
    BootstrapStarted,
    ClockTicked,
    HoldersFound,
    IntentDropped,
    KillSwitchChanged,
    LogsRepaired,
    PreflightSeen,
    ProviderChanged,
    RangeVerified,
    ReceiptSeen,
    RunStarted,
    RunStopped,
    SettingsReloaded,
    SignerRead,
    SignerReleased,
    VenueRead,
)
from keeper.core.ids import Address, Hash32
from keeper.core.runconfig import Limits, RunConfig, SignerSpec
from keeper.core.venue import AccountMargin, Ledger
from keeper.engine import readings
from keeper.engine.book import IntentBook
from keeper.engine.chain_state import ChainState
from keeper.engine.classifying import SecondOpinions, classify
from keeper.engine.deciding import Head
from keeper.engine.exits import exited
from keeper.engine.protecting import renew_own_tries
from keeper.engine.recall import Block, fold_block, observe
from keeper.engine.running import configure
from keeper.engine.state import ENGINE_VERSION, EngineState, OpenLedger, dump_state, load_state
from keeper.engine.view import Decide

__all__ = ["ENGINE_VERSION", "Engine"]


class Engine:
    """The deterministic heart.

    Args:
        open_ledger: Opens an empty ledger of a venue.
        strategies: The decider of each kind of strategy, by the tag of its configuration.
    """

    def __init__(self, open_ledger: OpenLedger, strategies: Mapping[str, Decide]) -> None:
        self._open_ledger = open_ledger
        self._strategies = strategies
        self._stepping = 0
        self._state = EngineState()
        self._handlers: dict[type, Callable[[Any], Iterable[AnyDecision]]] = {
            RunStarted: self._run_started,
            RunStopped: lambda _: (),
            SettingsReloaded: self._settings_reloaded,
            BlocksBackfilled: self._blocks_backfilled,
            BlockApplied: self._block_applied,
            BlockReverted: self._block_reverted,
            BlockFinalized: self._block_finalized,
            RangeVerified: self._range_verified,
            LogsRepaired: self._logs_repaired,
            AccountsAudited: self._accounts_audited,
            BootstrapStarted: lambda fact: readings.begin(self._state, fact),
            HoldersFound: lambda fact: readings.found(self._state, fact),
            VenueRead: lambda fact: readings.take(self._state, fact),
            BootstrapCompleted: lambda fact: self._finalize(readings.complete(self._state, fact)),
            ClockTicked: self._clock_ticked,
            KillSwitchChanged: self._kill_switch_changed,
            ProviderChanged: lambda _: (),
            SignerRead: self._signer_read,
            SignerReleased: self._signer_released,
            PreflightSeen: self._preflight_seen,
            AttemptPrepared: lambda fact: [*self._state.intents.prepare(fact)],
            AttemptSent: lambda fact: [*self._state.intents.answer(fact)],
            ReceiptSeen: self._receipt_seen,
            IntentDropped: lambda fact: [*self._state.intents.drop(fact)],
        }

    @property
    def sequence(self) -> int:
        """The sequence of the last fact stepped, zero before the first."""
        return self._state.sequence

    @property
    def config(self) -> RunConfig | None:
        """The current run's configuration, ``None`` before the first ``RunStarted``."""
        return self._state.config

    @property
    def limits(self) -> Limits:
        """The policy gate's limits as they are now."""
        return self._state.run.limits

    def signer_spec(self, name: str) -> SignerSpec:
        """Return a signer's configuration as it is now."""
        return self._state.signer_spec(name)

    @property
    def chains(self) -> Mapping[int, ChainState]:
        """Every configured chain, by id."""
        return self._state.chains

    @property
    def ledgers(self) -> Mapping[str, Ledger]:
        """Every configured venue, by name."""
        return self._state.ledgers

    @property
    def intents(self) -> IntentBook:
        """The intents that have not ended, their attempts and their slots."""
        return self._state.intents

    @property
    def margins(self) -> Mapping[tuple[str, Address], AccountMargin]:
        """Every account that was last found liquidatable or unknown, by (venue, account)."""
        return self._state.health.margins

    def sees(self, venue: str) -> bool:
        """Tell whether a venue's accounts that are not in :attr:`margins` are healthy, and not merely unheard of."""
        return venue in self._state.health.seen

    def refused(self, venue: str, account: Address) -> str | None:
        """Return the rule by which the gate refuses an account as of the last round, ``None`` when none does."""
        plan = self._state.refusals.standing(venue, account)
        return None if plan is None else plan.reason

    @property
    def risk(self) -> SecondOpinions:
        """The second opinions, and what they rest on."""
        return SecondOpinions(self._state)

    def doubted(self, venue: str) -> tuple[Address, ...]:
        """Return the accounts of a venue that an audit found wrong, sorted."""
        return tuple(sorted(account for name, account in self._state.health.doubted if name == venue))

    @property
    def wallets(self) -> Mapping[tuple[int, str], SignerRead]:
        """The last reading of every signer, by (chain id, signer)."""
        return self._state.wallets

    def is_stale(self, chain_id: int) -> bool:
        """Tell whether a followed chain's head has not moved for longer than the configuration allows."""
        state = self._state
        return state.chain(chain_id).is_stale(state.clock.elapsed_ms, state.chain_spec(chain_id).stale_after_seconds)

    def age_seconds(self, header: BlockHeader) -> int:
        """Return how old a block is by the wall clock, as it was told last; negative for one from the future."""
        return self._state.clock.unix_ms // 1000 - header.timestamp

    @property
    def kill_switch_armed(self) -> bool:
        """Whether the operator's kill switch is armed, or the run is draining."""
        return self._state.kill_switch_armed

    @property
    def spend_hour_base(self) -> int:
        """What intents committed within the last hour, USD 1e-8."""
        return int(self._state.intents.spend.total(self._state.clock.elapsed_ms))

    def step(self, fact: AnyFact, sequence: int) -> tuple[AnyDecision, ...]:
        """Fold one fact and return what follows from it, in a fixed order.

        Args:
            fact: What was observed.
            sequence: Its place in the journal, higher than that of any fact before.

        Raises:
            InvariantBroken: the fact cannot follow the ones before it: our own bug.
            FinalityViolated: a final block was replaced.
            ConfigError: a ``RunStarted`` or ``SettingsReloaded`` whose configuration this journal cannot go on under;
                nothing has changed.
        """
        invariant(sequence > self._state.sequence, f"fact {sequence}", f"does not follow {self._state.sequence}")
        invariant(type(fact) in self._handlers, f"fact {sequence}", f"is a {type(fact).__name__}")
        self._stepping = sequence
        decisions = tuple(self._handlers[type(fact)](fact))
        self._state.sequence = sequence
        return decisions

    def snapshot(self) -> bytes:
        """Return the whole state in canonical bytes."""
        return dump_state(self._state)

    def load(self, raw: bytes) -> None:
        """Replace the state by a snapshot.

        Raises:
            JournalDamaged: the bytes are not a snapshot.
            JournalForeign: the snapshot is of another engine version.
        """
        self._state = load_state(raw, self._open_ledger)

    def state_hash(self) -> Hash32:
        """Return blake2b-256 of the snapshot: equal on every machine that stepped the same facts."""
        return Hash32(blake2b(self.snapshot(), digest_size=32).digest())

    # Runs and time.

    def _run_started(self, fact: RunStarted) -> list[AnyDecision]:
        configure(self._state, fact.config, self._open_ledger)
        self._state.refusals.clear()
        if self._state.draining:  # the last run drained: armed, until this run has looked at the operator's switch
            self._state.draining, self._state.switch_armed = False, True
        renew_own_tries(self._state)
        self._state.clock.tick(fact.unix_ms)
        return [*self._state.intents.restart(), *self._blind_stale()]

    def _settings_reloaded(self, fact: SettingsReloaded) -> list[HealthChanged]:
        """Go on by other bounds. What they refuse is recorded anew: under them it is another situation."""
        configure(self._state, fact.config, self._open_ledger)
        self._state.refusals.clear()
        self._state.clock.tick(fact.unix_ms)
        return self._blind_stale()

    def _clock_ticked(self, fact: ClockTicked) -> list[HealthChanged]:
        self._state.clock.tick(fact.unix_ms)
        return self._blind_stale()

    def _kill_switch_changed(self, fact: KillSwitchChanged) -> tuple[AnyDecision, ...]:
        if fact.reason == "draining":
            self._state.draining = fact.armed
        else:
            self._state.switch_armed = fact.armed
        return ()

    def _blind_stale(self) -> list[HealthChanged]:
        """Make the accounts of chains unknown whose head has not moved for too long."""
        state = self._state
        changes: list[HealthChanged] = []
        for spec in state.run.chains:
            chain = state.chain(spec.chain_id)
            if chain.tip is not None and chain.is_stale(state.clock.elapsed_ms, spec.stale_after_seconds):
                for ledger in state.ledgers_of(spec.chain_id):
                    changes += state.health.blind(ledger, chain.tip.number)
        return changes

    # The chain.

    def _blocks_backfilled(self, fact: BlocksBackfilled) -> list[AnyDecision]:
        chain = self._state.chain(fact.chain_id)
        chain.backfill(fact)
        decisions: list[AnyDecision] = []
        for block in fact.blocks:
            reads = fact.reads if block.number == fact.last.number else ()
            decisions += self._fold(fact.chain_id, Block(block, block.logs, reads))
        ends_with_logs = bool(fact.blocks) and fact.blocks[-1].number == fact.last.number
        for ledger in self._state.ledgers_of(fact.chain_id):
            if not ends_with_logs:
                ledger.begin_block(fact.last)
            ledger.apply_reads(fact.reads)
        return decisions + self._finalize(chain)

    def _block_applied(self, fact: BlockApplied) -> list[AnyDecision]:
        chain = self._state.chain(fact.chain_id)
        chain.apply(fact, self._state.clock.elapsed_ms)
        decisions = self._fold(fact.chain_id, Block(fact.header, fact.logs, fact.reads))
        for ledger in self._state.ledgers_of(fact.chain_id):
            ledger.apply_reads(fact.reads)
        return decisions if fact.behind_blocks else decisions + self._at_head(fact.chain_id, fact.header)

    def _block_reverted(self, fact: BlockReverted) -> list[AnyDecision]:
        self._state.chain(fact.chain_id).revert(fact.number, fact.hash)
        for ledger in self._state.ledgers_of(fact.chain_id):
            ledger.undo_block(fact.number)
        return [*self._state.intents.revert_block(fact.chain_id, fact.number)]

    def _block_finalized(self, fact: BlockFinalized) -> list[AnyDecision]:
        chain = self._state.chain(fact.chain_id)
        return self._finalize(chain) if chain.finalize(fact.number, fact.hash) else []

    def _finalize(self, chain: ChainState) -> list[AnyDecision]:
        self._settle(chain)
        return [*self._state.intents.finalize(chain.chain_id, chain.finalized_number, chain.tip_number)]

    def _settle(self, chain: ChainState) -> None:
        for ledger in self._state.ledgers_of(chain.chain_id):
            ledger.forget_undo(chain.settled_number)

    def _range_verified(self, fact: RangeVerified) -> tuple[AnyDecision, ...]:
        chain = self._state.chain(fact.chain_id)
        chain.verify(fact)
        self._settle(chain)
        return ()

    def _logs_repaired(self, fact: LogsRepaired) -> list[AnyDecision]:
        """Take back what wrong logs did, fold the right ones; health is computed again at the next head."""
        chain = self._state.chain(fact.chain_id)
        chain.repair(fact)
        ledgers = self._state.ledgers_of(fact.chain_id)
        for number in range(chain.tip_number, fact.first - 1, -1):
            for ledger in ledgers:
                ledger.undo_block(number)
        decisions: list[AnyDecision] = [*self._state.intents.revert_effects(fact.chain_id, fact.first)]
        for each in fact.blocks:
            decisions += self._fold(fact.chain_id, Block(each.block, each.block.logs, each.reads))
            for ledger in ledgers:
                ledger.apply_reads(each.reads)
        return decisions + self._finalize(chain)

    def _accounts_audited(self, fact: AccountsAudited) -> list[AnyDecision]:
        """Compare the venue's own figures with ours; void when ours are of another block by now."""
        chain, ledger = self._state.chain(fact.chain_id), self._state.ledgers.get(fact.venue)
        if ledger is None or chain.tip is None or chain.tip.hash != fact.block_hash:
            return []
        findings = ledger.audit_findings(fact.reads)
        agreed = tuple(finding.account for finding in findings if finding.agrees)
        decisions: list[AnyDecision] = [AuditAgreed(fact.venue, agreed, fact.block_number)] if agreed else []
        self._state.health.trust(fact.venue, agreed)
        for each in findings:
            if not each.agrees:
                decisions.append(AuditFailed(fact.venue, each.account, fact.block_number, each.ours, each.theirs))
                decisions += self._state.health.doubt(ledger, each.account, fact.block_number)
        return decisions

    def _fold(self, chain_id: int, block: Block) -> list[AnyDecision]:
        """Let every venue fold a block's logs; observed liquidations are judged and advance our own intents."""
        decisions: list[AnyDecision] = []
        for ledger in self._state.ledgers_of(chain_id):
            for witnessed in fold_block(ledger, block):
                decisions += observe(self._state, witnessed, block.header)
        return decisions + exited(self._state, block)

    def _at_head(self, chain_id: int, header: BlockHeader) -> list[AnyDecision]:
        """Classify the accounts that the head can have hurt, then decide."""
        decisions: list[AnyDecision] = []
        for ledger in self._state.ledgers_of(chain_id):
            decisions += classify(self._state, ledger, header, self._stepping)
        return decisions + Head(self._state, chain_id, header).decide(self._strategies)

    # The signer and its transactions.

    def _signer_read(self, fact: SignerRead) -> list[AnyDecision]:
        self._state.chain(fact.chain_id)
        self._state.wallets[fact.chain_id, fact.signer] = fact
        return [*self._state.intents.read_signer(fact)]

    def _signer_released(self, fact: SignerReleased) -> tuple[AnyDecision, ...]:
        self._state.intents.release(fact)
        return ()

    def _preflight_seen(self, fact: PreflightSeen) -> tuple[AnyDecision, ...]:
        self._state.intents.preflight(fact)
        return ()

    def _receipt_seen(self, fact: ReceiptSeen) -> list[AnyDecision]:
        """Take a receipt if its block is ours; one of a block that we do not hold (yet) is seen again later."""
        tracked = self._state.intents.tracked(fact.intent_id)
        if tracked is None:
            return [*self._state.intents.receipt(fact, self._state.clock.elapsed_ms)]
        chain = self._state.chain(tracked.intent.chain_id)
        if not chain.is_canonical(fact.block_number, fact.block_hash):
            return []
        decisions: list[AnyDecision] = [*self._state.intents.receipt(fact, self._state.clock.elapsed_ms)]
        decisions += self._trip(tracked.intent.venue, chain.tip_number)
        if fact.block_number <= chain.finalized_number:
            decisions += self._state.intents.finalize(chain.chain_id, chain.finalized_number, chain.tip_number)
        return decisions

    def _trip(self, venue: str, tip_number: int) -> list[VenuePaused]:
        """Pause a venue when too many of its transactions have reverted."""
        limits, breakers = self._state.run.limits, self._state.intents.breakers
        count = breakers.trip(
            venue,
            tip_number,
            reverts_max=limits.reverts_per_venue_max,
            window_blocks=limits.breaker_window_blocks,
            pause_blocks=limits.breaker_pause_blocks,
        )
        reason = f"{count} transactions reverted within {limits.breaker_window_blocks} blocks, with no success between"
        return [VenuePaused(venue, reason, breakers.paused_until(venue))] if count else []
