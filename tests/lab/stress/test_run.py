"""A run of the laboratory: deterministic, conserving, decided by the shipped engine."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from keeper.core.decisions import Verdict
from keeper.core.errors import RiskInputError, UsageError
from keeper.core.ids import Address
from keeper.core.units import TokenAmount
from keeper.lab.simulator.ledger import SimulatedLedger
from keeper.lab.simulator.market import USD
from keeper.lab.stress.borrowers import Borrowers
from keeper.lab.stress.impact import ImpactModel
from keeper.lab.stress.paths import STEPS_PER_HOUR, Path, made
from keeper.lab.stress.policies import POLICIES, policy
from keeper.lab.stress.run import Run
from keeper.lab.stress.scenarios import Gas, Oracle, World

SMALL = World(borrowers=Borrowers(count=12))
HOURS = 30


def falling(shares: tuple[float, ...] = (1.0, 0.75, 0.8)) -> Path:
    """Return a path that goes through these shares of its first price, a third of it each."""
    steps = np.linspace(0, len(shares) - 1, HOURS * STEPS_PER_HOUR)
    share = np.interp(steps, np.arange(len(shares)), shares)
    quiet = np.exp(0.02 * np.random.Generator(np.random.PCG64(5)).standard_normal(200))
    return Path("falling", np.outer(share, (30_000.0, 2_000.0)), np.outer(quiet, (30_000.0, 2_000.0)))


def ran(name: str = "half", world: World = SMALL, seed: int = 7, path: Path | None = None) -> Run:
    """Run a policy on the falling path."""
    run = Run(path or falling(), world, policy(name), seed)
    run.run()
    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", POLICIES)
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    """Two runs of one seed end in the same result and the same state of the engine."""
    first, second = (msgspec.json.encode(ran(name).result("falling", 7)) for _ in range(2))
    assert first == second


@pytest.mark.slow
def test_another_seed_gives_another_run() -> None:
    """The seed is what chance hangs on."""
    assert ran(seed=7).result("falling", 7).state_hash != ran(seed=8).result("falling", 8).state_hash


@pytest.mark.slow
@pytest.mark.parametrize("name", ["half", "slices", "dutch"])
def test_the_shipped_engine_decided(name: str) -> None:
    """Each liquidation by our keeper is that of an admitted intent about its account, and the engine knows its own."""
    run = ran(name)
    ours = [(account, intent_id) for account, intent_id in run.seized if intent_id is not None]
    assert ours
    assert all(run.keeper.admitted[intent_id].account == account for account, intent_id in ours if intent_id)
    assert len({intent_id for _, intent_id in ours}) == len(ours)
    assert run.keeper.verdicts[Verdict.OURS] == len(ours)
    assert run.keeper.verdicts[Verdict.HEALTH_WRONG] == 0
    assert run.keeper.verdicts[Verdict.UNTRACKED] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["half", "unfunded", "isolated", "scaled", "full-market"])
def test_value_is_conserved(name: str) -> None:
    """What was owed is repaid, defended, written off or still owed; bad debt is the fund's or the lenders'."""
    run = ran(name, path=falling((1.0, 0.4, 0.5)))
    result = run.result("falling", 7)
    gone = result.repaid_usd + result.defended_usd + math.fsum(run.deficits_usd)
    assert result.owed_start_usd == pytest.approx(gone + result.owed_end_usd, abs=1.0)
    assert result.bad_debt_usd > 0
    assert result.bad_debt_usd == pytest.approx(result.insurance_usd + result.socialised_usd, abs=1e-6)
    assert result.insurance_usd <= (0.0 if name == "unfunded" else 0.01 * result.owed_start_usd + 1e-6)


@pytest.mark.slow
def test_without_impact_nothing_falls_further() -> None:
    """In a market that no sale moves, liquidations take nothing from the price."""
    endless = msgspec.structs.replace(SMALL, impact=ImpactModel(depth_share=math.inf))
    result = ran(world=endless).result("falling", 7)
    assert result.liquidations > 0
    assert result.extra_drop == pytest.approx(0.0, abs=1e-12)


@pytest.mark.slow
def test_without_impact_or_delay_nobody_is_owed() -> None:
    """A deep market, a prompt oracle and blocks with room leave no bad debt after a fall that bonuses can bear."""
    best = msgspec.structs.replace(
        SMALL,
        impact=ImpactModel(depth_share=math.inf),
        oracle=Oracle(deviation=0.0, lag_steps=0, noise=0.0),
        gas=Gas(calls_per_step=1000, base_fee_gwei=0.001, noise=0.0),
    )
    result = ran(world=best).result("falling", 7)
    assert result.liquidations > 0
    assert result.bad_debt_usd == 0.0


@pytest.mark.slow
def test_a_thinner_market_falls_further() -> None:
    """The same forced sales take more from the price of a thinner market."""
    thin, deep = (
        ran(world=msgspec.structs.replace(SMALL, impact=ImpactModel(depth_share=share))).result("falling", 7)
        for share in (0.5, 20.0)
    )
    assert thin.extra_drop > deep.extra_drop > 0


@pytest.mark.slow
def test_sales_at_any_price_fall_further() -> None:
    """Who must sell takes more from the price, and leaves more unpaid, than who refuses a loss."""
    refusing, selling = (ran(name).result("falling", 7) for name in ("full", "full-market"))
    assert selling.extra_drop > refusing.extra_drop
    assert selling.bad_debt_usd > refusing.bad_debt_usd


@pytest.mark.slow
def test_a_scaled_requirement_withdraws_liquidity() -> None:
    """A requirement that follows volatility takes borrowing capacity away, and most when the market moves most."""
    fixed, scaled = (ran(name, path=falling((1.0, 0.5, 0.6))).result("falling", 7) for name in ("half", "scaled"))
    assert fixed.withdrawn == 0.0
    assert scaled.withdrawn > 0.0
    assert scaled.margin_locked > fixed.margin_locked


@pytest.mark.slow
def test_slices_repay_less_a_call_than_full_closes() -> None:
    """In a deep market, a call that may restore a health and no more repays less than one that may close everything."""
    endless = msgspec.structs.replace(SMALL, impact=ImpactModel(depth_share=math.inf))
    slices, full = (ran(name, world=endless).result("falling", 7) for name in ("slices", "full"))
    assert slices.repaid_usd / slices.liquidations < full.repaid_usd / full.liquidations


@pytest.mark.slow
@pytest.mark.parametrize("name", ["half", "slices", "dutch"])
def test_the_quick_preview_is_the_contracts(name: str) -> None:
    """What the ledger works out once a block gives every preview to the unit."""
    run = Run(falling(), SMALL, policy(name), 7)
    run.run()
    ledger = run.keeper.ledger
    for account in ledger.accounts():
        for pair in ledger.pairs(account):
            for cover in (1, int(pair.cover_max) // 3 + 1, int(pair.cover_max), 10 * int(pair.cover_max) + 7):
                asked = (Address(account), USD, pair.collateral_asset, TokenAmount(cover))
                assert ledger.preview(*asked) == SimulatedLedger.preview(ledger, *asked)


def test_a_path_that_cannot_be_run_is_refused() -> None:
    """A path that is too short, or holds no price somewhere, is named before anything runs."""
    path = falling()
    with pytest.raises(RiskInputError, match="has 5 steps"):
        Run(path._replace(prices_usd=path.prices_usd[:5]), SMALL, policy("half"), 1)
    broken = path.prices_usd.copy()
    broken[3, 1] = math.nan
    with pytest.raises(RiskInputError, match=r"prices_usd\[3\]\[1\]: is nan"):
        Run(path._replace(prices_usd=broken), SMALL, policy("half"), 1)
    with pytest.raises(RiskInputError, match="columns"):
        Run(path._replace(prices_usd=path.prices_usd[:, :1]), SMALL, policy("half"), 1)


def test_a_name_that_is_not_known_is_answered_with_the_nearest() -> None:
    """A misspelt policy is one error that names the likely one."""
    with pytest.raises(UsageError, match="did you mean slices"):
        policy("slice")


@pytest.mark.parametrize("kind", ["gbm", "jumps", "heston"])
def test_made_up_paths_hang_on_their_seed(kind: str) -> None:
    """The same seed makes the same path, another seed another."""
    assert np.array_equal(made(kind, 3).prices_usd, made(kind, 3).prices_usd)
    assert not np.array_equal(made(kind, 3).prices_usd, made(kind, 4).prices_usd)
