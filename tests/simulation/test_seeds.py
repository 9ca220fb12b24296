"""The shipped keeper under every fault, over seeds."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from keeper.lab.simulator.faults import ALL, FAULTS
from keeper.lab.simulator.run import run_seed
from tests.simulation.seeds import broken

CASES = sorted({case for fault in FAULTS if fault.name in ALL for case in fault.cases})
FAILED = tomllib.loads((Path(__file__).parent / "failing_seeds.toml").read_text()).get("seed", [])
SHARDS, SEEDS = 8, 200


@pytest.mark.slow
@pytest.mark.fault(*CASES)
@pytest.mark.parametrize("seed", range(10))
def test_a_few_seeds_keep_every_promise(seed: int) -> None:
    """The first seeds break no promise."""
    assert broken([seed]) == []


@pytest.mark.soak
@pytest.mark.fault(*CASES)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_seeds_keep_every_promise(shard: int) -> None:
    """Two hundred seeds with every fault break no promise."""
    assert broken(range(shard, SEEDS, SHARDS)) == []


@pytest.mark.slow
def test_seeds_that_failed_once_keep_every_promise() -> None:
    """What a seed found stays found."""
    assert broken(each["number"] for each in FAILED) == []


@pytest.mark.slow
@pytest.mark.fault(44)
def test_a_seed_is_a_history() -> None:
    """The same seed gives the same records twice in a row, byte for byte."""
    assert run_seed(3) == run_seed(3)


@pytest.mark.slow
def test_a_calm_world_has_no_faults() -> None:
    """Without faults nothing strikes, and accounts are helped."""
    outcome = run_seed(1, ())

    assert (outcome.faults, outcome.violation, outcome.slices > 0) == ({}, None, True)
