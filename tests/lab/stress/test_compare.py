"""Comparisons: intervals, pairs, percentiles, and the words that are made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from keeper.core.errors import RiskInputError, UsageError
from keeper.lab.stress.answer import LIMITS, answer
from keeper.lab.stress.compare import ALL, Comparison, compared, done, estimate, tasks
from keeper.lab.stress.report import report
from keeper.lab.stress.results import Result, Trace

NOTHING = Result(
    scenario="",
    policy="",
    seed=0,
    liquidations=0,
    ours=0,
    repaid_usd=0.0,
    bad_debt_usd=0.0,
    insurance_usd=0.0,
    socialised_usd=0.0,
    extra_drop=0.0,
    depressed=0.0,
    drop=0.0,
    margin_locked=0.0,
    withdrawn=0.0,
    withdrawn_stressed=0.0,
    under_water_hours=0.0,
    profit_usd=0.0,
    defended_usd=0.0,
    owed_start_usd=0.0,
    owed_end_usd=0.0,
    admitted=0,
    outbid=0,
    state_hash="",
)
TRACE = Trace([0.0, 1.0], [2000.0, 1900.0], [2000.0, 1850.0], [0.175, 0.2], [0.0, 1e6], [0, 3])


def results(drops: dict[str, Sequence[float]], scenario: str = "2020-03") -> list[Result]:
    """Return runs whose extra drops are given by policy and seed."""
    return [
        msgspec.structs.replace(NOTHING, scenario=scenario, policy=policy, seed=seed, extra_drop=drop)
        for policy, each in drops.items()
        for seed, drop in enumerate(each, 1)
    ]


def test_an_interval_is_students() -> None:
    """One, two, three, four: a mean of 2.5, and 3.1824 times the standard error to each side."""
    found = estimate([1.0, 2.0, 3.0, 4.0])
    reach = 3.182446305284263 * math.sqrt(5 / 3) / 2
    assert found.mean == 2.5
    assert [found.low, found.high] == pytest.approx([2.5 - reach, 2.5 + reach])


def test_one_seed_has_no_interval() -> None:
    """A single run says nothing of how runs differ."""
    found = estimate([1.0])
    assert (found.mean, found.low, found.high, found.is_clear) == (1.0, None, None, False)


def test_a_figure_that_is_none_is_refused() -> None:
    """A run whose figure is not a number is not averaged away."""
    with pytest.raises(RiskInputError, match="values"):
        estimate([1.0, math.nan])


def test_policies_are_paired_by_seed() -> None:
    """Seeds that differ much hide nothing: the same change in each has an interval of no width."""
    comparison = compared(results({"half": (0.1, 0.5, 0.9), "scaled": (0.12, 0.52, 0.92)}))
    change = comparison.contrast("scaled", "half")
    assert change is not None
    assert change.figures["extra_drop"].mean == pytest.approx(2.0)
    assert change.figures["extra_drop"].high == pytest.approx(2.0)
    assert comparison.contrast("slices", "half") is None


def test_scenarios_are_averaged_within_a_seed() -> None:
    """Over two scenarios that answer oppositely, each seed's average is the same, and so certain."""
    runs = results({"half": (0.1, 0.3)}, "2020-03") + results({"half": (0.3, 0.1)}, "2021-05")
    figure = compared(runs).cell(ALL, "half").figures["extra_drop"]
    assert [figure.mean, figure.low, figure.high] == pytest.approx([20.0, 20.0, 20.0])


def test_a_run_that_is_missing_is_named() -> None:
    """What was not run everywhere is not compared."""
    with pytest.raises(UsageError, match="lacks a run"):
        compared(results({"half": (0.1, 0.2), "scaled": (0.1,)}))
    with pytest.raises(UsageError, match="nothing to run"):
        tasks([], ["half"], 1)


def worded(scaled: Sequence[float], slices: Sequence[float]) -> str:
    """Return the answer for three policies whose extra drops are given; the baseline's is 20 %."""
    return "\n".join(answer(compared(results({"half": (0.2, 0.2), "scaled": scaled, "slices": slices}))))


def test_the_answer_follows_the_numbers() -> None:
    """What is clearly less is called the best, what is clearly more deeper, and what is unclear neither."""
    assert "'slices' most" in worded((0.25, 0.251), (0.10, 0.101))
    assert "deeper under 'scaled' (5.05 points" in worded((0.25, 0.251), (0.10, 0.101))
    assert "None set against 'half'" in worded((0.25, 0.251), (0.1, 0.4))
    assert "deeper" not in worded((0.1, 0.4), (0.1, 0.4))


def test_the_report_holds_everything_itself() -> None:
    """The page has its library, its charts, the answer, the limits, and names escaped."""
    comparison: Comparison = compared(results({"half": (0.2, 0.2), "scaled": (0.25, 0.26)}))
    page = report(comparison, {("2020-03", "half"): TRACE, ("2020-03", "scaled"): TRACE})
    assert "plotly.js v" in page
    assert page.count('class="plotly-graph-div"') == 7
    assert "&#39;scaled&#39; takes" in page
    assert all(limit.replace("'", "&#39;") in page for limit in LIMITS)
    assert "<script src" not in page


@pytest.mark.slow
def test_two_processes_say_what_one_does() -> None:
    """How many processes run it changes no byte of any result."""
    chosen = tasks(["2025-10"], ["half", "slices"], 1)
    alone, together = ([each.result for each in done(chosen, jobs)] for jobs in (1, 2))
    assert msgspec.json.encode(alone) == msgspec.json.encode(together)


@pytest.mark.slow
def test_only_the_first_seed_is_traced() -> None:
    """Charts are of the first seed, by the hour, and begin where nothing is sold yet."""
    first, second = done(tasks(["2025-10"], ["half"], 2), 1)
    assert second.trace is None
    assert first.trace is not None
    assert first.trace.market_usd[0] == first.trace.undisturbed_usd[0]
    assert bool(np.all(np.diff(first.trace.repaid_usd) >= 0))
