"""Margin forms: every account of every venue as one sparse row over effective prices, in float64.

An account is safe while ``Σ coefficientᵢ · priceᵢ >= 0``. A *factor* is whatever its value moves with as a whole: an
asset's oracle price times its interest index, once for supplying and once for borrowing where those differ. Factor
:data:`CASH` has the price 1 for ever and carries constants. Positive terms are what secures (collateral times its
liquidation threshold, the size of a long position), negative ones what is owed.

A form screens, it never decides: it is float64, and the contract truncates where a form does not. Both together are
the row's *band*, by which the compiled row counts what secures for less. A row that is safe in a form is therefore safe
in the contract, and a row at risk is looked at with the contract's own integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from keeper.core.errors import invariant

CASH = 0
"""The factor whose price is 1."""
FLOAT_BAND = 1e-12
"""Of the sums themselves: at most a thousand terms, each rounded to 2^-53 twice, with three orders of magnitude to
spare (N. Higham, *Accuracy and Stability of Numerical Algorithms*, section 4.2: the error of a sum of n terms is below
n·u times the sum of their magnitudes, here at most twice what secures while a row is near its line)."""
BAND_MAX = 0.5
"""A row whose band would be wider says nothing, and is always looked at."""

Floats: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.int64]


class Form(msgspec.Struct, frozen=True):
    """One account's margin.

    Attributes:
        terms: Factor and coefficient, in base units of value for each unit of price; each factor at most once for each
            sign, none zero.
        band: How much less what secures may be worth in the contract, as a share; see :func:`truncation_band`.
    """

    terms: tuple[tuple[int, float], ...]
    band: float = FLOAT_BAND


def truncation_band(unit_values: Iterable[float], least_side: float, threshold_floor: float = 0.0) -> float:
    """Return the band of a row whose contract truncates (DESIGN of the project, *Margin forms*).

    Args:
        unit_values: What one smallest unit of each holding's token is worth, in base units: its amount, and then its
            value, are each cut by less than one of theirs.
        least_side: The lesser of what secures and what is owed, base units, at prices no higher than those at which
            the row will be used; not positive means that nothing can be said.
        threshold_floor: By how much a rounded-down average threshold can lie below the exact one, as a share.

    Returns:
        A share between :data:`FLOAT_BAND` and infinity.
    """
    if least_side <= 0:
        return float("inf")
    return FLOAT_BAND + sum(value + 1 for value in unit_values) / least_side + threshold_floor


class Rows(NamedTuple):
    """Many compiled forms: compressed rows, each of at least one term.

    Attributes:
        ids: Whose each row is, shape (rows,).
        starts: Where each row's terms begin, and where the last one's end, shape (rows + 1,).
        factors: Of each term, shape (terms,).
        coefficients: Of each term, with the row's band taken off what secures, shape (terms,).
    """

    ids: Places
    starts: Places
    factors: Places
    coefficients: Floats

    @property
    def total(self) -> int:
        """How many rows there are."""
        return len(self.ids)

    def select(self, places: Places) -> Rows:
        """Return the rows at these places, in that order."""
        begins = self.starts[places]
        lengths = self.starts[places + 1] - begins
        starts = np.zeros(len(places) + 1, np.int64)
        np.cumsum(lengths, out=starts[1:])
        terms = np.repeat(begins - starts[:-1], lengths) + np.arange(starts[-1])
        return Rows(self.ids[places], starts, self.factors[terms], self.coefficients[terms])

    def margins(self, prices: Floats) -> Floats:
        """Return each row's margin, base units; not above zero means that its account may be at risk.

        Args:
            prices: Of every factor, shape (factors,).
        """
        if not self.total:
            return np.zeros(0)
        return np.add.reduceat(self.coefficients * prices[self.factors], self.starts[:-1])

    def distances(self, prices: Floats) -> Floats:
        """Return each row's distance to its line: ``ln(C / D)`` of what secures and what is owed.

        While the logarithms of its factors' prices move no further apart than that, the row stays safe: the worst
        combination leaves ``C·e^min - D·e^max``. Infinite where nothing is owed; not above zero at the line and below.
        """
        if not self.total:
            return np.zeros(0)
        values = self.coefficients * prices[self.factors]
        margins = np.add.reduceat(values, self.starts[:-1])
        secures = np.add.reduceat(np.maximum(values, 0.0), self.starts[:-1])
        with np.errstate(divide="ignore", invalid="ignore"):
            distances = np.log(secures) - np.log(secures - margins)
        return np.where(secures > 0, np.where(secures > margins, distances, np.inf), -np.inf)


def compiled(forms: Sequence[tuple[int, Form]]) -> Rows:
    """Compile forms into rows, in their order.

    Args:
        forms: Ids and forms.

    Raises:
        InvariantBroken: a form without terms: nothing is owed there, so there is nothing to watch.
    """
    for row_id, form in forms:
        invariant(form.terms, f"form {row_id}", "has no term")
    lengths = [len(form.terms) for _, form in forms]
    starts = np.zeros(len(forms) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    terms = [term for _, form in forms for term in form.terms]
    keeps = np.repeat([0.0 if form.band > BAND_MAX else 1.0 - form.band for _, form in forms], lengths)
    coefficients = np.array([coefficient for _, coefficient in terms], np.float64)
    return Rows(
        ids=np.array([row_id for row_id, _ in forms], np.int64),
        starts=starts,
        factors=np.array([factor for factor, _ in terms], np.int64),
        coefficients=np.where(coefficients > 0, coefficients * keeps, coefficients),
    )


def joined(parts: Sequence[Rows]) -> Rows:
    """Return all rows of several, one after the other."""
    ends = np.cumsum([0, *(len(part.factors) for part in parts)])
    starts = [part.starts[:-1] + end for part, end in zip(parts, ends, strict=False)]
    return Rows(
        ids=np.concatenate([part.ids for part in parts]),
        starts=np.concatenate([*starts, ends[-1:]]),
        factors=np.concatenate([part.factors for part in parts]),
        coefficients=np.concatenate([part.coefficients for part in parts]),
    )
