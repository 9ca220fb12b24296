"""SIGHUP on the running daemon: what may change is in force and in the journal, anything else changes nothing."""

from __future__ import annotations

import re
import signal
from http import HTTPStatus
from pathlib import Path

import pytest

from keeper.core.decisions import IntentAdmitted, ProposalRefused
from keeper.core.facts import RunStarted, SettingsReloaded
from tests.app.keeper_process import KeeperProcess, started
from tests.app.looks import liquidated, of, refused
from tests.app.market import Market
from tests.chain.journals import read_journal, replayed

pytestmark = [pytest.mark.chain, pytest.mark.slow]

TOO_MUCH = ("profit_usd_min = -100", "profit_usd_min = 1_000_000")
REFUSED = {
    ("[limits]", "[limits"): r".*keeper\.toml: is not valid TOML: .+; see config/keeper\.toml for an example, .+",
    ("profit_usd_min = -100", 'profit_usd_min = "a lot"'): r'.*keeper\.toml: limits\.profit_usd_min = "a lot": .+; .+',
    ("profit_usd_min = -100", "profit_min = -100"): r".*keeper\.toml: limits\.profit_min: unknown key; .+",
    ("/journal.db", "/other.db"): r"journal\.url: cannot change while the keeper runs, so nothing was applied; .+",
    ("chain_id = 31337", "chain_id = 31338"): r"chains\.local\.chain_id: cannot change while the keeper runs, .+; .+",
    ('mode = "live"', 'mode = "dry-run"'): r"mode: cannot change while the keeper runs, so nothing was applied; .+",
}
"""What is written into the file, and the reason on the line that refuses it."""


def write(path: Path, text: str, old: str, new: str) -> None:
    """Write the configuration with one thing changed."""
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


async def refusal(keeper: KeeperProcess, place: int) -> str:
    """Ask the keeper to read its file again, and return the reason on the line that refuses it."""

    def reasons() -> list[str]:
        return [event["reason"] for event in keeper.events if event["event"] == "not reloaded"]

    async def said() -> bool:
        return len(reasons()) > place

    keeper.signal(signal.SIGHUP)
    await keeper.until(said)
    return reasons()[place]


async def test_a_changed_limit_is_in_force_and_journalled(market: Market) -> None:
    """A slice that the old limit refuses is admitted after SIGHUP, and the new limit's record stands between them."""
    market.changes.append(TOO_MUCH)
    async with started(market.keeper("--live")) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        await market.mine()
        await market.crash()
        await keeper.until_status(refused)
        market.changes.clear()
        (market.folder / "keeper.toml").write_text(market.configuration(), encoding="utf-8")
        keeper.signal(signal.SIGHUP)
        reloaded = await keeper.until_logged("reloaded")
        await market.mine()
        await keeper.until_status(liquidated)
        assert await market.left_by(keeper) == 0

    records = read_journal(market.journal)
    (change,) = of(records, SettingsReloaded)
    at = next(place for place, record in enumerate(records) if record.body == change)
    slices = [admitted for admitted in of(records[at:], IntentAdmitted) if admitted.intent.kind == "liquidation"]
    assert reloaded["changed"] == "limits.profit_usd_min"
    assert change.config != of(records, RunStarted)[0].config
    assert {refusal.reason for refusal in of(records[:at], ProposalRefused)} == {"profit_below_min"}
    assert [one for one in of(records[:at], IntentAdmitted) if one.intent.kind == "liquidation"] == []
    assert slices != []
    assert replayed(market.journal).divergence is None


async def test_a_file_that_cannot_be_taken_changes_nothing(market: Market) -> None:
    """A wrong file, one that is gone and one that changes what is fixed are each one line, and the old one stays."""
    async with started(market.keeper("--live")) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        file = market.folder / "keeper.toml"
        text = file.read_text(encoding="utf-8")
        reasons = []
        for place, (old, new) in enumerate(REFUSED):
            write(file, text.replace("in_flight_max = 16", "in_flight_max = 1"), old, new)
            reasons.append(await refusal(keeper, place))
        file.unlink()
        gone = await refusal(keeper, len(REFUSED))
        file.write_text(text, encoding="utf-8")
        keeper.signal(signal.SIGHUP)
        unchanged = (await keeper.until_logged("reloaded"))["changed"]
        assert await keeper.leave() == 0

    records = read_journal(market.journal)
    (change,) = of(records, SettingsReloaded)
    wrong = [
        (reason, pattern)
        for reason, pattern in zip(reasons, REFUSED.values(), strict=True)
        if not re.fullmatch(pattern, reason)
    ]
    assert wrong == []
    assert re.fullmatch(r".*keeper\.toml: No such file or directory; .+", gone)
    assert (unchanged, change.config) == ("nothing", of(records, RunStarted)[0].config)
    assert keeper.errors == []
