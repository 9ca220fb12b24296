"""Rows as rectangles: the shape in which numpy adds up many short rows fastest.

Compressed rows are summed one by one, at ten nanoseconds and more for each however short it is. A rectangle holds the
first terms of all rows, then the second ones, and so on, and is summed in a few long vectors: four to ten times faster
over rows of two to eight terms, and a selection of rows is one gather. The price is that short rows are filled up to
the width of the longest: so rows of similar width go together (:func:`by_width`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from keeper.margin.forms import Floats, Places, Rows

WIDTHS = (3, 6, 10)
"""Rows of up to so many terms go together; and all that are longer."""


class Table(NamedTuple):
    """Rows of up to a number of terms; the shorter ones are filled up with nothing of a factor that they hold.

    Attributes:
        ids: Whose each row is, shape (rows,).
        factors: Of each term, shape (width, rows).
        coefficients: Of each term, shape (width, rows).
    """

    ids: Places
    factors: Places
    coefficients: Floats

    @classmethod
    def of(cls, rows: Rows, width: int = 1) -> Self:
        """Return rows as a rectangle that is at least so wide."""
        lengths = np.diff(rows.starts)
        held = np.arange(max(width, lengths.max(initial=0))) < lengths[:, None]
        factors = np.repeat(rows.factors[rows.starts[:-1], None], held.shape[1], axis=1)
        coefficients = np.zeros(held.shape)
        factors[held], coefficients[held] = rows.factors, rows.coefficients
        return cls(rows.ids, np.ascontiguousarray(factors.T), np.ascontiguousarray(coefficients.T))

    @property
    def total(self) -> int:
        """How many rows there are."""
        return len(self.ids)

    @property
    def width(self) -> int:
        """How many terms its longest row may have."""
        return len(self.factors)

    def take(self, places: Places) -> Table:
        """Return the rows at these places, in that order."""
        return Table(self.ids.take(places), self.factors.take(places, axis=1), self.coefficients.take(places, axis=1))

    def part(self, start: int, end: int) -> Table:
        """Return a run of its rows, without copying them."""
        return Table(self.ids[start:end], self.factors[:, start:end], self.coefficients[:, start:end])

    def margins(self, prices: Floats) -> Floats:
        """Return each row's margin."""
        values = prices.take(self.factors)
        values *= self.coefficients
        margins: Floats = np.add.reduce(values, axis=0)
        return margins

    def sides(self, prices: Floats) -> tuple[Floats, Floats]:
        """Return each row's margin, and what secures it.

        Args:
            prices: Of every factor, shape (factors,).
        """
        values = prices.take(self.factors)
        values *= self.coefficients
        margins = np.add.reduce(values, axis=0)
        np.maximum(values, 0.0, out=values)
        return margins, np.add.reduce(values, axis=0)

    def rows(self) -> Rows:
        """Return it as compressed rows, which still hold what they were filled up with."""
        starts = np.arange(0, (self.total + 1) * self.width, self.width)
        return Rows(self.ids, starts, self.factors.T.ravel(), self.coefficients.T.ravel())


def joined(tables: Sequence[Table]) -> Table:
    """Return all rows of several tables, one after the other; of one, itself."""
    if len(tables) == 1:
        return tables[0]
    width = max(table.width for table in tables)
    wide = [table if table.width == width else _widened(table, width) for table in tables]
    return Table(
        np.concatenate([table.ids for table in wide]),
        np.concatenate([table.factors for table in wide], axis=1),
        np.concatenate([table.coefficients for table in wide], axis=1),
    )


def by_width(rows: Rows) -> Places:
    """Return for each row which others it goes together with: 0 for the shortest, and so on."""
    return np.searchsorted(WIDTHS, np.diff(rows.starts)).astype(np.int64)


def _widened(table: Table, width: int) -> Table:
    more = ((0, width - table.width), (0, 0))
    return Table(table.ids, np.pad(table.factors, more, mode="edge"), np.pad(table.coefficients, more))
