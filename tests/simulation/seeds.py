"""Runs seeds and says what they broke."""

from __future__ import annotations

from collections.abc import Iterable

from keeper.lab.simulator.faults import ALL
from keeper.lab.simulator.life import Parts
from keeper.lab.simulator.run import run_seed


def broken(seeds: Iterable[int], parts: Parts | None = None) -> list[str]:
    """Return a line for each seed that broke a promise."""
    outcomes = [run_seed(seed, ALL, parts=parts) for seed in seeds]
    return [f"seed {each.seed}: {each.violation}" for each in outcomes if each.violation is not None]


def first_broken(seeds: Iterable[int], parts: Parts) -> set[str]:
    """Return the oracles that a broken keeper set off, up to the first seed that did."""
    for seed in seeds:
        violation = run_seed(seed, ALL, parts=parts).violation
        if violation is not None:
            return {violation.oracle}
    return set()
