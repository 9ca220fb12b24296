"""Scenario grids and shocks of volatility are those that were published."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest

from keeper.core.errors import RiskInputError
from keeper.risk.scenarios import (
    DERIVE_MAINNET,
    DERIVE_TEST,
    Scenario,
    ScenarioSet,
    VolRule,
    VolShock,
    deribit,
    span16,
)
from tests.risk.markets import years


@pytest.mark.parametrize(
    ("seconds", "up", "down"),
    [
        (900, 2.2483860016024813, 0.16774266559834583),
        (500_400, 1.7370684514926746, 0.508621032338217),
        (1_191_600, 1.5681511166375728, 0.6212325889082848),
        (2_487_600, 1.4555844040146944, 0.6962770639902038),
        (7_758_000, 1.3902272493224166, 0.7398485004517223),
    ],
)
def test_volatilities_move_as_far_as_derives_manager_moves_them(seconds: int, up: float, down: float) -> None:
    """Derive v2-core, testAndVerifyScenarios.json: VolShockUp and VolShockDown of each expiry."""
    rises, falls = DERIVE_TEST.vol_rule.multipliers(years(seconds=seconds))

    assert float(rises) == pytest.approx(up, rel=1e-9)
    assert float(falls) == pytest.approx(down, rel=1e-9)


def test_a_volatility_never_falls_below_zero() -> None:
    """A shock of more than all of it leaves none."""
    assert float(VolRule(up=1.0, down=2.0).multipliers(years(days=5))[1]) == 0.0


def test_shocked_volatilities_stand_in_the_scenarios_order() -> None:
    """None, up and down; a low volatility rises from the least that counts."""
    rule = VolRule(up=0.5, down=0.25, least_before_up=0.5)
    shocks = np.array([VolShock.DOWN, VolShock.NONE, VolShock.UP])

    shocked = rule.shocked(np.array([0.4, 0.8]), np.array([years(days=30), years(days=30)]), shocks)

    assert shocked == pytest.approx(np.array([[0.3, 0.4, 0.75], [0.6, 0.8, 1.2]]))


def test_derives_deployment_has_23_scenarios_and_its_tests_21() -> None:
    """The widest moves come with rising volatility only."""
    assert len(DERIVE_MAINNET.scenarios) == 23
    assert len(DERIVE_TEST.scenarios) == 21
    widest = [
        shock
        for move, shock in zip(DERIVE_MAINNET.scenarios.spot_moves, DERIVE_MAINNET.scenarios.vol_shocks, strict=True)
        if abs(move) == 0.20
    ]
    assert widest == [VolShock.UP, VolShock.UP]


def test_deribits_grid_has_nine_prices_and_three_volatilities() -> None:
    """16 % in four steps each way; far moves with rising volatility, of which a share counts."""
    parameters = deribit(25_000.0)

    assert sorted(set(parameters.scenarios.spot_moves)) == pytest.approx(np.linspace(-0.16, 0.16, 9))
    assert Counter(parameters.scenarios.vol_shocks) == dict.fromkeys(VolShock, 9)
    assert parameters.extended is not None
    assert parameters.extended.spot_moves == (-0.66, -0.33, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0)
    assert set(parameters.extended.vol_shocks) == {VolShock.UP}
    assert parameters.extended.shares[0] == pytest.approx(0.16 / 0.66)


def test_span_has_sixteen_scenarios() -> None:
    """Thirds of the range with volatility up and down, and two extremes of which a share counts."""
    scenarios = span16(0.15, 0.25).scenarios

    assert len(scenarios) == 16
    assert Counter(scenarios.vol_shocks) == {VolShock.UP: 7, VolShock.DOWN: 7, VolShock.NONE: 2}
    assert scenarios.spot_moves[-2:] == pytest.approx((0.45, -0.45))
    assert scenarios.shares == (*[1.0] * 14, 0.33, 0.33)
    rises, falls = span16(0.15, 0.25).vol_rule.multipliers([0.01, 2.0])
    assert rises == pytest.approx([1.25, 1.25])
    assert falls == pytest.approx([0.75, 0.75])


def test_a_scenario_is_named_for_what_it_does() -> None:
    """The binding one is read by people."""
    assert DERIVE_MAINNET.scenarios.names[0] == "spot +20 % vol up"


@pytest.mark.parametrize(
    "rows",
    [[], [Scenario(-1.0, VolShock.NONE)], [Scenario(float("nan"), VolShock.UP)], [Scenario(0.1, VolShock.UP, 2)]],
)
def test_scenarios_that_leave_no_price_are_refused(rows: list[Scenario]) -> None:
    """No scenario, a move of everything, and a share above one."""
    with pytest.raises(RiskInputError):
        ScenarioSet.of(rows)


def test_scenarios_that_lack_a_field_are_refused() -> None:
    """A move without its shock is none."""
    with pytest.raises(RiskInputError, match="lack a field"):
        msgspec.structs.replace(DERIVE_TEST.scenarios, vol_shocks=())


@pytest.mark.parametrize(
    "changes",
    [
        {"static_discount": 1.1},
        {"initial_factor": 0.9},
        {"option_share": -0.1},
        {"basis_factor": -1},
        {"peg_threshold": 0},
    ],
)
def test_parameters_that_reward_risk_are_refused(changes: dict[str, Any]) -> None:
    """A discount is not a premium, and a contingency never a gain."""
    with pytest.raises(RiskInputError, match=next(iter(changes))):
        msgspec.structs.replace(DERIVE_TEST, **changes)
    with pytest.raises(RiskInputError, match="maintenance_share"):
        span16(0.15, 0.25, maintenance_share=1.5)
    with pytest.raises(RiskInputError, match="dampener_usd"):
        deribit(-1.0)
