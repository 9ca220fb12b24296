"""Audits of accounts: the venue's own figures against ours."""

from __future__ import annotations

import pytest

from keeper.core.decisions import AnyDecision, AuditAgreed, AuditFailed, HealthChanged
from keeper.core.facts import AccountsAudited, ContractRead
from keeper.core.ids import Address, Hash32, content_id
from keeper.core.venue import Status
from tests.engine.history import ALICE, CHAIN, History, admitted, new_engine
from tests.engine.toy import POOL, ToyLedger


def audit(
    history: History, answer: str, *, account: Address = ALICE, block_hash: Hash32 | None = None
) -> list[AnyDecision]:
    """Audit an account at the tip with the venue's answer."""
    tip = history.engine.chains[CHAIN].tip
    assert tip is not None
    read = ContractRead(POOL, bytes(account), answer.encode(), None)
    return history.step(AccountsAudited(CHAIN, "toy", tip.number, block_hash or tip.hash, (read,)))


@pytest.fixture
def history() -> History:
    """A market with one healthy account."""
    history = History()
    history.market()
    return history


def figures(history: History) -> str:
    """Our own figures of the account."""
    ledger = history.engine.ledgers["toy"]
    assert isinstance(ledger, ToyLedger)
    return ledger.figures(ALICE)


def test_equal_figures_agree(history: History) -> None:
    """Equal figures are recorded as such and change nothing."""
    assert audit(history, figures(history)) == [AuditAgreed("toy", (ALICE,), 1)]


@pytest.mark.fault(33)
def test_other_figures_make_the_account_unknown(history: History) -> None:
    """An account whose figures differ is unknown, with both figures in the journal, and nothing is tried with it."""
    ours = figures(history)
    failed, change = audit(history, "1 2")

    assert failed == AuditFailed("toy", ALICE, 1, ours, "1 2")
    assert isinstance(change, HealthChanged)
    assert (change.margin.health.status, change.margin.health.reason) == (Status.UNKNOWN, "audit failed")
    assert admitted(history.breach()) == []


def test_a_later_audit_ends_the_doubt(history: History) -> None:
    """When a later audit agrees, the account is classified again at the next head."""
    audit(history, "1 2")
    history.block()
    audit(history, figures(history))

    assert len(admitted(history.breach())) == 1


def test_doubt_outlives_a_snapshot(history: History) -> None:
    """An engine restored from a snapshot doubts the same accounts."""
    audit(history, "1 2")
    restored = new_engine()
    restored.load(history.engine.snapshot())

    assert restored.margins["toy", ALICE].health.reason == "audit failed"
    assert restored.state_hash() == history.engine.state_hash()
    assert admitted(History(engine=restored).step()) == []


def test_audit_of_another_block_is_void(history: History) -> None:
    """An audit that was made at a block which is not the tip any more says nothing."""
    assert audit(history, "1 2", block_hash=content_id("abandoned")) == []
