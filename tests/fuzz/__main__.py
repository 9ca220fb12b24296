"""``FUZZ_SECONDS=60 python -m tests.fuzz [NAME ...]``: every harness for its share of the time, with fresh seeds."""

from __future__ import annotations

import os
import secrets
import sys
from time import monotonic

from hypothesis import HealthCheck, given, seed, settings

from tests.fuzz.harnesses import HARNESSES, Harness
from tests.fuzz.mutation import inputs

ROUND = 500
"""Inputs between two looks at the clock."""


def fuzz(name: str, harness: Harness, seconds: float) -> int:
    """Run a harness for some seconds, at least one round; return how many inputs it had."""
    ends, count = monotonic() + seconds, 0
    while True:
        number = secrets.randbits(32)

        @seed(number)
        @settings(
            max_examples=ROUND, derandomize=False, database=None, deadline=None, suppress_health_check=list(HealthCheck)
        )
        @given(inputs(harness.samples))
        def one_round(raw: bytes) -> None:
            harness.run(raw)

        try:
            one_round()
        except BaseException:
            print(f"{name}, seed {number}: pin these bytes in FOUND of tests/fuzz/{name}.py", file=sys.stderr)  # noqa: T201 - for people
            raise
        count += ROUND
        if monotonic() > ends:
            return count


def main(names: list[str]) -> None:
    """Run the named harnesses, or all."""
    chosen = names or list(HARNESSES)
    seconds = float(os.environ.get("FUZZ_SECONDS", "60")) / len(chosen)
    for name in chosen:
        print(f"{name}: {fuzz(name, HARNESSES[name], seconds)} inputs, errors of ours only", flush=True)  # noqa: T201 - for people


if __name__ == "__main__":
    main(sys.argv[1:])
