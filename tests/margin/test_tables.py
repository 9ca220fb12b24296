"""Rectangles of rows say what the compressed rows say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.margin.forms import Form, compiled
from keeper.margin.tables import WIDTHS, Table, by_width, joined
from tests.margin.books import book, first_prices


@given(st.integers(0, 2**32 - 1), st.integers(0, 20), st.integers(0, 20))
def test_a_rectangle_adds_up_what_its_rows_do(seed: int, first: int, second: int) -> None:
    """However rows are put together, cut and selected, each keeps its margin and its factors."""
    chance = np.random.default_rng(seed)
    prices = first_prices(chance)
    parts = [compiled(list(book(chance, prices, total).items())) for total in (first, second)]
    table = joined([Table.of(part) for part in parts])
    margins, secures = table.sides(prices)
    expected = np.concatenate([part.margins(prices) for part in parts])
    cut = table.take(np.arange(first + second)[::-1]).part(0, second)

    assert margins == pytest.approx(expected, abs=1e-9 * secures.max(initial=1))
    assert table.margins(prices).tolist() == margins.tolist()
    assert table.rows().margins(prices) == pytest.approx(expected, abs=1e-9 * secures.max(initial=1))
    assert cut.margins(prices).tolist() == margins[::-1][:second].tolist()
    assert cut.ids.tolist() == parts[1].ids[::-1].tolist()
    for part in parts:
        assert set(Table.of(part, 9).factors.ravel().tolist()) == set(part.factors.tolist())


def test_rows_of_like_width_go_together() -> None:
    """A row goes with the first width that holds it, and the longest go by themselves."""
    forms = [(width, Form(tuple((factor, 1.0) for factor in range(width)))) for width in (1, 3, 4, 6, 7, 10, 11, 30)]

    assert len(WIDTHS) == 3
    assert by_width(compiled(forms)).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
