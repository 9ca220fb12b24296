"""The gate and the book where positions are taken over: the deposit, what is in flight, what counts as spent."""

from __future__ import annotations

import msgspec
import pytest

from keeper.core.decisions import IntentState
from keeper.core.facts import RawLog
from keeper.core.ids import Address, to_hex
from keeper.core.runconfig import VenueSpec
from keeper.core.takeover import Takeover
from keeper.core.units import BaseAmount, BigInt, Bps, TokenAmount, Wad
from keeper.core.venue import Call, Ledger, Pair, Preview
from keeper.engine.step import Engine
from strategies import STRATEGIES
from tests.engine.history import ALICE, BOB, SIGNER, UNIT, History, admitted, config_with, moves, position, refused
from tests.engine.toy import ETH, POOL, USD, ToyLedger

HOUSE = Address(b"\x66" * 20)
FREE_BASE = 1_500 * UNIT
NOTIONAL_BASE = 10_000 * UNIT


class House:
    """A position of 10,000 USD, in one piece, for a fee of a hundredth; a tenth of it is bound."""

    target = HOUSE

    def __init__(self) -> None:
        self.holders: set[Address] = set()

    def largest(self, account: Address) -> tuple[tuple[Address, TokenAmount], ...]:  # noqa: ARG002 - everybody's
        """The one position."""
        return ((ETH, TokenAmount(1)),)

    def preview(self, account: Address, market: Address, size: TokenAmount, taker: Address) -> Preview:
        """All of it."""
        assert (account in (ALICE, BOB), taker) == (True, SIGNER)
        bound, cost = BaseAmount(NOTIONAL_BASE // 10), BaseAmount(NOTIONAL_BASE)
        taken = Takeover(BigInt(size), TokenAmount(1), bound, BaseAmount(FREE_BASE) - bound, BigInt(size))
        return Preview(
            *(USD, market, size, TokenAmount(1), size, TokenAmount(0)),
            *(cost, cost + BaseAmount(NOTIONAL_BASE // 100), BaseAmount(0), Wad(2 * Wad.ONE), None, taken),
        )

    def held(self, account: Address) -> tuple[tuple[Address, BigInt], ...]:
        """What was given to it."""
        return ((ETH, BigInt(3)),) if account in self.holders else ()

    def exit_call(self, account: Address, market: Address, slippage: Bps) -> Call | None:
        """The bound says how far off."""
        return Call(HOUSE, account + market + bytes([int(slippage) // 100]))

    def moved(self, log: RawLog) -> Address | None:
        """The account of a "set"; then it holds nothing any more."""
        kind, account, *_ = msgspec.msgpack.decode(log.data)
        if kind != "set":
            return None
        self.holders.discard(account)
        return Address(account)


class Exchange(ToyLedger):
    """The toy venue, whose liquidators take positions over and repay no debts."""

    called = HOUSE

    def __init__(self, spec: VenueSpec) -> None:
        super().__init__(spec)
        self.takeovers = self.house = House()

    def pairs(self, account: Address) -> tuple[Pair, ...]:  # noqa: ARG002 - nobody's
        """None."""
        return ()

    def liquidation_call(self, account: Address, preview: Preview) -> Call:
        """The house's, or the pool's."""
        assert preview.takeover is not None
        return Call(self.called, account)


class Astray(Exchange):
    """The same, calling the pool."""

    called = POOL


def breached(ledger: type[Exchange], **limits: BaseAmount) -> History:
    """Return a history in which ALICE and BOB are unsafe."""
    history = History(config_with(live=True, **limits), Engine(lambda spec: opened(ledger, spec), STRATEGIES))
    history.market()
    history.block(*position(BOB, eth=10, usd=15_000))
    return history


def opened(ledger: type[Exchange], spec: VenueSpec) -> Ledger:
    """Open the exchange."""
    return ledger(spec)


def test_the_deposit_must_carry_what_is_in_flight_too() -> None:
    """It carries the first position, and not a second as long as the first is unmined."""
    history = breached(Exchange)
    decisions = history.breach()
    (intent,) = admitted(decisions)
    assert (intent.to, intent.margin_base) == (HOUSE, BaseAmount(NOTIONAL_BASE // 10))
    assert refused(decisions) == ["free_collateral_short"]


def test_a_position_takes_no_token_and_its_notional_counts_as_spent() -> None:
    """No inventory and no allowance is needed for it; the limits of an hour and of an intent look at the exposure."""
    (intent,) = admitted(breached(Exchange).breach())
    assert (intent.spend.amount, intent.spend_base) == (TokenAmount(0), BaseAmount(NOTIONAL_BASE))
    hour = breached(Exchange, spend_base_per_hour_max=BaseAmount(NOTIONAL_BASE - 1))
    assert refused(hour.breach()) == ["spend_per_hour", "spend_per_hour"]


def test_nothing_but_the_house_is_called() -> None:
    """A call to the pool, which is right for other slices, is wrong for this one."""
    assert refused(breached(Astray).breach()) == ["target_not_allowed", "target_not_allowed"]


@pytest.mark.parametrize("spend", [NOTIONAL_BASE - 1, NOTIONAL_BASE])
def test_one_intent_takes_no_more_than_its_limit(spend: int) -> None:
    """A position that is above the limit of an intent in its smallest piece is left alone."""
    history = breached(Exchange, spend_base_per_intent_max=BaseAmount(spend))
    assert bool(admitted(history.breach())) is (spend >= NOTIONAL_BASE)


def holding() -> History:
    """Return a history in which nobody is unsafe and the signer holds a position."""
    history = breached(Exchange)
    ledger = history.engine.ledgers["toy"]
    assert isinstance(ledger, Exchange)
    ledger.house.holders.add(SIGNER)
    return history


def test_a_position_of_the_signer_is_left_and_the_event_says_so() -> None:
    """One exit is under way at a time; it ends by the venue's event, and then nothing is left to leave."""
    history = holding()
    (intent,) = admitted(history.block())
    assert (intent.kind, intent.account, intent.to) == ("exit", SIGNER, HOUSE)
    assert (intent.data[-1], intent.why) == (2, f"main holds a position in {to_hex(ETH)}")
    assert admitted(history.block()) == []
    attempt = history.prepare(intent, 0)
    history.send(attempt)
    decisions = history.block(("set", SIGNER, ETH, 0, 0), tx_hash=attempt.tx_hash)
    assert moves(decisions) == [IntentState.MINED]
    assert admitted(decisions) == []
    assert history.engine.intents.all_open()[0].failure is None


def test_an_exit_that_reverts_is_tried_again_until_its_budget_is_spent() -> None:
    """Each try is another intent; after the last the signer keeps the position until another run."""
    history = holding()
    seen = []
    intents = admitted(history.block())
    while intents:
        seen += [intent.intent_id for intent in intents]
        attempt = history.prepare(intents[0], len(seen) - 1)
        history.send(attempt)
        history.block()
        history.receipt(attempt, succeeded=False)
        intents = admitted(history.block())
    assert len(set(seen)) == len(seen) == history.engine.limits.attempts_per_account_max
    history.start()
    assert len(admitted(history.block())) == 1
