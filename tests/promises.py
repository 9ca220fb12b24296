"""The table of promises and proofs, made from ``docs/faults.toml``, the tests' marks and the simulator's catalogue.

``python -m tests.promises`` prints it; ``make promises`` keeps it as ``docs/promises.md``.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from keeper.lab.simulator.faults import FAULTS

ROOT = Path(__file__).resolve().parents[1]
HEAD = """\
# Promises and their proofs

Made by `make promises` from [`faults.toml`](faults.toml), the `fault` marks of the tests and the catalogue of the
simulator (`keeper/lab/simulator/faults.py`). A test fails when this page is not what they say, or a case has no proof.

| case | what happens | what is promised | proved by |
|---|---|---|---|
"""
TESTS_SHOWN_MAX = 6


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One case: what happens, what is promised, and whether only a cluster can show it."""

    case: int
    fault: str
    promise: str
    needs: str = ""


def faults() -> list[Fault]:
    """Return the cases of ``docs/faults.toml``."""
    written = tomllib.loads((ROOT / "docs" / "faults.toml").read_text(encoding="utf-8"))
    return msgspec.convert(written["fault"], list[Fault])


def proofs() -> dict[int, list[str]]:
    """Return the ids of the tests that prove each case, sorted."""
    found: dict[int, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        everywhere = [case for node in tree.body if _is_module_mark(node) for case in _cases(node)]
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                marked = [case for mark in node.decorator_list for case in _cases(mark)]
                for case in [*everywhere, *marked]:
                    found[case].add(f"{path.relative_to(ROOT)}::{node.name}")
    return {case: sorted(ids) for case, ids in found.items()}


def _is_module_mark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"


def _cases(node: ast.AST) -> Iterator[int]:
    """Yield the cases of every ``pytest.mark.fault(...)`` in an expression, those of single parameters too."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.fault":
            yield from (value for argument in call.args if isinstance(value := _value(argument), int))


def _value(node: ast.expr) -> Any:  # noqa: ANN401 - a literal of any kind
    return node.value if isinstance(node, ast.Constant) else None


def simulated() -> dict[int, list[str]]:
    """Return the names of the simulator's faults that exercise each case, in the order of the catalogue."""
    found: dict[int, list[str]] = defaultdict(list)
    for fault in FAULTS:
        for case in fault.cases:
            found[case].append(fault.name)
    return found


def page() -> str:
    """Return the page."""
    tests, simulations = proofs(), simulated()
    rows = [_row(fault, tests.get(fault.case, []), simulations.get(fault.case, [])) for fault in faults()]
    return HEAD + "".join(f"{row}\n" for row in rows)


def _row(fault: Fault, tests: Sequence[str], simulations: Sequence[str]) -> str:
    proved = [f"simulator: {', '.join(simulations)}"] if simulations else []
    proved += [f"`{test.removeprefix('tests/')}`" for test in tests[:TESTS_SHOWN_MAX]]
    if len(tests) > TESTS_SHOWN_MAX:
        proved.append(f"and {len(tests) - TESTS_SHOWN_MAX} more")
    if fault.needs:
        proved.append(f"*needs a {fault.needs}: not part of this version*")
    return f"| {fault.case} | {fault.fault} | {fault.promise} | {'<br>'.join(proved)} |"


def unproved(tests: Mapping[int, Sequence[str]], simulations: Mapping[int, Sequence[str]]) -> list[str]:
    """Return the cases that nothing proves, and those that are proved and not listed."""
    listed = {fault.case: fault for fault in faults()}
    strangers = sorted((tests.keys() | simulations.keys()) - listed.keys())
    bare = [case for case, fault in listed.items() if not fault.needs and case not in tests and case not in simulations]
    return [*(f"case {case} has no proof" for case in bare), *(f"case {case} is not listed" for case in strangers)]


if __name__ == "__main__":
    sys.stdout.write(page())
