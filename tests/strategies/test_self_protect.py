"""What is done for an own account: as little as restores the target, by the operator's preference."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keeper.core.facts import BlockHeader
from keeper.core.ids import Address, content_id
from keeper.core.own_money import ProtectionProposal
from keeper.core.protection import ProtectionAction
from keeper.core.runconfig import SelfProtectSpec
from keeper.core.units import UINT256_MAX, BaseAmount, TokenAmount, Wad
from strategies.self_protect import decide
from tests.engine.guarded import Guarded
from tests.engine.history import ALICE, BOB, PRICES, TOKEN, UNIT, VENUE_SPEC
from tests.engine.toy import ETH, GOLD, USD, Position, ToyLedger, pool_log
from tests.strategies.fixed_view import View

CENT = Wad.ONE // 100
SPEC = SelfProtectSpec(
    name="self_protect",
    venues=("toy",),
    signer="main",
    accounts=(ALICE,),
    floor_health=Wad(115 * CENT),
    target_health=Wad(130 * CENT),
    actions=("repay", "top-up", "reduce"),
)
GRAND = 1_000 * TOKEN


def ledger_of(
    *held: tuple[bytes, int, int],
    account: bytes = ALICE,
    kind: type[ToyLedger] = Guarded,
    prices: Mapping[Address, int] = PRICES,
) -> Guarded:
    """Return a venue with an account that has so much collateral and debt in each token."""
    ledger = kind(VENUE_SPEC)
    ledger.begin_block(BlockHeader(1, content_id("block"), content_id("none"), 0, 0, b""))
    logs = [("price", token, price) for token, price in prices.items()]
    for place, log in enumerate([*logs, *(("set", account, *each) for each in held)]):
        ledger.apply_log(pool_log(place, content_id("tx"), *log))
    return ledger  # type: ignore[return-value]  # a test of another kind looks at nothing else


def usual() -> Guarded:
    """Return ALICE with 10 ETH (16,000 of borrowing power) against 15,000 USD: health 1.0667."""
    return ledger_of((ETH, 10 * TOKEN, 0), (USD, 0, 15 * GRAND))


def proposed(
    ledger: Guarded, *, inventory: int = UINT256_MAX, gas: int | None = 0, **changes: object
) -> list[ProtectionProposal]:
    """Return what is proposed for ALICE by a signer of another address."""
    view = View(ledger, inventory, gas)
    return list(decide(view, (ledger.margin(ALICE),), replace(SPEC, **changes)))


def test_the_least_repayment_that_restores_the_target() -> None:
    """One unit less would miss it."""
    ledger = usual()
    best, *_ = proposed(ledger)
    assert (best.action, best.asset) == ("repay", USD)
    assert best.health_after is not None
    less = ledger.guard.preview(ALICE, "repay", USD, TokenAmount(int(best.amount) - 1)).health_wad
    assert less is not None
    assert less < SPEC.target_health <= best.health_after
    assert (best.health_before, best.amount_base) == (
        ledger.margin(ALICE).health_wad,
        ledger.value_base(USD, best.amount),
    )


def test_the_target_itself_is_reached() -> None:
    """16,000 of power over 12,500 is 1.28: 2,500 of 15,000 are repaid, and not a unit more."""
    best, *_ = proposed(usual(), target_health=Wad(128 * CENT))
    assert (best.amount, best.health_after) == (TokenAmount(2_500 * TOKEN), Wad(128 * CENT))


def test_the_target_still_stands_later() -> None:
    """The interest to come is repaid too; the health that is told is that of now."""
    ledger = usual()
    ledger.guard.accruing = Position(0, 100 * TOKEN)
    best, *_ = proposed(ledger, target_health=Wad(128 * CENT))
    assert best.amount == TokenAmount(2_600 * TOKEN)
    assert best.health_after == Wad(16_000 * Wad.ONE // 12_400)


def test_what_changes_nothing_is_passed_over() -> None:
    """Worthless collateral does not raise health, however much of it."""
    ledger = ledger_of((ETH, 10 * TOKEN, 0), (USD, 0, 15 * GRAND), (GOLD, 1, 0), prices={**PRICES, GOLD: 0})
    first, *_ = proposed(ledger, inventory=TOKEN)
    assert "does not raise health" in {each.why_not for each in first.alternatives if each.asset == GOLD}


@pytest.mark.parametrize("actions", [("repay", "top-up"), ("top-up", "repay")])
def test_the_operators_preference_comes_first(actions: tuple[ProtectionAction, ...]) -> None:
    """Where both restore the target the first choice is proposed, and the other follows it and is named."""
    found = proposed(usual(), actions=actions)
    assert tuple(each.action for each in found) == actions
    assert [each.why_not for each in found[0].alternatives] == ["another is preferred, or smaller"]


def test_what_is_not_chosen_is_not_done() -> None:
    """An action that the operator does not name is neither proposed nor an alternative."""
    (only,) = proposed(usual(), actions=("top-up",))
    assert (only.action, only.alternatives) == ("top-up", ())


def test_an_account_at_its_floor_is_left_alone() -> None:
    """The floor itself is safe enough."""
    ledger = usual()
    health = ledger.margin(ALICE).health_wad
    assert health is not None
    assert proposed(ledger, floor_health=health) == []
    assert proposed(ledger, floor_health=health + Wad(1)) != []


def test_a_thin_wallet_does_what_it_can() -> None:
    """Where nothing reaches the target, all that is there is used, the most helpful action first."""
    first, second = proposed(usual(), inventory=TOKEN // 2)
    assert {first.action, second.action} == {"repay", "top-up"}
    assert first.amount == second.amount == TokenAmount(TOKEN // 2)
    assert first.health_after is not None
    assert second.health_after is not None
    assert SPEC.target_health > first.health_after > second.health_after > first.health_before
    assert "out of reach" in first.rationale
    assert [each.why_not for each in first.alternatives] == ["misses the target"]


def test_what_reaches_the_target_comes_before_what_is_preferred() -> None:
    """Half a thousand of each token: as ETH it is enough, as USD it is not."""
    first, second = proposed(usual(), inventory=500 * TOKEN)
    assert (first.action, second.action) == ("top-up", "repay")


def test_a_part_that_is_worth_less_than_its_gas_is_not_done() -> None:
    """A dollar does not go for two dollars of gas, unless it restores the target."""
    assert [each.action for each in proposed(usual(), inventory=TOKEN, gas=2 * UNIT)] == ["top-up"]
    assert {each.action for each in proposed(usual(), inventory=TOKEN, gas=UNIT)} == {"repay", "top-up"}
    health = usual().margin(ALICE).health_wad
    assert health is not None
    changes = {"floor_health": health + Wad(1), "target_health": health + Wad(2)}
    assert {each.action for each in proposed(usual(), inventory=TOKEN, gas=2 * UNIT, **changes)} == {"repay", "top-up"}


def test_an_empty_wallet_does_nothing() -> None:
    """There is nothing to propose without inventory."""
    assert proposed(usual(), inventory=0) == []


@pytest.mark.parametrize(("account", "wanted"), [(ALICE, False), (BOB, True)])
def test_only_the_account_itself_is_reduced(account: bytes, wanted: bool) -> None:  # noqa: FBT001 - a table
    """The signer (BOB) pays its own debt with its own collateral and needs no inventory; nobody can do it for ALICE."""
    ledger = ledger_of((ETH, 5 * TOKEN, 0), (USD, 5 * GRAND, 12 * GRAND), account=account)
    found = [*decide(View(ledger, inventory=0), (ledger.margin(account),), SPEC)]  # type: ignore[arg-type]  # an address
    assert [each.action for each in found] == (["reduce"] if wanted else [])
    assert [each.spent for each in found] == ([(TokenAmount(0), BaseAmount(0))] if wanted else [])


def test_what_would_be_refused_is_passed_over_and_named() -> None:
    """The contract's own error is the reason."""
    ledger = usual()
    ledger.guard.refused["repay"] = "ReservePaused"
    (only,) = proposed(ledger)
    assert only.action == "top-up"
    assert [each.why_not for each in only.alternatives] == ["ReservePaused"]


def test_a_venue_without_protections_is_left_alone() -> None:
    """Nothing is proposed where nothing is built."""
    ledger = ledger_of((ETH, 10 * TOKEN, 0), (USD, 0, 15 * GRAND), kind=ToyLedger)
    assert proposed(ledger) == []


@given(debt=st.integers(1, 16 * GRAND), collateral=st.integers(1, 20 * TOKEN), inventory=st.integers(0, 10 * GRAND))
def test_whatever_is_proposed_raises_health(debt: int, collateral: int, inventory: int) -> None:
    """No amount is more than the wallet has, none lowers health, and the first is as near to the target as any."""
    found = proposed(ledger_of((ETH, collateral, 0), (USD, 0, debt)), inventory=inventory)
    after = [UINT256_MAX if each.health_after is None else int(each.health_after) for each in found]
    assert all(health > int(each.health_before) for health, each in zip(after, found, strict=True))
    assert all(TokenAmount(0) < each.amount <= TokenAmount(inventory) for each in found)
    assert [min(each, int(SPEC.target_health)) for each in after[:1]] == [
        max(min(each, int(SPEC.target_health)) for each in after) for _ in after[:1]
    ]
