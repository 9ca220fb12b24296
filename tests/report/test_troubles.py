"""What went wrong around the decisions is in the postmortem while it lasts, not only once it is over."""

from __future__ import annotations

import msgspec
import pytest

from keeper.core.facts import BlockApplied, ProviderChanged
from tests.engine.history import CHAIN, CONFIG, History
from tests.engine.test_second_opinion import RISK, eth
from tests.engine.toy import ETH, GOLD, USD
from tests.report.incidents import incident
from tests.report.told import explained

NODE = "http://node"


def market() -> History:
    """Return a history that has one block."""
    history = History()
    history.market()
    return history


def told(history: History, kind: str, *, first: int = 1) -> list[tuple[str, str, int]]:
    """Return subject, detail and place of the troubles of a kind, as of a history's end."""
    found = [each for each in incident(history, first=first).troubles if each.kind == kind]
    return [(each.subject, each.detail, each.at.sequence) for each in found]


def test_a_silence_is_told_before_it_ends() -> None:
    """A window that ends while no head comes says for how long none has."""
    history = market()
    head = history.records[-1].sequence
    history.tick(60)
    within = told(history, "silence")
    history.tick(1)

    assert within == []
    detail = "no head for 61.0 s up to the end, more than the 60 s that are allowed"
    assert told(history, "silence") == [("local", detail, head)]


def test_an_outage_of_a_provider_is_told_with_its_length() -> None:
    """Down and up again is one trouble, at the record of the first."""
    history = market()
    history.step(ProviderChanged(CHAIN, NODE, up=False, reason="2 failures in a row"))
    down = len(history.records)
    history.tick(42)
    history.step(ProviderChanged(CHAIN, NODE, up=True, reason=""))

    assert told(history, "provider down") == [(NODE, "2 failures in a row, up again after 42.0 s", down)]
    assert told(history, "provider down", first=len(history.records)) == told(history, "provider down")


def test_an_outage_that_lasts_is_told() -> None:
    """A provider that is still down at the end, or until a new run, is told of."""
    history = market()
    history.step(ProviderChanged(CHAIN, NODE, up=False, reason="2 failures in a row"))
    down = len(history.records)
    lasting = told(history, "provider down")
    history.tick(5)
    history.start()

    assert lasting == [(NODE, "2 failures in a row, down to the end", down)]
    assert told(history, "provider down") == [(NODE, "2 failures in a row, until a new run after 5.0 s", down)]


def test_an_outage_before_the_window_is_not_told() -> None:
    """What was over before the window began is no trouble of it."""
    history = market()
    history.step(ProviderChanged(CHAIN, NODE, up=False, reason="2 failures in a row"))
    history.step(ProviderChanged(CHAIN, NODE, up=True, reason=""))
    history.tick()

    assert told(history, "provider down", first=len(history.records)) == []


def standing_still(seconds: int) -> History:
    """Return a history in which the price of ETH moves once, and a block comes so much later."""
    history = History(msgspec.structs.replace(CONFIG, risk=(RISK,)))
    history.market()
    history.block(eth(1_990))
    header = history.header(3)
    later = msgspec.structs.replace(header, timestamp=header.timestamp - 12 + seconds)
    history.step(BlockApplied(CHAIN, later, (), (), 0))
    return history


@pytest.mark.parametrize(("seconds", "stale"), [(90_000, False), (90_001, True)])
def test_a_price_that_stands_still_is_told(seconds: int, stale: bool) -> None:  # noqa: FBT001 - a table
    """A feed that spoke and says nothing new for longer than a day and an hour is a trouble; a fixed price is none."""
    history = standing_still(seconds)
    detail = [(f"toy 0x{ETH.hex()}", "nothing new for 25.0 h", history.records[-1].sequence)]

    assert told(history, "price stale") == (detail if stale else [])


@pytest.mark.parametrize(("seconds", "stale"), [(90_000, False), (90_001, True)])
def test_an_explanation_says_how_old_its_prices_are(seconds: int, stale: bool) -> None:  # noqa: FBT001 - a table
    """Each price stands with how long before the head it was told, and a suspect one is marked."""
    facts = {one.asset: one for one in explained(standing_still(seconds)).facts if one.role == "price"}

    assert (facts[ETH].age_seconds, facts[ETH].stale) == (seconds, stale)
    assert (facts[USD].age_seconds, facts[USD].stale) == (seconds + 12, False)


def test_a_price_that_is_not_believed_is_told() -> None:
    """A jump that waits for its confirmation, and a price that went missing, are troubles while they last."""
    history = History(msgspec.structs.replace(CONFIG, risk=(RISK,)))
    history.market()
    history.block(eth(1_200))
    history.block(eth(1_200))

    (deviated,) = told(history, "price deviated")
    assert deviated[0] == f"toy 0x{ETH.hex()}"
    assert "confirmed by 1 of 2 rounds" in deviated[1]
    assert [subject for subject, _, _ in told(history, "price missing")] == [f"toy 0x{GOLD.hex()}"]
