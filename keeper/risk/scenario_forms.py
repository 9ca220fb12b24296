"""A portfolio margin as linear forms, so that the distance index serves it: one row for each scenario.

Once every instrument is priced under every scenario, an account's margin in a scenario is linear in those prices. Each
price of the table is therefore a factor of :mod:`keeper.margin.forms`, and so is each underlying's spot price, of which
the static contingency is a share. An account has one row for each scenario of each underlying, all other underlyings at
their worst, and one for the basis contingency: its margin is the least of them, and so is its distance.

The discount of positive totals is a kink. A row takes the side on which its expiry is at the prices it was made at; it
is exact there and while no expiry's total changes its sign, and is to be made again when the account trades or the
market has moved far.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keeper.margin.forms import CASH, Form
from keeper.risk.grouping import GroupedBook
from keeper.risk.inputs import Floats, Integers
from keeper.risk.instruments import Instruments
from keeper.risk.portfolio import DeriveMargins, derive_margins, derive_table, expiry_weights
from keeper.risk.scenarios import DeriveParameters

PRICE_LEAST_USD = 1e-12
"""A factor's logarithm must exist: an option that is worth nothing counts as worth this."""

Terms = list[tuple[int, float]]


@dataclass(frozen=True, eq=False)
class ScenarioForms:
    """The rows of A accounts.

    Attributes:
        rows: The forms, under ids that differ.
        rows_per_account: How many ids each account has.
    """

    rows: list[tuple[int, Form]]
    rows_per_account: int

    def account(self, row_id: int) -> int:
        """Return whose a row is."""
        return row_id // self.rows_per_account


def scenario_prices(instruments: Instruments, parameters: DeriveParameters, stable_price_usd: float = 1.0) -> Floats:
    """Return the price of every factor in this market, shape (1 + (S + 3) U + N,): cash, the table, spot.

    Raises:
        RiskInputError: the stable coin's price is not positive.
    """
    table = derive_table(instruments, parameters, stable_price_usd)
    return np.concatenate([[1.0], np.maximum(table.T, PRICE_LEAST_USD).ravel(), instruments.spot_usd])


def scenario_forms(
    instruments: Instruments, book: GroupedBook, parameters: DeriveParameters, stable_price_usd: float = 1.0
) -> ScenarioForms:
    """Return the maintenance margin of every account that holds anything, as rows over :func:`scenario_prices`.

    Raises:
        RiskInputError: as :func:`keeper.risk.portfolio.derive_margins` does.
    """
    compiler = _Compiler(instruments, book, parameters, stable_price_usd)
    per_account = len(instruments.underlyings) * compiler.rows_per_pair
    rows: list[tuple[int, Form]] = []
    for account in np.unique(book.accounts).tolist():
        pairs = np.flatnonzero(book.accounts == account).tolist()
        worst = {pair: compiler.terms(pair, int(compiler.margins.worst[pair])) for pair in pairs}
        cash = float(book.cash_usd[account])
        for pair in pairs:
            first = account * per_account + int(book.underlyings[pair]) * compiler.rows_per_pair
            others = [term for other, terms in worst.items() if other != pair for term in terms]
            others += [(CASH, cash)] if cash else []
            each = (compiler.terms(pair, row) + others for row in range(compiler.rows_per_pair))
            rows.extend((first + row, Form(tuple(terms))) for row, terms in enumerate(each))
    return ScenarioForms(rows, per_account)


class _Compiler:
    """One market and book, and the terms of each pair's rows."""

    def __init__(
        self, instruments: Instruments, book: GroupedBook, parameters: DeriveParameters, stable_price_usd: float
    ) -> None:
        self.margins: DeriveMargins = derive_margins(instruments, book, parameters, stable_price_usd)
        self.rows_per_pair = len(parameters.scenarios) + 1
        self._instruments, self._book = instruments, book
        self._table = derive_table(instruments, parameters, stable_price_usd)
        self._discount, self._basis_share = expiry_weights(instruments, book, parameters)
        self._leg_ends = np.append(book.pair_starts, len(book.legs))
        self._group_ends = np.append(book.pair_groups, len(book.group_buckets))

    def terms(self, pair: int, row: int) -> Terms:
        """Return what a pair's positions and its static contingency are in one row; the last is the basis's."""
        legs = slice(int(self._leg_ends[pair]), int(self._leg_ends[pair + 1]))
        groups = slice(int(self._group_ends[pair]), int(self._group_ends[pair + 1]))
        last = row == self.rows_per_pair - 1
        found = self._basis_terms(legs, groups) if last else self._scenario_terms(legs, groups, row)
        underlying, static = int(self._book.underlyings[pair]), float(self.margins.static_usd[pair])
        if static:
            place = 1 + self._table.size + underlying
            found.append((place, -static / float(self._instruments.spot_usd[underlying])))
        return found

    def _scenario_terms(self, legs: slice, groups: slice, column: int) -> Terms:
        totals = self._totals(legs, groups, column)
        buckets = self._book.group_buckets[groups]
        weight = self._over_legs(np.where(totals > 0, self._discount[buckets], 1.0), legs, groups)
        return self._column_terms(legs, column, weight)

    def _basis_terms(self, legs: slice, groups: slice) -> Terms:
        down, up, now = (len(self.margins.losses_usd[0]) + place for place in range(3))
        falls = self._totals(legs, groups, down) - self._totals(legs, groups, now)
        rises = self._totals(legs, groups, up) - self._totals(legs, groups, now)
        share = self._basis_share[self._book.group_buckets[groups]]
        of_down = np.where((falls < 0) & (falls <= rises), share, 0.0)
        of_up = np.where((rises < 0) & (rises < falls), share, 0.0)
        weights = [self._over_legs(each, legs, groups) for each in (of_down, of_up, 1.0 - of_down - of_up)]
        columns = zip((down, up, now), weights, strict=True)
        return [term for column, weight in columns for term in self._column_terms(legs, column, weight)]

    def _totals(self, legs: slice, groups: slice, column: int) -> Floats:
        values = self._book.quantities[legs] * self._table[self._book.legs[legs], column]
        sums: Floats = np.add.reduceat(values, self._starts(legs, groups))
        return sums

    def _over_legs(self, of_groups: Floats, legs: slice, groups: slice) -> Floats:
        lengths = np.diff(np.append(self._starts(legs, groups), legs.stop - legs.start))
        return np.repeat(of_groups, lengths)

    def _starts(self, legs: slice, groups: slice) -> Integers:
        starts: Integers = self._book.group_starts[groups] - legs.start
        return starts

    def _column_terms(self, legs: slice, column: int, weight: Floats) -> Terms:
        factors = 1 + column * len(self._instruments) + self._book.legs[legs]
        coefficients = self._book.quantities[legs] * weight
        pairs = zip(factors.tolist(), coefficients.tolist(), strict=True)
        return [(factor, coefficient) for factor, coefficient in pairs if coefficient]
