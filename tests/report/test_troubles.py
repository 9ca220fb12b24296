"""What went wrong around the decisions is in the postmortem while it lasts, not only once it is over."""

from __future__ import annotations

from keeper.core.facts import ProviderChanged
from tests.engine.history import CHAIN, History
from tests.report.incidents import incident

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
