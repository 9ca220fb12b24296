"""``keeper stress inventory``: what the signer's holdings may lose, by whose prices, and which questions it refuses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest

from keeper.core.codec import Record
from keeper.core.ids import to_hex
from keeper.lab.stress.closes import daily_closes
from keeper.risk.passage import inventory_shortfall
from keeper.risk.tail import WINDOW_DAYS, fhs_scenarios
from tests.cli.conftest import Keeper
from tests.cli.history_file import JournalFile, write_history
from tests.engine.history import BLOCK_SECONDS, CHAIN, CONFIG, TOKEN, UNIT, History
from tests.engine.toy import ETH, EUR, GOLD, USD

BLOCKS = 130
HELD = 10**6
EVERY_BLOCK = ("--bar-seconds", str(BLOCK_SECONDS))


def quote(block: int) -> int:
    """Return the price of ETH at a block, USD 1e-8 for a base unit."""
    return round((2_000 + 20 * math.sin(block) + 7 * math.sin(block * block)) * UNIT / TOKEN)


@cache
def records(blocks: int) -> Sequence[Record]:
    """Return the records of a signer with a million of each token, while ETH is quoted anew at each block."""
    history = History()
    history.market()
    for block in range(1, blocks + 1):
        history.block(("price", ETH, quote(block)))
    return history.records


@pytest.fixture
def market(_toy_venue: None, tmp_path: Path) -> JournalFile:
    """130 blocks of quotes, and a snapshot at the end, which has forgotten them."""
    told = records(BLOCKS)
    return write_history(tmp_path / "journal.db", told, snapshots=[len(told)])


@pytest.fixture
def short(_toy_venue: None, tmp_path: Path) -> JournalFile:
    """Two blocks of quotes."""
    return write_history(tmp_path / "journal.db", records(2))


@pytest.mark.slow
def test_the_journals_own_prices_are_used_where_there_are_enough(keeper: Keeper, market: JournalFile) -> None:
    """130 returns of each block: the shortfall of ETH is that of their filtered history, and dollars lose nothing."""
    asked = ("stress", "inventory", "--journal", market.url, "--horizon", "900", *EVERY_BLOCK)
    document = keeper(*asked, "--json").document
    returns = np.diff(np.log([2_000 * UNIT / TOKEN, *(quote(block) for block in range(1, BLOCKS + 1))]))
    scenarios = fhs_scenarios(returns, window=BLOCKS)
    rows = {row["asset"]: row for row in document["holdings"]}
    value = HELD * quote(BLOCKS) * TOKEN / UNIT
    expected = inventory_shortfall(value, scenarios, 900, 0.99, BLOCK_SECONDS)

    assert (document["scenarios"], document["scenario_seconds"]) == (BLOCKS, BLOCK_SECONDS)
    assert document["source"] == f"the journal's prices, every {BLOCK_SECONDS} seconds"
    assert rows[to_hex(ETH)]["value_usd"] == pytest.approx(value)
    assert rows[to_hex(ETH)]["shortfall_usd"] == pytest.approx(expected, rel=1e-6)
    assert rows[to_hex(USD)]["shortfall_usd"] == 0
    assert document["shortfall_usd"] == pytest.approx(expected, rel=1e-6)
    assert rows[to_hex(GOLD)]["reason"] == "no venue of its chain has a price for it"


def test_daily_closes_stand_in_for_a_short_history(keeper: Keeper, short: JournalFile) -> None:
    """The journal is too short: tokens move as ether unless they are named otherwise."""
    coins = ("--coin", f"{to_hex(USD)}=usd", "--coin", f"{to_hex(EUR)}=usd")
    document = keeper("stress", "inventory", "--journal", short.url, *coins, "--json").document
    rows = {row["asset"]: row for row in document["holdings"]}
    returns = np.diff(np.log(daily_closes().eth))
    value = rows[to_hex(ETH)]["value_usd"]
    expected = inventory_shortfall(value, fhs_scenarios(returns, window=WINDOW_DAYS), 3_600, 0.99)

    assert document["source"].startswith("daily closes, since the journal has fewer than 100 returns of every 3600")
    assert (rows[to_hex(ETH)]["moves"], rows[to_hex(USD)]["shortfall_usd"]) == ("daily eth", 0)
    assert rows[to_hex(ETH)]["shortfall_usd"] == pytest.approx(expected, rel=1e-9)
    assert document["shortfall_usd"] == pytest.approx(expected, rel=1e-9)


def test_without_a_coin_a_token_moves_as_ether(keeper: Keeper, short: JournalFile) -> None:
    """Nothing is taken for a dollar that was not said to be one; another coin moves otherwise."""
    plain = keeper("stress", "inventory", "--journal", short.url, "--json").document
    other = keeper("stress", "inventory", "--journal", short.url, "--coin", f"{to_hex(USD)}=btc", "--json").document
    usd, as_btc = (next(row for row in each["holdings"] if row["asset"] == to_hex(USD)) for each in (plain, other))

    assert (usd["moves"], as_btc["moves"]) == ("daily eth", "daily btc")
    assert 0 < usd["shortfall_usd"] != as_btc["shortfall_usd"]


@pytest.mark.slow
def test_a_longer_horizon_may_lose_more(keeper: Keeper, market: JournalFile) -> None:
    """The joint shortfall grows with the time until the sale."""
    brief, long = (
        keeper("stress", "inventory", "--journal", market.url, "--horizon", seconds, *EVERY_BLOCK, "--json").document
        for seconds in ("60", "6000")
    )

    assert 0 < brief["shortfall_usd"] < long["shortfall_usd"]


@pytest.mark.slow
def test_the_past_can_be_asked(keeper: Keeper, market: JournalFile) -> None:
    """At an early block there were few returns, so daily closes stand in."""
    asked = ("stress", "inventory", "--journal", market.url, *EVERY_BLOCK, "--at", "block:20", "--json")

    assert keeper(*asked).document["source"].startswith("daily closes")


@pytest.mark.slow
def test_people_get_a_table(keeper: Keeper, market: JournalFile) -> None:
    """A line for each holding, one for all, and the question with the source of the returns."""
    lines = keeper("stress", "inventory", "--journal", market.url, *EVERY_BLOCK).out.splitlines()

    assert lines[0].split() == ["chain", "venue", "holding", "amount", "value", "shortfall", "moves", "by"]
    assert lines[1].split()[:3] == [str(CHAIN), "toy", to_hex(USD)]
    assert lines[5].split()[:3] == ["in", "all,", "jointly"]
    assert lines[-1] == "main within 3600 seconds at 0.99, by the journal's prices, every 12 seconds"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--signer", "other"), "--signer other: is not in the journal; it has: main"),
        (("--horizon", "0"), "--horizon: is 0"),
        (("--horizon", "nan"), "--horizon: is nan"),
        (("--level", "1"), "level: is 1"),
        (("--bar-seconds", "0"), "--bar-seconds: is 0"),
        (("--coin", "eth"), "give ADDRESS=COIN"),
        (("--coin", f"{to_hex(ETH)}=doge"), "give one of btc, eth, usd"),
        (("--at", "1"), "signer main: was not read at that place of the journal"),
    ],
)
def test_a_question_without_an_answer_is_one_line(
    keeper: Keeper, short: JournalFile, arguments: tuple[str, ...], reason: str
) -> None:
    """It is exit code 2, names what is wrong, and prints nothing."""
    outcome = keeper("stress", "inventory", "--journal", short.url, *arguments)

    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert reason in outcome.err


@pytest.mark.usefixtures("_toy_venue")
def test_one_of_several_signers_is_chosen(keeper: Keeper, tmp_path: Path) -> None:
    """With two signers one of them must be named."""
    second = msgspec.structs.replace(CONFIG.signers[0], name="second")
    history = History(msgspec.structs.replace(CONFIG, signers=(*CONFIG.signers, second)))
    history.market()
    journal = write_history(tmp_path / "two.db", history.records)
    outcome = keeper("stress", "inventory", "--journal", journal.url)

    assert (outcome.code, "choose one with --signer: main, second" in outcome.err) == (2, True)
    assert keeper("stress", "inventory", "--journal", journal.url, "--signer", "main").code == 0
