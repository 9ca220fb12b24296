"""``keeper lab chaos``: the real daemon on a real node, with everything going wrong, audited at the end."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli.options import JsonOption
from keeper.cli.terminal import emit_json, emit_pairs
from keeper.core.errors import NotHolding

if TYPE_CHECKING:
    from keeper.lab.chaos.run import ChaosOutcome


def command(
    *,
    seeds: Annotated[int, typer.Option(min=1, help="How many scenarios to run.")] = 4,
    first_seed: Annotated[int, typer.Option(min=0, help="The seed of the first.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="How many run at once.")] = 2,
    out: Annotated[Path, typer.Option(help="Where a scenario that does not hold leaves its files.")] = Path(
        "chaos-out"
    ),
    as_json: JsonOption = False,
) -> None:
    """Kill, reorganise, cut off and overcharge the daemon in the demo's crash, then compare journal and chain."""
    from keeper.lab.chaos.run import run_many

    outcomes = asyncio.run(run_many(range(first_seed, first_seed + seeds), jobs, out, _say))
    if as_json:
        emit_json([{**asdict(outcome), "happened": dict(outcome.happened)} for outcome in outcomes])
    else:
        emit_pairs(_figures(outcomes))
    broken = [outcome for outcome in outcomes if outcome.violations]
    if broken:
        first = broken[0]
        reason = f"{first.violations[0]} (and {sum(len(one.violations) for one in broken) - 1} more)"
        again = f"keeper lab chaos --seeds 1 --first-seed {first.seed}; its files are in {out / f'seed-{first.seed}'}"
        raise NotHolding(f"seed {first.seed}", reason, again)


def _say(outcome: ChaosOutcome) -> None:
    result = "; ".join(outcome.violations) or "holds"
    print(f"· seed {outcome.seed}: {outcome.slices} slices, {result}", file=sys.stderr, flush=True)  # noqa: T201 - progress, not output


def _figures(outcomes: list[ChaosOutcome]) -> list[tuple[str, str]]:
    happened: Counter[str] = Counter()
    for outcome in outcomes:
        happened.update(outcome.happened)
    broken = sum(bool(outcome.violations) for outcome in outcomes)
    return [
        ("scenarios", f"{len(outcomes)}, of which {broken} do not hold"),
        (
            "slices",
            f"{sum(outcome.slices for outcome in outcomes)} of {sum(one.attempts for one in outcomes)} attempts",
        ),
        ("restarts", f"{sum(outcome.restarts for outcome in outcomes)} after a start without any provider"),
        *((what, str(count)) for what, count in sorted(happened.items()) if count),
    ]
