"""Clearing vectors are fixed points and optimal; fire sales end where they must, and only worsen with the shock."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from keeper.core.errors import RiskInputError
from keeper.risk.contagion import FireSale, Impact, bankruptcy_costs, clearing, fire_sale, leverage_at
from keeper.risk.inputs import Floats

OWED = np.array([[0, 20, 30], [10, 0, 15], [5, 10, 0]], dtype=float)
EXTERNAL = np.array([10, 12, 3], dtype=float)
NETWORKS = st.integers(2, 6).flatmap(
    lambda nodes: st.tuples(arrays(float, (nodes, nodes), elements=st.floats(0, 100)), _externals(nodes))
)
HOLDINGS = np.array([[600, 400, 0], [0, 500, 500], [300, 0, 700], [0, 0, 250]], dtype=float)
DEBTS = np.array([780, 700, 600, 100], dtype=float)
DEPTH = Impact(np.array([4_000, 2_000, 3_000], dtype=float))


def _externals(nodes: int) -> st.SearchStrategy[Floats]:
    return arrays(float, nodes, elements=st.floats(0.5, 100))


def _sale(shock: list[float], depth: Impact = DEPTH, **changes: float) -> FireSale:
    limits = {"leverage_most": leverage_at(0.83), "leverage_target": leverage_at(0.75), **changes}
    return fire_sale(
        HOLDINGS, DEBTS, shock, depth, leverage_most=limits["leverage_most"], leverage_target=limits["leverage_target"]
    )


def _by_linear_program(owed: Floats, external: Floats) -> Floats:
    """Return Eisenberg and Noe's other characterisation: the clearing vector maximises what is paid."""
    due = owed.sum(axis=1)
    shares = np.divide(owed, due[:, None], out=np.zeros_like(owed), where=due[:, None] > 0)
    found = linprog(
        -np.ones(len(due)),
        A_ub=np.eye(len(due)) - shares.T,
        b_ub=external,
        bounds=[(0, most) for most in due],
        method="highs",
    )
    assert found.status == 0
    return np.asarray(found.x, dtype=np.float64)


def test_three_banks_clear() -> None:
    """Closed form: payments 25, 25, 15 and equities 0, 7, 18; the first defaults at half of its 50."""
    result = clearing(OWED, EXTERNAL)

    assert result.payments_usd == pytest.approx([25, 25, 15], abs=1e-9)
    assert result.equities_usd == pytest.approx([0, 7, 18], abs=1e-9)
    assert result.defaults.tolist() == [True, False, False]
    assert result.rounds == 1


def test_three_banks_clear_as_a_linear_program_says() -> None:
    """The independent optimum of scipy is the same vector."""
    assert clearing(OWED, EXTERNAL).payments_usd == pytest.approx(_by_linear_program(OWED, EXTERNAL), abs=1e-9)


@pytest.mark.slow
@given(NETWORKS)
def test_a_clearing_vector_is_a_fixed_point_and_conserves_value(network: tuple[Floats, Floats]) -> None:
    """Everybody pays what it owes or all it has; the external assets are what is kept at last."""
    owed, external = network
    np.fill_diagonal(owed, 0)
    result = clearing(owed, external)
    due = owed.sum(axis=1)
    shares = np.divide(owed, due[:, None], out=np.zeros_like(owed), where=due[:, None] > 0)
    has = external + shares.T @ result.payments_usd

    assert result.payments_usd == pytest.approx(np.minimum(due, has), rel=1e-9, abs=1e-9)
    assert result.equities_usd.sum() == pytest.approx(external.sum(), rel=1e-9)
    assert bankruptcy_costs(result, owed, external) == pytest.approx(0, abs=1e-6)
    assert result.rounds <= len(due)
    assert result.payments_usd.sum() == pytest.approx(_by_linear_program(owed, external).sum(), rel=1e-6, abs=1e-6)


@given(NETWORKS, st.floats(0, 1), st.floats(0, 1))
def test_bankruptcy_costs_are_never_below_nothing(network: tuple[Floats, Floats], alpha: float, beta: float) -> None:
    """Rogers and Veraart: with recoveries below 1 payments fall and value is destroyed, never made."""
    owed, external = network
    np.fill_diagonal(owed, 0)
    free = clearing(owed, external)
    dear = clearing(owed, external, recovery_external=alpha, recovery_claims=beta)

    assert np.all(dear.payments_usd <= free.payments_usd + 1e-9)
    assert np.all(free.defaults <= dear.defaults)
    assert bankruptcy_costs(dear, owed, external) >= -1e-6


def test_bankruptcy_costs_make_a_default_dearer() -> None:
    """By hand, recoveries of half: the first pays .5 * 10 + .5 * 15 = 12.5 and nobody follows; 12.5 are destroyed."""
    result = clearing(OWED, EXTERNAL, recovery_external=0.5, recovery_claims=0.5)

    assert result.payments_usd == pytest.approx([12.5, 25, 15])
    assert result.equities_usd == pytest.approx([0, 2, 10.5])
    assert bankruptcy_costs(result, OWED, EXTERNAL) == pytest.approx(12.5)


def test_bankruptcy_costs_spread_a_default() -> None:
    """By hand, a fifth and nothing recovered: each default brings the next, three waves, and all pay a fifth."""
    result = clearing(OWED, EXTERNAL, recovery_external=0.2, recovery_claims=0)

    assert result.payments_usd == pytest.approx([2, 2.4, 0.6])
    assert result.defaults.tolist() == [True, True, True]
    assert result.rounds == 3


def test_a_network_without_debts_keeps_everything() -> None:
    """Nobody owes, nobody defaults."""
    result = clearing(np.zeros((2, 2)), [3, 4])

    assert result.equities_usd.tolist() == [3, 4]
    assert result.rounds == 0


def test_no_shock_sells_nothing() -> None:
    """Venues below their limit are left alone, and prices stand."""
    result = _sale([0, 0, 0])

    assert result.price.tolist() == [1, 1, 1]
    assert result.sold_usd.sum() == 0
    assert result.converged


def test_one_venue_and_one_asset_by_hand() -> None:
    """At a depth beyond measure 900 against 800 sells down to leverage 4: 400 of assets for 100 of equity."""
    result = fire_sale(
        [[1_000]], [800], [0.1], Impact(np.array([1e15])), leverage_most=leverage_at(0.8), leverage_target=4
    )

    assert result.sold_usd == pytest.approx(np.array([[500]]), rel=1e-9)
    assert result.equity_usd == pytest.approx([100], rel=1e-9)


def test_a_shock_of_one_asset_reaches_who_does_not_hold_it() -> None:
    """The second venue holds nothing of the first asset, and loses equity by the second that the first venue sells."""
    alone = _sale([0.15, 0, 0], Impact(np.array([1e15, 1e15, 1e15])))
    shared = _sale([0.15, 0, 0])

    assert alone.equity_usd[1] == pytest.approx(HOLDINGS[1].sum() - DEBTS[1], rel=1e-9)
    assert shared.equity_usd[1] < alone.equity_usd[1] - 1
    assert shared.price[1] < 1


@given(st.lists(st.floats(0, 0.5), min_size=3, max_size=3), st.floats(0, 0.5))
def test_a_fire_sale_is_a_fixed_point_that_conserves_value(shock: list[float], floor: float) -> None:
    """What venues lost is what the prices did to what they held; the prices are the impact of what they sold."""
    depth = Impact(DEPTH.depth_usd, floor)
    result = _sale(shock, depth)
    lost = HOLDINGS.sum(axis=1) - DEBTS - result.equity_usd

    assert result.converged
    assert lost == pytest.approx(HOLDINGS @ (1 - result.price), rel=1e-9, abs=1e-9)
    assert result.price == pytest.approx((1 - np.array(shock)) * depth.kept(result.sold_usd.sum(axis=0)), rel=1e-6)
    assert np.all(result.sold_usd <= HOLDINGS * (1 - np.array(shock)) + 1e-9)
    assert np.all(result.price >= floor * (1 - np.array(shock)) - 1e-12)


@given(
    st.lists(st.floats(0, 0.4), min_size=3, max_size=3),
    st.lists(st.floats(0, 0.2), min_size=3, max_size=3),
    st.floats(1, 5),
)
def test_a_greater_shock_or_a_thinner_market_is_never_better(
    shock: list[float], more: list[float], thinner: float
) -> None:
    """Prices and equities fall with the shock, and with the depth."""
    base = _sale(shock)
    shocked = _sale([one + two for one, two in zip(shock, more, strict=True)])
    thin = _sale(shock, Impact(DEPTH.depth_usd / thinner))

    for worse in (shocked, thin):
        assert np.all(worse.price <= base.price + 1e-9)
        assert np.all(worse.equity_usd <= base.equity_usd + 1e-6)


def test_a_cascade_that_is_cut_short_says_so() -> None:
    """One round is not enough for a contagion, and the prices told are not below the fixed point."""
    cut = fire_sale(
        HOLDINGS, DEBTS, [0.15, 0, 0], DEPTH, leverage_most=leverage_at(0.83), leverage_target=4, rounds_most=1
    )
    whole = _sale([0.15, 0, 0], leverage_target=4)

    assert not cut.converged
    assert np.all(cut.price >= whole.price)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: clearing([[0, 1]], [1]),
        lambda: clearing([[1, 1], [0, 0]], [1, 1]),
        lambda: clearing(OWED, [1, 2]),
        lambda: clearing(OWED, [-1, 2, 3]),
        lambda: clearing(OWED, EXTERNAL, recovery_claims=1.1),
        lambda: Impact(np.array([0.0])),
        lambda: Impact(np.array([1.0]), floor=1),
        lambda: leverage_at(1),
        lambda: _sale([0, 0]),
        lambda: _sale([0, 0, 1.5]),
        lambda: _sale([0, 0, 0], leverage_target=9),
        lambda: _sale([0, 0, 0], Impact(np.array([1.0]))),
    ],
)
def test_a_network_of_nonsense_is_refused(wrong: Callable[[], object]) -> None:
    """No contagion comes out of a wrong network."""
    with pytest.raises(RiskInputError):
        wrong()
