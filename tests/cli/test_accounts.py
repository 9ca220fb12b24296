"""``keeper accounts``: who is how near, at which block."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import pytest

from keeper.core.ids import to_hex
from tests.cli.conftest import Keeper
from tests.cli.history_file import JournalFile, write_history
from tests.cli.test_verify import altered
from tests.engine.history import ALICE, BOB, CHAIN, RIVAL, History, position
from tests.engine.history import CONFIG as CONFIG_OF_RUN
from tests.engine.test_second_opinion import RISK
from tests.engine.toy import GOLD

CONFIG = """\
[journal]
url = "sqlite://{journal}"

[chains.local]
chain_id = {chain_id}
http = ["http://127.0.0.1:8545"]

[venues.aave]
protocol = "aave_v3"
chain = "local"
address = "0x0101010101010101010101010101010101010101"
"""


@pytest.fixture
def market(_toy_venue: None, tmp_path: Path) -> JournalFile:
    """Three accounts: ALICE at 1.0667 and then at 0.96, BOB far off, RIVAL unknown."""
    history = History()
    history.market()
    history.block(*position(BOB, eth=10, usd=1_000), ("set", RIVAL, GOLD, 1, 0), *position(RIVAL, usd=1)[1:])
    history.breach()
    return write_history(tmp_path / "journal.db", history.records)


def test_the_nearest_comes_first(keeper: Keeper, market: JournalFile) -> None:
    """What is unknown comes first, then the lowest health."""
    document = keeper("accounts", "--journal", market.url, "--json").document

    assert [(one["account"], one["status"]) for one in document["accounts"]] == [
        (to_hex(RIVAL), "unknown"),
        (to_hex(ALICE), "liquidatable"),
        (to_hex(BOB), "healthy"),
    ]


def test_the_document_is_the_interfaces(keeper: Keeper, market: JournalFile) -> None:
    """The JSON has exactly the fields of the interface."""
    document = keeper("accounts", "--journal", market.url, "--json").document
    fields = ["venue", "account", "status", "reason", "health_wad", "collateral_base", "debt_base", "distance"]

    assert list(document) == ["watermark", "accounts"]
    assert (document["watermark"]["chain"], document["watermark"]["block"]) == (CHAIN, 3)
    assert [list(one) for one in document["accounts"]] == [[*fields, "as_of_block", "opinion"]] * 3


def test_figures_are_exact(keeper: Keeper, market: JournalFile) -> None:
    """Health is the venue's own figure, the distance its logarithm."""
    alice = keeper("accounts", "--journal", market.url, "--json").document["accounts"][1]

    assert (alice["health_wad"], alice["debt_base"]) == ("960000000000000000", str(15_000 * 10**8))
    assert alice["distance"] == pytest.approx(math.log(0.96), abs=1e-15)


def test_what_is_unknown_says_why(keeper: Keeper, market: JournalFile) -> None:
    """An unknown account has a reason, no health and no distance."""
    rival = keeper("accounts", "--journal", market.url, "--json").document["accounts"][0]

    assert (rival["reason"], rival["health_wad"], rival["distance"]) == ("no price", None, None)


def test_the_past_can_be_asked(keeper: Keeper, market: JournalFile) -> None:
    """At the block before the breach the account was healthy."""
    document = keeper("accounts", "--journal", market.url, "--at", "block:2", "--json").document
    statuses = {one["account"]: one["status"] for one in document["accounts"]}

    assert (document["watermark"]["block"], statuses[to_hex(ALICE)]) == (2, "healthy")


def test_a_sequence_can_be_asked(keeper: Keeper, market: JournalFile) -> None:
    """A plain number is a sequence."""
    last = len(market.records)
    document = keeper("accounts", "--journal", market.url, "--at", str(last), "--json").document

    assert document["watermark"]["block"] == 3


def test_a_sequence_within_a_groups_decisions_means_all_of_them(keeper: Keeper, market: JournalFile) -> None:
    """Decisions are not torn from the fact they follow from, so every place of the journal can be asked."""
    first = next(record.sequence for record in market.records if record.cause)
    codes = [keeper("accounts", "--journal", market.url, "--at", str(place)).code for place in (first - 1, first)]

    assert codes == [0, 0]


def test_a_journal_that_diverges_is_not_shown(keeper: Keeper, history: History, tmp_path: Path) -> None:
    """Accounts are not shown from a history that this version would have made otherwise."""
    records, sequence = altered(history.records)
    journal = write_history(tmp_path / "altered.db", records)
    outcome = keeper("accounts", "--journal", journal.url)

    assert (outcome.code, outcome.out) == (4, "")
    assert outcome.err.startswith(f"keeper: journal record {sequence}: ")


@pytest.mark.usefixtures("_toy_venue")
def test_venues_of_several_chains_are_chosen(keeper: Keeper, tmp_path: Path) -> None:
    """One watermark is of one chain: with venues on two, one of them must be named."""
    elsewhere = msgspec.structs.replace(CONFIG_OF_RUN.chains[0], name="other", chain_id=1)
    second = msgspec.structs.replace(CONFIG_OF_RUN.venues[0], name="second", chain_id=1)
    config = msgspec.structs.replace(
        CONFIG_OF_RUN, chains=(*CONFIG_OF_RUN.chains, elsewhere), venues=(*CONFIG_OF_RUN.venues, second)
    )
    history = History(config)
    history.market()
    journal = write_history(tmp_path / "two.db", history.records, chain_ids=[CHAIN, 1])
    ambiguous = keeper("accounts", "--journal", journal.url)
    chosen = keeper("accounts", "--journal", journal.url, "--venue", "toy", "--json")

    assert (ambiguous.code, "choose one with --venue: toy, second" in ambiguous.err) == (2, True)
    assert len(chosen.document["accounts"]) == 1


def test_below_keeps_the_unknown(keeper: Keeper, market: JournalFile) -> None:
    """``--below`` leaves out those that are surely above; an unknown one is not."""
    document = keeper("accounts", "--journal", market.url, "--below", "1.0", "--json").document

    assert [one["account"] for one in document["accounts"]] == [to_hex(RIVAL), to_hex(ALICE)]


@pytest.mark.parametrize("limit", ["near", "NaN", "Infinity"])
def test_below_is_a_number(keeper: Keeper, market: JournalFile, limit: str) -> None:
    """Anything but a number is exit code 2."""
    assert keeper("accounts", "--journal", market.url, "--below", limit).code == 2


def test_an_unknown_venue_is_refused(keeper: Keeper, market: JournalFile) -> None:
    """A venue that the journal does not have is exit code 2, with those it has."""
    outcome = keeper("accounts", "--journal", market.url, "--venue", "compound")

    assert (outcome.code, outcome.err) == (2, "keeper: venue compound: is not in the journal; it has: toy\n")


def test_before_the_first_block_there_is_nothing(keeper: Keeper, market: JournalFile) -> None:
    """At a place before any block there is no watermark, and so no answer."""
    assert keeper("accounts", "--journal", market.url, "--at", "1").code == 2


def test_people_get_a_table(keeper: Keeper, market: JournalFile) -> None:
    """For people there is a line for each account, and one that says as of when; nothing is cut off."""
    out = keeper("accounts", "--journal", market.url).out.splitlines()

    assert [line.split()[1] for line in out[1:4]] == [to_hex(RIVAL), to_hex(ALICE), to_hex(BOB)]
    assert out[-1].startswith(f"3 accounts at block 3 of chain {CHAIN} 0x")


@pytest.mark.parametrize("arguments", [[], ["-c", "keeper.toml", "--journal", "sqlite:///x.db"]])
def test_one_source_is_needed(keeper: Keeper, arguments: list[str]) -> None:
    """Either a configuration or a journal; not both, not neither."""
    assert keeper("accounts", *arguments).code == 2


def test_the_configurations_journal_is_read(keeper: Keeper, market: JournalFile, tmp_path: Path) -> None:
    """With ``-c`` the journal is the one that the configuration names."""
    config = tmp_path / "keeper.toml"
    config.write_text(CONFIG.format(journal=market.path, chain_id=CHAIN))
    outcome = keeper("accounts", "-c", config, "--json")

    assert (outcome.code, len(outcome.document["accounts"])) == (0, 3)


def test_a_journal_of_another_chain_is_exit_code_4(keeper: Keeper, market: JournalFile, tmp_path: Path) -> None:
    """A configuration of another chain than the journal's is refused."""
    config = tmp_path / "keeper.toml"
    config.write_text(CONFIG.format(journal=market.path, chain_id=1))
    outcome = keeper("accounts", "-c", config)

    assert outcome.code == 4
    assert f"holds chain {CHAIN}, the configuration is of chain 1" in outcome.err


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[journal", "is not valid TOML"),
        (CONFIG.format(journal="/srv/journal.db", chain_id=1) + "colour = 1\n", "colour"),
        (CONFIG.format(journal="/srv/journal.db", chain_id=1).replace("aave_v3", "compound"), "compound"),
    ],
)
def test_a_bad_configuration_is_exit_code_2(keeper: Keeper, tmp_path: Path, text: str, reason: str) -> None:
    """Malformed TOML, an unknown key and an unknown protocol are each one line that names them."""
    config = tmp_path / "keeper.toml"
    config.write_text(text)
    outcome = keeper("accounts", "-c", config)

    assert (outcome.code, reason in outcome.err, outcome.err.count("\n")) == (2, True, 1)


@pytest.mark.usefixtures("_toy_venue")
def test_the_second_opinion_stands_beside_the_venues_health(keeper: Keeper, tmp_path: Path) -> None:
    """A healthy account that would not survive the moves is called, in the document and in the table."""
    told = History(msgspec.structs.replace(CONFIG_OF_RUN, risk=(RISK,)))
    told.market()
    file = write_history(tmp_path / "judged.db", told.records)
    [alice] = keeper("accounts", "--journal", file.url, "--json").document["accounts"]
    table = keeper("accounts", "--journal", file.url).out

    assert (alice["status"], alice["opinion"]["status"], alice["opinion"]["model"]) == ("healthy", "call", "static")
    assert alice["opinion"]["stressed_wad"] == str(14_450 * 10**18 // 15_000)
    assert "second opinion" in table
    assert "0.9633" in table
