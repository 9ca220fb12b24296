"""Early slices on the ledger of a pre-liquidation contract: as small as the target needs, as large as gas demands."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.decisions import Proposal
from keeper.core.ids import to_hex
from keeper.core.runconfig import PreLiquidationSpec
from keeper.core.units import BaseAmount, Bps, TokenAmount, Wad
from keeper.venues.morpho_blue.math import WAD
from keeper.venues.morpho_blue.pre_ledger import PreLiquidationLedger
from strategies import STRATEGIES
from strategies.pre_liquidation import decide
from tests.strategies.fixed_view import View
from tests.venues import morpho_logs as logs
from tests.venues.morpho_logs import ALICE
from tests.venues.pre_liquidation_logs import INSIDE, drifted

USD = 10**8
SPEC = PreLiquidationSpec(
    name="pre_liquidation",
    venues=("early",),
    signer="main",
    target_health=Wad(101 * 10**16),
    headroom_bps=Bps(500),
    slippage_bps={},
    slippage_bps_default=Bps(20),
)
FIRST, LAST = 1_600 * 10**6, 1_720 * 10**6


def proposed(view: View[PreLiquidationLedger], **changes: object) -> Proposal | None:
    """Return what is proposed for Alice."""
    spec: PreLiquidationSpec = msgspec.structs.replace(SPEC, **changes)
    return next(decide(view, [view.ledger.margin(ALICE)], spec), None)


def sure(found: Proposal | None) -> Proposal:
    """Return a proposal that is there."""
    assert found is not None
    return found


def most(ledger: PreLiquidationLedger) -> int:
    """Return the most that the close factor lets be covered."""
    return int(ledger.pairs(ALICE)[0].cover_max)


def test_registered() -> None:
    """The strategy is found by the tag of its configuration."""
    assert STRATEGIES[SPEC.__struct_config__.tag] is decide  # type: ignore[index]  # a tag is a string here


@given(st.integers(min_value=FIRST + 10**6, max_value=LAST))
def test_the_smallest_slice_that_reaches_the_target(debt: int) -> None:
    """Where the close factor lets the target be reached, one unit less would miss it; else the slice is all it lets."""
    ledger = drifted(debt).ledger
    found = sure(proposed(View(ledger)))
    cover, after = int(found.preview.cover), found.preview.health_after
    assert after is not None
    if after >= SPEC.target_health:
        less = ledger.preview(ALICE, logs.USDC, logs.WETH, TokenAmount(cover - 1))
        assert less.health_after is not None
        assert less.health_after < SPEC.target_health
    else:
        assert cover == most(ledger) * 9_500 // 10_000
        assert "the largest slice short of the target" in found.rationale
    assert found.health_before < after


@given(
    debt=st.integers(min_value=FIRST + 1, max_value=LAST),
    gas=st.integers(min_value=0, max_value=20 * USD),
    minimum=st.integers(min_value=0, max_value=20 * USD),
    inventory=st.integers(min_value=0, max_value=1_000 * 10**6),
)
def test_whatever_is_proposed_would_be_accepted(debt: int, gas: int, minimum: int, inventory: int) -> None:
    """It raises health, keeps to headroom and inventory, and says when it earns too little."""
    ledger = drifted(debt).ledger
    found = proposed(View(ledger, inventory, gas, minimum))
    if found is None:
        assert inventory < 10**4 or debt < FIRST + 10**3
        return
    assert found.preview.revert is None
    assert found.preview.cover <= TokenAmount(min(inventory, most(ledger) * 9_500 // 10_000))
    assert found.preview.health_after is None or found.preview.health_after > found.health_before
    assert (int(found.profit_base) < minimum) == found.rationale.startswith("waiting")


def test_gas_makes_the_slice_larger() -> None:
    """What gas eats must be earned on more: the slice grows beyond the target until the minimum is earned."""
    ledger = drifted(1_640 * 10**6).ledger
    free = sure(proposed(View(ledger), target_health=Wad(Wad.ONE + 10**15), headroom_bps=Bps(0)))
    dear = sure(proposed(View(ledger, gas=5 * USD), target_health=Wad(Wad.ONE + 10**15), headroom_bps=Bps(0)))
    assert free.preview.cover < dear.preview.cover <= TokenAmount(most(ledger))
    assert dear.profit_base >= BaseAmount(0) > BaseAmount(int(free.profit_base) - 5 * USD)
    assert [each.why_not for each in free.alternatives] == ["takes more than the target needs"]


def test_what_does_not_pay_waits_on_record() -> None:
    """At the zone's beginning a per cent on a twentieth of the debt pays no gas, and the gate is shown it."""
    found = sure(proposed(View(drifted(FIRST + 10**6).ledger, gas=5 * USD)))
    assert found.rationale == "waiting: no slice earns the minimum of 0"
    assert found.profit_base < BaseAmount(0)
    assert found.held_back is None


@pytest.mark.parametrize("debt", [FIRST, LAST + 1])
def test_outside_of_the_zone_nothing_is_proposed(debt: int) -> None:
    """Before the line there is no need, and past the market's line this call is refused."""
    assert proposed(View(drifted(debt).ledger)) is None


def test_without_inventory_nothing_is_proposed() -> None:
    """Nothing can be repaid with nothing."""
    assert proposed(View(drifted().ledger, inventory=0)) is None


def test_gas_that_cannot_be_valued_is_said() -> None:
    """It counts as nothing, and the record says so."""
    assert sure(proposed(View(drifted().ledger, gas=None))).rationale.endswith(
        "gas cannot be valued and counts as nothing"
    )


def test_what_selling_costs_decides_what_pays() -> None:
    """A token whose sale costs more than the incentive is not worth a slice."""
    ledger = drifted().ledger
    cheap = sure(proposed(View(ledger)))
    dear = sure(proposed(View(ledger), slippage_bps={to_hex(logs.WETH): Bps(300)}))
    assert cheap.profit_base > BaseAmount(0) > dear.profit_base


def test_slices_one_after_the_other_end_outside_of_the_zone() -> None:
    """From 85 %, where the close factor may bind, the account is back at the target within a few heads."""
    chain = drifted(1_700 * 10**6)
    for _ in range(6):
        found = proposed(View(chain.ledger))
        if found is None:
            break
        paid, seized = int(found.preview.repaid), int(found.preview.seized)
        chain.block(
            logs.morpho_log(logs.REPAY, logs.MARKET, ALICE, ALICE, paid, paid * 10**6),
            logs.morpho_log(logs.UNPLEDGE, logs.MARKET, ALICE, ALICE, ALICE, seized),
        )
    left = chain.ledger.margin(ALICE).health_wad
    assert left is not None
    assert int(left) > WAD
    assert int(chain.ledger.margin(ALICE).debt_base) > INSIDE * 100 // 2
