"""The real daemon on a real node while everything goes wrong; `make soak` runs a hundred of these."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.lab.chaos.run import run_chaos

SEEDS = range(1, 9)


@pytest.mark.chain
@pytest.mark.soak
@pytest.mark.fault(3, 4, 5, 6, 7, 8, 9, 13, 14, 28, 29, 30, 31, 44)
@pytest.mark.parametrize("seed", SEEDS)
async def test_chaos_leaves_nobody_and_does_nothing_twice(seed: int, tmp_path: Path) -> None:
    """Kills, reorgs with rivals, outages, lag and dear gas: the audit of journal and chain finds nothing."""
    outcome = await run_chaos(seed, tmp_path)

    assert outcome.violations == []
    assert outcome.slices > 0
    print(f"seed {seed}: {outcome.slices} slices, {dict(outcome.happened)}")  # noqa: T201 - what the run counted
