"""The venue of a pre-liquidation contract lists those who authorised it, by its own line, and checks what it is."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from keeper.core.errors import ConfigError, JournalDamaged, NodeMalformed
from keeper.core.facts import ContractRead, RawLog
from keeper.core.ids import Address, Hash32
from keeper.core.units import BaseAmount, TokenAmount, Wad
from keeper.core.venue import Epoch, Health, Ledger, LiquidationSeen, Status
from keeper.engine.health import HealthMap
from keeper.venues import open_ledger
from keeper.venues.abi import APPROVE, word
from keeper.venues.morpho_blue import audit, pre_ledger, reads
from keeper.venues.morpho_blue.math import WAD
from keeper.venues.morpho_blue.pre_ledger import PreLiquidationLedger
from tests.venues import morpho_logs as logs
from tests.venues.morpho_logs import ALICE, BOB, LIQUIDATOR, MARKET, morpho_log
from tests.venues.pre_liquidation_logs import CONTRACT, INSIDE, OWN_ORACLE, SPEC, PreChain, drifted


def health(chain: PreChain) -> Health:
    """Return how Alice stands."""
    return chain.ledger.margin(ALICE).health


def pre_liquidated(at: Hash32 = MARKET) -> RawLog:
    """Return the contract's log of a slice of Alice."""
    return morpho_log(logs.PRE_LIQUIDATE, at, LIQUIDATOR, ALICE, 10**6, 10**12, 6 * 10**14, at=CONTRACT)


def test_a_ledger_is_opened_by_its_contract() -> None:
    """Naming the contract makes another venue of the same protocol, which watches both and lets the contract take."""
    ledger: Ledger = open_ledger(SPEC)
    assert isinstance(ledger, PreLiquidationLedger)
    assert (ledger.name, ledger.protocol, ledger.watched()) == ("early", "morpho_blue", (logs.MORPHO, CONTRACT))
    assert ledger.spender == CONTRACT
    assert ledger.approval_call(logs.USDC, TokenAmount(1)).data[:4] == APPROVE
    assert open_ledger(logs.SPEC).spender == logs.MORPHO


def test_without_a_contract_there_is_no_such_ledger() -> None:
    """The plain market is not enough."""
    with pytest.raises(ConfigError, match=r"venues\.morpho: names no pre_liquidation"):
        PreLiquidationLedger(logs.SPEC)


def test_margin_is_by_the_contracts_line() -> None:
    """At 83 % an account is past the line of 80: 1600 over 1660, rounded down."""
    margin = drifted().ledger.margin(ALICE)
    assert margin.health == Health(Status.LIQUIDATABLE)
    assert margin.health_wad == Wad(1_600 * WAD // 1_660)
    assert (margin.collateral_base, margin.debt_base) == (BaseAmount(2_000 * 10**8), BaseAmount(1_660 * 10**8))
    assert margin.epoch == Epoch(2, 4)


@pytest.mark.parametrize("oracle", [logs.ORACLE, OWN_ORACLE])
def test_a_breakdown_adds_up_to_the_margin(oracle: Address) -> None:
    """Weighed by the contract's line and price, its terms are the figures that decide; a stranger has none here."""
    chain = drifted(oracle=oracle)
    chain.own_price = logs.PRICE * 11 // 10
    chain.block()
    (bucket,) = chain.ledger.breakdown(ALICE).buckets
    assert chain.ledger.margin(ALICE).health_wad == Wad(bucket.equity * WAD // bucket.requirement)
    (bucket,) = chain.authorize(ALICE, allowed=False).breakdown(ALICE).buckets
    assert (bucket.equity, bucket.requirement) == (0, 0)
    chain.price = None
    assert chain.block().breakdown(ALICE).buckets == ()


@pytest.mark.parametrize(
    ("debt", "status", "pairs"),
    [
        (1_600 * 10**6, Status.HEALTHY, 0),
        (1_600 * 10**6 + 1, Status.LIQUIDATABLE, 1),
        (1_720 * 10**6, Status.LIQUIDATABLE, 1),
        (1_720 * 10**6 + 1, Status.LIQUIDATABLE, 0),
    ],
)
def test_the_last_unit_decides_at_both_lines(debt: int, status: Status, pairs: int) -> None:
    """Exactly at the contract's line nothing is wrong; past the market's nobody is healthy, and this venue is shut."""
    chain = drifted(debt)
    assert (health(chain).status, len(chain.ledger.pairs(ALICE))) == (status, pairs)


def test_the_engine_finds_who_is_past_the_contracts_line() -> None:
    """The health map of the engine holds an account in the zone as one at risk, though the market calls it safe."""
    ledger, found = drifted().ledger, HealthMap()
    found.classify(ledger, 2)
    assert [each.account for each in found.at_risk("early")] == [ALICE]


def test_only_who_authorised_is_listed() -> None:
    """Whoever authorised another contract, or takes it back, is not this venue's; an undo brings back."""
    chain = drifted()
    chain.block(morpho_log(logs.BORROW, MARKET, BOB, BOB, BOB, 5, 5))
    assert chain.ledger.accounts() == (ALICE,)
    assert chain.authorize(BOB, contract=OWN_ORACLE).accounts() == (ALICE,)
    assert chain.authorize(BOB).accounts() == tuple(sorted((ALICE, BOB)))
    assert chain.authorize(ALICE, allowed=False).accounts() == (BOB,)
    margin = chain.ledger.margin(ALICE)
    assert (margin.health, margin.health_wad, margin.debt_base) == (Health(Status.HEALTHY), None, BaseAmount(0))
    assert margin.epoch == Epoch(chain.number, 0)
    chain.ledger.undo_block(chain.number)
    assert chain.ledger.accounts() == tuple(sorted((ALICE, BOB)))


def test_a_slice_is_seen_once_and_folded_by_morphos_logs() -> None:
    """Repayment and withdrawal move the position; the contract's own log says who closed it, and moves nothing."""
    chain = drifted()
    repaid = morpho_log(logs.REPAY, MARKET, CONTRACT, ALICE, 10**6, 10**12)
    taken = morpho_log(logs.UNPLEDGE, MARKET, CONTRACT, ALICE, LIQUIDATOR, 6 * 10**14)
    ledger = chain.ledger
    chain.number += 1
    ledger.begin_block(chain.head())
    assert [ledger.apply_log(each) for each in (repaid, taken)] == [None, None]
    before = ledger.position(ALICE)
    assert (before.borrow_shares, before.collateral) == ((INSIDE - 10**6) * 10**6, WAD - 6 * 10**14)
    amounts = (logs.USDC, logs.WETH, TokenAmount(10**6), TokenAmount(6 * 10**14))
    log = pre_liquidated()
    assert ledger.apply_log(log) == LiquidationSeen("early", ALICE, LIQUIDATOR, *amounts, log.tx_hash)
    assert ledger.position(ALICE) == before
    assert ledger.apply_log(pre_liquidated(logs.OTHER_MARKET)) is None


def test_a_liquidation_by_morpho_is_folded_and_not_this_venues() -> None:
    """It moves the position and is told by the market's own venue."""
    chain = drifted()
    log = morpho_log(logs.LIQUIDATE, MARKET, LIQUIDATOR, ALICE, 10**6, 10**12, 5, 0, 0)
    chain.number += 1
    chain.ledger.begin_block(chain.head())
    assert chain.ledger.apply_log(log) is None
    assert chain.ledger.position(ALICE).collateral == WAD - 5


@pytest.mark.parametrize("wrong", ["morpho", "market"])
def test_a_contract_of_something_else_is_not_believed(wrong: str) -> None:
    """One that names another Morpho or market leaves everybody unknown, and is asked again."""
    chain = PreChain()
    if wrong == "morpho":
        chain.morpho = BOB
    else:
        chain.of_market = logs.OTHER_MARKET
    chain.block(logs.created())
    chain.block(morpho_log(logs.BORROW, MARKET, ALICE, ALICE, ALICE, 5, 5))
    chain.authorize(ALICE)
    assert health(chain).status is Status.UNKNOWN
    assert "has not said that it is of this market" in (health(chain).reason or "")
    assert chain.ledger.pairs(ALICE) == ()
    assert chain.ledger.value_base(logs.WETH, TokenAmount(WAD)) is None


def test_terms_are_asked_once() -> None:
    """They are for ever; with the market's oracle nothing else is asked at a block than of any market."""
    chain = drifted()
    before = chain.asked
    chain.block()
    assert len(before) - len(chain.asked) in (0, 3)
    assert all(request.target != CONTRACT for request in chain.asked)


def test_an_oracle_of_its_own_prices_the_zone() -> None:
    """Line, figures and the value of collateral go by the contract's oracle; without its price all is unknown."""
    chain = drifted(oracle=OWN_ORACLE)
    chain.own_price = logs.PRICE * 11 // 10
    chain.block()
    assert reads.PRICE in [request.calldata for request in chain.asked if request.target == OWN_ORACLE]
    assert health(chain) == Health(Status.HEALTHY)
    assert chain.ledger.value_base(logs.WETH, TokenAmount(WAD)) == BaseAmount(2_200 * 10**8)
    chain.own_price = None
    chain.block()
    assert health(chain).status is Status.UNKNOWN
    chain.own_price = 0
    chain.block()
    assert health(chain).reason == "the price of the contract's oracle is zero"


def test_an_audit_compares_authority() -> None:
    """What Morpho says of an account's position and of its authorisation is one finding, and none without either."""
    ledger = drifted().ledger
    totals, position = ledger.market().totals, ledger.position(ALICE)
    figures = (totals.supply_assets, totals.supply_shares, totals.borrow_assets, totals.borrow_shares, 24, 0)
    answers = {
        audit.MARKET: b"".join(map(word, figures)),
        audit.POSITION: b"".join(map(word, (position.supply_shares, position.borrow_shares, position.collateral))),
        pre_ledger.IS_AUTHORIZED: word(1),
    }
    asked = ledger.audit_reads((ALICE,))
    told = [ContractRead(each.target, each.calldata, answers[each.calldata[:4]], None) for each in asked]
    assert [(each.account, each.agrees) for each in ledger.audit_findings(told)] == [(ALICE, True)]
    (wrong,) = ledger.audit_findings([*told[:-1], replace(told[-1], output=word(0))])
    assert (wrong.ours.split()[-1], wrong.theirs.split()[-1]) == ("authorized=True", "authorized=False")
    assert ledger.audit_findings(told[:-1]) == ledger.audit_findings(told[1:]) == ()


def test_a_dump_is_loaded_alike_and_of_this_kind_only() -> None:
    """Everything stands in the dump; one of a plain market is refused."""
    chain = drifted()
    dump = chain.ledger.dump()
    other = PreLiquidationLedger(SPEC)
    other.load(dump)
    assert (other.dump(), other.margin(ALICE)) == (dump, chain.ledger.margin(ALICE))
    with pytest.raises(JournalDamaged):
        other.load(logs.opened().ledger.dump())


def test_a_log_of_another_shape_is_refused() -> None:
    """A log with a topic too few is a node's error, not an authorisation."""
    log = morpho_log(logs.AUTHORIZE, ALICE, ALICE, CONTRACT, True)
    with pytest.raises(NodeMalformed):
        drifted().ledger.discover([replace(log, topics=log.topics[:3])])
    with pytest.raises(NodeMalformed):
        drifted().ledger.discover([replace(pre_liquidated(), data=b"")])
