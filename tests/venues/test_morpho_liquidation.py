"""A cover becomes the one form of the call that does it, and the errors come in the contract's order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keeper.core.ids import Address
from keeper.core.units import UINT256_MAX, BaseAmount, Bps, TokenAmount
from keeper.core.venue import Call, Preview
from keeper.lab.localchain.transactions import encode_call
from keeper.venues.abi import ERROR_STRING, PANIC, word
from keeper.venues.morpho_blue.calls import revert_name
from keeper.venues.morpho_blue.ledger import MorphoLedger
from keeper.venues.morpho_blue.liquidation import CEILING_SECONDS, Form, Outcome
from keeper.venues.morpho_blue.math import UINT128_MAX, WAD
from tests.venues import morpho_logs as logs
from tests.venues.morpho_logs import ALICE, BOB, opened

UNSAFE = 1_800 * 10**6
"""More than the 1720 that one WETH at 2000 carries, less than it is worth."""
UNDER_WATER = 2_500 * 10**6
LIQUIDATE = "liquidate((address,address,address,address,uint256),address,uint256,uint256,bytes)"


def previewed(ledger: MorphoLedger, cover: int, account: Address = ALICE) -> Preview:
    """Return the preview of a cover of the market's one pair."""
    return ledger.preview(account, logs.USDC, logs.WETH, TokenAmount(cover))


def called(seized: int, shares: int) -> Call:
    """Return the call in this form, as eth_abi encodes it."""
    params = (logs.USDC, logs.WETH, logs.ORACLE, logs.IRM, logs.LLTV)
    return Call(logs.MORPHO, bytes.fromhex(encode_call(LIQUIDATE, params, ALICE, seized, shares, b"")[2:]))


def test_all_of_an_account_is_repaid_by_its_shares() -> None:
    """The whole debt is covered by exactly the shares there are, and nothing is left."""
    ledger = opened(debt=UNSAFE).ledger
    (pair,) = ledger.pairs(ALICE)
    told = previewed(ledger, int(pair.cover_max))
    assert (told.repaid, told.health_after, told.debt_left_base) == (TokenAmount(UNSAFE), None, BaseAmount(0))
    assert ledger.liquidation_call(ALICE, told) == called(0, UNSAFE * 10**6)
    assert (pair.bonus, pair.liquidation_threshold) == (Bps(10_438), Bps(8_600))


def test_an_account_under_water_is_taken_by_its_collateral() -> None:
    """All its shares would panic; all its collateral does not, and what is left of the debt is written off."""
    ledger = opened(debt=UNDER_WATER).ledger
    (pair,) = ledger.pairs(ALICE)
    told = previewed(ledger, int(pair.cover_max))
    assert (told.seized, told.health_after) == (TokenAmount(WAD), None)
    assert told.repaid < TokenAmount(UNDER_WATER)
    assert ledger.liquidation_call(ALICE, told) == called(WAD, 0)
    assert ledger.outcome(ALICE, Form(0, UNDER_WATER * 10**6)) == "Panic(0x11)"
    done = ledger.outcome(ALICE, Form(WAD, 0))
    assert isinstance(done, Outcome)
    assert done.bad_debt == UNDER_WATER - done.repaid


@given(st.integers(min_value=1, max_value=4_000 * 10**6), st.sampled_from([UNSAFE, UNDER_WATER]))
def test_a_cover_is_a_ceiling_that_holds_for_a_while(cover: int, debt: int) -> None:
    """Never more is repaid, now or while the ceiling holds, and never is the call refused."""
    ledger = opened(debt=debt).ledger
    told = previewed(ledger, cover)
    assert told.revert is None
    assert TokenAmount(0) < told.repaid <= TokenAmount(cover)
    data = ledger.liquidation_call(ALICE, told).data
    form = Form(*(int.from_bytes(data[at : at + 32], "big") for at in (4 + 6 * 32, 4 + 7 * 32)))
    later = ledger.outcome(ALICE, form, at_timestamp=ledger.market().timestamp + CEILING_SECONDS)
    assert isinstance(later, Outcome)
    assert later.repaid <= cover


@given(st.integers(min_value=1, max_value=UNSAFE))
def test_a_slice_raises_the_health_of_an_account_above_water(cover: int) -> None:
    """The incentive is less than the distance between threshold and health, so every slice but dust helps."""
    ledger = opened(debt=UNSAFE).ledger
    told, before = previewed(ledger, cover), ledger.margin(ALICE).health_wad
    assert before is not None
    assert told.health_after is None or int(told.health_after) >= int(before) - 10**12


def test_errors_come_in_the_contracts_order() -> None:
    """The form before the health, the health before the amounts, their width before their size."""
    safe, unsafe = opened().ledger, opened(debt=UNSAFE).ledger
    for form in (Form(0, 0), Form(1, 1)):
        assert safe.outcome(ALICE, form) == "inconsistent input"
    assert safe.outcome(ALICE, Form(2**200, 0)) == "position is healthy"
    assert unsafe.outcome(ALICE, Form(0, UNSAFE * 10**6 + 1)) == "Panic(0x11)"
    assert unsafe.outcome(ALICE, Form(0, UINT128_MAX + 1)) == "max uint128 exceeded"
    assert unsafe.outcome(ALICE, Form(UINT256_MAX, 0)) == "Panic(0x11)"


def test_what_cannot_be_foretold_is_refused_with_its_reason() -> None:
    """A healthy account, a stranger, another pair, and a market without a price."""
    chain = opened()
    assert previewed(chain.ledger, 10).revert == "position is healthy"
    assert previewed(chain.ledger, 10, BOB).revert == "inconsistent input"
    assert chain.ledger.preview(ALICE, logs.WETH, logs.USDC, TokenAmount(1)).revert == "market not created"
    assert chain.ledger.pairs(ALICE) == chain.ledger.pairs(BOB) == ()
    chain.price = 0
    assert previewed(chain.block(), 10).revert == "unknown: the oracle's price is zero"


def test_an_allowance_is_for_the_contract() -> None:
    """The call goes to the token and names the contract."""
    call = opened().ledger.approval_call(logs.USDC, TokenAmount(7))
    wanted = encode_call("approve(address,uint256)", logs.MORPHO, 7)
    assert (call.to, call.data) == (logs.USDC, bytes.fromhex(wanted[2:]))


def test_reverts_are_named_by_the_contracts_own_words() -> None:
    """Its messages as they stand, panics by their code, anything else in hexadecimal."""
    message = b"position is healthy"
    data = ERROR_STRING + word(32) + word(len(message)) + message.ljust(32, b"\0")
    assert revert_name(data) == "position is healthy"
    assert revert_name(PANIC + word(0x11)) == "Panic(0x11)"
    assert [revert_name(each) for each in (b"", b"\x01\x02", ERROR_STRING + word(32))] == [
        "0x",
        "0x0102",
        "0x" + (ERROR_STRING + word(32)).hex(),
    ]
    assert revert_name(data[:-32] + b"\xff" * 32) == "0x" + (data[:-32] + b"\xff" * 32).hex()
