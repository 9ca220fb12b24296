"""Break one rule at a time in a copy of the sources, and see what notices: ``python -m tests.mutations [NAME ...]``.

Each mutation is shown to the simulator first and then to the fast tests; ``docs/mutations.md`` is written when all were
run. A mutation that nothing notices is printed and makes the exit code 1.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.mutations.catalogue import ROOT, Mutation, mutated, mutations

JOBS = 2
SEEDS = 40
SECONDS_MAX = 600
COPIED = ("keeper", "strategies", "tests", "config", "docs", "bench")
COPIED_FILES = ("pyproject.toml", "README.md", "CHANGELOG.md", "package.json", "package-lock.json", "requirements.txt")
LINKED = (".venv", "node_modules")
PAGE = ROOT / "docs" / "mutations.md"
HEAD = """\
# Rules broken on purpose

Made by `make mutations`: each rule is broken alone, in a copy of the sources, and shown to the simulator ({seeds}
seeds, all faults) and to the fast tests. What noticed first, of each, is named; a dash says that it did not notice.

| rule | how it was broken | the simulator says | the first test that fails |
|---|---|---|---|
"""
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_VIOLATION = re.compile(r"^seed \d+: .*$", re.MULTILINE)


class Caught(NamedTuple):
    """What noticed a mutation: the simulator's line, and a test's id; empty where nothing did."""

    mutation: Mutation
    simulator: str
    test: str


def main(names: list[str]) -> int:
    """Run the mutations of these names, or all of them and write the page."""
    chosen = [mutation for mutation in mutations() if not names or mutation.name in names]
    with ThreadPoolExecutor(JOBS) as pool:
        caught = list(pool.map(run, chosen))
    missed = [each.mutation.name for each in caught if not each.simulator and not each.test]
    if not names:
        PAGE.write_text(HEAD.format(seeds=SEEDS) + "".join(map(_row, caught)), encoding="utf-8")
    print(f"{len(caught) - len(missed)} of {len(caught)} caught; missed: {', '.join(missed) or 'none'}")  # noqa: T201 - its output
    return 1 if missed else 0


def run(mutation: Mutation) -> Caught:
    """Break one rule in a copy and ask the simulator and the tests."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = Path(folder)
        _copy(copy)
        (copy / mutation.file).write_text(mutated(mutation), encoding="utf-8")
        caught = Caught(mutation, _simulated(copy), _tested(copy, mutation))
    print(f"{mutation.name}: {caught.simulator or '-'} | {caught.test or '-'}", flush=True)  # noqa: T201 - its output
    return caught


def _copy(copy: Path) -> None:
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in COPIED_FILES:
        shutil.copy(ROOT / name, copy / name)
    for name in LINKED:
        (copy / name).symlink_to((ROOT / name).resolve())


def _simulated(copy: Path) -> str:
    """Return what the simulator's oracles say, empty when they are content."""
    done = _python(copy, "-m", "keeper.cli", "lab", "simulate", "--seeds", str(SEEDS))
    if done is None:
        return f"does not end within {SECONDS_MAX} s"
    if done.returncode == 0:
        return ""
    found = _VIOLATION.search(done.stderr)
    return found.group(0) if found else f"exit {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}"


def _tested(copy: Path, mutation: Mutation) -> str:
    """Return the first test that fails: of those named, then of the fast ones."""
    house = ("--deselect", "tests/mutations", "--ignore", "tests/test_house.py", "--ignore", "tests/test_promises.py")
    fast = ("-m", "not soak and not chain and not slow", *house)
    for arguments in ([mutation.tests] if mutation.tests else []) + [fast]:
        done = _python(copy, "-m", "pytest", "-x", "-q", "-p", "no:randomly", "--no-header", *arguments)
        if done is None:
            return f"no end within {SECONDS_MAX} s"
        found = _FAILED.search(done.stdout)
        if found:
            return found.group(1)
        if done.returncode not in (0, 5):
            return f"exit {done.returncode}"
    return ""


def _python(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str] | None:
    environment = {**os.environ, "PYTHONPATH": str(copy), "KEEPER_NODE_MODULES": str(copy / "node_modules")}
    try:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None


def _row(caught: Caught) -> str:
    mutation = caught.mutation
    test = f"`{caught.test.removeprefix('tests/')}`" if caught.test else "-"
    simulator = caught.simulator.replace("|", "/") or "-"
    return f"| {mutation.rule} | {mutation.name} | {simulator} | {test} |\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
