"""The distance index: of a million accounts, those that a price move can have hurt.

A row at distance ``d`` (:meth:`keeper.margin.forms.Rows.distances`) stays on its side of the line while the logarithms
of its factors' prices have moved less than ``|d|`` apart since they were taken. So rows are kept in nested levels by
distance, the outer ones seldom looked at: a level is good until prices have moved as far apart as its radius, and then
it is taken anew from the level around it. A tick compares a few numbers, and looks at the rows of the innermost level;
what lies deep below the line is known to be there.

Rows lie in *blocks* by the rarest of their factors, and every block has anchors of its own. That does two things. A
noisy asset spoils the blocks that hold it and no others. And the work of taking levels anew, which would stand still
for a whole book, comes a block at a time: blocks begin at different shares of their radius, and drift apart.

An account that changes is looked at by itself at every tick, until the block it lives in is taken anew.

The screen may report too much and must never miss: what it reports is decided by the venue's own integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from keeper.core.errors import invariant
from keeper.margin.forms import Floats, Form, Places, Rows, compiled, joined

RADII = (0.15, 0.04, 0.01, 0.003)
"""Distances from the line up to which the levels reach, the outermost first, in logarithms of price."""
BLOCK_ROWS_MAX = 32_768
"""Taking a block anew costs one or two milliseconds."""
EARLIEST_SHARE, LATEST_SHARE = 0.5, 0.999
"""Of its radius, at which the first and the last block are taken anew."""
TOGETHER_SHARE = 0.5
"""Of the innermost radius: blocks that have used as much of it are taken anew with one that has used all, because one
long vector costs less than several short ones."""
CHANGED_ROWS_MAX = 1024
"""Accounts that may wait to be taken into their block."""

Mask: TypeAlias = npt.NDArray[np.bool_]
_NOBODY: Places = np.zeros(0, np.int64)


class DistanceIndex:
    """Finds rows at risk.

    Args:
        rows: Every row, under ids that differ.
        prices: Of every factor, positive and finite, shape (factors,); the first is that of cash, 1.
    """

    def __init__(self, rows: Rows, prices: Floats) -> None:
        outer = [rows.select(each) for each in _by_rarest_factor(rows, len(prices))]
        self._levels = [list(outer) for _ in RADII[:-1]]
        self._sunk = [[_NOBODY] * len(outer) for _ in RADII[:-1]]
        self._inner, self._checked, self._deep = _Zone.empty(), _Zone.empty(), _Zone.empty()
        self._below = _NOBODY
        shape = (len(outer), len(prices))
        self._anchors = np.zeros((len(RADII), *shape))
        self._ceilings, self._floors = np.full(shape, -np.inf), np.full(shape, np.inf)
        self._limits = np.outer(RADII, np.linspace(EARLIEST_SHARE, LATEST_SHARE, len(outer))) - RADII[-1]
        self._limits[-1] = RADII[-1] * LATEST_SHARE
        self._home: dict[int, int] = {}
        self._changed: dict[int, Form | None] = {}
        self._overlay: tuple[Places, Rows] | None = None
        for block, part in enumerate(outer):
            self._home |= dict.fromkeys(part.ids.tolist(), block)
            self._admit(block, part)
        self._take(np.ones((len(RADII), len(outer)), np.bool_), np.log(prices), prices)

    def tick(self, prices: Floats) -> Places:
        """Return the ids of all rows that may be at risk at these prices, in no order.

        Args:
            prices: Of every factor, shape (factors,).

        Raises:
            InvariantBroken: a price is not positive and finite. Whose price is unknown is unknown itself, and must not
                be screened by a price at all.
        """
        logs = _logs(prices)
        invariant(logs[0] == 0, "the price of cash", "is not 1")
        due = self._spread(logs - self._anchors[-1]) >= self._limits[-1]
        full = len(self._changed) > CHANGED_ROWS_MAX
        if full or due.any():
            self._take(self._due(logs, full=full), logs, prices)
        return self._found(prices)

    def update(self, row_id: int, form: Form | None) -> None:
        """Give an account another form, or none: it is not watched any more."""
        self._changed[row_id] = form
        self._overlay = None

    def add_factors(self, prices: Floats) -> None:
        """Append factors, which no row holds yet; forms given to :meth:`update` may hold them from now on.

        Args:
            prices: Of the new factors alone, shape (new factors,). Every later tick gives the prices of all.

        Raises:
            InvariantBroken: a price is not positive and finite.
        """
        logs = _logs(prices)
        levels, blocks, _ = self._anchors.shape
        anchors = np.broadcast_to(logs, (levels, blocks, len(logs)))
        absent = np.full((blocks, len(logs)), np.inf)
        self._anchors = np.concatenate([self._anchors, anchors], axis=-1)
        self._ceilings = np.concatenate([self._ceilings, -absent], axis=-1)
        self._floors = np.concatenate([self._floors, absent], axis=-1)

    def nearest(self, prices: Floats, count: int) -> list[tuple[int, float]]:
        """Return ids and distances of the rows that are nearest to their line, those below it first.

        Of those that the outermost radius held when its blocks were taken, and of all that changed since.
        """
        ids, changed = self._waiting()
        held = joined(self._levels[1])
        rows = joined([held.select(np.flatnonzero(~np.isin(held.ids, ids))), changed])
        distances = rows.distances(prices)
        nearest = np.argsort(distances, kind="stable")[:count]
        return [(int(rows.ids[place]), float(distances[place])) for place in nearest]

    # A tick.

    def _spread(self, moved: Floats) -> Floats:
        """Return how far apart the factors of each block have moved."""
        spread: Floats = (moved + self._ceilings).max(axis=-1)
        spread -= (moved + self._floors).min(axis=-1)
        return spread

    def _due(self, logs: Floats, *, full: bool) -> Mask:
        """Return which levels of which blocks to take anew.

        The outer limits are short of their radii by the innermost one: so an outer level is good for as long as the
        innermost around which it was looked at, and ticks between need not look.
        """
        spread = self._spread(logs - self._anchors)
        due: Mask = spread >= self._limits
        due[-1] = spread[-1] >= self._limits[-1] * TOGETHER_SHARE
        if full:
            due[0, self._most_changed()] = True
        return due

    def _found(self, prices: Floats) -> Places:
        checked = self._checked.rows
        found = np.concatenate([self._below, checked.ids[checked.margins(prices) <= 0]])
        if self._changed:
            ids, changed = self._waiting()
            found = found[~np.isin(found, ids)]
            found = np.concatenate([found, changed.ids[changed.margins(prices) <= 0]])
        return found

    # Taking levels anew.

    def _take(self, due: Mask, logs: Floats, prices: Floats) -> None:
        """Take levels anew where they are due, and what lies inside of them."""
        due = np.logical_or.accumulate(due, axis=0)
        for block in np.flatnonzero(due[0]).tolist():
            self._merge(block)
        last = len(RADII) - 2
        for level in range(last):
            for block in np.flatnonzero(due[level]).tolist():
                self._levels[level + 1][block] = self._within(block, level, prices)
        if due[last].any():
            blocks = np.flatnonzero(due[last]).tolist()
            self._inner = self._inner.replaced(due[last], {each: self._within(each, last, prices) for each in blocks})
        inner = self._inner.of(due[-1])
        distances = inner.rows.distances(prices)
        self._checked = self._checked.of(~due[-1]).joined(inner.select(np.abs(distances) < RADII[-1]))
        self._deep = self._deep.of(~due[-1]).joined(inner.select(distances <= -RADII[-1]))
        self._below = np.concatenate([self._deep.rows.ids, *(ids for level in self._sunk for ids in level)])
        self._anchors[due] = np.broadcast_to(logs, self._anchors.shape)[due]

    def _within(self, block: int, level: int, prices: Floats) -> Rows:
        """Return the rows of a level of a block that are near the line, and remember those that are deep below it."""
        rows = self._levels[level][block]
        distances = rows.distances(prices)
        self._sunk[level][block] = rows.ids[distances <= -RADII[level]]
        return rows.select(np.flatnonzero(np.abs(distances) < RADII[level]))

    # Accounts that change.

    def _merge(self, block: int) -> None:
        """Take the changed accounts of a block into it."""
        here = [each for each in self._changed if self._home_of(each) == block]
        if not here:
            return
        rows = self._levels[0][block]
        fresh = compiled([(each, form) for each in here if (form := self._changed.pop(each)) is not None])
        self._levels[0][block] = joined([rows.select(np.flatnonzero(~np.isin(rows.ids, here))), fresh])
        self._overlay = None
        self._admit(block, fresh)

    def _waiting(self) -> tuple[Places, Rows]:
        """Return the ids of who has changed, and the rows of those that are still watched."""
        if self._overlay is None:
            forms = [(each, form) for each, form in self._changed.items() if form is not None]
            self._overlay = np.array(list(self._changed), np.int64), compiled(forms)
        return self._overlay

    def _home_of(self, row_id: int) -> int:
        """Return the block where an account lives; a new one lives in the smallest."""
        if row_id not in self._home:
            counts = [part.total for part in self._levels[0]]
            self._home[row_id] = counts.index(min(counts))
        return self._home[row_id]

    def _most_changed(self) -> int:
        return int(np.argmax(np.bincount([self._home_of(each) for each in self._changed])))

    def _admit(self, block: int, rows: Rows) -> None:
        """Let the factors of these rows count in a block's spread."""
        self._ceilings[block, rows.factors] = self._floors[block, rows.factors] = 0.0


class _Zone(NamedTuple):
    """Rows of all blocks that lie within one radius, and the block of each."""

    rows: Rows
    blocks: Places

    @classmethod
    def empty(cls) -> Self:
        return cls(compiled([]), _NOBODY)

    def select(self, rows: Mask) -> _Zone:
        """Return some of the rows."""
        places = np.flatnonzero(rows)
        return _Zone(self.rows.select(places), self.blocks[places])

    def of(self, blocks: Mask) -> _Zone:
        """Return what belongs to some blocks."""
        return self if blocks.all() else self.select(blocks[self.blocks])

    def joined(self, other: _Zone) -> _Zone:
        """Return both."""
        return _Zone(joined([self.rows, other.rows]), np.concatenate([self.blocks, other.blocks]))

    def replaced(self, blocks: Mask, parts: Mapping[int, Rows]) -> _Zone:
        """Return it with the rows of some blocks replaced by others."""
        rest = self.of(~blocks)
        owners = np.repeat(np.array(list(parts), np.int64), [part.total for part in parts.values()])
        return _Zone(joined([rest.rows, *parts.values()]), np.concatenate([rest.blocks, owners]))


def _logs(prices: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        logs: Floats = np.log(prices)
    invariant(np.isfinite(logs).all(), "a price of the screen", "is not positive and finite")
    return logs


def _by_rarest_factor(rows: Rows, factor_count: int) -> list[Places]:
    """Part the places of rows by the rarest factor of each, in blocks of a bounded size."""
    holders = np.bincount(rows.factors, minlength=factor_count)
    rank = np.empty(factor_count, np.int64)
    rank[np.argsort(-holders, kind="stable")] = np.arange(factor_count)
    rarest = np.maximum.reduceat(rank[rows.factors], rows.starts[:-1]) if rows.total else _NOBODY
    blocks: list[Places] = []
    for each in range(factor_count):
        places = np.flatnonzero(rarest == each)
        blocks += [places[start : start + BLOCK_ROWS_MAX] for start in range(0, len(places), BLOCK_ROWS_MAX)]
    return blocks or [_NOBODY]
