"""``docs/queries.md``: every query is what the page says, and what the records and the post-mortem say too."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from keeper.core.codec import AnyBody, Record
from keeper.core.decisions import HealthChanged, ProposalRefused, SignerHalted
from keeper.core.facts import AttemptPrepared, BlockReverted, KillSwitchChanged, PreflightSeen, ReceiptSeen
from keeper.core.ids import Address
from keeper.core.units import BaseAmount
from keeper.core.venue import AccountMargin, Epoch, Health, Status
from keeper.lab.simulator.run import journal_of
from tests.cli.conftest import Keeper
from tests.cli.queries import PAGE, Archive, incident_archive, incident_journal, questions

QUESTIONS = 20
CENT_USD = 0.01
SEEDS = (2, 3, 4)
"""Simulated histories in which proposals are refused, calls revert, blocks are abandoned and a signer is halted."""


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Return the archive that the page tells of."""
    return incident_archive(tmp_path_factory.mktemp("incident"))


@pytest.mark.slow
def test_the_page_shows_the_answers(incident: Archive) -> None:
    """Each of the twenty queries gives the rows that stand below it."""
    page = PAGE.read_text(encoding="utf-8")

    assert [*questions()] == [*range(1, QUESTIONS + 1)]
    assert incident.answered(page) == page


@pytest.mark.slow
def test_the_postmortem_says_the_same(incident: Archive, keeper: Keeper, tmp_path: Path) -> None:
    """Breaches, calls, liquidations, times and money are those of the post-mortem, which shares no code with them."""
    told = keeper("postmortem", "--journal", f"sqlite://{incident_journal(tmp_path)}", "--json").document
    breached = [each for each in told["accounts"] if each["breached"]]
    called = {(each["venue"], each["account"]) for each in told["calls"]}
    ours = Counter(each["venue"] for each in told["liquidations"] if each["verdict"] == "ours")

    assert sorted(_columns(incident, 2, 0, 2)) == sorted(
        (each["venue"], each["breached"]["block"]) for each in breached
    )
    assert sum(row[2] for row in incident.ask(3)) == len(breached)
    assert Counter(dict(_columns(incident, 4, 0, 1))) == Counter(venue for venue, _ in called)
    assert Counter(dict(_columns(incident, 5, 0, 3))) == ours
    assert incident.ask(8) == [(*each.values(),) for each in told["stages"]]
    for row, each in zip(incident.ask(10), told["earned"], strict=True):
        assert row[:3] == (each["venue"], each["strategy"], each["slices"])
        amounts = [each[f"{name}_base"] for name in ("repaid", "seized", "gas", "slippage", "profit")]
        assert row[3:] == pytest.approx([int(amount) / 1e8 for amount in amounts], abs=CENT_USD)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_what_went_wrong_is_found(seed: int, tmp_path: Path) -> None:
    """In simulated histories refusals, reverts, replacements, reorgs, halts and unknown accounts are counted right."""
    records = journal_of(seed)
    archive = Archive(records, tmp_path / "archive")
    bodies = [record.body for record in records]

    assert archive.tally(11, 1, 2) == Counter(body.reason for body in bodies if isinstance(body, ProposalRefused))
    assert archive.tally(13, 0, 2) == _reverts(bodies)
    nonces = Counter((body.signer, body.nonce) for body in bodies if isinstance(body, AttemptPrepared))
    assert {row[:3] for row in archive.ask(14)} == {(*at, times) for at, times in nonces.items() if times > 1}
    assert sum(row[3] for row in archive.ask(15)) == sum(isinstance(body, BlockReverted) for body in bodies)
    assert len(archive.ask(16)) == sum(isinstance(body, SignerHalted | KillSwitchChanged) for body in bodies)
    unknown = [body.margin for body in bodies if isinstance(body, HealthChanged) and _status(body) is Status.UNKNOWN]
    assert sum(row[2] for row in archive.ask(18)) == len({(each.venue, each.account) for each in unknown})


@pytest.mark.slow
def test_bad_debt_is_what_was_told_last(tmp_path: Path) -> None:
    """An account whose debt is worth more than its collateral counts at its last word, not if it recovered since."""
    told = [("0a", 90, 100), ("0b", 90, 100), ("0b", 120, 100), ("0c", 120, 100), ("0c", 99, 102)]
    bodies = [
        _health(f"{account}" * 20, collateral, debt, block) for block, (account, collateral, debt) in enumerate(told)
    ]
    archive = Archive([Record(n, n, 0, body) for n, body in enumerate(bodies, 1)], tmp_path / "archive")

    assert _columns(archive, 19, 1, 2, 3) == [("0x0a0a…0a0a", 0, 10.0), ("0x0c0c…0c0c", 4, 3.0)]


@pytest.mark.slow
def test_every_question_has_an_answer_somewhere(incident: Archive, tmp_path: Path) -> None:
    """In the incident or in a simulated history each question but that of bad debt has rows."""
    archives = [incident, *(Archive(journal_of(seed), tmp_path / str(seed)) for seed in SEEDS)]

    assert [n for n in range(1, QUESTIONS + 1) if not any(archive.ask(n) for archive in archives)] == [19]


def _health(account: str, collateral_usd: int, debt_usd: int, block: int) -> HealthChanged:
    health = Health(Status.LIQUIDATABLE)
    amounts = (BaseAmount(collateral_usd * BaseAmount.ONE), BaseAmount(debt_usd * BaseAmount.ONE))
    margin = AccountMargin("aave", Address(bytes.fromhex(account)), Epoch(1, 0), health, None, *amounts)
    return HealthChanged(margin, Status.HEALTHY.value, block)


def _status(body: HealthChanged) -> Status:
    return body.margin.health.status


def _columns(archive: Archive, number: int, *places: int) -> list[Any]:
    return [tuple(row[place] for place in places) for row in archive.ask(number)]


def _reverts(bodies: list[AnyBody]) -> Counter[str]:
    return Counter(
        {
            "simulated": sum(isinstance(body, PreflightSeen) and body.revert is not None for body in bodies),
            "on chain": sum(isinstance(body, ReceiptSeen) and not body.succeeded for body in bodies),
        }
    )
