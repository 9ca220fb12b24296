"""The ledger finds its market, follows it, takes back what was taken back, and says when it does not know."""

from __future__ import annotations

import pytest

from keeper.core.errors import ConfigError, JournalDamaged, NodeMalformed
from keeper.core.facts import ContractRead, RawLog
from keeper.core.ids import ZERO_ADDRESS, Hash32
from keeper.core.runconfig import VenueSpec
from keeper.core.units import BaseAmount, TokenAmount, Wad
from keeper.core.venue import Epoch, Health, Ledger, LiquidationSeen, Status
from keeper.venues import open_ledger
from keeper.venues.aave_v3.margin import UserAccountData
from keeper.venues.aave_v3.math import RAY
from keeper.venues.abi import topic_of
from tests.venues.event_logs import address, header, log_of
from tests.venues.synthetic import (
    A_TOKEN,
    ALICE,
    BOB,
    BURN,
    CONFIGURATOR,
    DISABLED,
    FEED,
    MINT,
    ORACLE,
    POOL_PROXY,
    RATES,
    ROOT,
    STABLE,
    STABLE_MINT,
    TRANSFER,
    USDC,
    VARIABLE,
    WETH,
    Chain,
    borrowed,
    discovery,
    listing,
    opened,
    supplied,
)

SPEC = VenueSpec(name="aave", protocol="aave_v3", chain_id=1, root=ROOT, from_block=0, prices="read")


def test_an_unknown_protocol_is_refused_with_the_known_ones() -> None:
    """The operator learns what may be written there."""
    spec = VenueSpec(name="x", protocol="aave_v9", chain_id=1, root=ROOT, from_block=0, prices="read")
    with pytest.raises(ConfigError, match=r"venues\.x\.protocol: 'aave_v9' is not known; use one of: aave_v3"):
        open_ledger(spec)


def test_a_ledger_is_opened_by_its_protocol() -> None:
    """The opened ledger has the name and chain of its spec, and watches its root only."""
    ledger: Ledger = open_ledger(SPEC)
    assert (ledger.name, ledger.protocol, ledger.chain_id, ledger.watched()) == ("aave", "aave_v3", 1, (ROOT,))
    assert ledger.spender is None


def test_everything_is_discovered_from_the_root() -> None:
    """Pool, configurator, oracle and every token follow from the provider's logs and theirs."""
    ledger = open_ledger(SPEC)
    tokens = (A_TOKEN[WETH], STABLE[WETH], VARIABLE[WETH])
    assert ledger.discover(discovery()) == tuple(sorted((POOL_PROXY, CONFIGURATOR, ORACLE)))
    assert ledger.discover(listing(WETH)) == tuple(sorted(tokens))

    chain = Chain()
    chain.block(*discovery(), *listing(WETH))
    assert chain.ledger.watched() == tuple(sorted((ROOT, POOL_PROXY, CONFIGURATOR, ORACLE, *tokens)))
    assert chain.ledger.tokens() == (WETH,)
    assert chain.ledger.spender == POOL_PROXY


def test_a_malformed_log_of_a_watched_contract_is_refused_at_discovery() -> None:
    """Before it can be journalled; a stranger's log with the same first topic is none of ours."""
    chain = opened()
    broken = RawLog(POOL_PROXY, (topic_of("UserEModeSet(address,uint8)"),), b"", 0, Hash32(bytes(32)))
    with pytest.raises(NodeMalformed):
        chain.ledger.discover([broken])
    stranger = RawLog(address(77), broken.topics, b"", 0, broken.tx_hash)
    assert chain.ledger.discover([stranger]) == ()


def test_margin_is_the_contracts_figure() -> None:
    """One WETH at 2000 and 85 % against 1500 USDC is 1.1333, half up."""
    margin = opened().ledger.margin(ALICE)
    assert margin.health == Health(Status.HEALTHY)
    assert margin.health_wad == Wad(1_133_333_333_333_333_333)
    assert (margin.collateral_base, margin.debt_base) == (BaseAmount(2_000 * 10**8), BaseAmount(1_500 * 10**8))
    assert margin.epoch == Epoch(2, 2)


def test_an_account_without_debt_has_no_health_figure() -> None:
    """Nothing owed: healthy, and no number for it."""
    margin = opened(debt=1).block(log_of(VARIABLE[USDC], BURN, ALICE, ZERO_ADDRESS, 1, 0, RAY)).margin(ALICE)
    assert (margin.health, margin.health_wad) == (Health(Status.HEALTHY), None)


def test_accounts_are_those_with_debt_in_order() -> None:
    """Suppliers are not listed; whoever repays is no longer."""
    chain = opened()
    chain.block(*supplied(BOB, WETH, 10**18))
    assert chain.ledger.accounts() == (ALICE,)
    chain.block(borrowed(BOB, USDC, 5))
    assert chain.ledger.accounts() == tuple(sorted((ALICE, BOB)))
    chain.block(log_of(VARIABLE[USDC], BURN, ALICE, ZERO_ADDRESS, 1_500 * 10**6, 0, RAY))
    assert chain.ledger.accounts() == (BOB,)
    chain.ledger.undo_block(chain.number)
    assert chain.ledger.accounts() == tuple(sorted((ALICE, BOB)))


def test_a_burn_smaller_than_the_accrual_is_printed_as_a_mint() -> None:
    """The contract prints what is left of the interest; the scaled balance shrinks all the same."""
    chain = opened()
    index = 2 * RAY
    chain.block(
        log_of(POOL_PROXY, RATES, USDC, 0, 0, 0, RAY, index),
        log_of(VARIABLE[USDC], MINT, ALICE, ALICE, 1_500 * 10**6 - 100, 1_500 * 10**6, index),
    )
    assert chain.ledger.margin(ALICE).debt_base == BaseAmount((3_000 * 10**6 - 100) * 100)


def test_a_burn_prints_what_was_repaid_less_the_accrual() -> None:
    """At an index of two, burning 3000 after an accrual of 1500 is printed as 1500 and leaves nothing."""
    chain = opened()
    index = 2 * RAY
    chain.block(
        log_of(POOL_PROXY, RATES, USDC, 0, 0, 0, RAY, index),
        log_of(VARIABLE[USDC], BURN, ALICE, ZERO_ADDRESS, 1_500 * 10**6, 1_500 * 10**6, index),
    )
    assert chain.ledger.accounts() == ()
    assert chain.ledger.margin(ALICE).debt_base == BaseAmount(0)


def test_collateral_without_loan_to_value_lends_nothing() -> None:
    """An asset whose loan to value was set to zero keeps its threshold and adds no borrowing power, in any mode."""
    chain = opened()
    configured = "CollateralConfigurationChanged(address,uint256,uint256,uint256)"
    chain.block(
        log_of(CONFIGURATOR, configured, WETH, 0, 8_500, 10_500),
        log_of(
            CONFIGURATOR,
            "EModeCategoryAdded(uint8,uint256,uint256,uint256,address,string)",
            *(1, 9_000, 9_500, 10_100, ZERO_ADDRESS, "blue"),
        ),
        log_of(CONFIGURATOR, "EModeAssetCategoryChanged(address,uint8,uint8)", WETH, 0, 1),
        log_of(POOL_PROXY, "UserEModeSet(address,uint8)", ALICE, 1),
    )
    data = chain.ledger.account_data(ALICE)
    assert isinstance(data, UserAccountData)
    assert (data.ltv, data.current_liquidation_threshold, data.available_borrows_base) == (0, 9_500, 0)


def test_an_interest_print_changes_no_position() -> None:
    """A mint of the accrual alone moves neither balance nor epoch."""
    chain = opened()
    before = chain.ledger.margin(ALICE).epoch
    chain.block(log_of(A_TOKEN[WETH], MINT, ALICE, ALICE, 7, 7, RAY))
    assert chain.ledger.margin(ALICE).epoch == before


def test_a_transfer_to_oneself_changes_no_balance() -> None:
    """What is taken is given back."""
    chain = opened()
    before = chain.ledger.margin(ALICE).collateral_base
    chain.block(log_of(A_TOKEN[WETH], TRANSFER, ALICE, ALICE, 10**18, RAY))
    assert chain.ledger.margin(ALICE).collateral_base == before


def test_a_transfer_moves_scaled_amounts() -> None:
    """Half a WETH moved is half the collateral."""
    chain = opened()
    chain.block(log_of(A_TOKEN[WETH], TRANSFER, ALICE, BOB, 10**18 // 2, RAY))
    assert chain.ledger.margin(ALICE).collateral_base == BaseAmount(1_000 * 10**8)


def test_collateral_that_was_switched_off_does_not_count() -> None:
    """The bit decides, not the balance."""
    chain = opened()
    chain.block(log_of(POOL_PROXY, DISABLED, WETH, ALICE))
    margin = chain.ledger.margin(ALICE)
    assert (margin.collateral_base, margin.health_wad) == (BaseAmount(0), Wad(0))


def test_stable_debt_compounds_at_its_own_rate_from_its_own_time() -> None:
    """Ten percent a year for one year after the borrow, by the three-term formula with its truncated last term."""
    chain = opened(debt=1)
    year = 31_536_000
    chain.block(log_of(STABLE[USDC], STABLE_MINT, ALICE, ALICE, 10**9, 0, 0, RAY // 10, RAY // 10, 10**9))
    since = chain.head().timestamp
    data = chain.ledger.account_data(ALICE, at_timestamp=since + year)
    assert isinstance(data, UserAccountData)
    assert data.total_debt_base == (1_105_162_043 + 1) * 100


def test_a_contract_is_believed_only_about_itself() -> None:
    """A stranger cannot list assets, set ratios or toggle collateral."""
    chain = opened()
    before = chain.ledger.account_data(ALICE)
    chain.block(
        log_of(BOB, "CollateralConfigurationChanged(address,uint256,uint256,uint256)", WETH, 0, 1, 10_500),
        log_of(BOB, DISABLED, WETH, ALICE),
        log_of(BOB, RATES, WETH, 0, 0, 0, 9 * RAY, 9 * RAY),
        log_of(BOB, "ReserveDropped(address)", WETH),
        log_of(BOB, MINT, ALICE, ALICE, 5, 0, RAY),
    )
    assert chain.ledger.account_data(ALICE) == before


def test_a_liquidation_is_reported_and_needs_no_folding() -> None:
    """The venue's own event is what a confirmation looks for."""
    signature = "LiquidationCall(address,address,address,uint256,uint256,address,bool)"
    chain = opened()
    chain.ledger.begin_block(header(3, 36))
    log = log_of(POOL_PROXY, signature, WETH, USDC, ALICE, 10, 20, BOB, False, log_index=9)
    assert chain.ledger.apply_log(log) == LiquidationSeen(
        "aave", ALICE, BOB, USDC, WETH, TokenAmount(10), TokenAmount(20), log.tx_hash
    )


def test_a_dropped_reserve_frees_its_place_and_the_bits_stay() -> None:
    """The next asset takes the first free place, and with it the bits accounts still have there, as on chain."""
    chain = opened(debt=1)
    chain.block(log_of(CONFIGURATOR, "ReserveDropped(address)", WETH))
    assert chain.ledger.tokens() == (USDC,)
    chain.block(*listing(WETH))
    assert chain.ledger.tokens() == (WETH, USDC)
    assert chain.ledger.margin(ALICE).collateral_base == BaseAmount(2_000 * 10**8)


def test_undo_gives_back_the_very_state() -> None:
    """After undo the dump is the one before, and the margin with it."""
    chain = opened()
    before, margin = chain.ledger.dump(), chain.ledger.margin(ALICE)
    chain.prices[WETH] = 1
    chain.block(*supplied(BOB, USDC, 50), log_of(CONFIGURATOR, "ReserveDropped(address)", WETH))
    chain.ledger.undo_block(chain.number)
    assert chain.ledger.dump() == before
    assert chain.ledger.margin(ALICE) == margin


def test_a_dump_of_another_version_is_refused() -> None:
    """Bytes that are not this ledger's are never half loaded."""
    with pytest.raises(JournalDamaged, match="another ledger version"):
        Chain().ledger.load(b"aave_v3/0\n")


def test_a_loaded_ledger_goes_on_like_the_other() -> None:
    """Accounts, margin and undo survive the bytes."""
    chain = opened()
    other = Chain()
    other.ledger.load(chain.ledger.dump())
    assert other.ledger.accounts() == chain.ledger.accounts()
    assert other.ledger.margin(ALICE) == chain.ledger.margin(ALICE)
    other.ledger.undo_block(2)
    chain.ledger.undo_block(2)
    assert other.ledger.dump() == chain.ledger.dump()


# Three values, never two.


def _health(chain: Chain) -> Health:
    return chain.ledger.margin(ALICE).health


@pytest.mark.fault(39)
def test_a_price_that_cannot_be_read_makes_exposed_accounts_unknown() -> None:
    """Alice holds WETH and is unknown; Bob holds USDC only and is not."""
    chain = opened()
    chain.block(*supplied(BOB, USDC, 10**9), borrowed(BOB, USDC, 10**8))
    chain.prices[WETH] = None
    chain.block()
    reason = f"0x{WETH.hex()}: its price is unknown: the oracle answers execution reverted"
    assert _health(chain) == Health(Status.UNKNOWN, reason)
    assert chain.ledger.margin(BOB).health == Health(Status.HEALTHY)
    assert chain.ledger.value_base(WETH, TokenAmount(1)) is None
    assert chain.ledger.pairs(ALICE) == ()


@pytest.mark.fault(39)
def test_a_price_of_an_earlier_block_is_not_a_price() -> None:
    """In read mode a block without an answer is a block without a price."""
    chain = opened()
    chain.ledger.begin_block(header(3, 36))
    assert _health(chain) == Health(Status.UNKNOWN, f"0x{WETH.hex()}: its price was last read at block 2")


def test_a_price_answered_with_too_few_bytes_is_unknown() -> None:
    """A short answer is an answer nobody can read, not a number."""
    chain = opened()
    chain.ledger.apply_reads([ContractRead(ORACLE, request.calldata, b"\1", None) for request in chain.asked])
    assert _health(chain).status is Status.UNKNOWN


def test_an_unsupported_revision_makes_everything_unknown() -> None:
    """After an upgrade to rules nobody taught us, no figure is given."""
    chain = opened()
    chain.revision = 7
    chain.block(log_of(POOL_PROXY, "Upgraded(address)", address(55)))
    assert _health(chain) == Health(Status.UNKNOWN, "unsupported pool revision 7")
    chain.ledger.undo_block(chain.number)
    assert _health(chain) == Health(Status.HEALTHY)


def test_a_revision_that_was_not_read_makes_everything_unknown() -> None:
    """Between the upgrade and the answer nothing is assumed."""
    chain = opened()
    chain.ledger.begin_block(header(3, 36))
    chain.ledger.apply_log(log_of(POOL_PROXY, "Upgraded(address)", address(55)))
    assert _health(chain) == Health(Status.UNKNOWN, "the pool's revision is not known")


def test_an_upgraded_token_makes_its_holders_unknown() -> None:
    """Its events may mean something else now."""
    chain = opened()
    chain.block(log_of(A_TOKEN[WETH], "Upgraded(address)", address(55)))
    assert _health(chain) == Health(Status.UNKNOWN, f"0x{WETH.hex()}: one of its tokens was upgraded")


def test_a_burn_of_more_than_was_held_makes_the_asset_unknown() -> None:
    """The fold does not know what it missed, and says so."""
    chain = opened()
    chain.block(log_of(A_TOKEN[WETH], BURN, ALICE, ALICE, 2 * 10**18, 0, RAY))
    assert "more was burnt than was ever minted" in str(_health(chain).reason)


def test_a_new_oracle_forgets_the_old_ones_prices() -> None:
    """Answers of the contract that is no longer the oracle are not taken."""
    chain = opened()
    asked = chain.asked
    chain.ledger.begin_block(header(3, 36))
    chain.ledger.apply_log(log_of(ROOT, "PriceOracleUpdated(address,address)", ORACLE, address(50)))
    chain.ledger.apply_reads([ContractRead(each.target, each.calldata, bytes(31) + b"\1", None) for each in asked])
    assert _health(chain) == Health(Status.UNKNOWN, f"0x{WETH.hex()}: its price was never read")


def test_a_stranger_may_give_a_topic_another_shape() -> None:
    """A log of another venue's contract, or a feed's own upgrade, stops nothing although its topic is known."""
    chain = opened("events")
    before = chain.ledger.margin(ALICE).health_wad
    unindexed = (topic_of("Upgraded(address)"),)
    strangers = [RawLog(each, unindexed, bytes(32), 0, Hash32(b"t" * 32)) for each in (address(0x777), FEED[WETH])]
    assert chain.block(*strangers).margin(ALICE).health_wad == before


def test_a_feeds_answer_of_another_shape_is_refused() -> None:
    """What a followed feed answers is never passed over: the price would stand still."""
    chain = opened("events")
    chain.block()
    answer = RawLog(FEED[WETH], (topic_of("AnswerUpdated(int256,uint256,uint256)"),), b"", 0, Hash32(b"t" * 32))
    with pytest.raises(NodeMalformed):
        chain.block(answer)
