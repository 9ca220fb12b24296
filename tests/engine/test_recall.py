"""What a liquidation says about us."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.decisions import AnyDecision, LiquidationObserved, Verdict
from keeper.core.facts import (
    AccountsAudited,
    BackfilledBlock,
    BlockHeader,
    BlocksBackfilled,
    ContractRead,
    LogsRepaired,
    RawLog,
    RepairedBlock,
)
from keeper.core.ids import content_id
from keeper.engine.recall import (
    BEFORE,
    BORROWED,
    IN_BETWEEN,
    IN_ITS_BLOCK,
    NO_DEBT,
    PASSED_OVER,
    Block,
    fold_block,
    healthy,
)
from keeper.lab.simulator import market
from keeper.lab.simulator.ledger import GOLD_READ, SimulatedLedger
from tests.engine.history import (
    ALICE,
    BOB,
    BREACH,
    CHAIN,
    CHAIN_SPEC,
    CONFIG,
    PRICES,
    RIVAL,
    TOKEN,
    VENUE_SPEC,
    History,
    admitted,
    config_with,
    logs_of,
    position,
    refused,
)
from tests.engine.toy import ETH, GOLD, POOL, USD, ToyLedger, pool_log

TAKEN = ("liquidated", ALICE, RIVAL, USD, ETH, 1, 1)
FALL = ("price", ETH, BREACH)
RISE = ("price", ETH, PRICES[ETH])
SAME = content_id("one transaction")
FIRST, SECOND = (BlockHeader(number, content_id(number), content_id("parent"), number, 0, b"") for number in (1, 2))


@pytest.fixture
def history() -> History:
    """A market with one healthy account."""
    history = History()
    history.market()
    return history


def verdicts(decisions: Iterable[AnyDecision]) -> list[tuple[Verdict, str]]:
    """Return what the observed liquidations say."""
    return [(each.verdict, each.why) for each in decisions if isinstance(each, LiquidationObserved)]


def test_our_own(history: History) -> None:
    """The effect of one of our intents is ours."""
    intent = admitted(history.breach())[0]

    assert verdicts(history.liquidation(history.prepare(intent, 0), intent)) == [(Verdict.OURS, "")]


def test_another_was_faster(history: History) -> None:
    """Another's liquidation that lands while our intent is not mined has outbid us."""
    intent = admitted(history.breach())[0]
    history.send(history.prepare(intent, 0))

    assert verdicts(history.block(TAKEN)) == [(Verdict.OUTBID, "our intent was broadcast")]


def test_a_reorg_gives_ours_to_another(history: History) -> None:
    """Our liquidation that a reorg took back is under way again: another's in the new block has outbid it."""
    intent = admitted(history.breach())[0]
    attempt = history.prepare(intent, 0)
    history.send(attempt)
    history.liquidation(attempt, intent)
    history.revert()

    assert verdicts(history.block(TAKEN)) == [(Verdict.OUTBID, "our intent was broadcast")]


def test_a_second_one_after_ours(history: History) -> None:
    """Once ours is mined, another's of what it left liquidatable in the same block was late, not outbid."""
    intent = admitted(history.breach())[0]
    attempt = history.prepare(intent, 0)
    ours = pool_log(0, attempt.tx_hash, "liquidated", ALICE, intent.to, USD, ETH, 1, 1)
    theirs = pool_log(1, content_id("theirs"), *TAKEN)
    filled = BackfilledBlock(3, content_id("filled"), history.header(3).timestamp, (ours, theirs))
    last = msgspec.structs.replace(history.header(3), hash=filled.hash)

    decisions = history.step(BlocksBackfilled(CHAIN, 3, last, (filled,), (), 0, "node"))

    assert verdicts(decisions) == [(Verdict.OURS, ""), (Verdict.DECIDED_LATE, PASSED_OVER)]


def test_liquidatable_at_a_block_that_was_not_decided_on(history: History) -> None:
    """An account that fell in a block behind the head and is taken in the next is late."""
    history.block(FALL, behind=1)

    assert verdicts(history.block(TAKEN)) == [(Verdict.DECIDED_LATE, BEFORE)]


def test_nothing_was_proposed(history: History) -> None:
    """An account at risk for which no slice was proposed, as without inventory, is late, and the verdict says so."""
    history.read_signer(balance=0)
    assert (admitted(history.breach()), refused(history.block())) == ([], [])

    assert verdicts(history.block(TAKEN)) == [(Verdict.DECIDED_LATE, PASSED_OVER)]


def test_the_very_block_made_it_liquidatable(history: History) -> None:
    """Nobody could have decided on a price that is in the same block as the liquidation."""
    assert verdicts(history.block(FALL, TAKEN)) == [(Verdict.DECIDED_LATE, IN_ITS_BLOCK)]


def test_the_very_transaction_made_it_liquidatable(history: History) -> None:
    """A price update in the liquidation's own transaction counts; the transfers before the event do not."""
    healed = ("set", ALICE, USD, 0, 1)

    assert verdicts(history.block(FALL, healed, TAKEN, tx_hash=SAME)) == [(Verdict.DECIDED_LATE, IN_ITS_BLOCK)]


def test_a_healthy_account_that_its_liquidation_ruins(history: History) -> None:
    """What the liquidation's own transfers leave behind is no excuse for a health that was wrong."""
    ruined = ("set", ALICE, ETH, 1, 0)

    assert [verdict for verdict, _ in verdicts(history.block(ruined, TAKEN, tx_hash=SAME))] == [Verdict.HEALTH_WRONG]


def test_a_debt_of_the_same_transaction(history: History) -> None:
    """A position that is opened and liquidated in one transaction is nobody else's chance."""
    opened = position(BOB, eth=1, usd=10_000)

    decisions = history.block(*opened, ("liquidated", BOB, RIVAL, USD, ETH, 1, 1), tx_hash=SAME)

    assert verdicts(decisions) == [(Verdict.DECIDED_LATE, BORROWED)]


def test_refused_by_the_gate() -> None:
    """What a rule of the gate refuses is another's by our own will; the rule is named."""
    history = History(config_with(live=False))
    history.market()
    assert refused(history.breach()) == ["dry_run"]

    assert verdicts(history.block(TAKEN)) == [(Verdict.REFUSED, "dry_run")]


def test_a_refusal_that_no_longer_stands() -> None:
    """After the account was healthy again, what was refused before is not why it was taken."""
    history = History(config_with(live=False))
    history.market()
    history.breach()
    history.block(RISE)

    assert verdicts(history.block(FALL, TAKEN)) == [(Verdict.DECIDED_LATE, IN_ITS_BLOCK)]


def test_an_account_without_debt(history: History) -> None:
    """A liquidation of somebody of whom no debt is known was untracked."""
    decisions = history.block(("liquidated", BOB, RIVAL, USD, ETH, 0, 0))

    assert verdicts(decisions) == [(Verdict.UNTRACKED, NO_DEBT)]


def test_a_healthy_account(history: History) -> None:
    """A liquidation of an account that was healthy with all figures known is a bug, and says at which health."""
    assert verdicts(history.block(TAKEN)) == [(Verdict.HEALTH_WRONG, healthy(16 * 10**18 // 15))]


def test_an_intent_does_not_hide_a_bug(history: History) -> None:
    """An account that recovered and is liquidated all the same shows a bug, whatever was under way."""
    history.breach()

    assert [verdict for verdict, _ in verdicts(history.block(RISE, TAKEN))] == [Verdict.HEALTH_WRONG]


def test_looked_at_just_before(history: History) -> None:
    """An account is judged after the earlier logs of its block, and not by what comes later in it."""
    decisions = history.block(TAKEN, FALL)

    assert [verdict for verdict, _ in verdicts(decisions)] == [Verdict.HEALTH_WRONG]


def test_twice_in_one_transaction(history: History) -> None:
    """The second liquidation in a transaction is judged by what the first has left."""
    history.block(FALL, behind=1)
    much = ("liquidated", ALICE, RIVAL, USD, ETH, 10_000 * TOKEN, 1)

    found = [verdict for verdict, _ in verdicts(history.block(much, TAKEN, tx_hash=SAME))]

    assert found == [Verdict.DECIDED_LATE, Verdict.HEALTH_WRONG]


def test_a_price_is_missing(history: History) -> None:
    """An account of which a price is missing was unknown, and the verdict says why."""
    history.block(("set", BOB, GOLD, 1, 0), ("set", BOB, USD, 0, 1))

    decisions = history.block(("liquidated", BOB, RIVAL, USD, GOLD, 1, 1))

    assert verdicts(decisions) == [(Verdict.UNKNOWN, "no price")]


def test_an_audit_had_failed(history: History) -> None:
    """An account that an audit found wrong was unknown: the bug is known already."""
    tip = history.engine.chains[CHAIN].tip
    assert tip is not None
    read = ContractRead(POOL, bytes(ALICE), b"1 2", None)
    history.step(AccountsAudited(CHAIN, "toy", tip.number, tip.hash, (read,)))

    assert verdicts(history.block(TAKEN)) == [(Verdict.UNKNOWN, "audit failed")]


def test_the_watermark_had_lagged(history: History) -> None:
    """An account is unknown when nothing had been heard of its chain for too long."""
    history.block(FALL, behind=1)
    history.tick(100)

    assert verdicts(history.block(TAKEN)) == [(Verdict.UNKNOWN, "watermark lags")]


def test_a_repair_judges_anew() -> None:
    """A price that a node withheld makes health wrong; the repaired block says what was true."""
    history = History(msgspec.structs.replace(CONFIG, chains=(msgspec.structs.replace(CHAIN_SPEC, scanned=True),)))
    history.market()
    lied = verdicts(history.block(TAKEN))
    tip = history.engine.chains[CHAIN].tip
    assert tip is not None
    right = BackfilledBlock(tip.number, tip.hash, tip.timestamp, logs_of(FALL, TAKEN))

    told = verdicts(history.step(LogsRepaired(CHAIN, tip.number, (RepairedBlock(right, ()),), "b", "a")))

    assert ([verdict for verdict, _ in lied], told) == ([Verdict.HEALTH_WRONG], [(Verdict.DECIDED_LATE, IN_ITS_BLOCK)])


def gold_account(price: int) -> SimulatedLedger:
    """Return a ledger whose price of gold is read, with an account at a health of 0.14 times that price."""
    ledger = SimulatedLedger(VENUE_SPEC)
    opened = logs_of(("price", USD, 10), ("set", ALICE, GOLD, 200, 0), ("set", ALICE, USD, 0, 100))
    fold_block(ledger, Block(FIRST, opened, ()))
    ledger.apply_reads([gold_at(price)])
    return ledger


def gold_at(price: int) -> ContractRead:
    """Return the answer that gold has a price."""
    return ContractRead(market.POOL, GOLD_READ.calldata, price.to_bytes(32, "big"), None)


@pytest.mark.parametrize(
    ("before", "reads", "expected"),
    [
        (10, [gold_at(10)], (Verdict.DECIDED_LATE, IN_BETWEEN)),
        (10, [gold_at(5)], (Verdict.DECIDED_LATE, IN_ITS_BLOCK)),
        (5, [gold_at(10)], (Verdict.DECIDED_LATE, BEFORE)),
        (5, [gold_at(5)], (Verdict.DECIDED_LATE, BEFORE)),
        (5, [], (Verdict.DECIDED_LATE, BEFORE)),
        (10, [], (Verdict.UNKNOWN, "no price")),
    ],
)
def test_prices_that_calls_tell(before: int, reads: list[ContractRead], expected: tuple[Verdict, str]) -> None:
    """What is known at the ends of blocks only makes nobody's health wrong, and looking leaves no trace."""
    logs = logs_of(("accrued", USD, 1), ("liquidated", ALICE, RIVAL, USD, GOLD, 1, 1), ("price", USD, 1))
    ledger, plain = gold_account(before), gold_account(before)

    (witnessed,) = fold_block(ledger, Block(SECOND, logs, reads))

    plain.begin_block(SECOND)
    for log in logs:
        plain.apply_log(log)
    assert (witnessed.verdict, witnessed.why) == expected
    assert ledger.dump() == plain.dump()


ACCOUNTS = st.sampled_from([ALICE, BOB])
LOGS = st.one_of(
    st.tuples(st.just("price"), st.just(ETH), st.integers(1, 40) | st.just(BREACH)),
    st.tuples(st.just("set"), ACCOUNTS, st.just(ETH), st.integers(0, 10**6), st.just(0)),
    st.tuples(st.just("set"), ACCOUNTS, st.just(USD), st.just(0), st.integers(0, 10**9)),
    st.tuples(st.just("liquidated"), ACCOUNTS, st.just(RIVAL), st.just(USD), st.just(ETH), st.just(0), st.just(0)),
)
TRANSACTIONS = st.lists(st.lists(LOGS, min_size=1, max_size=4), max_size=4)


@given(st.lists(st.tuples(TRANSACTIONS, st.booleans()), max_size=5))
def test_every_liquidation_has_one_verdict(blocks: list[tuple[list[list[tuple[object, ...]]], bool]]) -> None:
    """Each liquidation is observed once, in order, with one verdict, and the ledger is as if nobody had looked."""
    history, plain = History(), ToyLedger(VENUE_SPEC)
    history.market()
    plain.load(history.engine.ledgers["toy"].dump())
    for transactions, behind in blocks:
        logs = _placed(transactions)
        seen = _folded(plain, history, logs)
        decisions = history.apply(logs, behind=int(behind))
        found = [each for each in decisions if isinstance(each, LiquidationObserved)]
        assert [each.liquidation for each in found] == seen
        assert all(each.verdict is not Verdict.OURS for each in found)
    assert history.engine.ledgers["toy"].dump() == plain.dump()


def _placed(transactions: list[list[tuple[object, ...]]]) -> tuple[RawLog, ...]:
    flat = [(number, log) for number, logs in enumerate(transactions) for log in logs]
    return tuple(pool_log(place, content_id("tx", number), *log) for place, (number, log) in enumerate(flat))


def _folded(ledger: ToyLedger, history: History, logs: Iterable[RawLog]) -> list[object]:
    ledger.begin_block(history.header(history.engine.chains[CHAIN].tip_number + 1))
    return [seen for log in logs if (seen := ledger.apply_log(log)) is not None]
