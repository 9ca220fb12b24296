"""The rules that are broken on purpose can still be broken: the catalogue keeps up with the code."""

from __future__ import annotations

import ast

import pytest

from tests.mutations.catalogue import Mutation, mutated, mutations


@pytest.mark.parametrize("mutation", mutations(), ids=lambda mutation: mutation.name)
def test_a_mutation_applies(mutation: Mutation) -> None:
    """The text that it replaces is there once, and what comes out is a program."""
    ast.parse(mutated(mutation))


def test_there_are_enough_of_them() -> None:
    """A dozen rules at the least are broken, each under a name of its own."""
    names = [mutation.name for mutation in mutations()]

    assert len(names) >= 12
    assert len(set(names)) == len(names)
