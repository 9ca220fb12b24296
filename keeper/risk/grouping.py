"""Accounts' positions grouped as a portfolio margin nets them, compiled once and valued at every tick.

A *group* is what one account holds in one bucket: the options of one underlying and expiry, or everything on it that is
not an option. A *pair* is what one account holds on one underlying: its groups, one after the other. Positions are laid
out in that order, so that a sum over a group or a pair is a sum over neighbours; and in chunks of whole pairs, so that
the values of a chunk stay in the processor's cache.

What is grouped depends on the listing and on what is held, not on prices: a compiled book holds until an account trades
or an instrument is listed or expires.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import inf

import numpy as np
from scipy.sparse import csr_array

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Bools, Floats, Integers, array
from keeper.risk.instruments import Buckets, Instruments, Portfolio

CHUNK_GROUPS = 2048
"""Groups valued at once: with 26 columns, 0.4 MiB."""


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some neighbouring pairs.

    Attributes:
        quantities: Each group's quantities, shape (groups, U).
        buckets: Each group's bucket, shape (groups,).
        sums: What adds groups up to pairs, shape (pairs, groups).
        pairs: Which pairs they are.
    """

    quantities: csr_array
    buckets: Integers
    sums: csr_array
    pairs: slice


@dataclass(frozen=True, eq=False)
class GroupedBook:
    """A accounts' positions in P pairs, M groups and L legs.

    Attributes:
        names: The instruments it is over.
        cash_usd: Of each account, shape (A,).
        accounts: Each pair's account, shape (P,), ascending.
        underlyings: Each pair's underlying, shape (P,).
        chunks: All pairs, in order.
        bucket_first: One instrument of each bucket, shape (G,), by which its expiry is known.
        bucket_options: Whether a bucket is of options, shape (G,).
        instrument_bucket: Each instrument's bucket, shape (U,).
        group_buckets: Each group's bucket, shape (M,).
        naked_shorts: Options short at a strike and not offset by others there, of each pair, shape (P,).
        legs: Each leg's instrument, shape (L,).
        quantities: Each leg's quantity, shape (L,).
        group_starts: Each group's first leg, shape (M,).
        pair_starts: Each pair's first leg, shape (P,).
        pair_groups: Each pair's first group, shape (P,).
    """

    names: tuple[str, ...]
    cash_usd: Floats
    accounts: Integers
    underlyings: Integers
    chunks: tuple[Chunk, ...]
    bucket_first: Integers
    bucket_options: Bools
    instrument_bucket: Integers
    group_buckets: Integers
    naked_shorts: Floats
    legs: Integers
    quantities: Floats
    group_starts: Integers
    pair_starts: Integers
    pair_groups: Integers

    @classmethod
    def of(cls, instruments: Instruments, portfolio: Portfolio) -> GroupedBook:
        """Compile what these accounts hold.

        Raises:
            RiskInputError: the portfolio is over other instruments.
        """
        held = portfolio.held_in(instruments)
        option = instruments.is_option
        buckets = Buckets.by(instruments.underlying, np.where(option, instruments.expiry_years, inf))
        places = np.flatnonzero(held.data)
        account = np.repeat(np.arange(len(portfolio)), np.diff(held.indptr))[places]
        legs, quantities = held.indices[places].astype(np.int64), held.data[places]
        keys = account * len(buckets) + buckets.of[legs]
        order = np.argsort(keys, kind="stable")
        keys, legs, quantities = keys[order], legs[order], quantities[order]
        group_starts = _firsts(keys)
        group_accounts, group_buckets = np.divmod(keys[group_starts], len(buckets))
        pair_groups = _firsts(group_accounts * len(instruments.underlyings) + buckets.underlying[group_buckets])
        pair_starts = group_starts[pair_groups]
        first = np.zeros(len(buckets), np.int64)
        first[buckets.of[::-1]] = np.arange(len(instruments))[::-1]
        rows = csr_array(
            (quantities, legs, np.append(group_starts, len(legs))), shape=(len(group_starts), len(instruments))
        )
        return cls(
            names=instruments.names,
            cash_usd=portfolio.cash_usd,
            accounts=group_accounts[pair_groups],
            underlyings=buckets.underlying[group_buckets[pair_groups]],
            chunks=tuple(_chunks(rows, group_buckets, pair_groups)),
            bucket_first=first,
            bucket_options=option[first],
            instrument_bucket=buckets.of,
            group_buckets=group_buckets,
            naked_shorts=_naked_shorts(instruments, buckets, legs, quantities, pair_starts),
            legs=legs,
            quantities=quantities,
            group_starts=group_starts,
            pair_starts=pair_starts,
            pair_groups=pair_groups,
        )

    def __len__(self) -> int:
        """Return how many pairs there are."""
        return len(self.accounts)

    def valued_in(self, instruments: Instruments) -> None:
        """Make sure that this market is of the listing that was compiled.

        Raises:
            RiskInputError: it is of another, or instruments of one expiry are discounted at different rates.
        """
        if instruments.names != self.names:
            raise RiskInputError("instruments", "are others than the book was compiled for", "compile it again")
        usual = instruments.rate_annual[self.bucket_first][self.instrument_bucket]
        other = instruments.is_option & (instruments.rate_annual != usual)
        if np.any(other):
            name = instruments.names[int(np.argmax(other))]
            raise RiskInputError(name, "has another rate than the others of its expiry", "give an expiry one rate")

    def by_account(self, of_pairs: Floats) -> Floats:
        """Return each account's sum, shape (A,), of values of its pairs.

        Raises:
            RiskInputError: the values are not one for each pair.
        """
        array("of_pairs", of_pairs, ndim=1, length=len(self))
        sums: Floats = np.bincount(self.accounts, of_pairs, len(self.cash_usd)).astype(np.float64)  # integer if empty
        return sums

    @property
    def sizes(self) -> Floats:
        """Each leg's quantity without its sign, shape (L,)."""
        return np.abs(self.quantities)

    def over_pairs(self, of_legs: Floats) -> Floats:
        """Return each pair's sum, shape (P,), of values of its legs.

        Raises:
            RiskInputError: the values are not one for each leg.
        """
        array("of_legs", of_legs, ndim=1, length=len(self.legs))
        return np.add.reduceat(of_legs, self.pair_starts) if len(self) else np.zeros(0)


def _chunks(rows: csr_array, buckets: Integers, pair_groups: Integers) -> list[Chunk]:
    ends = np.append(pair_groups, rows.shape[0])
    cuts = np.unique(np.searchsorted(ends, np.arange(0, rows.shape[0], CHUNK_GROUPS)))
    found = []
    for first, last in pairwise([*cuts.tolist(), len(pair_groups)]):
        groups = slice(int(ends[first]), int(ends[last]))
        starts = ends[first : last + 1] - groups.start
        count = groups.stop - groups.start
        sums = csr_array((np.ones(count), np.arange(count), starts), shape=(last - first, count))
        found.append(Chunk(rows[groups], buckets[groups], sums, slice(first, last)))
    return found


def _naked_shorts(
    instruments: Instruments, buckets: Buckets, legs: Integers, quantities: Floats, pair_starts: Integers
) -> Floats:
    """Return the sum over strikes of ``max(0, -(calls + puts))`` of each pair, shape (P,)."""
    strikes = np.stack([buckets.of.astype(np.float64), instruments.strike_usd], axis=1)
    distinct, strike_of = np.unique(strikes, axis=0, return_inverse=True)
    pair_of = np.repeat(np.arange(len(pair_starts)), np.diff(np.append(pair_starts, len(legs))))
    option = instruments.is_option[legs]
    keys = (pair_of * len(distinct) + strike_of.reshape(-1)[legs])[option]
    order = np.argsort(keys, kind="stable")
    starts = _firsts(keys[order])
    if not len(starts):
        return np.zeros(len(pair_starts))
    net = np.add.reduceat(quantities[option][order], starts)
    pairs = keys[order][starts] // len(distinct)
    sums: Floats = np.bincount(pairs, np.maximum(-net, 0.0), len(pair_starts)).astype(np.float64)
    return sums


def _firsts(ordered: Integers) -> Integers:
    """Return where each run of equal values begins."""
    return np.flatnonzero(np.diff(ordered, prepend=-1))
