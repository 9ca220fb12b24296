"""The rules that are broken on purpose, one at a time: where, how, and what the broken keeper then does wrong."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = Path(__file__).with_name("mutations.toml")


class Mutation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule that is broken by replacing ``old``, which occurs once in ``file``, by ``new``.

    ``tests`` are asked before all others, because they are expected to notice; they may need a real node.
    """

    name: str
    rule: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = ()


def mutations() -> tuple[Mutation, ...]:
    """Return the catalogue."""
    written = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))
    return msgspec.convert(written["mutation"], tuple[Mutation, ...])


def mutated(mutation: Mutation, root: Path = ROOT) -> str:
    """Return the text of the file with the rule broken.

    Raises:
        ValueError: the text to replace is not there exactly once.
    """
    text = (root / mutation.file).read_text(encoding="utf-8")
    count = text.count(mutation.old)
    if count != 1:
        raise ValueError(f"{mutation.name}: the text to replace occurs {count} times in {mutation.file}, not once")
    return text.replace(mutation.old, mutation.new)
