"""The accounts' configuration bitmaps, and from them who owes anything, sorted, without sorting at every block."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter

from keeper.core.ids import ADDRESS_LENGTH, Address
from keeper.core.units import BaseAmount
from keeper.venues.aave_v3.market import Market, Unknown, stable_balance
from keeper.venues.aave_v3.state import BORROWING_BITS, State

EVERYONE = b""


class Owing:
    """Sets bits, and remembers the accounts with debt until it is told to forget them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._debtors: list[Address] | None = None
        self._count = state.bitmaps.tally(lambda _, bits: (EVERYONE, int(bool(bits & BORROWING_BITS))))
        self._scaled = state.scaled.tally(lambda key, scaled: (key[:ADDRESS_LENGTH], scaled))

    @property
    def count(self) -> int:
        """How many accounts have debt, kept up at each change."""
        return self._count.of(EVERYONE)

    def owes(self, account: Address) -> bool:
        """Tell whether an account has debt."""
        return bool((self._state.bitmaps.get(account) or 0) & BORROWING_BITS)

    def debt_base(self, market: Market) -> BaseAmount:
        """Return all debt that has a price: variable debt as it is kept up, stable debts added up now."""
        owed: Counter[bytes] = Counter()
        for key, row in self._state.stable.rows.items():
            owed[key[:ADDRESS_LENGTH]] += stable_balance(market, row.principal, row.rate, row.since)
        total = 0
        for reserve in market.reserves.values():
            if not isinstance(reserve.price, Unknown):
                scaled = self._scaled.of(reserve.variable_token)
                whole = market.rules.owed.balance(scaled, reserve.debt_index) + owed[reserve.stable_token]
                total += reserve.price * whole // reserve.unit
        return BaseAmount(total)

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
