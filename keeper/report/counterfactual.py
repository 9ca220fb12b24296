"""Which settings would have let a refused proposal pass: worked out from the figures, and tried on the engine itself.

The engine stands where it stood before the head that refused. It is given the other settings as an operator's reload
would give them, and then the head again. So everything but the settings is as it was, and what comes out is what this
code decides. One unit less must still be refused by the same rule, or the value is not called the least.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from keeper.core.decisions import IntentAdmitted, ProposalRefused
from keeper.core.errors import invariant
from keeper.core.facts import AnyFact, SettingsReloaded
from keeper.core.ids import Address, Hash32
from keeper.core.runconfig import RunConfig
from keeper.engine.step import Engine
from keeper.report.governing import Adjusted, adjustments
from keeper.report.model import Change, Counterfactual, Refused

TRIES_MAX = 16
"""More changes of settings than there are rules that settings govern are not looked for."""


class Decided(NamedTuple):
    """What the engine made of the account; without a rule that refused and without an intent nothing was proposed."""

    rule: str | None
    detail: str
    intent_id: Hash32 | None


class Trial:
    """Runs one head again under other settings.

    Args:
        before: The engine as it stood before the head; it is not stepped.
        new_engine: Opens an engine that has stepped nothing.
        fact: The head.
        clock_unix_ms: The wall clock that was last told before it.
    """

    def __init__(self, before: Engine, new_engine: Callable[[], Engine], fact: AnyFact, clock_unix_ms: int) -> None:
        invariant(before.config is not None, "counterfactual", "is asked of an engine without a configuration")
        self._state = before.snapshot()
        self._sequence = before.sequence
        self._new_engine = new_engine
        self._fact = fact
        self._clock_unix_ms = clock_unix_ms

    def run(self, config: RunConfig, venue: str, account: Address) -> Decided:
        """Return what is decided about an account under a configuration."""
        engine = self._new_engine()
        engine.load(self._state)
        engine.step(SettingsReloaded(config, "{}", self._clock_unix_ms), self._sequence + 1)
        refusal: Decided | None = None
        for decision in engine.step(self._fact, self._sequence + 2):
            match decision:
                case IntentAdmitted(intent=intent) if (intent.venue, intent.account) == (venue, account):
                    return Decided(None, "", intent.intent_id)
                case ProposalRefused(proposal=one, reason=rule, detail=detail):
                    if (one.venue, one.account) == (venue, account) and refusal is None:
                        refusal = Decided(rule, detail, None)
        return refusal or Decided(None, "", None)


def counterfactual(trial: Trial, config: RunConfig, refused: Refused) -> Counterfactual | None:
    """Change one setting after the other, each by the least, until the proposal passes or no setting governs.

    Args:
        trial: The head that refused.
        config: What was in force there.
        refused: What was refused.

    Returns:
        ``None`` when no value of a setting governs the refusal.
    """
    proposal, changes = refused.proposal, dict[str, Change]()
    rule, detail, decided = refused.rule, refused.detail, Decided(refused.rule, refused.detail, None)
    for _ in range(TRIES_MAX):
        found = _first_that_passes(trial, adjustments(config, proposal.strategy, rule, detail), refused, rule, detail)
        if found is None:
            break
        adjusted, decided, least = found
        was = changes[adjusted.setting].was if adjusted.setting in changes else adjusted.was
        changes[adjusted.setting] = Change(rule, adjusted.setting, was, adjusted.value, least)
        config = adjusted.config
        if decided.rule is None:
            break
        rule, detail = decided.rule, decided.detail
    if not changes:
        return None
    outcome = "refused" if decided.rule is not None else "nothing" if decided.intent_id is None else "admitted"
    return Counterfactual(refused.at, tuple(changes.values()), outcome, decided.rule, decided.detail, decided.intent_id)


def _first_that_passes(
    trial: Trial, candidates: list[Adjusted], refused: Refused, rule: str, detail: str
) -> tuple[Adjusted, Decided, bool | None] | None:
    """Return the first change that moves the rule's refusal, what comes of it, and whether less would not do."""
    venue, account = refused.proposal.venue, refused.proposal.account
    for adjusted in candidates:
        decided = trial.run(adjusted.config, venue, account)
        if (decided.rule, decided.detail) == (rule, detail):
            continue
        if adjusted.stricter is None:
            return adjusted, decided, None
        return adjusted, decided, trial.run(adjusted.stricter, venue, account).rule == rule
    return None
