"""Many runs: every policy in every scenario by the same seeds, and what can be said of their differences.

All policies of a seed meet the same borrowers, prices, congestion and noise, so policies are compared seed by seed. An
interval is Student's, at 95 %, over seeds; a figure over several scenarios is first averaged over them within each
seed, so that its interval speaks of these scenarios, and not of crashes that were never recorded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import msgspec
import numpy as np
from scipy.special import stdtrit

from keeper.core.errors import UsageError
from keeper.lab.stress.paths import STEPS_PER_HOUR
from keeper.lab.stress.policies import BASELINE, CONTRASTS
from keeper.lab.stress.results import Result, Trace
from keeper.lab.stress.run import stress
from keeper.risk.inputs import history
from keeper.risk.tail import historical_var

CONFIDENCE = 0.95
FIRST_SEED = 1
ALL = "all"
"""The name of the average over the scenarios."""


class Metric(NamedTuple):
    """A figure of a run that policies are compared by."""

    name: str
    title: str
    unit: str
    scale: float
    """What the run's figure is multiplied by to be in the unit."""


METRICS = (
    Metric("bad_debt_usd", "bad debt", "M USD", 1e-6),
    Metric("insurance_usd", "paid by the fund", "M USD", 1e-6),
    Metric("repaid_usd", "repaid by force", "M USD", 1e-6),
    Metric("liquidations", "liquidations", "calls", 1.0),
    Metric("extra_drop", "extra price drop", "%", 100.0),
    Metric("depressed", "price kept below its path", "%", 100.0),
    Metric("withdrawn_stressed", "capacity withdrawn when the market moves most", "%", 100.0),
    Metric("withdrawn", "capacity withdrawn on average", "%", 100.0),
    Metric("margin_locked", "margin locked for each dollar owed", "%", 100.0),
    Metric("under_water_hours", "time under water", "account-hours", 1.0),
    Metric("profit_usd", "our keeper's profit", "M USD", 1e-6),
)
METRIC = {metric.name: metric for metric in METRICS}


class Estimate(msgspec.Struct, frozen=True):
    """A mean over seeds and its interval, in the metric's unit; the interval is missing with one seed."""

    mean: float
    low: float | None
    high: float | None

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


class Cell(msgspec.Struct, frozen=True):
    """A policy in a scenario (or on average over all), by metric."""

    scenario: str
    policy: str
    figures: dict[str, Estimate]
    var95: float
    """95 % value at risk: the percentile of bad debt over the runs, M USD."""
    var99: float
    lar95: float
    """95 % liquidations at risk: the percentile of what is repaid by force, M USD."""
    lar99: float


class Contrast(msgspec.Struct, frozen=True):
    """What a policy changes against another, seed by seed, by metric."""

    scenario: str
    policy: str
    against: str
    figures: dict[str, Estimate]


class Comparison(msgspec.Struct, frozen=True):
    """Everything that was compared."""

    scenarios: tuple[str, ...]
    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    contrasts: tuple[Contrast, ...]
    results: tuple[Result, ...]

    def cell(self, scenario: str, policy: str) -> Cell:
        """Return a policy's figures in a scenario, or on average (:data:`ALL`)."""
        return next(cell for cell in self.cells if (cell.scenario, cell.policy) == (scenario, policy))

    def contrast(self, policy: str, against: str, scenario: str = ALL) -> Contrast | None:
        """Return a contrast, ``None`` where the two were not set against each other."""
        key = (scenario, policy, against)
        found = (each for each in self.contrasts if (each.scenario, each.policy, each.against) == key)
        return next(found, None)


class Task(NamedTuple):
    """One run to do."""

    scenario: str
    policy: str
    seed: int
    traced: bool


class Done(NamedTuple):
    """One run that was done, and by hour if that was asked for."""

    result: Result
    trace: Trace | None


def tasks(scenarios: Sequence[str], policies: Sequence[str], seeds: int) -> list[Task]:
    """Return the runs of a comparison; the first seed is traced.

    Raises:
        UsageError: there is no scenario, policy or seed.
    """
    if seeds < 1 or not scenarios or not policies:
        raise UsageError("comparison", "has nothing to run", "give at least one scenario, policy and seed")
    every = range(FIRST_SEED, FIRST_SEED + seeds)
    return [
        Task(name, policy, seed, traced=seed == FIRST_SEED)
        for name in scenarios
        for policy in policies
        for seed in every
    ]


def do(task: Task) -> Done:
    """Do one run."""
    run = stress(task.scenario, task.policy, task.seed)
    trace = run.samples.trace(STEPS_PER_HOUR) if task.traced else None
    return Done(run.result(task.scenario, task.seed), trace)


def done(chosen: Sequence[Task], jobs: int) -> Iterator[Done]:
    """Do runs in so many processes; yield them in their order."""
    if jobs == 1:
        yield from map(do, chosen)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(do, chosen, chunksize=2)


def compared(results: Sequence[Result]) -> Comparison:
    """Return what runs say; each policy must have been run in each scenario by each seed.

    Raises:
        UsageError: a run is missing.
    """
    scenarios = tuple(dict.fromkeys(each.scenario for each in results))
    policies = tuple(dict.fromkeys(each.policy for each in results))
    seeds = tuple(sorted({each.seed for each in results}))
    table = {(each.scenario, each.policy, each.seed): each for each in results}
    if len(table) != len(scenarios) * len(policies) * len(seeds):
        raise UsageError("comparison", "lacks a run", "run every policy in every scenario by every seed")
    places = (*scenarios, ALL)

    def values(place: str, policy: str, metric: Metric) -> list[float]:
        """Return the figure by seed, averaged over the scenarios of a place."""
        within = scenarios if place == ALL else (place,)
        runs = ([table[name, policy, seed] for name in within] for seed in seeds)
        return [metric.scale * math.fsum(getattr(run, metric.name) for run in each) / len(within) for each in runs]

    cells = [
        _cell(place, policy, {metric.name: estimate(values(place, policy, metric)) for metric in METRICS}, results)
        for place in places
        for policy in policies
    ]
    contrasts = [
        Contrast(
            place,
            policy,
            against,
            {
                metric.name: estimate(np.subtract(values(place, policy, metric), values(place, against, metric)))
                for metric in METRICS
            },
        )
        for place in places
        for policy, against in CONTRASTS
        if policy in policies and against in policies
    ]
    return Comparison(scenarios, policies, seeds, tuple(cells), tuple(contrasts), tuple(results))


def _cell(place: str, policy: str, figures: dict[str, Estimate], results: Sequence[Result]) -> Cell:
    runs = [each for each in results if each.policy == policy and place in (ALL, each.scenario)]
    debts, forced = [each.bad_debt_usd / 1e6 for each in runs], [each.repaid_usd / 1e6 for each in runs]
    var95, var99 = (historical_var(debts, level) for level in (0.95, 0.99))
    lar95, lar99 = (historical_var(forced, level) for level in (0.95, 0.99))
    return Cell(place, policy, figures, var95, var99, lar95, lar99)


def estimate(values: Sequence[float] | np.typing.NDArray[np.float64]) -> Estimate:
    """Return a mean with Student's interval at :data:`CONFIDENCE`: ``mean ± t·s/sqrt(n)``.

    Raises:
        RiskInputError: there is no value, or one is not finite.
    """
    series = history("values", values, shortest=1)
    mean, count = float(np.mean(series)), len(series)
    if count == 1:
        return Estimate(mean, None, None)
    reach = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * float(np.std(series, ddof=1)) / math.sqrt(count)
    return Estimate(mean, mean - reach, mean + reach)


def baseline(comparison: Comparison) -> str:
    """Return the policy that others are set against: the baseline where it was run, else the first."""
    return BASELINE if BASELINE in comparison.policies else comparison.policies[0]
