"""Forms: sparse rows that say what an account's margin is, how far its line is, and never more than the contract."""

from __future__ import annotations

from fractions import Fraction
from math import isinf, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import InvariantBroken
from keeper.margin.forms import BAND_MAX, FLOAT_BAND, Form, Rows, compiled, joined, truncation_band

VALUES = st.floats(1e-6, 1e12)
TERMS = st.lists(st.tuples(st.integers(0, 4), VALUES, st.booleans()), min_size=1, max_size=8)
PRICES = st.tuples(st.just(1.0), *[st.floats(1e-4, 1e6)] * 4)


def rows_of(*terms: list[tuple[int, float, bool]], band: float = 0.0) -> Rows:
    """Compile forms whose terms are factor, size, and whether it is owed."""
    forms = [Form(tuple((factor, -size if owed else size) for factor, size, owed in each), band) for each in terms]
    return compiled(list(enumerate(forms)))


@given(TERMS, PRICES)
def test_a_margin_is_the_sum_of_its_terms(terms: list[tuple[int, float, bool]], prices: tuple[float, ...]) -> None:
    """The float sum is the exact one, but for the float band of what is in it."""
    [margin] = rows_of(terms).margins(np.array(prices))
    values = [Fraction(size) * Fraction(prices[factor]) * (-1 if owed else 1) for factor, size, owed in terms]

    assert abs(Fraction(float(margin)) - sum(values)) <= Fraction(FLOAT_BAND) * sum(map(abs, values))


@given(TERMS, PRICES)
def test_a_distance_is_the_logarithm_of_health(terms: list[tuple[int, float, bool]], prices: tuple[float, ...]) -> None:
    """What secures by what is owed; infinite where nothing is owed, and below all where nothing secures."""
    [distance] = rows_of(terms).distances(np.array(prices))
    secures = sum(size * prices[factor] for factor, size, owed in terms if not owed)
    owes = sum(size * prices[factor] for factor, size, owed in terms if owed)

    if not secures:
        assert distance == -np.inf
    elif owes < 1e-9 * secures:
        assert distance > log(1e8)  # what is left of so small a difference, or infinity
    else:
        assert distance == pytest.approx(log(secures / owes), abs=1e-6)


@given(TERMS, PRICES, st.lists(st.floats(-1, 1), min_size=5, max_size=5))
def test_within_its_distance_a_row_keeps_its_side(
    terms: list[tuple[int, float, bool]], prices: tuple[float, ...], moves: list[float]
) -> None:
    """Prices whose moves are no further apart than the distance leave a row where it was."""
    rows, before = rows_of(terms), np.array(prices)
    [distance] = rows.distances(before)
    spread = max(moves) - min(moves)
    scale = 1.0 if isinf(distance) or spread == 0 else min(1.0, 0.999 * abs(distance) / spread)
    [margin] = rows.margins(before * np.exp(np.array(moves) * scale))

    if abs(distance) > 1e-9:
        assert bool(margin > 0) is bool(distance > 0)


def test_a_band_is_taken_off_what_secures() -> None:
    """A row counts what secures for less by its band, and what is owed in full."""
    [margin] = rows_of([(1, 100.0, False), (2, 50.0, True)], band=0.01).margins(np.ones(3))

    assert margin == pytest.approx(100 * 0.99 - 50)


def test_a_row_of_which_nothing_can_be_said_is_at_risk() -> None:
    """Where truncation could take half of what secures, the account is always looked at."""
    dust = truncation_band([1e-3, 1e-3], least_side=3.0)
    [margin] = rows_of([(1, 1e9, False), (2, 1.0, True)], band=dust).margins(np.ones(3))

    assert dust > BAND_MAX
    assert margin < 0
    assert isinf(truncation_band([], least_side=0.0))


def test_selected_and_joined_rows_are_the_same_rows() -> None:
    """Rows keep their terms when they are picked out, in any order, and put together again."""
    rows = rows_of(
        [(1, 1.0, False)], [(2, 2.0, False), (3, 3.0, True)], [(4, 4.0, True), (1, 5.0, False), (2, 6.0, True)]
    )
    again = joined([rows.select(np.array([2, 0])), rows.select(np.array([], np.int64)), rows.select(np.array([1]))])
    prices = np.array([1.0, 2.0, 3.0, 5.0, 7.0])

    assert again.ids.tolist() == [2, 0, 1]
    assert again.margins(prices).tolist() == rows.margins(prices)[[2, 0, 1]].tolist()


def test_nobody_has_no_margin() -> None:
    """No rows have no margins and no distances."""
    assert compiled([]).margins(np.ones(1)).tolist() == compiled([]).distances(np.ones(1)).tolist() == []


def test_a_form_without_terms_is_a_bug() -> None:
    """Where nothing is held and nothing owed there is nothing to watch."""
    with pytest.raises(InvariantBroken, match="form 7: has no term"):
        compiled([(7, Form(()))])
