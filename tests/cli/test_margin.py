"""``keeper margin``: what an account's margin consists of."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.core.ids import to_hex
from tests.cli.conftest import Keeper
from tests.cli.history_file import JournalFile, write_history
from tests.engine.history import ALICE, RIVAL, History, position
from tests.engine.toy import GOLD


@pytest.fixture
def market(_toy_venue: None, tmp_path: Path) -> JournalFile:
    """ALICE is below her line, RIVAL unknown."""
    history = History()
    history.market()
    history.block(("set", RIVAL, GOLD, 1, 0), *position(RIVAL, usd=1)[1:])
    history.breach()
    return write_history(tmp_path / "journal.db", history.records)


def test_the_terms_add_up_to_the_health(keeper: Keeper, market: JournalFile) -> None:
    """14,400 of 15,000 is the health of 0.96 that accounts are listed with."""
    document = keeper("margin", to_hex(ALICE), "--journal", market.url, "--json").document
    (margin,) = document["margins"]
    (bucket,) = margin["buckets"]

    assert (margin["venue"], margin["kind"], margin["status"], margin["reason"]) == (
        "toy",
        "cross",
        "liquidatable",
        None,
    )
    assert (bucket["equity"], bucket["requirement"], bucket["surplus"], bucket["binds"]) == (
        str(14_400 * 10**8),
        str(15_000 * 10**8),
        str(-600 * 10**8),
        True,
    )


def test_the_past_can_be_asked(keeper: Keeper, market: JournalFile) -> None:
    """Before the breach something was left."""
    document = keeper("margin", to_hex(ALICE), "--journal", market.url, "--at", "block:2", "--json").document

    assert int(document["margins"][0]["buckets"][0]["surplus"]) > 0


def test_an_unknown_account_says_why(keeper: Keeper, market: JournalFile) -> None:
    """Without a price there is a reason and no figure."""
    (margin,) = keeper("margin", to_hex(RIVAL), "--journal", market.url, "--json").document["margins"]

    assert (margin["status"], margin["reason"], margin["buckets"]) == ("unknown", "no price", [])


def test_people_get_a_table_and_a_verdict(keeper: Keeper, market: JournalFile) -> None:
    """The sums stand below the terms, and what is left below them."""
    lines = keeper("margin", to_hex(ALICE), "--journal", market.url).out.splitlines()

    assert lines[0] == "toy: cross margin, liquidatable"
    assert lines[-3].split() == ["in", "all", "14,400", "15,000"]
    assert lines[-2] == "-600 USD left"


@pytest.mark.parametrize("account", ["alice", "0x12", "0x" + "g" * 40])
def test_an_account_is_an_address(keeper: Keeper, market: JournalFile, account: str) -> None:
    """Anything else is exit code 2 and one line that says what to give."""
    outcome = keeper("margin", account, "--journal", market.url)

    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "give an address, as 0x and 40 digits" in outcome.err
