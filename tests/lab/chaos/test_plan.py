"""What a seed does to the keeper is the same every time, and every kind of trouble occurs."""

from __future__ import annotations

from keeper.lab.chaos.plan import REORG_DEPTH_MAX, draw_plan

STEPS = 30
PLANS = [draw_plan(seed, STEPS, 2) for seed in range(200)]


def test_a_seed_draws_one_plan() -> None:
    """The same seed gives the same plan, another seed another."""
    assert draw_plan(7, STEPS, 2) == PLANS[7]
    assert draw_plan(8, STEPS, 2) != PLANS[7]


def test_every_trouble_is_drawn() -> None:
    """Depths from one to the deepest, with and without a rival, every outage, lag, dear gas, kills."""
    reorgs = [reorg for plan in PLANS for reorg in plan.reorgs.values()]

    assert {reorg.depth for reorg in reorgs} == set(range(1, REORG_DEPTH_MAX + 1))
    assert {(reorg.rival, reorg.keeps_ours) for reorg in reorgs} == {
        (a, b) for a in (True, False) for b in (True, False)
    }
    assert {how for plan in PLANS for _, how in plan.outages} == {"refuse", "reset", "hang"}
    assert {len(window.providers) for plan in PLANS for window, _ in plan.outages} == {1, 2}
    assert any(plan.lags for plan in PLANS)
    assert any(plan.spikes for plan in PLANS)
    assert all(plan.kills for plan in PLANS)


def test_a_reorg_never_reaches_below_the_first_step() -> None:
    """Blocks before the scenario are not replaced: the market stands on them."""
    assert [plan for plan in PLANS for step, reorg in plan.reorgs.items() if step < reorg.depth] == []
