"""The ledger follows its one market, takes back what was taken back, and says when it does not know."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from keeper.core.errors import ConfigError, JournalDamaged, NodeMalformed
from keeper.core.facts import ContractRead
from keeper.core.ids import ZERO_ADDRESS, to_hex
from keeper.core.runconfig import VenueSpec
from keeper.core.units import BaseAmount, TokenAmount, Wad
from keeper.core.venue import Epoch, Health, Ledger, LiquidationSeen, Status
from keeper.venues import open_ledger
from keeper.venues.abi import word
from keeper.venues.morpho_blue import audit, reads
from keeper.venues.morpho_blue.market import Unknown
from keeper.venues.morpho_blue.math import WAD, mul_div_down, taylor_compounded
from keeper.venues.morpho_blue.rate import INITIAL_RATE_AT_TARGET, average_rate, utilization
from tests.venues import morpho_logs as logs
from tests.venues.event_logs import header
from tests.venues.morpho_logs import ALICE, BOB, MARKET, Chain, morpho_log, opened

DEBT = 1_500 * 10**6


def health(chain: Chain) -> Health:
    """Return how Alice stands."""
    return chain.ledger.margin(ALICE).health


def test_a_ledger_is_opened_by_its_protocol() -> None:
    """It watches the contract alone, which is also what takes the repaid tokens, and is folded from logs only."""
    ledger: Ledger = open_ledger(logs.SPEC)
    assert (ledger.name, ledger.protocol, ledger.watched()) == ("morpho", "morpho_blue", (logs.MORPHO,))
    assert (ledger.spender, ledger.reading, ledger.tokens()) == (logs.MORPHO, None, ())


def test_a_venue_without_its_market_is_refused() -> None:
    """The contract alone is a thousand markets."""
    spec = VenueSpec(name="x", protocol="morpho_blue", chain_id=1, root=logs.MORPHO, from_block=0, prices="read")
    with pytest.raises(ConfigError, match=r"venues\.x: morpho_blue needs market and loan_usd"):
        open_ledger(spec)


def test_margin_is_the_contracts_verdict_as_a_ratio() -> None:
    """One WETH at 2000 and 86 % against 1500 USDC is 1.1467, rounded down."""
    margin = opened().ledger.margin(ALICE)
    assert margin.health == Health(Status.HEALTHY)
    assert margin.health_wad == Wad(1_720 * WAD // 1_500)
    assert (margin.collateral_base, margin.debt_base) == (BaseAmount(2_000 * 10**8), BaseAmount(1_500 * 10**8))
    assert margin.epoch == Epoch(2, 3)


def test_the_last_unit_decides() -> None:
    """A debt of exactly what may be owed is healthy, one unit more is not."""
    assert health(opened(debt=1_720 * 10**6)) == Health(Status.HEALTHY)
    assert health(opened(debt=1_720 * 10**6 + 1)) == Health(Status.LIQUIDATABLE)


def test_accounts_are_those_with_debt() -> None:
    """Who lends or puts up collateral is not listed; who repays all is no longer; an undo brings back."""
    chain = opened()
    assert chain.ledger.accounts() == (ALICE,)
    chain.block(morpho_log(logs.BORROW, MARKET, BOB, BOB, BOB, 5, 5))
    assert chain.ledger.accounts() == tuple(sorted((ALICE, BOB)))
    chain.block(morpho_log(logs.REPAY, MARKET, ALICE, ALICE, DEBT, DEBT * 10**6))
    assert chain.ledger.accounts() == (BOB,)
    chain.ledger.undo_block(chain.number)
    assert chain.ledger.accounts() == tuple(sorted((ALICE, BOB)))


def test_another_market_of_the_contract_is_not_ours() -> None:
    """Logs with another id, and logs of another contract, change nothing."""
    chain = opened()
    before = chain.ledger.position(ALICE)
    mine = morpho_log(logs.PLEDGE, MARKET, ALICE, ALICE, 7)
    chain.block(morpho_log(logs.PLEDGE, logs.OTHER_MARKET, ALICE, ALICE, 7), replace(mine, address=BOB))
    assert chain.ledger.position(ALICE) == before
    assert chain.block(mine).position(ALICE).collateral == before.collateral + 7


def test_interest_is_accrued_to_the_timestamp() -> None:
    """A year on, debt and supply have grown by the three-term interest, and the fee's shares with them."""
    chain = opened()
    chain.block(morpho_log(logs.SET_FEE, MARKET, WAD // 10))
    now = chain.head().timestamp
    interest = mul_div_down(DEBT, taylor_compounded(logs.RATE, 31_536_000), WAD)
    before, after = chain.ledger.market().totals, chain.ledger.market(now + 31_536_000).totals
    assert after.borrow_assets - before.borrow_assets == after.supply_assets - before.supply_assets == interest
    assert after.supply_shares > before.supply_shares


def test_the_adaptive_rate_is_worked_out_for_the_time_that_is_asked() -> None:
    """What the model says of its target is carried along the curve to any later time."""
    chain = Chain()
    chain.at_target = chain.rate = INITIAL_RATE_AT_TARGET
    chain.block(logs.created())
    chain.block(
        morpho_log(logs.ACCRUE, MARKET, average_rate(0, INITIAL_RATE_AT_TARGET, 12), 0, 0),
        morpho_log(logs.SUPPLY, MARKET, BOB, BOB, 10**10, 10**16),
        morpho_log(logs.PLEDGE, MARKET, ALICE, ALICE, WAD),
        morpho_log(logs.BORROW, MARKET, ALICE, ALICE, ALICE, DEBT, DEBT * 10**6),
    )
    assert {request.calldata[:4] for request in chain.asked} == {reads.PRICE, reads.RATE_AT_TARGET}
    later = chain.head().timestamp + 86_400
    rate = average_rate(utilization(10**10, DEBT), INITIAL_RATE_AT_TARGET, 86_400)
    grown = DEBT + mul_div_down(DEBT, taylor_compounded(rate, 86_400), WAD)
    assert chain.ledger.market(later).totals.borrow_assets == grown


def test_a_fee_is_paid_in_supply_shares_to_the_recipient() -> None:
    """The accrual's shares go to whoever was named last."""
    chain = opened()
    chain.block(morpho_log(logs.SET_RECIPIENT, logs.RECIPIENT), morpho_log(logs.ACCRUE, MARKET, logs.RATE, 10, 77))
    assert chain.ledger.position(logs.RECIPIENT).supply_shares == 77


def test_a_liquidation_is_reported_and_its_bad_debt_written_off() -> None:
    """Debt, collateral and what no collateral is left for go; the suppliers bear the last."""
    chain = opened()
    shares = DEBT * 10**6
    log = morpho_log(
        logs.LIQUIDATE, MARKET, logs.LIQUIDATOR, ALICE, DEBT - 100, shares - 100 * 10**6, WAD, 100, 100 * 10**6
    )
    chain.number += 1
    chain.ledger.begin_block(chain.head())
    assert chain.ledger.apply_log(log) == LiquidationSeen(
        "morpho", ALICE, logs.LIQUIDATOR, logs.USDC, logs.WETH, TokenAmount(DEBT - 100), TokenAmount(WAD), log.tx_hash
    )
    position, totals = chain.ledger.position(ALICE), chain.ledger.market().totals
    assert (position.borrow_shares, position.collateral) == (0, 0)
    assert (totals.borrow_assets, totals.borrow_shares, totals.supply_assets) == (0, 0, 10**10 - 100)


def test_undo_and_reload_give_back_the_very_state() -> None:
    """After an undo the dump is the one before; a ledger loaded from it goes on alike."""
    chain = opened()
    before = chain.ledger.dump()
    chain.block(morpho_log(logs.PLEDGE, MARKET, BOB, BOB, 7), morpho_log(logs.SET_FEE, MARKET, 5))
    chain.ledger.undo_block(chain.number)
    assert chain.ledger.dump() == before
    other = Chain().ledger
    other.load(before)
    assert (other.dump(), other.accounts(), other.margin(ALICE)) == (before, (ALICE,), chain.ledger.margin(ALICE))


def test_a_dump_of_another_version_is_refused() -> None:
    """Bytes that are not this ledger's are never half loaded."""
    with pytest.raises(JournalDamaged, match="another ledger version"):
        Chain().ledger.load(b"morpho_blue/0\n")


def test_a_malformed_log_of_the_market_is_refused_at_discovery() -> None:
    """Before it can be journalled."""
    chain = opened()
    with pytest.raises(NodeMalformed):
        chain.ledger.discover([replace(morpho_log(logs.PLEDGE, MARKET, ALICE, ALICE, 7), data=b"")])
    assert chain.ledger.discover([morpho_log(logs.PLEDGE, MARKET, ALICE, ALICE, 7)]) == ()


# Three values, never two.


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        (None, f"the oracle's price is unknown: {to_hex(logs.ORACLE)} answers execution reverted"),
        (0, "the oracle's price is zero"),
        (2**255, "its figures do not fit the contract's integers"),
    ],
)
@pytest.mark.fault(39)
def test_without_a_price_everybody_is_unknown(price: int | None, reason: str) -> None:
    """One that reverts, one of zero, and one that the contract itself could not reckon with."""
    chain = opened()
    chain.price = price
    chain.block()
    assert health(chain) == Health(Status.UNKNOWN, reason)
    assert chain.ledger.pairs(ALICE) == ()
    chain.price = logs.PRICE
    chain.block()
    assert health(chain) == Health(Status.HEALTHY)


@pytest.mark.fault(39)
def test_figures_of_an_earlier_block_are_no_figures() -> None:
    """A block without answers is a block without a rate and a price; nothing is worth anything until they come."""
    chain = opened()
    chain.ledger.begin_block(header(3, 36))
    assert health(chain) == Health(Status.UNKNOWN, "the interest rate was last read at block 2")
    assert chain.ledger.value_base(logs.WETH, TokenAmount(1)) is None
    calm = opened(irm=ZERO_ADDRESS)
    calm.ledger.begin_block(header(3, 36))
    assert health(calm) == Health(Status.UNKNOWN, "the oracle's price was last read at block 2")


def test_a_rate_that_cannot_be_read_makes_everybody_unknown() -> None:
    """Interest that cannot be told is not assumed to be none."""
    chain = opened()
    chain.rate = None
    chain.block()
    reason = f"the interest rate is unknown: {to_hex(logs.IRM)} answers execution reverted"
    assert health(chain) == Health(Status.UNKNOWN, reason)


def test_a_model_that_surprises_is_doubted_until_it_does_not() -> None:
    """An accrual at another rate than was expected makes everybody unknown, one at the expected rate known again."""
    chain = opened()
    chain.block(morpho_log(logs.ACCRUE, MARKET, 5, 1, 0))
    assert health(chain) == Health(Status.UNKNOWN, f"its rate model charged 5 where {logs.RATE} was expected")
    chain.block(morpho_log(logs.ACCRUE, MARKET, logs.RATE, 1, 0))
    assert health(chain) == Health(Status.HEALTHY)


def test_a_rate_for_other_totals_is_no_rate() -> None:
    """A ledger that lagged has asked about totals that were no more; its answer does not count."""
    chain = opened()
    stale = chain.ledger.reads(())
    chain.number += 1
    chain.ledger.begin_block(chain.head())
    chain.ledger.apply_log(morpho_log(logs.SUPPLY, MARKET, BOB, BOB, 10, 10**7))
    chain.ledger.apply_reads([chain.answer(request) for request in stale])
    later = chain.ledger.figures(ALICE, chain.head().timestamp + 1)
    assert later == Unknown("the interest rate was last read at block 2")


def test_a_market_whose_creation_was_not_seen_is_unknown() -> None:
    """Without its parameters there is nothing to ask and nothing to say."""
    chain = Chain()
    ledger = chain.block(morpho_log(logs.BORROW, MARKET, ALICE, ALICE, ALICE, 5, 5))
    assert chain.asked == ()
    assert health(chain) == Health(
        Status.UNKNOWN, "the market's creation was not seen; from_block must not be after it"
    )
    assert ledger.preview(ALICE, logs.USDC, logs.WETH, TokenAmount(1)).revert == "market not created"


def test_more_taken_than_put_in_makes_everybody_unknown() -> None:
    """The fold does not know what it missed, and an accrual that fits does not make it known."""
    chain = opened()
    chain.block(morpho_log(logs.UNPLEDGE, MARKET, BOB, BOB, BOB, 1))
    chain.block(morpho_log(logs.ACCRUE, MARKET, logs.RATE, 1, 0))
    assert health(chain) == Health(Status.UNKNOWN, "more was taken than was ever put in: a log is missing")


def test_decimals_are_asked_until_they_are_known() -> None:
    """Values need the loan token's decimals; once answered they are not asked again."""
    chain = Chain()
    chain.decimals = None
    chain.block(logs.created())
    chain.block(morpho_log(logs.BORROW, MARKET, ALICE, ALICE, ALICE, 5, 5))
    assert health(chain) == Health(Status.UNKNOWN, "the loan token's decimals are not known")
    chain.decimals = 6
    chain.block()
    chain.block()
    assert {request.calldata[:4] for request in chain.asked} == {reads.PRICE, reads.BORROW_RATE_VIEW}


def test_values_are_those_of_the_two_tokens() -> None:
    """A loan token counts as configured, a collateral by the oracle, anything else not at all."""
    ledger = opened().ledger
    assert ledger.value_base(logs.USDC, TokenAmount(10**6)) == BaseAmount(10**8)
    assert ledger.value_base(logs.WETH, TokenAmount(WAD)) == BaseAmount(2_000 * 10**8)
    assert ledger.value_base(logs.MORPHO, TokenAmount(1)) is None


def test_an_audit_compares_positions_and_totals() -> None:
    """What the contract says of an account agrees, and one share less does not; without the totals nothing is said."""
    chain = opened()
    requests = chain.ledger.audit_reads([ALICE])
    totals, position = chain.ledger.market().totals, chain.ledger.position(ALICE)
    figures = (totals.supply_assets, totals.supply_shares, totals.borrow_assets, totals.borrow_shares, 24, 0)
    answers = {
        audit.MARKET: b"".join(map(word, figures)),
        audit.POSITION: b"".join(map(word, (position.supply_shares, position.borrow_shares, position.collateral))),
    }
    told = [ContractRead(each.target, each.calldata, answers[each.calldata[:4]], None) for each in requests]
    [agreed] = chain.ledger.audit_findings(told)
    assert (agreed.account, agreed.agrees) == (ALICE, True)
    wrong = replace(told[1], output=word(0) + word(position.borrow_shares - 1) + word(position.collateral))
    assert [finding.agrees for finding in chain.ledger.audit_findings([told[0], wrong])] == [False]
    assert chain.ledger.audit_findings(told[1:]) == ()
    assert chain.ledger.audit_reads([]) == ()
