"""Finding an intent by the beginning of its id, and what is nearest to an id that is not there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from keeper.core.codec import Record
from keeper.core.decisions import Intent, IntentAdmitted
from keeper.core.errors import UsageError
from keeper.core.ids import to_hex

PREFIX_DIGITS_MIN = 8
"""Fewer digits of an id would name many intents of a long journal."""
ID_DIGITS = 64
NEAREST_SHOWN = 3


class Admissions(NamedTuple):
    """The intents whose ids begin as asked, and the ids of all intents, sorted."""

    found: tuple[Intent, ...]
    ids: tuple[str, ...]

    def one(self, prefix: str, until: int) -> Intent:
        """Return the only intent.

        Raises:
            UsageError: there is none, or more than one.
        """
        if len(self.found) == 1:
            return self.found[0]
        if self.found:
            remedy = f"give more digits: {', '.join(to_hex(each.intent_id) for each in self.found[:NEAREST_SHOWN])}"
            raise UsageError(f"intent {prefix}", f"names {len(self.found)} intents", remedy)
        raise UsageError(
            f"intent {prefix}", f"is not in the journal up to sequence {until}", _remedy(prefix, self.ids, "intents")
        )


def admissions(records: Iterable[Record], prefix: str) -> Admissions:
    """Read the admissions of a journal.

    Args:
        records: In order.
        prefix: ``0x`` and the first digits of an id, in lower case.
    """
    found: dict[str, Intent] = {}
    ids: set[str] = set()
    for record in records:
        if isinstance(record.body, IntentAdmitted):
            intent_id = to_hex(record.body.intent.intent_id)
            ids.add(intent_id)
            if intent_id.startswith(prefix):
                found[intent_id] = record.body.intent
    return Admissions(tuple(found[each] for each in sorted(found)), tuple(sorted(ids)))


def unknown_account(account: str, until: int, known: Sequence[str]) -> UsageError:
    """Return the error about an account of which nothing is known.

    Args:
        account: Whose.
        until: Up to where the journal was read.
        known: The accounts that there are, sorted.
    """
    reason = f"has no position and no record up to sequence {until}"
    return UsageError(f"account {account}", reason, _remedy(account, known, "accounts"))


def nearest(wanted: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return the few of some sorted ids that begin most like another."""
    place = bisect_left(known, wanted)
    around = known[max(0, place - NEAREST_SHOWN) : place + NEAREST_SHOWN]
    return tuple(sorted(around, key=lambda each: -_shared(wanted, each))[:NEAREST_SHOWN])


def _shared(one: str, other: str) -> int:
    """Return how many digits two ids begin with alike."""
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))


def _remedy(wanted: str, known: Sequence[str], what: str) -> str:
    close = nearest(wanted, known)
    return f"the nearest {what} there: {', '.join(close)}" if close else f"the journal has no {what} there"
