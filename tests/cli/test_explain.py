"""``keeper explain``: what was done, and why not sooner."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from keeper.core.decisions import IntentAdmitted
from keeper.core.ids import to_hex
from keeper.core.units import BaseAmount, Wei
from tests.cli.conftest import Keeper
from tests.cli.history_file import JournalFile, write_history
from tests.cli.test_verify import altered
from tests.engine.history import ALICE, BOB, CHAIN, GWEI, RIVAL, UNIT, History, admitted, config_with, position
from tests.engine.history import CONFIG as CONFIG_OF_RUN
from tests.engine.test_second_opinion import RISK
from tests.engine.toy import ETH, USD


@pytest.fixture
def refused(_toy_venue: None, tmp_path: Path) -> JournalFile:
    """ALICE is liquidatable from block 2 on; gas is too dear, and she earns too little. BOB is healthy."""
    config = config_with(gas_price_wei_max=Wei(11 * GWEI), profit_base_min=BaseAmount(400 * UNIT))
    history = History(msgspec.structs.replace(config, risk=(RISK,)))
    history.market()
    history.breach()
    history.block(*position(BOB, eth=10, usd=1_000))
    return write_history(tmp_path / "journal.db", history.records, snapshots=[len(history.records)])


@pytest.fixture
def acted(_toy_venue: None, tmp_path: Path) -> JournalFile:
    """An intent about ALICE that is final, with two attempts."""
    history = History()
    history.market()
    intent = admitted(history.breach())[0]
    history.send(history.prepare(intent, 0), "unknown")
    second = history.prepare(intent, 0, attempt=2, fee_wei=30 * GWEI)
    history.send(second)
    history.liquidation(second, intent)
    history.receipt(second, succeeded=True)
    history.finalize(3)
    return write_history(tmp_path / "journal.db", history.records)


def intent_id(journal: JournalFile) -> str:
    """Return the first intent's id."""
    return next(to_hex(one.body.intent.intent_id) for one in journal.records if isinstance(one.body, IntentAdmitted))


def test_a_refusal_is_explained_with_its_remedy(keeper: Keeper, refused: JournalFile) -> None:
    """The rule, since when, its figures, and the settings with which the engine would have admitted."""
    document = keeper("explain", to_hex(ALICE), "--journal", refused.url, "--json").document
    told = document["venues"][0]["explanation"]
    gate, counterfactual = told["why_not"]["gate"], told["counterfactual"]

    assert (gate["name"], gate["rule"], gate["since"]["block"]) == ("refused", "gas_price_above_max", 2)
    assert [(one["setting"], one["value"], one["least"]) for one in counterfactual["changes"]] == [
        ("limits.gas_price_gwei_max", "11.25", True),
        ("limits.profit_usd_min", "372.75", True),
    ]
    assert counterfactual["outcome"] == "admitted"
    assert counterfactual["intent_id"].startswith("0x")


def test_the_document_has_every_part(keeper: Keeper, refused: JournalFile) -> None:
    """The fields are those that programs may rely on; money is text."""
    document = keeper("explain", to_hex(ALICE), "--journal", refused.url, "--json").document
    (venue,) = document["venues"]

    assert list(document) == ["watermark", "sequence", "account", "intent", "venues"]
    assert list(venue) == ["breakdown", "explanation"]
    assert list(venue["explanation"]) == [
        *("venue", "account", "margin", "opinion", "facts", "why_not", "counterfactual"),
        *("refusals", "intents", "liquidations", "records"),
    ]
    assert (document["sequence"], document["watermark"]["block"]) == (len(refused.records), 3)
    assert venue["breakdown"]["buckets"][0]["surplus"] == str(-600 * UNIT)
    assert {one["asset"]: one["exposure"] for one in venue["explanation"]["opinion"]["components"]} == {
        to_hex(USD): str(-15_000 * UNIT),
        to_hex(ETH): str(14_400 * UNIT),
    }
    assert venue["explanation"]["refusals"][0]["proposal"]["preview"]["repaid_base"] == str(7_500 * UNIT)


def test_people_read_the_answer_first(keeper: Keeper, refused: JournalFile) -> None:
    """Status, figures, what is in the way, and what would have helped, before all else."""
    lines = keeper("explain", to_hex(ALICE), "--journal", refused.url).out.splitlines()

    assert lines[1] == f"toy {to_hex(ALICE)}: liquidatable"
    assert lines[5].startswith(
        "in the way  refused by gas_price_above_max: 11250000000 wei is above 11000000000, since"
    )
    assert lines[6] == (
        "what if     with --set limits.gas_price_gwei_max=11.25 --set limits.profit_usd_min=372.75 "
        "it would have been admitted at block 2"
    )
    assert lines[-1].startswith(f"{to_hex(ALICE)} at sequence {len(refused.records)}, block 3 of chain {CHAIN} 0x")


@pytest.mark.parametrize(
    "heading",
    [
        *("before that", "cross margin", "second opinion: breached", "facts used", "records"),
        "refused by gas_price_above_max at block 2 (2023-11-14 22:13:44.000Z, sequence 10)",
    ],
)
def test_every_part_has_its_heading(keeper: Keeper, refused: JournalFile, heading: str) -> None:
    """Each part that has something to say is there."""
    assert heading in keeper("explain", to_hex(ALICE), "--journal", refused.url).out.splitlines()


def test_the_past_can_be_asked(keeper: Keeper, refused: JournalFile) -> None:
    """Before the breach there was nothing to do."""
    document = keeper("explain", to_hex(ALICE), "--journal", refused.url, "--at", "block:1", "--json").document
    told = document["venues"][0]["explanation"]

    assert (told["why_not"]["gate"]["name"], told["margin"]["health"]["status"]) == ("healthy", "healthy")
    assert (document["watermark"]["block"], told["counterfactual"], told["refusals"]) == (1, None, [])


@pytest.mark.slow
def test_every_sequence_can_be_asked(keeper: Keeper, refused: JournalFile) -> None:
    """A place within the decisions of a fact means all of them."""
    codes = {
        keeper("explain", to_hex(ALICE), "--journal", refused.url, "--at", str(each.sequence), "--json").code
        for each in refused.records[3:]
    }

    assert codes == {0}


@pytest.mark.parametrize("digits", [10, 18, 66])
def test_an_intent_is_found_by_the_beginning_of_its_id(keeper: Keeper, acted: JournalFile, digits: int) -> None:
    """Eight digits are enough, and letter case does not matter."""
    wanted = intent_id(acted)
    document = keeper("explain", "0x" + wanted[2:digits].upper(), "--journal", acted.url, "--json").document
    story = document["intent"]

    assert (story["intent"]["intent_id"], story["state"]) == (wanted, "final_success")
    assert [(one["number"], [each["answer"] for each in one["answers"]]) for one in story["attempts"]] == [
        (1, ["unknown"]),
        (2, ["accepted"]),
    ]
    assert (document["account"], document["venues"][0]["explanation"]["venue"]) == (to_hex(ALICE), "toy")


def test_people_see_an_intents_attempts_as_a_tree(keeper: Keeper, acted: JournalFile) -> None:
    """Below each attempt stand its answers and its receipt; the story is told once."""
    out = keeper("explain", intent_id(acted), "--journal", acted.url).out

    assert out.count("life cycle") == 1
    assert "│   └── succeeded in block 3, 100000 gas at 15000000000 wei" in out
    assert "done        we liquidated it in block 3, since block 3" in out


def test_an_intent_of_another_venue_is_refused(keeper: Keeper, acted: JournalFile) -> None:
    """An intent has one venue, and another is a contradiction."""
    outcome = keeper("explain", intent_id(acted), "--journal", acted.url, "--venue", "other")

    assert (outcome.code, "give --venue toy" in outcome.err) == (2, True)


def test_an_unknown_account_is_told_the_nearest(keeper: Keeper, refused: JournalFile) -> None:
    """An account of which nothing is known is exit code 2, and the error names who is near."""
    outcome = keeper("explain", to_hex(RIVAL), "--journal", refused.url)

    assert outcome.code == 2
    assert outcome.err == (
        f"keeper: account {to_hex(RIVAL)}: has no position and no record up to sequence {len(refused.records)}; "
        f"the nearest accounts there: {to_hex(ALICE)}, {to_hex(BOB)}\n"
    )


def test_an_unknown_intent_is_told_the_nearest(keeper: Keeper, acted: JournalFile) -> None:
    """An intent that was never admitted, or later than the place, is exit code 2."""
    missing = keeper("explain", "0xffffffffff", "--journal", acted.url)
    early = keeper("explain", intent_id(acted), "--journal", acted.url, "--at", "block:1")

    assert (missing.code, f"the nearest intents there: {intent_id(acted)}" in missing.err) == (2, True)
    assert (early.code, "the journal has no intents there" in early.err) == (2, True)


@pytest.mark.parametrize("subject", ["alice", "0x12", "0x" + "g" * 40, "0x" + "1" * 65, "0x1234567"])
def test_a_subject_is_an_account_or_an_intent(keeper: Keeper, refused: JournalFile, subject: str) -> None:
    """Anything else is exit code 2 and one line that says what to give."""
    outcome = keeper("explain", subject, "--journal", refused.url)

    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "0x and 8 to 64 digits" in outcome.err


def test_a_journal_that_diverges_is_not_explained(keeper: Keeper, history: History, tmp_path: Path) -> None:
    """Nothing is explained from a history that this version would have made otherwise."""
    records, _ = altered(history.records)
    journal = write_history(tmp_path / "altered.db", records)

    assert keeper("explain", to_hex(ALICE), "--journal", journal.url).code == 4


def test_a_damaged_journal_is_exit_code_4(keeper: Keeper, refused: JournalFile) -> None:
    """A file that is not what was written is not explained."""
    raw = bytearray(refused.path.read_bytes())
    raw[100:4000] = bytes(3900)
    refused.path.write_bytes(raw)

    assert keeper("explain", to_hex(ALICE), "--journal", refused.url).code == 4


@pytest.mark.parametrize("arguments", [[], ["-c", "keeper.toml", "--journal", "sqlite:///x.db"]])
def test_one_source_is_needed(keeper: Keeper, arguments: list[str]) -> None:
    """Either a configuration or a journal; not both, not neither."""
    assert keeper("explain", to_hex(ALICE), *arguments).code == 2


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
    ambiguous = keeper("explain", to_hex(ALICE), "--journal", journal.url)
    chosen = keeper("explain", to_hex(ALICE), "--journal", journal.url, "--venue", "toy", "--json")

    assert (ambiguous.code, "choose one with --venue: toy, second" in ambiguous.err) == (2, True)
    assert [one["explanation"]["venue"] for one in chosen.document["venues"]] == ["toy"]
