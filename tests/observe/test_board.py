"""The picture that is drawn from an engine and its newest records."""

from __future__ import annotations

from keeper.core.decisions import IntentState
from keeper.core.facts import KillSwitchChanged
from keeper.core.ids import to_hex
from keeper.observe.board import DECISIONS_KEPT, Board
from keeper.observe.status import BlockPlace, JournalStatus, Status, unready
from tests.engine.history import ALICE, BOB, CHAIN, SIGNER, History, position
from tests.engine.toy import EUR

JOURNAL = JournalStatus(last_sequence=1, durable_sequence=1, queued_records=0, fault=None)


class Watched:
    """A history of the toy venue with a board that sees its records."""

    def __init__(self) -> None:
        self.history = History()
        self.board = Board(self.history.engine)
        self._shown = 0

    def show(self) -> None:
        """Let the board see the records that are new."""
        for record in self.history.records[self._shown :]:
            self.board.observe([record.body], first_sequence=record.sequence, unix_ms=record.recorded_at_ms)
        self._shown = len(self.history.records)

    def status(self, later_seconds: float = 0) -> Status:
        """Return the picture, so much later than the newest record."""
        self.show()
        unix_ms = self.history.unix_ms + int(later_seconds * 1000)
        return self.board.status(unix_ms=unix_ms, progress_age_seconds=0.0, journal=JOURNAL)


def test_nothing_is_ready_before_the_run() -> None:
    """Before the run's first fact is durable there is a picture, and it is not ready."""
    status = Watched().status()

    assert (status.run_id, [one.condition for one in unready(status)]) == (None, ["running"])


def test_a_market_at_its_head_is_ready() -> None:
    """With a block at the head and all prices, the picture is ready and says where the watermark is."""
    watched = Watched()
    watched.history.market()
    watched.history.block(("price", b"\x04" * 20, 1))
    status = watched.status()
    tip = watched.history.engine.chains[CHAIN].tip

    assert tip is not None
    assert unready(status) == []
    assert status.chains[0].watermark == BlockPlace(2, to_hex(tip.hash), tip.timestamp)


def test_a_missing_price_is_named() -> None:
    """A listed token without a price keeps the venue from being ready."""
    watched = Watched()
    watched.history.market()

    assert watched.status().venues[0].prices_missing == ("0x" + "04" * 20,)


def test_a_head_that_stands_still_is_stale() -> None:
    """Without a block at the head for longer than the configuration allows, the chain is stale."""
    watched = Watched()
    watched.history.market()

    assert [watched.status(seconds).chains[0].stale for seconds in (60, 61)] == [False, True]


def test_catching_up_is_not_the_head() -> None:
    """A block with others behind it moves the watermark and does not make the head fresh."""
    watched = Watched()
    watched.history.start()
    watched.history.block(behind=3)
    chain = watched.status().chains[0]

    assert (chain.behind_blocks, chain.stale) == (3, True)


def test_accounts_are_counted_by_status() -> None:
    """Each account with debt counts under its status, an unknown one also under its reason."""
    watched = Watched()
    watched.history.market()
    watched.history.breach()
    watched.history.block(("set", BOB, b"\x04" * 20, 1, 0), *position(BOB, usd=1)[1:])
    venue = watched.status().venues[0]

    assert venue.accounts == {"healthy": 0, "liquidatable": 1, "unknown": 1}
    assert venue.unknown_reasons == {"no price": 1}


def test_unknown_debt_is_the_last_one_known() -> None:
    """An account that becomes unknown keeps the debt it was last known to have."""
    watched = Watched()
    watched.history.market()
    known = watched.status().venues[0].debt_base
    watched.history.block(("set", ALICE, b"\x04" * 20, 1, 0))
    venue = watched.status().venues[0]

    assert (known, venue.debt_base, venue.debt_unknown_base) == (str(15_000 * 10**8),) + (str(15_000 * 10**8),) * 2


def test_intents_in_flight_are_shown() -> None:
    """An open intent stands with its state, nonce and newest transaction."""
    watched = Watched()
    watched.history.market()
    watched.history.breach()
    [tracked] = watched.history.engine.intents.all_open()
    attempt = watched.history.prepare(tracked.intent, 0)
    [shown] = watched.status().intents

    assert (shown.account, shown.state, shown.nonce, shown.attempts, shown.tx_hash) == (
        to_hex(ALICE),
        IntentState.PREPARED.value,
        0,
        1,
        to_hex(attempt.tx_hash),
    )


def test_signers_are_shown() -> None:
    """A signer stands with its balance and next nonce once it was read."""
    watched = Watched()
    watched.history.start()
    unread = watched.status().signers[0]
    watched.history.read_signer(nonce=5, balance_wei=7)
    read = watched.status().signers[0]

    assert (unread.address, unread.balance_wei, unread.next_nonce) == (to_hex(SIGNER), None, None)
    assert (read.balance_wei, read.next_nonce, read.halted) == ("7", 5, None)


def test_a_halted_signer_says_why() -> None:
    """A signer that signs no more says so."""
    watched = Watched()
    watched.history.start()
    watched.history.read_signer(nonce=5)
    watched.history.read_signer(nonce=6)

    assert watched.status().signers[0].halted == "foreign transaction or lost journal"


def test_the_newest_decisions_come_first() -> None:
    """The newest decisions are kept, newest first, and only so many."""
    watched = Watched()
    watched.history.market()
    watched.history.breach()
    for number in range(DECISIONS_KEPT):
        price = 2000 if number % 2 == 0 else 1800
        watched.history.block(("price", b"\x03" * 20, price * 10**4))
    decisions = watched.status().last_decisions
    sequences = [one.sequence for one in decisions]

    assert sequences == sorted(sequences, reverse=True)
    assert len(decisions) == DECISIONS_KEPT


def test_draining_and_the_kill_switch_are_told_apart() -> None:
    """A keeper that leaves is draining; one whose operator armed the switch is not."""
    watched = Watched()
    watched.history.start()
    watched.history.step(KillSwitchChanged(True, "file"))
    armed = watched.status()
    watched.history.step(KillSwitchChanged(True, "draining"))
    leaving = watched.status()

    assert [(one.kill_switch_armed, one.draining) for one in (armed, leaving)] == [(True, False), (True, True)]


def test_a_token_of_no_account_needs_a_price_too() -> None:
    """Every listed token needs a price, whether or not an account holds it: the next block may."""
    watched = Watched()
    watched.history.start()
    watched.history.block(("price", EUR, 1))

    assert len(watched.status().venues[0].prices_missing) == 3
