"""What the lock holds for the keeper, or for what is named: ``python -m tests.deploy.runtime_lock hatchling``.

Nothing is resolved again, so an image has the very versions and hashes that were tested.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==.*(?:\n    --hash.*)+", re.MULTILINE)


def keeper_needs() -> list[str]:
    """Return what ``pyproject.toml`` says that the keeper depends on."""
    needs: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    return needs


def closure(needs: Sequence[str]) -> set[str]:
    """Return the names of all that requirements need, by what the installed packages say of themselves."""
    found: set[tuple[str, str]] = set()
    waiting = [Requirement(each) for each in needs]
    while waiting:
        need = waiting.pop()
        for extra in ("", *need.extras):
            if (key := (canonicalize_name(need.name), extra)) not in found:
                found.add(key)
                further = [Requirement(each) for each in requires(need.name) or ()]
                waiting += [each for each in further if each.marker is None or each.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def locked(needs: Sequence[str]) -> str:
    """Return the part of the lock that requirements need, pins and hashes as they stand there."""
    names = closure(needs)
    pins = {match["name"]: match[0] for match in _PIN.finditer((ROOT / "requirements.txt").read_text(encoding="utf-8"))}
    return "# Made by `make lock` from requirements.txt.\n" + "".join(f"{pins[name]}\n" for name in sorted(names))


if __name__ == "__main__":
    sys.stdout.write(locked(sys.argv[1:] or keeper_needs()))
