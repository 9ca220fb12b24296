"""Bad numbers are refused by name."""

from __future__ import annotations

import math

import numpy as np
import pytest

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import aligned, array, history, number, whole


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "a lot", None])
def test_what_is_no_finite_number_is_refused_by_name(value: float) -> None:
    """A figure never comes out of what is not a number."""
    with pytest.raises(RiskInputError, match=r"^sigma: is .*; give a finite number$"):
        number("sigma", value)


def test_a_number_out_of_range_is_told_the_range() -> None:
    """The remedy is in the message."""
    with pytest.raises(RiskInputError, match=r"^rho: is 1.5; give a number of at least -1 and at most 1$"):
        number("rho", 1.5, least=-1, most=1)
    with pytest.raises(RiskInputError, match="more than 0"):
        number("price", 0, above=0)


def test_a_count_is_whole() -> None:
    """A count may be written 3.0, and is neither 2.5 nor out of range."""
    assert whole("days", 3.0, least=1) == 3
    with pytest.raises(RiskInputError, match=r"^days: is 2\.5; give a whole number$"):
        whole("days", 2.5)
    with pytest.raises(RiskInputError, match=r"^days: is 0; give a number of at least 1$"):
        whole("days", 0, least=1)


def test_the_first_bad_value_of_an_array_is_named_with_its_place() -> None:
    """Nobody has to search a matrix for its hole."""
    with pytest.raises(RiskInputError, match=r"^prices\[1\]\[0\]: is nan"):
        array("prices", [[1.0, 2.0], [math.nan, 1.0]])


def test_a_ragged_or_misshapen_array_is_refused() -> None:
    """A shape is checked before a product is."""
    with pytest.raises(RiskInputError, match="rows of one length"):
        array("prices", [[1.0, 2.0], [1.0]])
    with pytest.raises(RiskInputError, match="has 1 dimensions; give 2"):
        array("prices", [1.0], ndim=2)
    with pytest.raises(RiskInputError, match="give 2 values"):
        array("prices", [1.0], length=2)


def test_a_short_history_is_refused_and_a_long_one_is_kept() -> None:
    """Too little history is no history."""
    with pytest.raises(RiskInputError, match=r"^returns: has 1 values; give at least 2$"):
        history("returns", [0.1], shortest=2)

    assert np.array_equal(history("returns", [0.1, 0.2], shortest=2), [0.1, 0.2])


def test_arrays_that_do_not_go_together_are_refused() -> None:
    """Two accounts and three prices are no pairs."""
    with pytest.raises(RiskInputError, match=r"^sizes and depths: have shapes \(2,\), \(3,\)"):
        aligned("sizes and depths", np.ones(2), np.ones(3))

    size, depth = aligned("sizes and depths", np.ones((2, 1)), np.full(3, 5.0))
    assert size.shape == depth.shape == (2, 3)
