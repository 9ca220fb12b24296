"""Winners give up what the policy says, no more than is needed, and as the published waves show."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.adl import (
    bankruptcy_price,
    in_turn,
    leverage_mass,
    liquidatable,
    overshoot,
    position_equity,
    pro_rata,
    queue_haircuts,
    queue_score,
    risk_aware_pro_rata,
)
from keeper.risk.inputs import Floats

EVENT = Path(__file__).parent / "data" / "adl_2025-10-10"
COLLATERAL = [2, 2 / 3, 8 / 3, 2 / 19, 10 / 99]
SIZE = [1, 1, 4, 1, 1]
SIDE = [1, 1, -1, 1, -1]
"""The traders A to E of arXiv 2512.01112."""
FIRST_LOSS = 1 / 15
"""What a unit long has lost at t = 1, as the example's equities show."""
SECOND_LOSS = FIRST_LOSS + 0.672023
"""At t = 2, of which the masses and the deficit of the example follow."""
WINNERS = st.lists(st.tuples(st.floats(0.01, 1e6), st.floats(0.01, 100)), min_size=1, max_size=25)


def waves() -> dict[str, list[float]]:
    """Return the columns of the waves of 10 October 2025."""
    with (EVENT / "policy_per_wave_metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def _equities(loss: float) -> Floats:
    return position_equity(COLLATERAL, SIZE, SIDE, -loss)


def test_the_waves_sum_to_what_was_published() -> None:
    """Hyperliquid, 10 October 2025: sixteen waves, their deficit, what was needed and what was taken."""
    columns = waves()
    totals = {name: math.fsum(values) for name, values in columns.items()}

    assert len(columns["wave"]) == 16
    assert totals["deficit_usd"] == pytest.approx(100_063_386.69, abs=0.005)
    assert totals["budget_needed"] == pytest.approx(15_079_669.61, abs=0.005)
    assert totals["budget_prod"] == pytest.approx(60_108_335.33, abs=0.005)


def test_production_took_more_than_was_needed() -> None:
    """The overshoot of the waves is the headline's: 45,028,665.72, wave by wave as published."""
    columns = waves()
    beyond = overshoot(columns["budget_prod"], columns["budget_needed"])
    headline = json.loads((EVENT / "headlines.json").read_text(encoding="utf-8"))

    assert beyond == pytest.approx(columns["overshoot_prod"], rel=1e-9)
    assert math.fsum(beyond) == pytest.approx(45_028_665.72, abs=0.005)
    assert math.fsum(beyond) == pytest.approx(headline["prod_overshoot_vs_needed_usd"], rel=1e-9)


def test_the_queue_overshoots_by_more() -> None:
    """The published queue takes 653,552,663.51 beyond the need, in the totals as in the headline."""
    with (EVENT / "summary_totals.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    headline = json.loads((EVENT / "headlines.json").read_text(encoding="utf-8"))

    assert row["policy"] == "queue"
    assert float(row["total_overshoot"]) == pytest.approx(653_552_663.51, abs=0.005)
    assert headline["queue_total_overshoot_usd"] == pytest.approx(653_552_663.51, abs=0.005)
    assert headline["winner_overcollateralization_equity_over_pnl"]["n_users"] == 17_771
    assert headline["winner_overcollateralization_equity_over_pnl"]["median"] == pytest.approx(4.4128, abs=5e-5)
    assert headline["winner_overcollateralization_equity_over_pnl"]["trimmed_mean"] == pytest.approx(6.6619, abs=5e-5)


def test_pro_rata_meets_the_need_of_every_wave() -> None:
    """Our pro rata over each wave's capacity takes what theirs did, and overshoots in none."""
    columns = waves()
    given_up = [
        float(pro_rata(need, [cap])[0])
        for need, cap in zip(columns["budget_needed"], columns["total_cap"], strict=True)
    ]

    assert given_up == pytest.approx(columns["budget_pr"], rel=1e-9)
    assert overshoot(given_up, columns["budget_needed"]) == pytest.approx(0, abs=1e-6)


def test_the_share_of_a_deficit_that_was_covered() -> None:
    """The published theta is what our pro rata, with the deficit as the only capacity, takes of it."""
    columns = waves()
    for budget, theta in (("budget_prod", "theta_prod_capped"), ("budget_needed", "theta_needed_capped")):
        shares = [
            float(pro_rata(taken, [deficit])[0]) / deficit
            for taken, deficit in zip(columns[budget], columns["deficit_usd"], strict=True)
        ]
        assert shares == pytest.approx(columns[theta], rel=1e-9)


def test_the_equities_of_five_traders() -> None:
    """Chitra, arXiv 2512.01112, at t = 1."""
    assert _equities(FIRST_LOSS) == pytest.approx([1.9333, 0.6, 2.9334, 0.0386, 0.1677], abs=1e-4)


def test_one_of_five_traders_is_liquidatable() -> None:
    """At price 1.4 and a maintenance of a tenth only D is below its threshold of .14 (C's is .56)."""
    notional = 1.4 * np.array(SIZE)

    assert 0.1 * notional == pytest.approx([0.14, 0.14, 0.56, 0.14, 0.14])
    assert liquidatable(_equities(FIRST_LOSS), notional, 0.1).tolist() == [False, False, False, True, False]


def test_the_bankruptcy_prices_of_five_traders() -> None:
    """Chitra, arXiv 2512.01112, appendix on liquidations: entered at 1."""
    prices = bankruptcy_price(COLLATERAL, SIZE, SIDE, 1)

    assert prices == pytest.approx([0, 1 / 3, 5 / 3, 0.8947, 1.1010], abs=1e-4)


def test_the_leverage_masses_of_five_traders() -> None:
    """Chitra, arXiv 2512.01112: 49.59 at t = 1; at t = 2, price 1.3, 3.504 of winners and 20.102 of losers."""
    first = leverage_mass(_equities(FIRST_LOSS), 1.4 * np.array(SIZE))
    second = leverage_mass(_equities(SECOND_LOSS), 1.3 * np.array(SIZE))

    assert first == pytest.approx((49.59, 0), abs=0.006)
    assert second == pytest.approx((3.504, 20.102), abs=5e-4)


def test_the_haircut_of_the_three_winners() -> None:
    """Chitra, arXiv 2512.01112: a deficit of .705 against 7.72 is a rate of .0913; the linear risk tilts the shares."""
    equity = _equities(SECOND_LOSS)
    won = equity > 0
    deficit, winners = float(-equity[~won].sum()), equity[won]
    leverage = 1.3 * np.array(SIZE)[won] / winners
    rates = risk_aware_pro_rata(deficit, winners, np.ones(3))
    tilted = risk_aware_pro_rata(deficit, winners, leverage * leverage) * winners

    assert won.tolist() == [True, False, True, False, True]
    assert (deficit, winners.sum()) == pytest.approx((0.705, 7.72), abs=0.003)
    assert rates == pytest.approx(0.0913, abs=1e-4)
    assert pro_rata(deficit, winners) / winners == pytest.approx(rates)
    assert tilted / tilted.sum() == pytest.approx([0.164, 0.589, 0.246], abs=6e-4)


def test_the_queue_takes_the_most_levered_winner_first() -> None:
    """By hand: returns of .1, .1 and .2 at leverages 2, 10 and 5 rank the second and third alike before the first."""
    scores = queue_score([10, 10, 20], 100, 100, [50, 10, 20])

    assert scores == pytest.approx([0.2, 1, 1])
    assert queue_haircuts(25, [10, 10, 20], scores).tolist() == [0, 10, 15]
    assert queue_score(-10, 100, 100, [50, 10]) == pytest.approx([-0.05, -0.01])


@given(WINNERS, st.floats(0, 1.5))
def test_no_policy_takes_more_than_needed_or_than_there_is(winners: list[tuple[float, float]], share: float) -> None:
    """Queue and pro rata take the budget, or all there is; nobody gives more than it can."""
    capacities, scores = np.array(winners).T
    budget = share * float(capacities.sum())
    for given_up in (queue_haircuts(budget, capacities, scores), pro_rata(budget, capacities)):
        assert given_up.sum() == pytest.approx(min(budget, capacities.sum()), rel=1e-9)
        assert np.all((given_up >= 0) & (given_up <= capacities * (1 + 1e-12)))


@given(WINNERS, st.floats(0, 1), st.floats(0.1, 1))
def test_risk_aware_pro_rata_meets_its_budget(winners: list[tuple[float, float]], share: float, cap: float) -> None:
    """The rates are ``min(beta, tau w)`` for one tau: they meet the budget and rise with the risk."""
    endowments, weights = np.array(winners).T
    budget = share * cap * float(endowments.sum())
    rates = risk_aware_pro_rata(budget, endowments, weights, caps=cap)

    assert endowments @ rates == pytest.approx(budget, rel=1e-9, abs=1e-9)
    assert np.all((rates >= 0) & (rates <= cap))
    assert np.all(np.diff(rates[np.argsort(weights, kind="stable")]) >= -1e-12)
    levels = (rates / weights)[rates < cap * (1 - 1e-9)]
    assert levels == pytest.approx(levels.max(initial=0), rel=1e-9)


def test_capped_winners_leave_the_rest_to_the_others() -> None:
    """By hand: 60 of two hundreds at caps .2 and 1 are 20 and 40; without weight nothing is given."""
    assert risk_aware_pro_rata(60, [100, 100], [1, 1], caps=[0.2, 1]) == pytest.approx([0.2, 0.4])
    assert risk_aware_pro_rata(60, [100, 100], [0, 2]) == pytest.approx([0, 0.6])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: position_equity(1, -1, 1, 0),
        lambda: position_equity(1, 1, 2, 0),
        lambda: bankruptcy_price(1, 0, 1, 1),
        lambda: leverage_mass([1, 2], [1]),
        lambda: queue_score(1, 1, 1, 0),
        lambda: in_turn(-1, [1]),
        lambda: queue_haircuts(1, [1, 2], [1]),
        lambda: pro_rata(float("nan"), [1]),
        lambda: risk_aware_pro_rata(101, [100], [1]),
        lambda: risk_aware_pro_rata(1, [], []),
        lambda: risk_aware_pro_rata(1, [100], [1], caps=2),
    ],
)
def test_a_deleveraging_of_nonsense_is_refused(wrong: Callable[[], object]) -> None:
    """Nobody gives up what is not a number."""
    with pytest.raises(RiskInputError):
        wrong()
