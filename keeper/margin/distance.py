"""The distance index: of a million accounts, those that a price move can have hurt.

A row at distance ``d`` (:meth:`keeper.margin.forms.Rows.distances`) stays on its side of the line while the logarithms
of its factors' prices have moved less than ``|d|`` apart since they were taken. So rows are kept in nested levels by
distance, the outer ones seldom looked at: a level is good until prices have moved as far apart as its radius, and then
it is taken anew from the level around it. A tick compares a few numbers, and looks at the rows of the innermost level;
what lies deep below the line is known to be there.

Rows lie in *blocks* by the rarest of their factors, and every block has anchors of its own. That does two things. A
noisy asset spoils the blocks that hold it and no others. And the work of taking levels anew, which would stand still
for a whole book, comes a block at a time: blocks take their levels anew at different shares of the radius.

A level that the next few ticks would spoil is not worth taking: in a crash a block is looked at as a whole up to a
radius that lasts, which costs a tick a bounded product instead of many small selections, and goes back to the inner
levels when prices calm down.

An account that changes is looked at by itself at every tick, until the block it lives in is taken anew.

The screen may report too much and must never miss: what it reports is decided by the venue's own integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress, pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from keeper.core.errors import invariant
from keeper.margin import forms
from keeper.margin.forms import Floats, Form, Places, Rows, compiled
from keeper.margin.tables import Table, by_width, joined

RADII = (0.15, 0.04, 0.01, 0.003)
"""Distances from the line up to which the levels reach, the outermost first, in logarithms of price."""
BLOCK_ROWS, BLOCK_ROWS_MAX = 8_192, 32_768
"""Rows of several rare factors share a block until it holds so many; and one that would hold more than the second is
parted. Taking the largest anew costs less than a millisecond, and every block costs some ten microseconds whatever it
holds."""
EARLIEST_SHARE, LATEST_SHARE = 0.6, 0.999
"""Of its radius, at which the first and the last block are taken anew."""
SLACK_MIN = RADII[-1] / 2
"""What a look leaves at least of every radius. So ticks need not look again at once; and blocks are taken anew together
where one has to be, because one long vector costs less than several short ones."""
BATCH_ROWS = 8_192
"""Small blocks are put together up to so many rows and taken anew at once: above that, the copy costs more than the
calls that it saves."""
WAITING_ROWS = 8_192
"""Changed accounts that may wait: looking at them costs a tenth of a millisecond at each tick, and the more of them a
block takes in at once, the fewer blocks have to."""
CALMING = 0.65
"""By how much the speed of a block is taken to fall at each tick, at most."""
TICKS_AHEAD = 4
"""A level is used while its radius lasts for so many ticks at a block's speed."""
GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, less their whole parts, spread evenly over the interval from 0 to 1, however many there are."""

Mask: TypeAlias = npt.NDArray[np.bool_]
_NOBODY: Places = np.zeros(0, np.int64)
_EMPTY: Floats = np.zeros(0)
_TAKEN_IN, _LAID_OVER, _FRESH = range(3)
"""Where an account's form is: in its block, in the overlay of those that wait, or not compiled yet."""


class DistanceIndex:
    """Finds rows at risk.

    Args:
        rows: Every row, under ids that differ.
        prices: Of every factor, positive and finite, shape (factors,); the first is that of cash, 1.
        block_rows: How many rows a block should hold at least, where there are as many of like width.
        waiting_max: How many changed accounts may wait to be taken into their blocks.
    """

    def __init__(
        self, rows: Rows, prices: Floats, *, block_rows: int = BLOCK_ROWS, waiting_max: int = WAITING_ROWS
    ) -> None:
        parts = _parted(rows, len(prices), block_rows)
        outer = [Table.of(rows.select(places)._replace(ids=places)) for places in parts]
        count = len(outer)
        self._block_rows, self._waiting_max = block_rows, waiting_max
        self._ids = rows.ids.copy()
        self._slots = dict(zip(rows.ids.tolist(), range(rows.total), strict=True))
        self._homes = np.zeros(rows.total, np.int64)
        self._states = np.full(rows.total, _TAKEN_IN, np.int8)
        self._levels = [list(outer) for _ in range(len(RADII) + 1)]
        self._sunk = [[_NOBODY] * count for _ in RADII]
        self._totals = np.array([table.total for table in outer])
        self._below, self._near, self._hasty = _NOBODY, list[Table](), False
        self._ceilings, self._floors = np.full((len(prices), count), -np.inf), np.full((len(prices), count), np.inf)
        self._limits = np.outer(RADII, _staggered([table.factors.size for table in outer]))
        self._limits[-1] = RADII[-1] * LATEST_SHARE
        self._waiting: dict[int, dict[int, Form | None]] = {}
        self._fresh: dict[int, Form | None] = {}
        self._overlay = compiled([])
        for block, table in enumerate(outer):
            self._homes[table.ids] = block
            self._admit(block, table.factors)
        logs = _logs(prices)
        self._anchors = np.broadcast_to(logs[:, None], (len(RADII), len(prices), count)).copy()
        self._looked = self._last = logs
        self._speeds, self._depths = np.zeros(count), np.full(count, len(RADII))
        self._slack = self._limits.min(axis=0)
        self._take(np.ones((len(RADII), count), np.bool_), logs, prices)

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
        if self._fresh:
            self._lay_over()
        crowded = sum(map(len, self._waiting.values())) > self._waiting_max
        if crowded or self._hasty or (self._spread((logs - self._looked)[:, None]) >= self._slack).any():
            self._look(logs, prices, crowded=crowded)
        self._last = logs
        return self._found(prices)

    def update(self, row_id: int, form: Form | None) -> None:
        """Give an account another form, or none: it is not watched any more."""
        slot = self._slots.get(row_id)
        if slot is None:
            slot = self._new_slot(row_id)
        self._states[slot] = _FRESH
        self._fresh[slot] = form
        self._waiting.setdefault(int(self._homes[slot]), {})[slot] = form

    def add_factors(self, prices: Floats) -> None:
        """Append factors, which no row holds yet; forms given to :meth:`update` may hold them from now on.

        Args:
            prices: Of the new factors alone, shape (new factors,). Every later tick gives the prices of all.

        Raises:
            InvariantBroken: a price is not positive and finite.
        """
        logs = _logs(prices)[:, None]
        self._looked, self._last = (np.concatenate([each, logs[:, 0]]) for each in (self._looked, self._last))
        levels, _, blocks = self._anchors.shape
        absent = np.full((len(logs), blocks), np.inf)
        self._anchors = np.concatenate([self._anchors, np.broadcast_to(logs, (levels, *absent.shape))], axis=1)
        self._ceilings = np.concatenate([self._ceilings, -absent])
        self._floors = np.concatenate([self._floors, absent])

    def nearest(self, prices: Floats, count: int) -> list[tuple[int, float]]:
        """Return ids and distances of the rows that are nearest to their line, those below it first.

        Of those that the outermost radius held when its blocks were taken, and of all that changed since.
        """
        self._lay_over()
        held = forms.joined([compiled([]), *(table.rows() for table in _alike(self._levels[1]))])
        rows = forms.joined([held.select(np.flatnonzero(self._states[held.ids] == _TAKEN_IN)), self._overlay])
        distances = rows.distances(prices)
        nearest = np.argsort(distances, kind="stable")[:count]
        return [(int(self._ids[rows.ids[place]]), float(distances[place])) for place in nearest]

    def profile(self, prices: Floats) -> tuple[Floats, Floats]:
        """Return the distance of every row, and what it owes, in no order. It looks at all of them: not for a tick.

        Args:
            prices: Of every factor, shape (factors,).
        """
        self._lay_over()
        tables = [table.take(np.flatnonzero(self._states[table.ids] == _TAKEN_IN)) for table in self._levels[0]]
        parts = [table.sides(prices) for table in (*tables, Table.of(self._overlay)) if table.total]
        margins = np.concatenate([_EMPTY, *(margin for margin, _ in parts)])
        secures = np.concatenate([_EMPTY, *(secured for _, secured in parts)])
        owed = secures - margins
        with np.errstate(divide="ignore"):
            return np.log(secures) - np.log(owed), owed

    # A tick.

    def _spread(self, moved: Floats) -> Floats:
        """Return how far apart the factors of each block have moved.

        Args:
            moved: By how much the logarithm of every price has, shape (..., factors, blocks).
        """
        spread: Floats = (moved + self._ceilings).max(axis=-2)
        spread -= (moved + self._floors).min(axis=-2)
        return spread

    def _look(self, logs: Floats, prices: Floats, *, crowded: bool) -> None:
        """Find what has to be taken anew, and until when nobody need look again.

        A spread since a level was taken is at most the one at this look and the one since: so what is left of the least
        slack of a block's levels bounds how far prices may move from here.
        """
        spread = self._spread(logs[:, None] - self._anchors)
        self._speeds = np.maximum(self._speeds * CALMING, self._spread((logs - self._last)[:, None]))
        depths = np.maximum((np.array(RADII)[:, None] >= self._speeds * TICKS_AHEAD).sum(axis=0), 1)
        levels = np.arange(len(RADII))[:, None]
        due = spread >= self._limits - SLACK_MIN
        due |= levels >= self._depths
        if crowded:
            due[0, max(self._waiting, key=lambda block: len(self._waiting[block]))] = True
        due = np.logical_or.accumulate(due, axis=0) & (levels < depths)
        anew = due.any() or (depths != self._depths).any()
        self._depths = depths
        if anew:
            self._take(due, logs, prices)
        self._looked = logs
        self._slack = np.where(levels < depths, self._limits - np.where(due, 0.0, spread), np.inf).min(axis=0)

    def _found(self, prices: Floats) -> Places:
        below = [table.ids[table.margins(prices) <= 0] for table in self._near]
        found = np.concatenate([self._below, *below])
        if self._waiting:
            found = found[self._states[found] == _TAKEN_IN]
            found = np.concatenate([found, self._overlay.ids[self._overlay.margins(prices) <= 0]])
        return self._ids.take(found)

    # Taking levels anew.

    def _take(self, due: Mask, logs: Floats, prices: Floats) -> None:
        """Take levels anew where they are due, and what lies inside of them."""
        if self._waiting and due[0].any():
            for block in np.flatnonzero(due[0]).tolist():
                self._merge(block)
            self._overlay = self._overlay.select(np.flatnonzero(self._states[self._overlay.ids] != _TAKEN_IN))
        for level in range(len(RADII)):
            for batch in self._batches(level, np.flatnonzero(due[level]).tolist()):
                self._take_within(level, batch, prices)
        np.copyto(self._anchors, logs[:, None], where=due[:, None, :])
        innermost = [self._levels[depth][block] for block, depth in enumerate(self._depths.tolist())]
        hasty = self._depths < len(RADII)
        self._hasty = bool(hasty.any())
        self._near = [*compress(innermost, hasty), *_alike(compress(innermost, ~hasty))]
        used = np.arange(len(RADII))[:, None] < self._depths
        self._below = np.concatenate([_NOBODY, *compress(chain(*self._sunk), used.ravel())])

    def _batches(self, level: int, blocks: Sequence[int]) -> Iterator[list[int]]:
        """Part blocks into runs that are alike in width, and not too long."""
        tables, batch, rows = self._levels[level], list[int](), 0
        for block in blocks:
            table = tables[block]
            if batch and (rows + table.total > BATCH_ROWS or table.width != tables[batch[0]].width):
                yield batch
                batch, rows = [], 0
            batch.append(block)
            rows += table.total
        if batch:
            yield batch

    def _take_within(self, level: int, blocks: Sequence[int], prices: Floats) -> None:
        """Keep the rows of a level of some blocks that are near the line, and remember those that are deep below it."""
        tables = [self._levels[level][block] for block in blocks]
        table = joined(tables)
        margins, secures = table.sides(prices)
        sunk = margins <= secures * -np.expm1(RADII[level])
        near = margins < secures * -np.expm1(-RADII[level])
        near &= ~sunk
        places, deep = np.flatnonzero(near), np.flatnonzero(sunk)
        kept, ids = table.take(places), table.ids.take(deep)
        ends = np.cumsum([each.total for each in tables])
        kept_end = deep_end = 0
        cuts = zip(np.searchsorted(places, ends).tolist(), np.searchsorted(deep, ends).tolist(), strict=True)
        for block, (kept_cut, deep_cut) in zip(blocks, cuts, strict=True):
            self._levels[level + 1][block] = kept.part(kept_end, kept_cut)
            self._sunk[level][block] = ids[deep_end:deep_cut]
            kept_end, deep_end = kept_cut, deep_cut

    # Accounts that change.

    def _lay_over(self) -> None:
        """Compile the forms that are new, beside those that were new before."""
        kept = np.flatnonzero(self._states[self._overlay.ids] == _LAID_OVER)
        fresh = compiled([(slot, form) for slot, form in self._fresh.items() if form is not None])
        self._overlay = forms.joined([self._overlay.select(kept), fresh])
        self._states[list(self._fresh)] = _LAID_OVER
        self._fresh = {}

    def _merge(self, block: int) -> None:
        """Take the changed accounts of a block into it; those that are too wide for it move to another, and wait."""
        changed = self._waiting.pop(block, {})
        if not changed:
            return
        table = self._levels[0][block]
        kept = table.take(np.flatnonzero(self._states[table.ids] == _TAKEN_IN))
        homes = {slot: self._home_of(form, block) for slot, form in changed.items() if form is not None}
        for slot, home in homes.items():
            if home != block:
                self._homes[slot] = home
                self._waiting.setdefault(home, {})[slot] = changed.pop(slot)
        rows = compiled([(slot, form) for slot, form in changed.items() if form is not None])
        self._levels[0][block] = joined([kept, Table.of(rows, table.width)])
        self._totals[block] = self._levels[0][block].total
        self._admit(block, rows.factors)
        self._states[list(changed)] = _TAKEN_IN

    def _home_of(self, form: Form, block: int) -> int:
        """Return the block for an account that lives in this one: a wide row would widen every row of a large block."""
        width, tables = len(form.terms), self._levels[0]
        if width <= tables[block].width:
            return block
        narrow = np.array([table.width < width for table in tables])
        return int(np.lexsort((self._totals, narrow & (self._totals > self._block_rows)))[0])

    def _new_slot(self, row_id: int) -> int:
        """Return the slot of an account that was never seen; it lives in the smallest block."""
        slot = len(self._slots)
        if slot == len(self._ids):
            more = max(slot // 2, 1024)
            self._ids, self._homes = np.pad(self._ids, (0, more)), np.pad(self._homes, (0, more))
            self._states = np.pad(self._states, (0, more))
        self._slots[row_id], self._ids[slot], self._homes[slot] = slot, row_id, np.argmin(self._totals)
        return slot

    def _admit(self, block: int, factors: Places) -> None:
        """Let these factors count in a block's spread."""
        self._ceilings[factors, block] = self._floors[factors, block] = 0.0


def _logs(prices: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        logs: Floats = np.log(prices)
    invariant(np.isfinite(logs).all(), "a price of the screen", "is not positive and finite")
    return logs


def _staggered(costs: Sequence[int]) -> Floats:
    """Return at which share of its radii each block is taken anew: neighbours far apart, and the work even."""
    order = np.argsort(np.arange(len(costs)) * GOLDEN % 1)
    done = np.cumsum(np.array(costs)[order])
    shares = np.empty(len(costs))
    shares[order] = EARLIEST_SHARE + (LATEST_SHARE - EARLIEST_SHARE) * done / max(1, done[-1])
    return shares


def _alike(tables: Iterable[Table]) -> list[Table]:
    """Return the same rows in one table for each width."""
    alike: dict[int, list[Table]] = {}
    for table in tables:
        if table.total:
            alike.setdefault(table.width, []).append(table)
    return [joined(each) for each in alike.values()]


def _parted(rows: Rows, factor_count: int, block_rows: int) -> list[Places]:
    """Part the places of rows by width and by the rarest factor of each, in blocks of a bounded size."""
    holders = np.bincount(rows.factors, minlength=factor_count)
    rank = np.empty(factor_count, np.int64)
    rank[np.argsort(-holders, kind="stable")] = np.arange(factor_count)
    rarest = np.maximum.reduceat(rank[rows.factors], rows.starts[:-1]) if rows.total else _NOBODY
    kinds = by_width(rows) * factor_count + rarest
    order = np.argsort(kinds, kind="stable")
    runs = np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1)
    blocks = [runs[0]]
    for before, run in pairwise(runs):
        alike = kinds[before[0]] // factor_count == kinds[run[0]] // factor_count
        if alike and len(blocks[-1]) < block_rows:
            blocks[-1] = np.concatenate([blocks[-1], run])
        else:
            blocks.append(run)
    return [part for each in blocks for part in np.array_split(each, len(each) // BLOCK_ROWS_MAX + 1)]
