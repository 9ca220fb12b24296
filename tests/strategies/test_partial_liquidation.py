"""The shipped strategy on the toy venue, against brute force and by hand."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from keeper.core.decisions import Proposal
from keeper.core.facts import BackfilledBlock
from keeper.core.ids import Address, content_id, to_hex
from keeper.core.runconfig import PartialLiquidationSpec
from keeper.core.units import UINT256_MAX, BaseAmount, Bps, TokenAmount, Wad
from keeper.core.venue import Preview, Status
from keeper.margin.sizing import GRID_POINTS, Slippage
from strategies import STRATEGIES
from strategies.partial_liquidation import decide
from tests.engine.history import ALICE, BREACH, PRICES, STRATEGY_SPEC, TOKEN, UNIT, VENUE_SPEC
from tests.engine.toy import ETH, EUR, GOLD, USD, ToyLedger, pool_log
from tests.strategies.fixed_view import View

GOLD_PRICE = 100 * UNIT // TOKEN


def ledger_of(*positions: tuple[Address, int, int], eth_price: int = BREACH) -> ToyLedger:
    """Return a venue where ALICE has (token, collateral, debt) in base units."""
    ledger = ToyLedger(VENUE_SPEC)
    prices = {**PRICES, ETH: eth_price, GOLD: GOLD_PRICE}
    logs = [("price", token, price) for token, price in prices.items()]
    tx_hash = content_id("tx")
    ledger.begin_block(BackfilledBlock(1, content_id(1), 1, ()))
    for place, log in enumerate([*logs, *[("set", ALICE, *position) for position in positions]]):
        ledger.apply_log(pool_log(place, tx_hash, *log))
    return ledger


def proposed(view: View[ToyLedger], **changes: object) -> Proposal | None:
    """Return what is proposed for ALICE."""
    spec: PartialLiquidationSpec = msgspec.structs.replace(STRATEGY_SPEC, **changes)
    return next(decide(view, [view.ledger.margin(ALICE)], spec), None)


def simple() -> ToyLedger:
    """Return 10 ETH against 15,000 USD at a health of 0.96."""
    return ledger_of((USD, 0, 15_000 * TOKEN), (ETH, 10 * TOKEN, 0))


def test_registered() -> None:
    """The strategy is found by the tag of its configuration."""
    assert STRATEGIES[STRATEGY_SPEC.__struct_config__.tag] is decide  # type: ignore[index]  # a tag is a string here


@pytest.mark.slow
@given(eth_price=st.integers(99, 103), debt=st.integers(545, 561))
def test_smallest_slice(eth_price: int, debt: int) -> None:
    """The slice is what trying every cover finds: the smallest that restores the target."""
    ledger = _with_usd_price(ledger_of((USD, 0, debt), (ETH, 67_000, 0), eth_price=eth_price), 10_000)
    assume(ledger.margin(ALICE).health.status is Status.LIQUIDATABLE)
    previews = [ledger.preview(ALICE, USD, ETH, TokenAmount(cover)) for cover in range(1, debt // 2 + 1)]
    reaching = [preview.cover for preview in previews if _health(preview) >= 105 * 10**16]
    assume(reaching)
    proposal = proposed(View(ledger))
    assert proposal is not None
    assert proposal.preview.cover == min(reaching)


def test_target_is_reached_exactly() -> None:
    """One unit less would miss the target."""
    view = View(simple())
    proposal = proposed(view)
    assert proposal is not None
    cover = proposal.preview.cover
    less = view.ledger.preview(ALICE, USD, ETH, TokenAmount(int(cover) - 1)).health_after
    assert less is not None
    assert proposal.preview.health_after is not None
    assert less < Wad(105 * 10**16) <= proposal.preview.health_after


def test_profit() -> None:
    """Profit is what is seized less what is repaid, less gas, less slippage of that collateral, rounded up."""
    proposal = proposed(View(simple(), gas=7), slippage_bps={to_hex(ETH): Bps(30)})
    assert proposal is not None
    preview = proposal.preview
    slippage = -(-int(preview.seized_base) * 30 // 10_000)
    assert (proposal.slippage_base, proposal.gas_cost_base) == (BaseAmount(slippage), BaseAmount(7))
    assert proposal.profit_base == preview.seized_base - preview.repaid_base - BaseAmount(7 + slippage)


def test_default_slippage() -> None:
    """A collateral without its own slippage has the default."""
    proposal = proposed(View(simple()), slippage_bps_default=Bps(50))
    assert proposal is not None
    assert proposal.slippage_base == BaseAmount(-(-int(proposal.preview.seized_base) * 50 // 10_000))


def test_smallest_pair_wins() -> None:
    """Of two collaterals the one that needs less repaid is taken, and the other is named with the reason."""
    ledger = ledger_of((USD, 0, 12_000 * TOKEN), (ETH, 5 * TOKEN, 0), (GOLD, 60 * TOKEN, 0))
    proposal = proposed(View(ledger))
    assert proposal is not None
    other = proposal.alternatives[0]
    assert proposal.preview.collateral_asset == GOLD
    assert (other.collateral_asset, other.why_not) == (ETH, "repays more, or earns nothing")
    assert int(other.cover) > int(proposal.preview.cover)


def test_earning_slice_comes_first() -> None:
    """A larger slice that earns something comes before a smaller one that loses money."""
    ledger = ledger_of((USD, 0, 12_000 * TOKEN), (ETH, 5 * TOKEN, 0), (GOLD, 60 * TOKEN, 0))
    proposal = proposed(View(ledger), slippage_bps={to_hex(GOLD): Bps(2000)})
    assert proposal is not None
    assert proposal.preview.collateral_asset == ETH


def test_inventory_limits() -> None:
    """No more is covered than the inventory; a slice that misses the target for it still raises health."""
    proposal = proposed(View(simple(), inventory=100 * TOKEN))
    assert proposal is not None
    assert proposal.preview.cover == TokenAmount(100 * TOKEN)
    assert proposal.rationale == "no slice restores the target; this raises health the most"


def test_no_inventory() -> None:
    """Without inventory nothing is proposed."""
    assert proposed(View(simple(), inventory=0)) is None


def test_highest_health_when_the_target_is_out_of_reach() -> None:
    """When no pair restores the target the one that raises health the most is taken."""
    ledger = ledger_of((USD, 0, 10_000 * TOKEN), (EUR, 0, 5000 * TOKEN), (ETH, 10 * TOKEN, 0))
    proposal = proposed(View(ledger), target_health=Wad(12 * 10**17))
    assert proposal is not None
    assert [proposal.preview.debt_asset, *[other.debt_asset for other in proposal.alternatives]] == [USD, EUR]
    assert proposal.rationale == "no slice restores the target; this raises health the most"


def test_dust() -> None:
    """A slice that would leave dust takes all that may be covered."""
    without = proposed(View(simple()))
    proposal = proposed(View(simple()), dust_base=BaseAmount(9000 * UNIT))
    assert without is not None
    assert proposal is not None
    assert without.preview.cover < proposal.preview.cover == TokenAmount(7500 * TOKEN)


def test_toxic_and_profitable() -> None:
    """When every slice lowers health the most profitable full cover is proposed, and is called toxic."""
    ledger = ledger_of((USD, 0, 15_000 * TOKEN), (ETH, 10 * TOKEN, 0), eth_price=1500 * 10**4)
    proposal = proposed(View(ledger))
    assert proposal is not None
    assert (proposal.rationale.split(":")[0], proposal.preview.cover) == ("toxic", TokenAmount(7500 * TOKEN))


def test_toxic_without_profit() -> None:
    """A toxic slice that earns nothing is held back, with the reason."""
    ledger = ledger_of((USD, 0, 15_000 * TOKEN), (ETH, 10 * TOKEN, 0), eth_price=1500 * 10**4)
    proposal = proposed(View(ledger, gas=10**12))
    assert proposal is not None
    assert proposal.held_back == "toxic: every slice lowers health, and none realises bad debt at a profit"


def test_toxic_below_the_minimum() -> None:
    """A toxic slice that earns something, and less than the minimum, is left to the gate, which says by how much."""
    ledger = ledger_of((USD, 0, 15_000 * TOKEN), (ETH, 10 * TOKEN, 0), eth_price=1500 * 10**4)
    proposal = proposed(View(ledger, minimum=1000 * UNIT))
    assert proposal is not None
    assert (proposal.held_back, proposal.profit_base) == (None, BaseAmount(375 * UNIT))


def test_toxic_in_part() -> None:
    """Where the inventory takes a part only of a toxic account, worse is left than was found: it is held back."""
    ledger = ledger_of((USD, 0, 15_000 * TOKEN), (ETH, 10 * TOKEN, 0), eth_price=1500 * 10**4)
    proposal = proposed(View(ledger, inventory=7000 * TOKEN))
    assert proposal is not None
    assert proposal.held_back is not None


@pytest.mark.parametrize("minimum", [0, 320 * UNIT, 370 * UNIT])
def test_smallest_slice_that_earns_the_minimum(minimum: int) -> None:
    """The slice reaches the target and earns the minimum, and one unit less does not do both."""
    view = View(simple(), gas=UNIT, minimum=minimum)
    proposal = proposed(view)
    assert proposal is not None
    preview = proposal.preview
    less = view.ledger.preview(ALICE, USD, ETH, TokenAmount(int(preview.cover) - 1))
    earned = int(less.seized_base - less.repaid_base) - UNIT
    assert _health(preview) >= 105 * 10**16
    assert int(proposal.profit_base) >= minimum
    assert earned < minimum or _health(less) < 105 * 10**16


def test_minimum_out_of_reach() -> None:
    """When nothing earns the minimum the slice that earns most is proposed for the gate to refuse, and says so."""
    proposal = proposed(View(simple(), minimum=400 * UNIT))
    assert proposal is not None
    assert proposal.profit_base == BaseAmount(375 * UNIT)
    assert proposal.rationale.startswith("no slice earns the minimum")


def test_largest_slice_that_an_impact_lets_earn() -> None:
    """Where a larger slice costs more to sell than it brings, the largest that earns the minimum misses the target."""
    view = View(simple(), minimum=50 * UNIT)
    proposal = proposed(view, slippage_bps_per_million={to_hex(ETH): Bps(100_000)})
    assert proposal is not None
    assert proposal.rationale == "no slice restores the target; this raises health the most"
    assert 50 * UNIT <= int(proposal.profit_base) < 51 * UNIT


def test_a_band_that_the_contract_refuses() -> None:
    """Where the largest cover would leave what the contract refuses to leave, the largest that it accepts is taken."""
    ledger = simple()
    ledger.refuse_from = 6000 * TOKEN
    proposal = proposed(View(ledger), target_health=Wad(2 * 10**18))
    assert proposal is not None
    assert proposal.preview.cover == TokenAmount(6000 * TOKEN - 1)


@given(
    gold=st.integers(5, 38),
    percent=st.integers(85, 99),
    gold_price=st.integers(1, 4),
    usd_price=st.integers(1, 4),
    impact=st.integers(0, 10_000),
)
def test_max_profit_is_never_beaten(gold: int, percent: int, gold_price: int, usd_price: int, impact: int) -> None:
    """Where covers are no more than the grid's points, none earns more than the proposed one."""
    debt = gold * gold_price * 70 // (percent * usd_price) + 1
    ledger = _with_usd_price(ledger_of((USD, 0, debt), (GOLD, gold, 0)), usd_price * 10**10)
    ledger.apply_log(pool_log(1, content_id("tx"), "price", GOLD, gold_price * 10**10))
    assume(ledger.margin(ALICE).health.status is Status.LIQUIDATABLE)
    proposal = proposed(View(ledger), objective="max-profit", slippage_bps_per_million={to_hex(GOLD): Bps(impact)})
    assume(proposal is not None and "toxic" not in proposal.rationale)
    assert proposal is not None
    assert debt // 2 <= GRID_POINTS
    slippage = Slippage(Bps(0), Bps(impact))
    for cover in range(1, debt // 2 + 1):
        tried = ledger.preview(ALICE, USD, GOLD, TokenAmount(cover))
        earned = tried.seized_base - tried.repaid_base - slippage.cost_base(tried.seized_base)
        assert earned <= proposal.profit_base


def test_two_slices_are_weighed() -> None:
    """Where the close factor binds the plan says what two slices would earn, and takes one."""
    proposal = proposed(View(simple()), objective="max-profit")
    assert proposal is not None
    (split,) = proposal.alternatives
    assert split.why_not == "in two slices: earns more, if no rival takes the second"
    assert split.profit_base > proposal.profit_base


def test_reverting_slices_are_never_proposed() -> None:
    """A pair whose call would revert is not proposed."""
    ledger = simple()
    ledger.refuse_below = 10**30
    assert proposed(View(ledger)) is None


def test_search_steps_over_reverts() -> None:
    """Where small covers revert, the smallest one that does not is found."""
    ledger = simple()
    ledger.refuse_below = 7000 * TOKEN
    proposal = proposed(View(ledger))
    assert proposal is not None
    assert proposal.preview.cover == TokenAmount(7000 * TOKEN)


@pytest.mark.parametrize("gold_slippage", [0, 2000])
def test_max_profit(gold_slippage: int) -> None:
    """The other objective takes the largest profit over all pairs, at the most that may be covered."""
    ledger = ledger_of((USD, 0, 12_000 * TOKEN), (ETH, 5 * TOKEN, 0), (GOLD, 60 * TOKEN, 0))
    proposal = proposed(View(ledger), objective="max-profit", slippage_bps={to_hex(GOLD): Bps(gold_slippage)})
    assert proposal is not None
    assert proposal.preview.collateral_asset == (ETH if gold_slippage else GOLD)
    beaten = [other.profit_base for other in proposal.alternatives if "two slices" not in other.why_not]
    assert len(beaten) == 1
    assert proposal.profit_base > beaten[0]


def test_max_profit_beats_every_cover() -> None:
    """No cover of any size earns more than the proposed one, on either side of the collateral's end."""
    ledger = _with_usd_price(ledger_of((USD, 0, 600), (GOLD, 50, 0)), 10**6)
    proposal = proposed(View(ledger), objective="max-profit")
    assert proposal is not None
    previews = [ledger.preview(ALICE, USD, GOLD, TokenAmount(cover)) for cover in range(1, 301)]
    assert proposal.profit_base == max(preview.seized_base - preview.repaid_base for preview in previews)


def test_unknown_gas() -> None:
    """Gas that cannot be valued counts as nothing and the proposal says so; the gate refuses it."""
    proposal = proposed(View(simple(), gas=None))
    assert proposal is not None
    assert proposal.rationale.endswith("; gas cannot be valued and counts as nothing")


def _with_usd_price(ledger: ToyLedger, price: int) -> ToyLedger:
    ledger.begin_block(BackfilledBlock(2, content_id(2), 2, ()))
    ledger.apply_log(pool_log(0, content_id("tx"), "price", USD, price))
    return ledger


def _health(preview: Preview) -> int:
    return UINT256_MAX if preview.health_after is None else int(preview.health_after)
