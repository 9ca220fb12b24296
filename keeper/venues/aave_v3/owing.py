"""The accounts' configuration bitmaps, and from them who owes anything, sorted, without sorting at every block."""

from __future__ import annotations

from bisect import bisect_left, insort

from keeper.core.ids import Address
from keeper.venues.aave_v3.state import BORROWING_BITS, State


class Owing:
    """Sets bits, and remembers the accounts with debt until it is told to forget them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._debtors: list[Address] | None = None

    def debtors(self) -> list[Address]:
        """Return the accounts with debt, sorted; not to be changed."""
        if self._debtors is None:
            rows = self._state.bitmaps.rows.items()
            self._debtors = sorted(Address(user) for user, bits in rows if bits & BORROWING_BITS)
        return self._debtors

    def forget(self) -> None:
        """Drop what is remembered, after rows changed by other ways than a log."""
        self._debtors = None

    def set_bit(self, user: Address, place: int, log_index: int, *, wanted: bool) -> None:
        """Set or clear a bit by a log of the current block."""
        old = self._state.bitmaps.get(user) or 0
        new = old | 1 << place if wanted else old & ~(1 << place)
        if new == old:
            return
        self._state.bitmaps.set(user, new or None)
        self._state.mark_epoch(user, log_index)
        self._sort_debtor(user, owed=bool(old & BORROWING_BITS), owes=bool(new & BORROWING_BITS))

    def _sort_debtor(self, user: Address, *, owed: bool, owes: bool) -> None:
        if self._debtors is None or owed == owes:
            return
        if owes:
            insort(self._debtors, user)
        else:
            del self._debtors[bisect_left(self._debtors, user)]
