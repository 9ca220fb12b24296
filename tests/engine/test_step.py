"""The engine, through whole histories of one chain with the toy venue."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest

from keeper.core.decisions import AnyDecision, HealthChanged, IntentState, LiquidationObserved, SignerHalted
from keeper.core.errors import ConfigError, FinalityViolated, InvariantBroken
from keeper.core.facts import (
    BackfilledBlock,
    BlockApplied,
    BlockReverted,
    BlocksBackfilled,
    ClockTicked,
    RunStopped,
    SettingsReloaded,
)
from keeper.core.ids import content_id
from keeper.core.units import UINT256_MAX, BaseAmount, TokenAmount, Wei
from keeper.core.venue import Status
from keeper.engine.book import RELEASE
from keeper.engine.intents import RECEIPT_GRACE_BLOCKS
from keeper.engine.replay import replay
from tests.engine.history import (
    ALICE,
    BOB,
    BREACH,
    CHAIN,
    CONFIG,
    GWEI,
    PRICES,
    RIVAL,
    SIGNER,
    VENUE_SPEC,
    History,
    admitted,
    config_with,
    logs_of,
    moves,
    new_engine,
    position,
    refused,
)
from tests.engine.toy import ETH, TOKENS, USD


def statuses(history: History) -> dict[bytes, str]:
    """Return the status of every account with debt."""
    return {account: margin.health.status.value for (_, account), margin in history.engine.margins.items()}


def changes(decisions: Iterable[AnyDecision]) -> list[tuple[str, str]]:
    """Return the health changes, before and after."""
    return [
        (decision.previous, decision.margin.health.status.value)
        for decision in decisions
        if isinstance(decision, HealthChanged)
    ]


@pytest.fixture
def history() -> History:
    """Return a market with one healthy account."""
    history = History()
    history.market()
    return history


# Order and configuration.


def test_no_run() -> None:
    """A fact before any run is our own bug."""
    with pytest.raises(InvariantBroken, match="before any RunStarted"):
        new_engine().step(ClockTicked(1), 1)


def test_sequence_goes_up(history: History) -> None:
    """A fact that does not come after the last one is refused."""
    with pytest.raises(InvariantBroken, match="does not follow"):
        history.engine.step(ClockTicked(1), history.engine.sequence)


def test_hole_in_the_chain(history: History) -> None:
    """A block whose parent is not the tip is refused."""
    with pytest.raises(InvariantBroken, match="does not follow the tip"):
        history.step(BlockApplied(CHAIN, history.header(5), (), (), 0))


def test_foreign_chain(history: History) -> None:
    """A block of a chain that is not configured is refused."""
    with pytest.raises(InvariantBroken, match="not configured"):
        history.step(BlockApplied(5, history.header(2), (), (), 0))


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (msgspec.structs.replace(CONFIG, venues=(), strategies=()), "left out"),
        (msgspec.structs.replace(CONFIG, venues=(msgspec.structs.replace(VENUE_SPEC, root=ALICE),)), "changed"),
        (
            msgspec.structs.replace(CONFIG, venues=(VENUE_SPEC, msgspec.structs.replace(VENUE_SPEC, name="b"))),
            "without",
        ),
        (
            msgspec.structs.replace(CONFIG, signers=(msgspec.structs.replace(CONFIG.signers[0], address=ALICE),)),
            "another address",
        ),
    ],
    ids=["left out", "changed", "added late", "signer"],
)
def test_config_that_breaks_history(history: History, config: object, problem: str) -> None:
    """A run whose venues or signers contradict the journal is refused, and nothing has changed."""
    before = history.engine.state_hash()
    history.config = config  # type: ignore[assignment]  # parametrised as object for its id
    with pytest.raises(ConfigError, match=problem):
        history.start()
    assert history.engine.state_hash() == before


def test_signer_with_intents_cannot_leave(history: History) -> None:
    """A signer with intents in flight may not be left out of the next run."""
    history.prepare(admitted(history.breach())[0], 0)
    history.config = msgspec.structs.replace(CONFIG, signers=())
    with pytest.raises(ConfigError, match="in flight"):
        history.start()


def test_new_limits(history: History) -> None:
    """A later run decides by its own limits."""
    history.config = config_with(profit_base_min=BaseAmount(10**15))
    history.start()
    assert refused(history.breach()) == ["profit_below_min"]


# Health.


def test_breach(history: History) -> None:
    """An account whose price fell is liquidatable at that block."""
    assert changes(history.breach()) == [("healthy", "liquidatable")]


def test_steady_health_is_silent(history: History) -> None:
    """A status that stays is not decided again."""
    history.breach()
    assert changes(history.block()) == []


def test_leaving_account(history: History) -> None:
    """An account that repays everything leaves as healthy."""
    history.breach()
    decisions = history.block(("set", ALICE, USD, 0, 0))
    assert (changes(decisions), statuses(history)) == ([("liquidatable", "healthy")], {})


def test_unknown_is_not_acted_on() -> None:
    """An account without a price is unknown, and no strategy sees it."""
    history = History()
    history.start()
    history.read_signer()
    decisions = history.block(*position(ALICE, eth=1, usd=15_000))
    assert (changes(decisions), refused(decisions), admitted(decisions)) == ([("healthy", "unknown")], [], [])


def test_behind_decides_nothing(history: History) -> None:
    """A block with known successors is folded and nothing is classified or decided."""
    assert history.block(("price", ETH, BREACH), behind=1) == []
    assert len(admitted(history.block())) == 1


def test_stale_head(history: History) -> None:
    """When no block came for too long every account is unknown; the next block tells again."""
    assert changes(history.tick(60)) == []
    assert changes(history.tick(1)) == [("healthy", "unknown")]
    assert changes(history.tick(1)) == []
    assert changes(history.block()) == [("unknown", "healthy")]


def test_catching_up_is_stale_too(history: History) -> None:
    """Blocks with known successors do not make the health map fresh."""
    history.tick(40)
    history.block(behind=1)
    assert changes(history.tick(21)) == [("healthy", "unknown")]


def test_clock_set_back(history: History) -> None:
    """A wall clock that is set back does not put the stale guard to sleep."""
    history.unix_ms -= 3_600_000
    history.tick(0)
    assert changes(history.tick(61)) == [("healthy", "unknown")]


def test_restart_after_a_pause(history: History) -> None:
    """After a long stop the first thing known is that nothing is known."""
    history.unix_ms += 3_600_000
    assert changes(history.start()) == [("healthy", "unknown")]


# The way of an intent.


def test_whole_way(history: History) -> None:
    """Admitted, signed, accepted, seen in the venue's event, final."""
    intent = admitted(history.breach())[0]
    attempt = history.prepare(intent, 0)
    sent = history.send(attempt)
    mined = history.liquidation(attempt, intent)
    final = history.finalize(3)
    assert (moves(sent), moves(mined), moves(final)) == (
        [IntentState.BROADCAST],
        [IntentState.MINED],
        [IntentState.FINAL_SUCCESS],
    )
    assert history.engine.intents.all_open() == ()
    assert history.engine.intents.state(intent.intent_id) is IntentState.FINAL_SUCCESS


def test_slice_restores_target(history: History) -> None:
    """The slice that was admitted brings the account to the target health, exactly."""
    intent = admitted(history.breach())[0]
    history.liquidation(history.prepare(intent, 0), intent)
    assert history.engine.ledgers["toy"].margin(ALICE).health_wad == 105 * 10**16
    assert not history.engine.margins


def test_own_liquidation_is_named(history: History) -> None:
    """A liquidation by our transaction is observed with its intent, another's without."""
    intent = admitted(history.breach())[0]
    ours = history.liquidation(history.prepare(intent, 0), intent)
    theirs = history.block(("liquidated", ALICE, RIVAL, USD, ETH, 1, 1))
    observed = [decision.intent_id for decision in [*ours, *theirs] if isinstance(decision, LiquidationObserved)]
    assert observed == [intent.intent_id, None]


def test_receipt_adds_gas(history: History) -> None:
    """A receipt after the event tells the gas and moves nothing."""
    intent = admitted(history.breach())[0]
    attempt = history.prepare(intent, 0)
    history.liquidation(attempt, intent)
    assert history.receipt(attempt, succeeded=True) == []
    tracked = history.engine.intents.tracked(intent.intent_id)
    assert tracked is not None
    assert tracked.inclusion is not None
    assert (tracked.inclusion.gas_used, tracked.inclusion.outcome.value) == (100_000, "effect")


@pytest.mark.parametrize("succeeded", [False, True])
def test_receipt_without_event(history: History, succeeded: bool) -> None:  # noqa: FBT001 - a parameter of the case
    """A mined liquidation without the venue's event had no effect, whatever its receipt says."""
    intent = admitted(history.breach())[0]
    attempt = history.prepare(intent, 0)
    history.block()
    assert moves(history.receipt(attempt, succeeded=succeeded)) == [IntentState.MINED]
    assert moves(history.finalize(3)) == [IntentState.FINAL_REVERTED]


def test_receipt_of_unknown_block(history: History) -> None:
    """A receipt of a block that is not held changes nothing."""
    attempt = history.prepare(admitted(history.breach())[0], 0)
    assert history.receipt(attempt, succeeded=False, number=99) == []
    assert history.engine.intents.all_open()[0].state is IntentState.PREPARED


def test_receipt_below_finality(history: History) -> None:
    """A receipt in a block that is final already ends the intent at once."""
    attempt = history.prepare(admitted(history.breach())[0], 0)
    history.block()
    history.finalize(3)
    assert moves(history.receipt(attempt, succeeded=False)) == [IntentState.MINED, IntentState.FINAL_REVERTED]


def test_bump_then_first_attempt_mined(history: History) -> None:
    """An earlier attempt of the slot may be the one that is mined."""
    intent = admitted(history.breach())[0]
    first = history.prepare(intent, 0)
    history.send(first)
    second = history.prepare(intent, 0, attempt=2, fee_wei=30 * GWEI)
    assert moves(history.liquidation(first, intent)) == [IntentState.MINED]
    assert history.send(second, "nonce_too_low") == []


def test_answer_to_an_old_attempt(history: History) -> None:
    """An answer about a replaced attempt does not make the newest one sent."""
    intent = admitted(history.breach())[0]
    first = history.prepare(intent, 0)
    history.prepare(intent, 0, attempt=2, fee_wei=30 * GWEI)
    assert history.send(first) == []
    assert history.engine.intents.all_open()[0].state is IntentState.PREPARED


def test_late_attempt(history: History) -> None:
    """A replacement signed while its slot became final changes nothing; one for another nonce stops the process."""
    intent = admitted(history.breach())[0]
    history.liquidation(history.prepare(intent, 0), intent)
    history.finalize(3)
    history.prepare(intent, 0, attempt=2, fee_wei=30 * GWEI)
    assert history.engine.intents.state(intent.intent_id) is IntentState.FINAL_SUCCESS
    with pytest.raises(InvariantBroken, match="has ended and cannot use nonce 1"):
        history.prepare(intent, 1, attempt=2, fee_wei=30 * GWEI)


def test_cancel(history: History) -> None:
    """A cancel in the intent's own slot ends it as cancelled, and the account may be tried again."""
    intent = admitted(history.breach())[0]
    history.prepare(intent, 0)
    cancel = history.prepare(intent, 0, attempt=2, fee_wei=300 * GWEI, kind="cancel")
    history.block()
    history.receipt(cancel, succeeded=True)
    assert len(admitted(history.block())) == 1
    assert moves(history.finalize(3)) == [IntentState.FINAL_CANCELLED]


def test_fee_above_ceiling(history: History) -> None:
    """A call that pays more than its intent bears stops the process."""
    intent = admitted(history.breach())[0]
    with pytest.raises(InvariantBroken, match="more than the ceiling"):
        history.prepare(intent, 0, fee_wei=int(intent.gas_price_wei_max) + 1)


def test_ceiling_follows_profit() -> None:
    """An intent's fees may rise only until its profit above the minimum is used up."""
    history = History(config_with(gas_price_wei_max=Wei(10**15), profit_base_min=BaseAmount(10**10)))
    history.market()
    intent = admitted(history.breach())[0]
    cost_base = int(intent.gas_price_wei_max) * 100_000 * PRICES[USD] * 2000 * 10**4 // 10**18
    assert 0 <= int(intent.profit_base) + 225_000_000 - 10**10 - cost_base < 100


def test_restart_gives_up_the_unsigned(history: History) -> None:
    """What was admitted but never signed is given up by the next run and decided again at its head."""
    first = admitted(history.breach())[0]
    assert moves(history.start()) == [IntentState.ABANDONED]
    again = admitted(history.block())[0]
    assert again.intent_id != first.intent_id


def test_restart_keeps_the_signed(history: History) -> None:
    """What was signed keeps its slot in the next run."""
    intent = admitted(history.breach())[0]
    history.prepare(intent, 0)
    history.step(RunStopped(content_id("run"), "signal"))
    history.start()
    assert [tracked.nonce for tracked in history.engine.intents.open(CHAIN, "main")] == [0]
    assert history.engine.intents.next_nonce(CHAIN, "main") == 1


def test_reloaded_limits_decide_at_the_next_head() -> None:
    """Limits that were reloaded decide from the next head on, and a replay decides by them from there too."""
    history = History(config_with(gas_price_wei_max=Wei(1)))
    history.market()
    before = refused(history.breach())
    history.step(SettingsReloaded(config_with(), "{}", history.unix_ms))
    after = admitted(history.block())
    assert (before, len(after)) == (["gas_price_above_max"], 1)
    assert replay(history.records, new_engine()).divergence is None


def test_reloaded_limits_refuse_aloud() -> None:
    """What the reloaded limits refuse is recorded again, although it was refused before."""
    history = History(config_with(gas_price_wei_max=Wei(1)))
    history.market()
    history.breach()
    quiet = refused(history.block())
    history.step(SettingsReloaded(config_with(gas_price_wei_max=Wei(2)), "{}", history.unix_ms))
    assert (quiet, refused(history.block())) == ([], ["gas_price_above_max"])


# Reorgs and finality.


def test_reorg_takes_a_mined_intent_back(history: History) -> None:
    """A liquidation whose block is abandoned waits again, and is mined again on the other branch."""
    intent = admitted(history.breach())[0]
    attempt = history.prepare(intent, 0)
    history.liquidation(attempt, intent)
    assert moves(history.revert()) == [IntentState.BROADCAST]
    assert moves(history.liquidation(attempt, intent)) == [IntentState.MINED]
    assert moves(history.finalize(3)) == [IntentState.FINAL_SUCCESS]


def test_reorg_restores_the_ledger(history: History) -> None:
    """Undone blocks leave the account as it was, and the health map says so at the next head."""
    history.breach()
    history.revert()
    assert changes(history.block()) == [("liquidatable", "healthy")]


def test_reorg_lost_to_a_rival(history: History) -> None:
    """When a rival wins on the new branch our transaction reverts once and nothing is retried."""
    intent = admitted(history.breach())[0]
    attempt = history.prepare(intent, 0)
    history.liquidation(attempt, intent)
    history.revert()
    rival = ("liquidated", ALICE, RIVAL, USD, ETH, int(intent.spend.amount), 37_497)
    decisions = history.block(rival)
    history.receipt(attempt, succeeded=False)
    assert (admitted(decisions), admitted(history.block())) == ([], [])
    assert moves(history.finalize(3)) == [IntentState.FINAL_REVERTED]


def test_reverted_count_is_taken_back(history: History) -> None:
    """A failure on an abandoned branch does not use up the retry budget."""
    intent = admitted(history.breach())[0]
    attempt = history.prepare(intent, 0)
    history.block()
    history.receipt(attempt, succeeded=False)
    history.revert()
    assert history.engine.intents.tries.entries() == []


def test_finality_violated(history: History) -> None:
    """Abandoning a final block halts."""
    history.block()
    history.finalize(2)
    tip = history.engine.chains[CHAIN].tip
    assert tip is not None
    with pytest.raises(FinalityViolated):
        history.step(BlockReverted(CHAIN, tip.number, tip.hash))


def test_backfill() -> None:
    """A back-filled range is folded whole and is final."""
    history = History()
    history.start()
    logs = logs_of(*[("price", token, price) for token, price in PRICES.items()], *position(ALICE, eth=10, usd=15_000))
    blocks = (BackfilledBlock(3, content_id("b3"), 1, logs), BackfilledBlock(9, content_id("b9"), 2, ()))
    last = history.header(9)
    assert history.step(BlocksBackfilled(CHAIN, 0, last, blocks, (), 1)) == []
    assert history.engine.chains[CHAIN].finalized_number == 9
    assert changes(history.breach()) == [("healthy", "liquidatable")]


def test_mined_during_downtime(history: History) -> None:
    """An intent that was mined while the process was down ends in the back-filled range."""
    intent = admitted(history.breach())[0]
    attempt = history.prepare(intent, 0)
    history.start()
    seen = ("liquidated", ALICE, SIGNER, USD, ETH, int(intent.spend.amount), 37_497)
    log = msgspec.structs.replace(logs_of(seen)[0], tx_hash=attempt.tx_hash)
    fact = BlocksBackfilled(CHAIN, 3, history.header(9), (BackfilledBlock(4, content_id("b"), 1, (log,)),), (), 3)
    assert moves(history.step(fact)) == [IntentState.MINED, IntentState.FINAL_SUCCESS]


def test_late_fact_after_a_jump_of_finality(history: History) -> None:
    """A receipt that was under way while finality went over thousands of blocks at once changes nothing."""
    intent = admitted(history.breach())[0]
    attempt = history.prepare(intent, 0)
    history.step(BlocksBackfilled(CHAIN, 3, history.header(9), (), (), 1))
    history.block(behind=1)
    history.receipt(attempt, succeeded=True)
    history.step(BlocksBackfilled(CHAIN, 11, history.header(9000), (), (), 1))
    assert (history.receipt(attempt, succeeded=True, number=10), history.send(attempt)) == ([], [])


# The signer.


def test_approvals_ahead_of_need() -> None:
    """A signer that holds tokens the pool may not take asks for unlimited allowances, each once."""
    history = History()
    history.start()
    history.read_signer(allowance=0)
    intents = admitted(history.block())
    assert [(intent.to, intent.spend.amount) for intent in intents] == [(token, TokenAmount(0)) for token in TOKENS]
    assert intents[0].data == b"approve" + UINT256_MAX.to_bytes(32, "big")
    history.read_signer(allowance=0)
    assert admitted(history.block()) == []


def test_approval_succeeds_by_receipt() -> None:
    """An approval's effect is its receipt."""
    history = History()
    history.start()
    history.read_signer(allowance=0)
    attempt = history.prepare(admitted(history.block())[0], 0)
    history.block()
    history.receipt(attempt, succeeded=True)
    assert moves(history.finalize(2)) == [IntentState.FINAL_SUCCESS]


def test_new_run_tries_allowances_anew() -> None:
    """An allowance that used up its tries (the token was paused, say) is tried again by the next run."""
    history = History(config_with(attempts_per_account_max=1))
    history.start()
    history.read_signer(allowance=0)
    attempt = history.prepare(admitted(history.block())[0], 0)
    history.block()
    history.receipt(attempt, succeeded=False)
    history.read_signer(nonce=1, allowance=0)
    before = [intent.to for intent in admitted(history.block())]
    history.start()
    history.read_signer(nonce=1, allowance=0)
    after = [intent.to for intent in admitted(history.block())]
    assert (USD in before, USD in after) == (False, True)


def test_no_approvals_in_dry_run() -> None:
    """A dry run asks for no allowance."""
    history = History(config_with(live=False))
    history.start()
    history.read_signer(allowance=0)
    assert history.block() == []


def test_dry_run_without_a_signer() -> None:
    """A dry run whose signer cannot be read shows what it would do."""
    history = History(config_with(live=False))
    history.start()
    prices = [("price", token, price) for token, price in PRICES.items()]
    history.block(*prices, *position(ALICE, eth=10, usd=15_000))
    assert refused(history.breach()) == ["dry_run"]


@pytest.mark.fault(12)
def test_foreign_transaction_halts(history: History) -> None:
    """A mined count above every slot halts the signer, once."""
    halts = [*history.read_signer(nonce=1), *history.read_signer(nonce=1)]
    (halt,) = halts
    assert isinstance(halt, SignerHalted)
    assert halt.reason == (
        "foreign transaction or lost journal: 1 transactions of its key are mined, and the journal knows of 0; "
        "find out who signed it, then start once with --release-signer"
    )


@pytest.mark.fault(12)
def test_halt_outlives_the_run(history: History) -> None:
    """A signer with slots stays halted until the operator has looked."""
    history.prepare(admitted(history.breach())[0], 0)
    history.read_signer(nonce=2)
    history.start()
    assert str(history.engine.intents.halted("main")).startswith("foreign transaction or lost journal")


def test_unused_signer_is_read_afresh(history: History) -> None:
    """A signer without slots begins each run at the chain's count."""
    history.read_signer(nonce=5)
    history.start()
    history.read_signer(nonce=5)
    assert (history.engine.intents.halted("main"), history.engine.intents.next_nonce(CHAIN, "main")) == (None, 5)


def lose_slot(history: History, blocks: int) -> list[AnyDecision]:
    """Let a foreign transaction take nonce 0, and finality reach it some blocks later."""
    history.prepare(admitted(history.breach())[0], 0)
    history.read_signer(nonce=1)
    for _ in range(blocks):
        history.block()
    return history.finalize(3)


@pytest.mark.fault(11)
def test_slot_lost(history: History) -> None:
    """A slot that a foreign transaction took, finally and without our receipt, is lost, and the signer is halted."""
    decisions = lose_slot(history, RECEIPT_GRACE_BLOCKS + 1)
    assert moves(decisions) == [IntentState.SLOT_LOST]
    assert [decision for decision in decisions if isinstance(decision, SignerHalted)] == [
        SignerHalted("main", f"nonce 0 was used by a transaction that is not ours; {RELEASE}")
    ]


@pytest.mark.fault(10, 11)
def test_slot_is_not_lost_early(history: History) -> None:
    """Before the lane had its time to find a receipt no slot counts as lost."""
    assert lose_slot(history, RECEIPT_GRACE_BLOCKS) == []


@pytest.mark.fault(11)
def test_slot_is_not_lost_before_finality(history: History) -> None:
    """However long ago a nonce was taken, the slot is not lost before that block is final."""
    history.prepare(admitted(history.breach())[0], 0)
    history.read_signer(nonce=1)
    for _ in range(RECEIPT_GRACE_BLOCKS + 1):
        history.block()
    assert history.finalize(2) == []


@pytest.mark.fault(11, 13)
def test_slot_is_not_lost_on_an_abandoned_branch(history: History) -> None:
    """A nonce taken in a block that was abandoned is not taken."""
    history.prepare(admitted(history.breach())[0], 0)
    history.read_signer(nonce=1)
    history.block()
    history.revert()
    for _ in range(RECEIPT_GRACE_BLOCKS + 1):
        history.block()
    assert history.finalize(3) == []


@pytest.mark.fault(3, 10)
def test_slot_is_not_lost_by_a_restart(history: History) -> None:
    """A new run observes taken nonces again, so that the lane looks for receipts first."""
    history.prepare(admitted(history.breach())[0], 0)
    history.read_signer(nonce=1)
    for _ in range(RECEIPT_GRACE_BLOCKS + 1):
        history.block()
    history.start()
    assert history.finalize(3) == []


def test_second_account(history: History) -> None:
    """Of two alike the one of lower health is served first."""
    history.block(*position(BOB, eth=10, usd=16_000))
    assert [intent.account for intent in admitted(history.breach())] == [BOB, ALICE]
    assert statuses(history) == {ALICE: Status.LIQUIDATABLE.value, BOB: Status.LIQUIDATABLE.value}


def test_a_fortune_comes_before_a_crumb(history: History) -> None:
    """Of a large debt just below the line and a small one further below, the less secured in value comes first."""
    history.block(*position(BOB, eth=1, usd=1_600))
    assert [intent.account for intent in admitted(history.breach())] == [ALICE, BOB]


def test_refusal_once(history: History) -> None:
    """A refusal that lasts is recorded once, and again when the account comes back."""
    history.config = config_with(profit_base_min=BaseAmount(10**15))
    history.start()
    assert refused([*history.breach(), *history.block()]) == ["profit_below_min"]
    history.block(("price", ETH, 2000 * 10**4))
    assert refused(history.breach()) == ["profit_below_min"]


def test_each_run_states_its_refusals(history: History) -> None:
    """A refusal that lasts into another run is recorded in that run too."""
    history.config = config_with(profit_base_min=BaseAmount(10**15))
    history.start()
    history.breach()
    history.start()
    assert refused(history.block()) == ["profit_below_min"]


def test_stale_keeps_the_older_reason() -> None:
    """An account that was unknown before its chain went silent keeps its own reason."""
    history = History()
    history.start()
    history.block(*position(ALICE, eth=1, usd=1))
    history.tick(100)
    assert history.engine.margins["toy", ALICE].health.reason == "no price"
