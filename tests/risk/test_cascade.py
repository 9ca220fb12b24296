"""Liquidations at each account's own line: by hand, as the fire sale they generalise, and only worse with the shock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from keeper.core.errors import RiskInputError
from keeper.risk.cascade import Borrowers, Cascade, by_group, cascade, spillovers
from keeper.risk.contagion import Impact, fire_sale, leverage_at
from keeper.risk.inputs import Floats

HELD = np.array([[600, 400, 0], [0, 500, 500], [300, 0, 700], [0, 0, 250]], dtype=float)
DEBTS = np.array([780, 700, 600, 100], dtype=float)
DEPTH = Impact(np.array([4_000, 2_000, 3_000], dtype=float))


def borrowers(held: Floats, weights: Floats, owed: Floats, cash: Floats | None = None) -> Borrowers:
    """Return accounts of lending venues: what counts is held times weights, and every debt counts whole."""
    counted, rest = held * weights, np.zeros(len(held)) if cash is None else cash
    return Borrowers(
        held_usd=csr_array(held),
        counted_usd=csr_array(counted),
        owed_usd=csr_array(owed),
        owed_counted_usd=csr_array(owed),
        cash_usd=rest,
        surplus_usd=counted.sum(axis=1) - owed.sum(axis=1) + rest,
        required_usd=owed.sum(axis=1),
        repays=np.ones(len(held), dtype=np.bool_),
    )


def in_dollars(held: Floats, weight: float, debts: Floats) -> Borrowers:
    """Return accounts that owe dollars, an asset of their own that stands still."""
    wide = np.column_stack([held, np.zeros(len(held))])
    owed = np.column_stack([np.zeros_like(held), debts])
    return borrowers(wide, np.full(wide.shape, weight), owed)


def sale(shock: list[float], depth: Floats = DEPTH.depth_usd, *, bonus: float = 0.05, target: float = 1.05) -> Cascade:
    """Return the cascade of four accounts of weight 0.83 in three assets."""
    impact = Impact(np.append(depth, 1.0))
    return cascade(in_dollars(HELD, 0.83, DEBTS), [*shock, 0.0], impact, bonus=bonus, health_target=target)


def test_one_account_by_hand() -> None:
    """1,000 at a weight of 0.8 against 780 falls to 900: 60 short. Each dollar sold repays 1/1.05 and counted 0.8."""
    accounts = in_dollars(np.array([[1_000.0]]), 0.8, np.array([780.0]))
    found = cascade(accounts, [0.1, 0], Impact(np.full(2, 1e18)), bonus=0.05, health_target=1)
    sold = 60 / (1 / 1.05 - 0.8)

    assert found.sold_usd.toarray()[0] == pytest.approx([sold, 0], rel=1e-9)
    assert found.repaid_usd[0] == pytest.approx(sold / 1.05, rel=1e-9)
    assert found.equity_usd[0] == pytest.approx(900 - 780 - sold * 0.05 / 1.05, rel=1e-9)
    assert 0.8 * (900 - sold) == pytest.approx(780 - sold / 1.05, rel=1e-9)


def test_what_cannot_be_made_healthy_is_sold_out_and_leaves_bad_debt() -> None:
    """Collateral of 600 against 780: all of it repays 600 / 1.05, and the rest of the debt is bad."""
    accounts = in_dollars(np.array([[1_000.0]]), 0.8, np.array([780.0]))
    found = cascade(accounts, [0.4, 0], Impact(np.full(2, 1e18)), bonus=0.05, health_target=1)

    assert found.part.tolist() == [1]
    assert found.bad_debt_usd[0] == pytest.approx(780 - 600 / 1.05, rel=1e-6)


@pytest.mark.slow
@given(
    st.lists(st.floats(0, 0.6), min_size=3, max_size=3),
    st.floats(0.5, 0.9),
    st.floats(1, 1.2),
    st.floats(0.2, 5),
)
def test_without_a_bonus_it_is_the_fire_sale_of_leverages(
    shock: list[float], weight: float, target: float, deeper: float
) -> None:
    """A line at a weight is a leverage of 1 / (1 - weight), and a target health one of 1 / (1 - weight / health)."""
    depth = DEPTH.depth_usd * deeper
    impact = Impact(np.append(depth, 1.0))
    found = cascade(in_dollars(HELD, weight, DEBTS), [*shock, 0.0], impact, bonus=0, health_target=target)
    told = fire_sale(
        HELD,
        DEBTS,
        shock,
        Impact(depth),
        leverage_most=leverage_at(weight),
        leverage_target=leverage_at(weight / target),
    )

    assert found.price[:3] == pytest.approx(told.price, rel=1e-8)
    assert found.sold_usd.toarray()[:, :3] == pytest.approx(told.sold_usd, rel=1e-6, abs=1e-6)
    assert found.equity_usd == pytest.approx(told.equity_usd, rel=1e-6, abs=1e-6)


def test_each_account_sells_at_its_own_line() -> None:
    """Of two accounts with the same collateral and debt only the one whose venue counts less of it sells."""
    held, owed = np.array([[1_000.0, 0], [1_000.0, 0]]), np.array([[0, 700.0], [0, 700.0]])
    accounts = borrowers(held, np.array([[0.86, 0], [0.75, 0]]), owed)
    found = cascade(accounts, [0.1, 0], Impact(np.full(2, 1e18)), bonus=0.05, health_target=1.05)

    assert found.part[0] == 0
    assert 0 < found.part[1] < 1


def test_a_debt_in_the_same_token_as_its_collateral_does_not_move() -> None:
    """Whoever supplies and borrows one token keeps its health whatever the price."""
    accounts = borrowers(np.array([[1_000.0]]), np.array([[0.8]]), np.array([[790.0]]))
    found = cascade(accounts, [0.5], Impact(np.array([1.0])), bonus=0.05, health_target=1)

    assert (found.part.tolist(), found.price.tolist()) == ([0], [0.5])
    assert found.equity_usd[0] == pytest.approx(105)


def test_a_debt_in_another_token_falls_with_the_shock_and_not_with_the_sales() -> None:
    """A short of the shocked token gains by the shock; what others sell of it then is not counted to its favour."""
    held = np.array([[1_000.0, 0, 0], [0, 1_000.0, 0]])
    owed = np.array([[0, 0, 790.0], [790.0, 0, 0]])
    accounts = borrowers(held, np.full((2, 3), 0.8), owed)
    found = cascade(accounts, [0.2, 0, 0], Impact(np.full(3, 500.0)), bonus=0.05, health_target=1)

    assert found.price[0] < 0.8
    assert found.equity_usd[1] == pytest.approx(1_000 - 0.8 * 790)


def test_a_position_is_closed_at_its_maintenance_ratio() -> None:
    """A long of 1,000 at a ratio of 1/16 with 80 of equity loses 30: 50 is below 970 / 16, so it sells."""
    ratio = 1 / 16
    held = csr_array(np.array([[1_000.0]]))
    accounts = Borrowers(
        held_usd=held,
        counted_usd=held * (1 - ratio),
        owed_usd=csr_array((1, 1)),
        owed_counted_usd=csr_array((1, 1)),
        cash_usd=np.array([-920.0]),
        surplus_usd=np.array([80 - 1_000 * ratio]),
        required_usd=np.array([1_000 * ratio]),
        repays=np.array([False]),
    )
    found = cascade(accounts, [0.03], Impact(np.array([1e18])), bonus=0.0, health_target=1)

    assert accounts.equity_usd.tolist() == [80]
    assert found.repaid_usd[0] == pytest.approx(970 - 50 / ratio, rel=1e-9)
    assert found.equity_usd[0] == pytest.approx(50)


@pytest.mark.slow
@given(st.lists(st.floats(0, 0.7), min_size=3, max_size=3), st.floats(0, 0.15), st.floats(1, 1.2))
def test_prices_are_the_impact_of_what_is_sold(shock: list[float], bonus: float, target: float) -> None:
    """It ends at a fixed point, nobody sells more than it has, and who was sold out in part is at the target."""
    found = sale(shock, bonus=bonus, target=target)
    sold = found.sold_usd.toarray()[:, :3]
    worth = HELD * (1 - np.array(shock))

    assert found.converged
    assert found.kept[:3] == pytest.approx(DEPTH.kept(sold.sum(axis=0)), rel=1e-6)
    assert np.all(sold <= worth + 1e-9)
    left = (worth - sold) @ found.kept[:3] * 0.83
    debts = DEBTS - found.repaid_usd
    within = (found.part > 0) & (found.part < 1)
    assert left[within] == pytest.approx(debts[within] * target, rel=1e-6)


@pytest.mark.slow
@given(
    st.lists(st.floats(0, 0.4), min_size=3, max_size=3),
    st.lists(st.floats(0, 0.2), min_size=3, max_size=3),
    st.floats(1, 5),
)
def test_a_greater_shock_or_a_thinner_market_is_never_better(
    shock: list[float], more: list[float], thinner: float
) -> None:
    """Prices fall with the shock and with the depth, and bad debt grows."""
    base = sale(shock)
    shocked = sale([one + two for one, two in zip(shock, more, strict=True)])
    thin = sale(shock, DEPTH.depth_usd / thinner)

    for worse in (shocked, thin):
        assert np.all(worse.price <= base.price + 1e-9)
        assert worse.bad_debt_usd.sum() >= base.bad_debt_usd.sum() - 1e-6


def test_no_shock_sells_nothing() -> None:
    """Who is healthy stays so, and prices stand."""
    found = sale([0, 0, 0], target=1.2)

    assert (found.price.tolist(), found.part.sum(), found.bad_debt_usd.sum()) == ([1, 1, 1, 1], 0, 0)


def test_a_cascade_that_is_cut_short_says_so() -> None:
    """One round is not enough, and the prices told are above the fixed point."""
    accounts, impact = in_dollars(HELD, 0.83, DEBTS), Impact(np.append(DEPTH.depth_usd, 1.0))
    cut = cascade(accounts, [0.15, 0, 0, 0], impact, bonus=0.05, health_target=1.05, rounds_most=1)

    assert not cut.converged
    assert np.all(cut.price >= sale([0.15, 0, 0]).price)


def test_spillovers_add_up_to_what_the_sales_took() -> None:
    """Two groups: the first sold all of what fell by a tenth, so both columns of its row are a tenth of holdings."""
    taken = spillovers([[100, 50], [300, 0]], [[40, 0], [0, 10]], [0.9, 0.8])

    assert taken == pytest.approx(np.array([[10, 30], [10, 0]]))


def test_groups_add_accounts_up() -> None:
    """Three accounts of two groups."""
    assert (by_group(np.array([1, 0, 1]), 2) @ np.array([1.0, 2.0, 4.0])).tolist() == [2, 5]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: sale([0, 0]),
        lambda: sale([0, 0, 1.5]),
        lambda: sale([0, 0, 0], np.array([1.0])),
        lambda: sale([0, 0, 0], bonus=-0.1),
        lambda: sale([0, 0, 0], target=0.9),
        lambda: in_dollars(-HELD, 0.8, DEBTS),
        lambda: borrowers(HELD, np.full(HELD.shape, 0.8), np.zeros((4, 2))),
        lambda: _with(cash_usd=np.array([np.nan] * 4)),
        lambda: _with(repays=np.array([True])),
        lambda: by_group(np.array([2]), 2),
        lambda: spillovers([[1]], [[1]], [2]),
    ],
)
def test_nonsense_is_refused(wrong: Callable[[], object]) -> None:
    """No cascade comes out of wrong accounts."""
    with pytest.raises(RiskInputError):
        wrong()


def _with(**changes: Any) -> Borrowers:  # noqa: ANN401 - any field of the accounts
    told = in_dollars(HELD, 0.8, DEBTS)
    return Borrowers(**{**{name: getattr(told, name) for name in Borrowers.__slots__}, **changes})
