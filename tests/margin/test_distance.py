"""The distance index finds what a look at every account finds, whatever prices do and whoever changes meanwhile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.core.errors import InvariantBroken
from keeper.margin.distance import DistanceIndex
from keeper.margin.forms import CASH, Floats, Form, compiled
from tests.margin.books import FACTORS, PATHS, Path, agrees, book, first_prices, form, walk

SEEDS = st.integers(0, 2**32 - 1)
BLOCK_ROWS = st.sampled_from([1, 10, 1000])


@settings(max_examples=40)
@given(SEEDS, st.sampled_from(PATHS), BLOCK_ROWS)
def test_nobody_is_missed_and_nobody_made_up(seed: int, path: Path, block_rows: int) -> None:
    """At every tick of every path the set found is the set that brute force finds."""
    chance = np.random.default_rng(seed)
    prices = first_prices(chance)
    forms = book(chance, prices, 120)
    index = DistanceIndex(compiled(list(forms.items())), prices, block_rows=block_rows)

    for now in walk(chance, prices, path, 40):
        assert agrees(index.tick(now), forms, now)


@settings(max_examples=60)
@given(SEEDS, st.sampled_from(PATHS), BLOCK_ROWS, st.sampled_from([0, 20, 1000]))
def test_changes_are_seen_at_once(seed: int, path: Path, block_rows: int, waiting_max: int) -> None:
    """Accounts that change, come and go between ticks are found by what they are now, however many may wait."""
    chance = np.random.default_rng(seed)
    prices = first_prices(chance)
    forms = book(chance, prices, 80)
    rows = compiled(list(forms.items()))
    index = DistanceIndex(rows, prices, block_rows=block_rows, waiting_max=waiting_max)

    for now in walk(chance, prices, path, 40):
        for row_id in chance.integers(0, 100, 3).tolist():
            changed = None if chance.random() < 0.3 else form(chance, now, cash=True)
            index.update(row_id, changed)
            forms.pop(row_id, None)
            if changed is not None:
                forms[row_id] = changed
        assert agrees(index.tick(now), forms, now)


@settings(max_examples=30)
@given(SEEDS, st.sampled_from(PATHS))
def test_a_book_may_gain_factors(seed: int, path: Path) -> None:
    """An index that began with cash and one asset finds everybody when it learns of the others along the way."""
    chance = np.random.default_rng(seed)
    prices, known = first_prices(chance), 2
    forms = {each: Form(((CASH, -0.9 * prices[1]), (1, 1.0))) for each in range(10)}
    index = DistanceIndex(compiled(list(forms.items())), prices[:known])

    for now in walk(chance, prices, path, 40):
        if known < FACTORS and chance.random() < 0.3:
            index.add_factors(now[known : known + 2])
            known = min(known + 2, FACTORS)
        for row_id in chance.integers(0, 60, 4).tolist():
            changed = form(chance, now, cash=True, factors=known)
            index.update(row_id, changed)
            forms[row_id] = changed
        assert agrees(index.tick(now[:known]), forms, now)


def test_many_changes_are_taken_in_bit_by_bit() -> None:
    """When more accounts have changed than may wait, a block takes its own in at each tick, until few wait."""
    chance = np.random.default_rng(1)
    prices = first_prices(chance)
    forms = book(chance, prices, 60)
    index = DistanceIndex(compiled(list(forms.items())), prices, block_rows=10, waiting_max=10)
    for row_id in range(30, 90):
        forms[row_id] = form(chance, prices, cash=False)
        index.update(row_id, forms[row_id])
    for _ in range(20):
        assert agrees(index.tick(prices), forms, prices)

    assert sum(map(len, index._waiting.values())) <= 10


def test_a_wide_account_moves_where_it_fits() -> None:
    """An account that comes to hold more than its large block is wide goes to a wide one, found all the while."""
    prices = np.ones(FACTORS)
    pair, many = Form(((1, 1.0), (2, -0.5))), Form((*((each, 1.0) for each in range(1, 5)), (5, -4.5)))
    forms = {each: pair if each < 20 else many for each in range(25)}
    index = DistanceIndex(compiled(list(forms.items())), prices, block_rows=4, waiting_max=0)
    for row_id in (3, 4, 5):
        forms[row_id] = many
        index.update(row_id, many)
    for _ in range(3):
        assert agrees(index.tick(prices), forms, prices)

    assert [(table.width, table.total) for table in index._levels[0]] == [(2, 17), (5, 8)]
    assert not index._waiting


class Lax(DistanceIndex):
    """Takes prices to have moved half as far apart as they have."""

    def _spread(self, moved: Floats) -> Floats:
        return super()._spread(moved) * 0.5


def test_a_lax_index_misses() -> None:
    """The comparison can fail: an index that looks too late misses accounts in a crash."""
    missed = 0
    for seed in range(5):
        chance = np.random.default_rng(seed)
        prices = first_prices(chance)
        forms = book(chance, prices, 200)
        index = Lax(compiled(list(forms.items())), prices)
        for now in walk(chance, prices, "crash", 60):
            missed += not agrees(index.tick(now), forms, now)

    assert missed > 0


def test_a_noisy_asset_leaves_other_blocks_alone() -> None:
    """Blocks that do not hold an asset are not taken anew when it jumps."""
    prices = np.ones(3)
    forms = {1: Form(((CASH, 1.0), (1, -0.5))), 2: Form(((CASH, 1.0), (2, -0.5))), 3: Form(((CASH, 2.0), (1, -0.5)))}
    index = DistanceIndex(compiled(list(forms.items())), prices, block_rows=1)
    anchors = index._anchors.copy()
    index.tick(np.array([1.0, 1.0, 1.5]))

    assert [bool((index._anchors[:, :, block] != anchors[:, :, block]).any()) for block in range(2)] == [False, True]


def test_the_nearest_come_first() -> None:
    """The operator sees who is nearest, with the share by which prices may still move apart."""
    prices = np.ones(2)
    forms = {each: Form(((CASH, 1 + each / 100), (1, -1.0)), 0.0) for each in (5, 1, 3)}
    index = DistanceIndex(compiled(list(forms.items())), prices)
    index.update(5, None)
    index.update(9, Form(((CASH, 0.99), (1, -1.0)), 0.0))

    nearest = index.nearest(prices, 2)
    assert [row_id for row_id, _ in nearest] == [9, 1]
    assert [each for _, each in nearest] == pytest.approx(np.log([0.99, 1.01]))


@pytest.mark.parametrize("price", [0.0, -1.0, float("nan"), float("inf")])
def test_a_price_must_be_a_price(price: float) -> None:
    """Who has no price is unknown, and nothing is screened by it."""
    index = DistanceIndex(compiled([(1, Form(((CASH, 1.0), (1, -0.5))))]), np.ones(2))

    with pytest.raises(InvariantBroken, match="is not positive and finite"):
        index.tick(np.array([1.0, price]))
    with pytest.raises(InvariantBroken, match="is not positive and finite"):
        index.add_factors(np.array([price]))


def test_an_empty_book_finds_nobody() -> None:
    """Before the first account there is nobody to find."""
    index = DistanceIndex(compiled([]), np.ones(FACTORS))
    index.update(4, Form(((1, -1.0),)))

    assert index.tick(np.ones(FACTORS) * 1.0).tolist() == [4]
