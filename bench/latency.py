"""From a fact seen to a transaction broadcast, on a real node: the demo's crash, measured from its own journal.

The figures are medians in milliseconds over all slices that were included. ``seen to decided`` starts when the head is
first heard of and holds fetching, decoding and stepping; ``decided to sent`` the durable append, the simulation on
the node, signing, a second durable append and the node's answer. The block time stands beside them, because ``sent to
included`` is mostly that.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from keeper.lab.demo.run import DemoOptions, run_demo

SEEDS = (1, 2, 3)
OPTIONS = {"borrowers": 50, "steps": 30, "block_seconds": 0.25}


def run() -> dict[str, object]:
    """Run the crash once per seed and return the median of the stages' medians."""
    runs = [_run(seed) for seed in SEEDS]
    stages = {stage: sorted(each[stage] for each in runs)[len(runs) // 2] for stage in runs[0]}
    return {"seeds": list(SEEDS), **OPTIONS, "median_ms": stages, "runs_ms": runs}


def _run(seed: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        options = DemoOptions(folder=Path(folder), seed=seed, borrowers=50, steps=30, block_seconds=0.25)
        result = asyncio.run(run_demo(options, lambda _: None))
    return result.summary.stage_median_ms
