"""``keeper stress contagion``: what it prints, and which questions it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.core.ids import to_hex
from tests.cli.conftest import Keeper
from tests.cli.history_file import JournalFile, write_history
from tests.engine.history import CHAIN, RIVAL, History, position
from tests.engine.test_contagion import two_venues
from tests.engine.toy import ETH, EUR, GOLD, USD

FALL = ("--asset", to_hex(ETH), "--shock", "7")
CLAIMS = """\
[reserves_usd]
toy = 3000

[[claims]]
debtor = "toy"
creditor = "second"
usd = 1000.0
"""


@pytest.fixture
def market(_toy_venue: None, tmp_path: Path) -> JournalFile:
    """Two venues with the same collateral, and an account without figures at the first."""
    history = two_venues()
    history.block(("set", RIVAL, GOLD, 1, 0), *position(RIVAL, usd=1)[1:])
    return write_history(tmp_path / "journal.db", history.records)


def test_the_document_says_who_hit_whom(keeper: Keeper, market: JournalFile) -> None:
    """ALICE's liquidation at the first venue moves the price on, and liquidates BOB at the second."""
    document = keeper("stress", "contagion", "--journal", market.url, *FALL, "--json").document

    assert [mark["chain"] for mark in document["watermarks"]] == [CHAIN]
    assert document["converged"]
    assert [(each["venue"], each["liquidated"], each["unknown"]) for each in document["venues"]] == [
        ("toy", 1, 1),
        ("second", 1, 0),
    ]
    assert {"seller": "toy", "holder": "second"}.items() <= document["spillovers"][1].items()
    eth = document["assets"][0]
    assert (eth["asset"], eth["shock"], eth["further_drop"] > 0) == (to_hex(ETH), 0.07, True)
    assert document["unknown"] == [{"venue": "toy", "account": to_hex(RIVAL), "reason": "no price"}]
    assert (document["left_out"], document["clearing"]) == ([], None)


def test_depth_is_what_the_operator_says(keeper: Keeper, market: JournalFile) -> None:
    """Of one asset by its address, of all others at once; a deep market stops the contagion."""
    depth = ("--depth-usd", f"{to_hex(ETH)}=1e15", "--depth-usd", "7")
    document = keeper("stress", "contagion", "--journal", market.url, *FALL, *depth, "--json").document

    assert [(each["depth_usd"], each["depth_assumed"]) for each in document["assets"]] == [(1e15, False), (7, False)]
    assert [each["liquidated"] for each in document["venues"]] == [1, 0]


def test_all_is_what_is_put_up(keeper: Keeper, market: JournalFile) -> None:
    """Of all assets only the collateral falls, not what is owed."""
    whole = ("--asset", "all", "--shock", "7")
    document = keeper("stress", "contagion", "--journal", market.url, *whole, "--json").document

    assert [(each["asset"], each["shock"]) for each in document["assets"]] == [(to_hex(ETH), 0.07), (to_hex(USD), 0)]


def test_the_past_can_be_asked(keeper: Keeper, market: JournalFile) -> None:
    """Before the second venue had anybody there was nobody to hit."""
    document = keeper("stress", "contagion", "--journal", market.url, *FALL, "--at", "block:1", "--json").document

    assert [each["accounts"] for each in document["venues"]] == [1, 0]


def test_bad_debt_is_cleared_when_claims_are_given(keeper: Keeper, market: JournalFile, tmp_path: Path) -> None:
    """A fall by half leaves bad debt that a venue's reserve does not cover: it defaults, the other does not."""
    path = tmp_path / "claims.toml"
    path.write_text(CLAIMS, encoding="utf-8")
    asked = ("stress", "contagion", "--journal", market.url, "--asset", "all", "--shock", "50", "--claims", path)
    nodes = keeper(*asked, "--json").document["clearing"]["nodes"]

    assert [node["node"] for node in nodes] == ["toy", "second", "suppliers"]
    assert (nodes[0]["defaults"], nodes[0]["pays_usd"]) == (True, pytest.approx(3_000))
    assert "waves of defaults" in keeper(*asked).out


def test_people_get_tables(keeper: Keeper, market: JournalFile) -> None:
    """By asset, by venue and from venue to venue; then the rounds, who is missing, and the block."""
    lines = keeper("stress", "contagion", "--journal", market.url, *FALL).out.splitlines()

    assert lines[0].split() == ["asset", "held", "owed", "depth", "shock", "sold", "further", "drop"]
    assert lines[1].split()[:5] == [to_hex(ETH), "40,000", "0", "10,000", "7.00%"]
    assert any(line.startswith("prices at rest after ") for line in lines)
    assert "depths not given with --depth-usd are a guess, and how far prices fall hangs on them" in lines
    assert f"not in the figures: {to_hex(RIVAL)} at toy: no price" in lines
    assert lines[-1].startswith(f"block 3 of chain {CHAIN}")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--asset", "ether", "--shock", "7"), "give an address, as 0x and 40 digits"),
        (("--asset", "all", "--asset", to_hex(ETH), "--shock", "7"), "give either all or addresses"),
        (("--asset", to_hex(EUR), "--shock", "7"), "is held and owed by nobody with debt at any venue"),
        (("--asset", to_hex(RIVAL), "--shock", "7"), "is held and owed by nobody with debt at any venue"),
        (("--asset", to_hex(GOLD), "--shock", "7"), "has no price at toy, second"),
        (("--asset", to_hex(ETH), "--shock", "101"), "--shock: is 101; give a number of at least 0 and at most 100"),
        (("--asset", to_hex(ETH), "--shock", "-1"), "--shock: is -1"),
        (("--asset", to_hex(ETH), "--shock", "nan"), "--shock: is nan"),
        ((*FALL, "--depth-usd", "deep"), "give USD, or ADDRESS=USD"),
        ((*FALL, "--depth-usd", "0"), "depth_usd: is 0"),
        ((*FALL, "--depth-usd", "ETH=5"), "give an address, as 0x and 40 digits"),
        ((*FALL, "--bonus", "-1"), "--bonus: is -1"),
        ((*FALL, "--target-health", "0.9"), "--target-health: is 0.9"),
        ((*FALL, "--claims", "nowhere.toml"), "No such file"),
    ],
)
def test_a_question_without_an_answer_is_one_line(
    keeper: Keeper, market: JournalFile, arguments: tuple[str, ...], reason: str
) -> None:
    """It is exit code 2, names what is wrong, and prints nothing."""
    outcome = keeper("stress", "contagion", "--journal", market.url, *arguments)

    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert reason in outcome.err


@pytest.mark.parametrize(
    "text", ["[[claims]", "[[claims]]\ndebtor = 1", "[reserve]\nx = 1", '[[claims]]\ndebtor="a"\ncreditor="a"\nusd=1']
)
def test_claims_that_say_nothing_are_refused(keeper: Keeper, market: JournalFile, tmp_path: Path, text: str) -> None:
    """A file that is no TOML, or holds something else, is exit code 2."""
    path = tmp_path / "claims.toml"
    path.write_text(text, encoding="utf-8")
    outcome = keeper("stress", "contagion", "--journal", market.url, *FALL, "--claims", path)

    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)


@pytest.mark.usefixtures("_toy_venue")
def test_a_journal_without_debts_has_no_contagion(keeper: Keeper, tmp_path: Path) -> None:
    """Nobody owes anything: there is nothing that all could mean, and it is said."""
    history = History()
    history.start()
    history.block(("price", ETH, 1))
    journal = write_history(tmp_path / "empty.db", history.records)
    outcome = keeper("stress", "contagion", "--journal", journal.url, "--asset", "all", "--shock", "7")

    assert (outcome.code, outcome.out) == (2, "")
    assert "no account with debt has known figures; there is none" in outcome.err


def test_a_journal_or_a_configuration_is_needed(keeper: Keeper) -> None:
    """Without either it is exit code 2."""
    outcome = keeper("stress", "contagion", *FALL)

    assert (outcome.code, "give either -c FILE or --journal URL" in outcome.err) == (2, True)
