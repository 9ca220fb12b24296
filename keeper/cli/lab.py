"""``keeper lab simulate``: the seeded simulator of the shipped code, over many seeds."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from keeper import __version__
from keeper.cli.lab_chaos import command as chaos
from keeper.cli.options import JsonOption
from keeper.cli.terminal import emit, emit_json, emit_table, progress
from keeper.core.errors import NotHolding, UsageError

if TYPE_CHECKING:
    from keeper.lab.simulator.run import Outcome

app = typer.Typer(no_args_is_help=True, help="Laboratories that run the shipped code in made-up worlds.")


class Failure(msgspec.Struct, frozen=True):
    """A seed that broke a promise. ``command`` shows it again with this version."""

    seed: int
    oracle: str
    detail: str
    version: str
    command: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What many runs came to."""

    seeds: int
    first_seed: int
    blocks: int
    reverted: int
    reorgs: int
    lives: int
    crashes: int
    stops: int
    attempts: int
    slices: int
    records: int
    faults: dict[str, int]
    failures: tuple[Failure, ...]


@app.callback()
def _lab() -> None:
    """Laboratories that run the shipped code in made-up worlds."""


app.command("chaos", epilog="Example: keeper lab chaos --seeds 8 --jobs 3")(chaos)


@app.command(epilog="Example: keeper lab simulate --seeds 200 --jobs 2")
def simulate(
    *,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds to run.")],
    first_seed: Annotated[int, typer.Option(min=0, help="The first of them.")] = 0,
    faults: Annotated[str, typer.Option(help="Names of the faults a run may have, all, or none.")] = "all",
    jobs: Annotated[int, typer.Option(min=1, help="Processes to run them in.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Run seeds of the fault simulator; leave with 1 when any broke a promise."""
    names = _names(faults)
    outcomes = []
    with progress("simulating", seeds) as advance:
        for outcome in _outcomes(range(first_seed, first_seed + seeds), names, jobs):
            outcomes.append(outcome)
            advance(1)
            if outcome.violation is not None:
                print(f"seed {outcome.seed}: {outcome.violation.oracle}", file=sys.stderr)  # noqa: T201 - as it happens
    report = _report(outcomes, first_seed, faults)
    if as_json:
        emit_json(report)
    else:
        _show(report)
    if report.failures:
        raise NotHolding(f"{len(report.failures)} of {seeds} seeds", "broke a promise", "run one again as shown above")


def _names(faults: str) -> frozenset[str]:
    """Return the faults that were asked for.

    Raises:
        UsageError: there is none of that name.
    """
    from keeper.lab.simulator.faults import ALL, BY_NAME

    if faults in ("all", "none"):
        return ALL if faults == "all" else frozenset()
    names = frozenset(faults.split(","))
    unknown = sorted(names - BY_NAME.keys())
    if unknown:
        raise UsageError("--faults", f"knows no {', '.join(unknown)}", f"choose of {', '.join(sorted(BY_NAME))}")
    return names


def _outcomes(seeds: Sequence[int], names: frozenset[str], jobs: int) -> Iterator[Outcome]:
    """Run seeds, in their order; what breaks the simulator itself ends it, in whichever process that happens."""
    from concurrent.futures import ProcessPoolExecutor
    from functools import partial
    from multiprocessing import get_context

    run = partial(_run, names=names)
    if jobs == 1:
        _silence()
        yield from map(run, seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_silence) as pool:
        yield from pool.map(run, seeds, chunksize=4)


def _run(seed: int, names: frozenset[str]) -> Outcome:
    from keeper.lab.simulator.run import run_seed

    return run_seed(seed, names)


def _silence() -> None:
    """Let the shipped parts keep their warnings to themselves: a storm is full of them."""
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _report(outcomes: Sequence[Outcome], first_seed: int, faults: str) -> Report:
    struck: Counter[str] = Counter()
    for outcome in outcomes:
        struck.update(outcome.faults)
    return Report(
        seeds=len(outcomes),
        first_seed=first_seed,
        blocks=sum(each.blocks for each in outcomes),
        reverted=sum(each.reverted for each in outcomes),
        reorgs=sum(each.reorgs for each in outcomes),
        lives=sum(each.lives for each in outcomes),
        crashes=sum(each.crashes for each in outcomes),
        stops=sum(each.stops for each in outcomes),
        attempts=sum(each.attempts for each in outcomes),
        slices=sum(each.slices for each in outcomes),
        records=sum(each.records for each in outcomes),
        faults=dict(sorted(struck.items())),
        failures=tuple(_failures(outcomes, faults)),
    )


def _failures(outcomes: Sequence[Outcome], faults: str) -> Iterator[Failure]:
    for outcome in sorted(outcomes, key=lambda each: each.seed):
        if outcome.violation is not None:
            command = f"keeper lab simulate --seeds 1 --first-seed {outcome.seed} --faults {faults}"
            yield Failure(outcome.seed, *outcome.violation, __version__, command)


def _show(report: Report) -> None:
    names = ("seeds", "blocks", "reverted", "reorgs", "lives", "crashes", "stops", "attempts", "slices", "records")
    emit_table(("what", "count"), [(name, f"{getattr(report, name):,}") for name in names], right=("count",))
    emit_table(("fault", "struck"), [(name, f"{count:,}") for name, count in report.faults.items()], right=("struck",))
    for failure in report.failures:
        emit(f"seed {failure.seed} broke '{failure.oracle}' (version {failure.version}): {failure.detail}")
        emit(f"  again: {failure.command}")
