"""What if: the recorded facts once more, under another configuration.

Blocks, prices, time, the operator's switch and what signers hold are taken as they were recorded. Facts about our own
transactions are facts about what the recorded run did, so they are told to the engine only where it would have done the
same; the others are counted and left out:

* of an intent that this engine did not admit, or that has ended otherwise: all of them;
* a signed attempt that does not follow in its slot, is signed by another signer, or pays more than the intent's ceiling
  is here, and what is told of that attempt;
* the end of an intent that is not waiting unsigned.

The slot of an attempt that is left out counts as spent, as the chain's own count will say. An intent that the recorded
run did not send has no outcome: it waits, binding its room and its limits, until its account is healthy at a head (a
lane would give it up then, because its call would revert) or until it expires.
What the recorded run did to the chain stays done. So this says what would have been decided on the market as it was,
and nothing about how others would have acted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from keeper.core.codec import Record
from keeper.core.decisions import AnyDecision, Decision, Intent, IntentAdmitted, IntentAdvanced, IntentState
from keeper.core.facts import (
    AnyFact,
    AttemptPrepared,
    AttemptSent,
    BlockApplied,
    BlocksBackfilled,
    IntentDropped,
    PreflightSeen,
    ReceiptSeen,
    RunStarted,
    SettingsReloaded,
)
from keeper.core.ids import Hash32
from keeper.core.runconfig import RunConfig
from keeper.engine.differing import Compared, Comparison, FieldChange, fields_that_differ
from keeper.engine.intents import TERMINAL, TrackedIntent
from keeper.engine.running import check_same_history
from keeper.engine.step import Engine

NEVER_SENT = "expired: the recorded run did not send it"
MOOT = "its account is healthy, and the recorded run did not send it"
LIMITS = (
    "the market would have reacted: what others did, and what the recorded run did to the chain, stays as it was",
    "what was not sent has no outcome: an intent that the recorded run did not have ends unmined",
    "values are what was hoped for when a slice was admitted, recorded and changed alike",
    "an account that larger slices would have kept from falling again falls again as it did, and is counted again",
)
"""What the answer does not say."""

OwnFact = PreflightSeen | AttemptPrepared | AttemptSent | ReceiptSeen | IntentDropped
RunFact = RunStarted | SettingsReloaded
Change = Callable[[RunFact, int], RunConfig]
"""Gives the configuration in the place of that of a fact, which has this sequence."""


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """What was stepped, and how it differs.

    ``changes`` are those of the configuration, each once. ``skipped`` are the facts left out, by kind; ``expired``
    and ``moot`` count the intents that never had an outcome, by how they ended.
    """

    facts: int
    last_sequence: int
    code_versions: tuple[str, ...]
    changes: tuple[FieldChange, ...]
    skipped: dict[str, int]
    expired: int
    moot: int
    compared: Compared


def what_if(records: Iterable[Record], engine: Engine, change: Change) -> WhatIf:
    """Step the facts under a changed configuration and compare the decisions with the recorded ones.

    Args:
        records: From the first on, in order of sequence.
        engine: New. It is stepped.
        change: What is changed.

    Raises:
        ConfigError: the history cannot have been that of the changed configuration.
    """
    fold = _Fold(engine, change)
    for record in records:
        fold.take(record)
    return fold.result()


class _Fold:
    """The changed engine, what the journal says beside it, and the decisions of both about the newest fact."""

    def __init__(self, engine: Engine, change: Change) -> None:
        self._engine = engine
        self._change = change
        self._comparison = Comparison()
        self._cause = 0
        self._recorded: list[AnyDecision] = []
        self._changed: Sequence[AnyDecision] = ()
        self._recorded_open: set[Hash32] = set()
        self._misfits: set[Hash32] = set()
        self._nonces: dict[Hash32, int] = {}
        self._skipped: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._facts = self._last = 0
        self._versions: dict[str, None] = {}
        self._changes: dict[tuple[str, str], FieldChange] = {}

    def take(self, record: Record) -> None:
        """Step a fact, or take a decision that was recorded about it."""
        body = record.body
        self._last = record.sequence
        if isinstance(body, Decision):
            self._recorded.append(body)
            self._follow(body)
            return
        self._compare()
        self._cause, self._facts = record.sequence, self._facts + 1
        self._changed = self._step(body, record.sequence)

    def result(self) -> WhatIf:
        """Sum up."""
        self._compare()
        return WhatIf(
            facts=self._facts,
            last_sequence=self._last,
            code_versions=tuple(self._versions),
            changes=tuple(self._changes.values()),
            skipped=dict(sorted(self._skipped.items())),
            expired=self._ended[NEVER_SENT],
            moot=self._ended[MOOT],
            compared=self._comparison.result(),
        )

    def _compare(self) -> None:
        self._comparison.take(self._cause, self._recorded, self._changed)
        self._recorded, self._changed = [], ()

    def _follow(self, decision: AnyDecision) -> None:
        """Keep up which intents are open in the recorded run."""
        if isinstance(decision, IntentAdmitted):
            self._recorded_open.add(decision.intent.intent_id)
        elif isinstance(decision, IntentAdvanced) and decision.state in TERMINAL:
            self._recorded_open.discard(decision.intent_id)

    def _step(self, fact: AnyFact, sequence: int) -> Sequence[AnyDecision]:
        match fact:
            case RunStarted() | SettingsReloaded():
                return self._run(fact, sequence)
            case AttemptPrepared() | AttemptSent() | ReceiptSeen() | PreflightSeen() | IntentDropped():
                return self._own(fact, sequence)
            case BlockApplied(chain_id=chain_id) | BlocksBackfilled(chain_id=chain_id):
                return [*self._engine.step(fact, sequence), *self._give_up(chain_id)]
        return self._engine.step(fact, sequence)

    # The configuration.

    def _run(self, fact: RunFact, sequence: int) -> Sequence[AnyDecision]:
        if isinstance(fact, RunStarted):
            self._versions[fact.code_version] = None
        changed = self._change(fact, sequence)
        check_same_history(fact.config, changed)
        config = self._with_signers(_as_followed(fact.config, changed))
        for each in fields_that_differ(fact.config, config):
            self._changes[each.path, repr(each)] = each
        return self._engine.step(msgspec.structs.replace(fact, config=config), sequence)

    def _with_signers(self, config: RunConfig) -> RunConfig:
        """Keep the signers of intents that are open here and have ended in the recorded run."""
        given = {signer.name for signer in config.signers}
        needed = dict.fromkeys(tracked.intent.signer for tracked in self._engine.intents.all_open())
        kept = tuple(self._engine.signer_spec(name) for name in needed if name not in given)
        return msgspec.structs.replace(config, signers=(*config.signers, *kept)) if kept else config

    # Our own transactions.

    def _own(self, fact: OwnFact, sequence: int) -> Sequence[AnyDecision]:
        if self._fits(fact):
            if isinstance(fact, AttemptPrepared):
                self._nonces[fact.intent_id] = fact.nonce
            return self._engine.step(fact, sequence)
        self._skipped[type(fact).__name__] += 1
        self._misfits.add(fact.intent_id)
        if isinstance(fact, AttemptPrepared):
            self._engine.intents.pass_over(fact.chain_id, fact.signer, fact.nonce)
        return ()

    def _fits(self, fact: OwnFact) -> bool:
        """Tell whether the engine can be told a fact about one of its intents."""
        book = self._engine.intents
        tracked = book.tracked(fact.intent_id)
        if tracked is None:
            has_ended = book.state(fact.intent_id) is not None
            if isinstance(fact, AttemptPrepared):  # a lane may sign once more what has just ended, in its own slot
                return has_ended and self._nonces.get(fact.intent_id) == fact.nonce
            return has_ended and not isinstance(fact, IntentDropped)
        match fact:
            case AttemptPrepared():
                return self._follows(fact, tracked)
            case AttemptSent() | ReceiptSeen():
                return any(sent.attempt.tx_hash == fact.tx_hash for sent in tracked.sent)
            case IntentDropped():
                return tracked.state is IntentState.ADMITTED
        return True

    def _follows(self, fact: AttemptPrepared, tracked: TrackedIntent) -> bool:
        """Tell whether an attempt is the next one of an intent."""
        intent, newest = tracked.intent, tracked.newest
        lane = (intent.chain_id, intent.signer)
        if (fact.chain_id, fact.signer) != lane or self._engine.intents.sent_by(fact.tx_hash) is not None:
            return False
        if fact.kind == "call" and fact.fee_wei_max > intent.gas_price_wei_max:
            return False
        expected = (self._engine.intents.next_nonce(*lane), 1) if newest is None else (newest.nonce, newest.attempt + 1)
        return (fact.nonce, fact.attempt) == expected

    def _give_up(self, chain_id: int) -> list[AnyDecision]:
        """End the intents that wait for what the recorded run did not do and have nothing to wait for."""
        decisions: list[AnyDecision] = []
        for tracked in self._engine.intents.all_open():
            intent, name = tracked.intent, tracked.intent.intent_id
            is_followed = name in self._recorded_open and name not in self._misfits
            is_waiting = tracked.state is IntentState.ADMITTED and intent.chain_id == chain_id
            why = self._why_over(intent) if is_waiting and not is_followed else None
            if why is not None:
                decisions += self._engine.intents.drop(IntentDropped(name, why))
                self._ended[why] += 1
        return decisions

    def _why_over(self, intent: Intent) -> str | None:
        chain = self._engine.chains[intent.chain_id]
        if chain.tip_number > intent.valid_until_block:
            return NEVER_SENT
        is_healthy = self._engine.sees(intent.venue) and (intent.venue, intent.account) not in self._engine.margins
        return MOOT if intent.kind == "liquidation" and is_healthy and not chain.behind_blocks else None


def _as_followed(recorded: RunConfig, changed: RunConfig) -> RunConfig:
    """Leave it as it was whether logs were read twice: that is how the facts came to be, and no decision."""
    scanned = {chain.chain_id: chain.scanned for chain in recorded.chains}
    chains = tuple(msgspec.structs.replace(chain, scanned=scanned[chain.chain_id]) for chain in changed.chains)
    return msgspec.structs.replace(changed, chains=chains)
