"""Every decision has a sentence."""

from __future__ import annotations

from typing import get_args

import pytest

from keeper.app.narrate import sentence
from keeper.core.decisions import (
    AnyDecision,
    HealthChanged,
    IntentAdmitted,
    IntentState,
    ProposalRefused,
    SignerHalted,
)
from keeper.core.units import BaseAmount, Wad
from keeper.core.venue import AccountMargin, Epoch, Health, Status
from tests.observe import records

WHO = "0x" + "02" * 20
ID = "0x" + records.INTENT_ID.hex()[:16]


def health(status: Status, reason: str | None, health_wad: Wad | None) -> HealthChanged:
    """Return a change of health at block 5."""
    nothing = BaseAmount(0)
    margin = AccountMargin("aave", records.ACCOUNT, Epoch(1, 0), Health(status, reason), health_wad, nothing, nothing)
    return HealthChanged(margin, "healthy", 5)


SENTENCES: list[tuple[AnyDecision, str]] = [
    (
        health(Status.LIQUIDATABLE, None, Wad(987_654_321 * 10**9)),
        f"{WHO} on aave: healthy -> liquidatable, health 0.987654",
    ),
    (health(Status.UNKNOWN, "no price", None), f"{WHO} on aave: healthy -> unknown (no price), health none"),
    (
        ProposalRefused(records.proposal(), "dry_run", "the run is not live"),
        f"slice of {WHO} refused: dry_run (the run is not live)",
    ),
    (records.admitted(), f"liquidation {ID} for {WHO} admitted: smallest slice"),
    (IntentAdmitted(records.intent(), None), f"liquidation {ID} for {WHO} admitted"),
    (
        records.advanced(IntentState.ADMITTED, IntentState.PREPARED),
        f"intent {ID}: admitted -> prepared ()",
    ),
    (records.liquidated(), f"liquidation of {WHO} in block 11, ours"),
    (records.liquidated(ours=False), f"liquidation of {WHO} in block 11, by 0x{'05' * 20}"),
    (SignerHalted("main", "a foreign transaction"), "signer main halted: a foreign transaction"),
]


@pytest.mark.parametrize(("decision", "expected"), SENTENCES)
def test_a_decision_reads_as_a_sentence(decision: AnyDecision, expected: str) -> None:
    """A decision is one line that says who, what and why."""
    assert sentence(decision) == expected


def test_every_kind_has_a_sentence() -> None:
    """No kind of decision is left without words."""
    assert {type(decision) for decision, _ in SENTENCES} == set(get_args(AnyDecision))
