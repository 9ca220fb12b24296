"""``keeper stress list``, ``run`` and ``compare``: the cascade laboratory, which asks what damps a spiral."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli.options import JsonOption
from keeper.cli.terminal import emit, emit_json, emit_pairs, emit_table, progress
from keeper.core.errors import UsageError

if TYPE_CHECKING:
    from keeper.lab.stress.compare import Comparison, Estimate
    from keeper.lab.stress.results import Trace

SHOWN = ("bad_debt_usd", "repaid_usd", "extra_drop", "withdrawn_stressed", "margin_locked", "under_water_hours")
"""The metrics of the terminal's tables; the report and the JSON hold them all."""


def list_command(*, as_json: JsonOption = False) -> None:
    """Show the scenarios and the policies that can be run."""
    from keeper.lab.stress.policies import POLICIES
    from keeper.lab.stress.scenarios import SCENARIOS

    if as_json:
        scenarios = [{"name": each.name, "story": each.story, "recorded": each.recorded} for each in SCENARIOS.values()]
        emit_json({"scenarios": scenarios, "policies": list(POLICIES.values())})
        return
    emit_table(("scenario", "what happens"), [(each.name, each.story) for each in SCENARIOS.values()])
    emit()
    emit_table(("policy", "what it does"), [(each.name, each.story) for each in POLICIES.values()])


def run_command(
    scenario: Annotated[str, typer.Argument(help="A name that keeper stress list shows.")],
    *,
    policy: Annotated[str, typer.Option(help="A name that keeper stress list shows.")] = "half",
    seed: Annotated[int, typer.Option(min=0, help="Of all chance.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Run one policy in one scenario by one seed."""
    from keeper.lab.stress.compare import METRICS
    from keeper.lab.stress.run import stress

    result = stress(scenario, policy, seed).result(scenario, seed)
    if as_json:
        emit_json(result)
        return
    figures = [
        (metric.title, f"{metric.scale * getattr(result, metric.name):,.2f} {metric.unit}") for metric in METRICS
    ]
    named = [("scenario", scenario), ("policy", policy), ("seed", str(seed))]
    counts = [
        ("our liquidations", f"{result.ours} of {result.admitted} intents admitted"),
        ("state", result.state_hash),
    ]
    emit_pairs([*named, *figures, *counts])


def compare_command(
    *,
    scenario: Annotated[
        list[str] | None, typer.Option(help="A scenario; may be given again. All recorded ones.")
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="A policy; may be given again. Most of them; `keeper stress list` shows all."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Processes to run in.")] = 2,
    out: Annotated[Path | None, typer.Option(help="Write a report to this HTML file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run policies in scenarios by the same seeds, and say what damps the spiral."""
    from keeper.lab.stress.answer import answer
    from keeper.lab.stress.compare import compared, done, tasks
    from keeper.lab.stress.policies import ON_REQUEST, POLICIES
    from keeper.lab.stress.policies import policy as known_policy
    from keeper.lab.stress.scenarios import CRASHES
    from keeper.lab.stress.scenarios import scenario as known_scenario

    scenarios = [known_scenario(name).name for name in dict.fromkeys(scenario or CRASHES)]
    usual = [name for name in POLICIES if name not in ON_REQUEST]
    policies = [known_policy(name).name for name in dict.fromkeys(policy or usual)]
    _check(out)
    chosen = tasks(scenarios, policies, seeds)
    outcomes = []
    with progress("running", len(chosen)) as advance:
        for outcome in done(chosen, jobs):
            outcomes.append(outcome)
            advance(1)
    comparison = compared([outcome.result for outcome in outcomes])
    traces = {(each.result.scenario, each.result.policy): each.trace for each in outcomes if each.trace is not None}
    if out is not None:
        _write(out, comparison, traces)
    if as_json:
        emit_json({"answer": answer(comparison), "comparison": comparison})
    else:
        _show(comparison, answer(comparison))


def _check(out: Path | None) -> None:
    """Check where the report is to go before anything runs.

    Raises:
        UsageError: there is no such directory.
    """
    if out is not None and not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out}", "is in no directory that there is", "make the directory first")


def _write(out: Path, comparison: Comparison, traces: dict[tuple[str, str], Trace]) -> None:
    from keeper.lab.stress.report import report

    try:
        out.write_text(report(comparison, traces), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out {out}", error.strerror or str(error), "choose another file") from error


def _show(comparison: Comparison, said: tuple[str, ...]) -> None:
    from keeper.lab.stress.compare import METRIC

    titles = [f"{METRIC[name].title}, {METRIC[name].unit}" for name in SHOWN]
    rows = [
        (cell.scenario, cell.policy, *(_interval(cell.figures[name]) for name in SHOWN), f"{cell.var95:.2f}")
        for cell in comparison.cells
    ]
    emit_table(("scenario", "policy", *titles, "VaR 95 %, M USD"), rows, right=(*titles, "VaR 95 %, M USD"))
    if comparison.contrasts:
        emit()
        emit_table(
            ("scenario", "policy less another", *titles),
            [
                (each.scenario, f"{each.policy} - {each.against}", *(_interval(each.figures[name]) for name in SHOWN))
                for each in comparison.contrasts
            ],
            right=titles,
        )
    for sentence in said:
        emit()
        emit(sentence)


def _interval(figure: Estimate) -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.mean:,.2f}"
    return f"{figure.mean:,.2f} [{figure.low:,.2f}, {figure.high:,.2f}]"
