"""A venue's accounts in the distance index: ids for addresses, numbers for factors, and who changed since.

It proposes suspects and decides nothing: what it proposes may hang on its own past (when it was built, what came in
between), who is missing may not, and the exact figures of the suspects decide.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Generic, TypeVar

import numpy as np

from keeper.core.ids import Address
from keeper.margin.distance import DistanceIndex
from keeper.margin.forms import CASH, FLOAT_BAND, Floats, Form, Places, Rows

Factor = TypeVar("Factor", bound=Hashable)
LEAST_PRICE, GREATEST_PRICE = 1e-300, 1e100
"""Prices that a sum of 256-bit balances bears: the least counts for nothing, beyond the greatest nobody is screened."""
PLACEHOLDER = 1.0
"""The price of a factor that has none yet: who holds it is a suspect without any screen."""
ANEW_SHARE = 10
"""One of so many accounts may change between two looks; beyond that everything is built anew."""
ANEW_MIN = 64
GROWTH_MAX = 2
"""How many times as many accounts as it was built with it may be told of."""


class Line(Enum):
    """What accounts are screened for. Each line has an index of its own, over the same forms at prices of its own."""

    VENUE = "the venue's own line, at the prices now"
    STRESS = "the same line, at prices that have moved"


class Screen(Generic[Factor]):
    """The indexes of a venue, empty until they are built; the one of a line exists once that line was asked for.

    ``price_of`` returns a factor's price now, positive, or ``None`` when there is none to screen by.
    """

    def __init__(self) -> None:
        self._lines: set[Line] = {Line.VENUE}
        self._indexes: dict[Line, DistanceIndex] = {}
        self._accounts: list[Address] = []
        self._built = 0
        self._ids: dict[bytes, int] = {}
        self._factors: dict[Factor, int] = {}
        self._prices: dict[Line, Floats] = {}

    def takes(self, changed: int, line: Line) -> bool:
        """Tell whether it can be told of so many changes, and has such a line; else it must be built anew.

        Newcomers lie together in the index, so one that has doubled since it was built is no longer in order.
        """
        self._lines.add(line)
        ordered = line in self._indexes and len(self._accounts) <= max(ANEW_MIN, GROWTH_MAX * self._built)
        return ordered and changed <= max(ANEW_MIN, len(self._accounts) // ANEW_SHARE)

    def build(
        self,
        accounts: Sequence[Address],
        rows: Rows,
        factors: Iterable[Factor],
        price_of: Callable[[Factor], float | None],
    ) -> None:
        """Forget everything and begin with these rows, whose ids are places in ``accounts``."""
        self._accounts = list(accounts)
        self._built = len(accounts)
        self._ids = {account: place for place, account in enumerate(accounts)}
        self._factors = {factor: number for number, factor in enumerate(factors, CASH + 1)}
        prices = self._priced(np.full(1 + len(self._factors), PLACEHOLDER), price_of)
        self._prices = dict.fromkeys(self._lines, prices)
        self._indexes = {line: DistanceIndex(rows, prices) for line in self._lines}

    def number(self, factor: Factor) -> int:
        """Return the number of a factor, a new one when it has none."""
        return self._factors.setdefault(factor, CASH + 1 + len(self._factors))

    def update(self, forms: Mapping[Address, Form | None], price_of: Callable[[Factor], float | None]) -> None:
        """Give accounts other forms, whose factors are numbers by :meth:`number`."""
        for line, index in self._indexes.items():
            fresh = 1 + len(self._factors) - len(self._prices[line])
            if fresh:
                known = np.append(self._prices[line], np.full(fresh, PLACEHOLDER))
                self._prices[line] = np.append(known[:-fresh], self._priced(known, price_of)[-fresh:])
                index.add_factors(self._prices[line][-fresh:])
        for account, form in forms.items():
            if form is not None and account not in self._ids:
                self._ids[account] = len(self._accounts)
                self._accounts.append(account)
            if account in self._ids:
                for index in self._indexes.values():
                    index.update(self._ids[account], form)

    def found(self, line: Line, price_of: Callable[[Factor], float | None]) -> list[Address]:
        """Return the accounts that may be past a line now, in no order; ``price_of`` gives that line's prices."""
        if line not in self._indexes:
            return []
        self._prices[line] = self._priced(self._prices[line], price_of)
        return [self._accounts[place] for place in self._indexes[line].tick(self._prices[line]).tolist()]

    def owed_within(self, bounds: Sequence[float], price_of: Callable[[Factor], float | None]) -> list[float]:
        """Return what the accounts owe that are no further from the venue's line than each bound; 0 before it is built.

        It looks at all of them.
        """
        if Line.VENUE not in self._indexes:
            return [0.0] * len(bounds)
        distances, owed = self._indexes[Line.VENUE].profile(self._priced(self._prices[Line.VENUE], price_of))
        return [float(owed[distances <= bound].sum()) for bound in bounds]

    def _priced(self, known: Floats, price_of: Callable[[Factor], float | None]) -> Floats:
        """Return the prices now; a factor that has none keeps the one it had."""
        now = [price_of(factor) for factor in self._factors]
        return np.array([1.0, *(old if new is None else new for old, new in zip(known[1:], now, strict=True))])


def rows_of(holders: Places, factors: Places, coefficients: Floats, accounts: int) -> Rows:
    """Return the rows of many accounts at once, in the order of their ids, each with a term of cash for its floors.

    Args:
        holders: Whose each term is, a number below ``accounts``.
        factors: Of each term.
        coefficients: Of each term, not zero.
        accounts: How many rows there are.
    """
    terms = np.bincount(holders, minlength=accounts)
    owners = np.concatenate([holders, np.arange(accounts)])
    order = np.argsort(owners, kind="stable")
    kept = np.where(coefficients > 0, coefficients * (1.0 - FLOAT_BAND), coefficients)
    return Rows(
        ids=np.arange(accounts),
        starts=np.concatenate([[0], np.cumsum(terms + 1)]),
        factors=np.concatenate([factors, np.full(accounts, CASH)])[order],
        coefficients=np.concatenate([kept, -(terms + 1.0)])[order],
    )


def form_of(terms: Sequence[tuple[int, float]]) -> Form:
    """Return the form of one account: its terms, and one of cash for their floors."""
    return Form((*terms, (CASH, -(len(terms) + 1.0))))
