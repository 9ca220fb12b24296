"""What if over simulated histories: crashes, reorgs, repairs and foreign nonces, under settings they did not have."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.core.codec import Record
from keeper.engine.step import Engine
from keeper.engine.what_if import what_if
from keeper.lab.simulator.ledger import SimulatedLedger
from keeper.lab.simulator.run import journal_of
from strategies import STRATEGIES
from tests.engine.other_settings import other_settings

SEEDS = range(6)


@cache
def told(seed: int) -> list[Record]:
    """Return the records of a seed."""
    records = journal_of(seed)
    assert records
    return records


def new_engine() -> Engine:
    """Return an engine of the simulated venue."""
    return Engine(SimulatedLedger, STRATEGIES)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_change_a_simulated_history_does_not_differ(seed: int) -> None:
    """Under its own configuration every decision of a seed is as recorded, and no fact is left out."""
    found = what_if(told(seed), new_engine(), lambda fact, _: fact.config)

    assert (found.compared.differences, found.skipped, found.expired) == ((), {}, 0)


@pytest.mark.slow
@given(seed=st.sampled_from(SEEDS), change=other_settings())
@settings(max_examples=40)
def test_no_change_breaks_a_simulated_history(seed: int, change: Any) -> None:  # noqa: ANN401 - a change of configurations
    """Under any bounds and models a seed is told to its end; nonces that its own run used are no stranger's."""
    found = what_if(told(seed), new_engine(), lambda fact, _: change(fact.config))

    assert found.last_sequence == len(told(seed))
    assert found.compared.kinds.get("SignerHalted") is None or found.compared.kinds["SignerHalted"].only_changed == 0
