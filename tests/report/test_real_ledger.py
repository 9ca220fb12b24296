"""The exact Aave ledger is explained as any other venue, and its state before a head can be tried again."""

from __future__ import annotations

import msgspec
import pytest

from keeper.core.codec import Record
from keeper.core.decisions import AnyDecision
from keeper.core.errors import invariant
from keeper.core.facts import AnyFact
from keeper.core.units import Wei
from keeper.engine.replay import replay
from keeper.engine.step import Engine
from keeper.observe.lines import summary
from keeper.report.explaining import Past, explain
from keeper.report.model import Explanation
from keeper.report.trail import Trail
from keeper.venues import open_ledger
from strategies import STRATEGIES
from tests.engine import test_real_ledger
from tests.engine.history import GWEI
from tests.venues.synthetic import ALICE


class Recording(Engine):
    """An engine that keeps what a journal would hold, in places of its own."""

    def step(self, fact: AnyFact, _: int) -> tuple[AnyDecision, ...]:
        """Step a fact behind all records so far."""
        records: list[Record] = self.__dict__.setdefault("records", [])
        place = len(records) + 1
        made = super().step(fact, place)
        records.append(Record(place, 0, 0, fact))
        records += [Record(place + 1 + number, 0, place, each) for number, each in enumerate(made)]
        return made


def opened() -> Engine:
    """Open an engine of all venues."""
    return Engine(open_ledger, STRATEGIES)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Explanation:
    """Explain ALICE after a breach at which gas was too dear."""
    limits = msgspec.structs.replace(test_real_ledger.CONFIG.limits, gas_price_wei_max=Wei(GWEI))
    monkeypatch.setattr(test_real_ledger, "CONFIG", msgspec.structs.replace(test_real_ledger.CONFIG, limits=limits))
    monkeypatch.setattr(test_real_ledger, "Engine", Recording)
    engine = test_real_ledger.breach().engine
    records: list[Record] = engine.__dict__["records"]
    invariant(records, "the chain", "recorded nothing")
    trail = Trail(ALICE, summary)
    for record in records:
        trail.take(record)

    def engine_before(sequence: int) -> Engine:
        before = opened()
        replay(records[: sequence - 1], before)
        return before

    return explain(engine, trail, "aave", Past(lambda sequence: records[sequence - 1], engine_before, opened))


def test_a_refusal_on_the_real_ledger_is_tried_again(told: Explanation) -> None:
    """An eighth above the base fee of one gwei is admitted, and one wei less is not."""
    assert told.counterfactual is not None

    assert [(one.setting, one.value, one.least) for one in told.counterfactual.changes] == [
        ("limits.gas_price_gwei_max", "1.125", True)
    ]
    assert (told.why_not.gate.rule, told.counterfactual.outcome) == ("gas_price_above_max", "admitted")


def test_the_position_stands_at_the_block_that_changed_it(told: Explanation) -> None:
    """ALICE borrowed in the second block, whatever prices did later."""
    first = told.margin.epoch.block_number

    assert [(one.role, one.block) for one in told.facts] == [("head", first + 1), ("position", first)]
