"""How often an account was tried in vain, by cause, since anybody last succeeded with it.

The count bounds retries (a simulator that is wrong once is wrong again), and makes the id of the next try differ from
the last one's although the situation is the same. A liquidation by anybody changes the situation and clears it.

The bound is for one breach. A price that bounces, or a reorg that takes its fall back, makes a try fail that was right
when it was decided; such failures must not add up until a deep breach finds the budget spent. So a new breach starts
with a new budget, while the total, and with it the ids, goes on.
"""

from __future__ import annotations

import msgspec

from keeper.core.ids import Address
from keeper.engine.intents import Failure, Subject


class Tries(msgspec.Struct):
    """Failures of one subject: in this breach by cause; ``other`` are those of other causes and of earlier breaches."""

    venue: str
    account: Address
    reverted: int = 0
    preflight: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        """Failures of all causes."""
        return self.reverted + self.preflight + self.other

    def add(self, failure: Failure, count: int) -> None:
        """Add failures of a cause, or take some back; never below zero."""
        setattr(self, failure.value, max(0, getattr(self, failure.value) + count))

    def renew(self) -> None:
        """Count none of the causes any more; the total stays."""
        self.reverted, self.preflight, self.other = 0, 0, self.total


class TriesBySubject:
    """The failures of every subject that has any."""

    def __init__(self, entries: list[Tries] | None = None) -> None:
        self._by_subject = {(entry.venue, entry.account): entry for entry in entries or []}

    def of(self, subject: Subject) -> Tries:
        """Return the failures of a subject, zero when there are none."""
        return self._by_subject.get(subject) or Tries(*subject)

    def replace(self, subject: Subject, before: Failure | None, after: Failure | None) -> None:
        """Count that an intent which had failed as ``before`` has now failed as ``after``."""
        if before is after:
            return
        tries = self._by_subject.setdefault(subject, Tries(*subject))
        if before is not None:
            tries.add(before, -1)
        if after is not None:
            tries.add(after, 1)
        if not tries.total:
            self.forgive(subject)

    def renew(self, subject: Subject) -> None:
        """Begin a new breach: what failed in earlier ones says nothing of this one."""
        self.of(subject).renew()

    def forgive(self, subject: Subject) -> None:
        """Start again: somebody succeeded, or nothing is left to count."""
        self._by_subject.pop(subject, None)

    def entries(self) -> list[Tries]:
        """Return all, sorted by subject."""
        return [self._by_subject[subject] for subject in sorted(self._by_subject)]
