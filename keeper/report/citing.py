"""Which records a postmortem names: those that its sentences, its slices and its timeline rest on."""

from __future__ import annotations

from collections.abc import Iterator

from keeper.report.incident import Incident
from keeper.report.model import Moment

CITED_MAX = 5_000
"""A page with more records than these is a journal; the last ones are left out."""


def sequences_of(told: Incident) -> frozenset[int]:
    """Return the sequences of the records that are named, the first so many."""
    named = {sequence for chapter in told.narrative for each in chapter.sentences for sequence in each.sequences}
    named |= {at.sequence for at in _places(told)}
    return frozenset(sorted(named)[:CITED_MAX])


def _places(told: Incident) -> Iterator[Moment]:
    for each in told.timeline:
        yield each.at
    for one in told.liquidations:
        yield from (at for at in (one.at, one.admitted, one.final) if at is not None)
    for group in told.refusals:
        yield from (group.first, group.last)
    for ending in told.endings:
        yield ending.at
    for path in told.accounts:
        yield from (at for at in (path.called, path.breached) if at is not None)
