"""Histories explained without a file: the past is looked up in the records themselves."""

from __future__ import annotations

from collections.abc import Callable

from keeper.core.ids import Address
from keeper.engine.replay import replay
from keeper.engine.step import Engine
from keeper.observe.lines import summary
from keeper.report.explaining import Past, explain
from keeper.report.model import Explanation
from keeper.report.trail import Trail
from tests.engine.history import ALICE, History, new_engine


def trail_of(history: History, account: Address = ALICE) -> Trail:
    """Return what concerns an account."""
    trail = Trail(account, summary)
    for record in history.records:
        trail.take(record)
    return trail


def explained(
    history: History, account: Address = ALICE, *, venue: str = "toy", opened: Callable[[], Engine] = new_engine
) -> Explanation:
    """Explain an account at the end of a history."""

    def engine_before(sequence: int) -> Engine:
        engine = opened()
        replay(history.records[: sequence - 1], engine)
        return engine

    past = Past(lambda sequence: history.records[sequence - 1], engine_before, opened)
    return explain(history.engine, trail_of(history, account), venue, past)
