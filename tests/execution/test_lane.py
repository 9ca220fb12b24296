"""A lane includes each admitted intent once, whatever the node and the chain do on the way."""

from __future__ import annotations

import json

import msgspec
import pytest

from keeper.core.codec import encoder, json_hook
from keeper.core.decisions import IntentState
from keeper.core.errors import InvariantBroken, NodeRefused
from keeper.core.facts import ClockTicked, IntentDropped, KillSwitchChanged, PreflightSeen, RevertReason
from keeper.core.ids import to_hex
from keeper.core.units import Wei
from tests.execution.faults import SEND, Crash
from tests.execution.lever import FAIL, LOCK, LOCKED
from tests.execution.scripted import interrupt
from tests.execution.stage import CHAIN_ID, GWEI, RICH, Stage

pytestmark = pytest.mark.chain

RECEIPT = "eth_getTransactionReceipt"
SIMULATION = "eth_call"


async def test_whole_way(stage: Stage) -> None:
    """An admitted call is simulated, signed, sent once, seen in a block with its gas, and final two blocks later."""
    intent = stage.admit()
    await stage.act()
    assert stage.state(intent) is IntentState.BROADCAST
    await stage.turn()
    assert stage.state(intent) is IntentState.MINED
    await stage.turn(2)
    assert stage.state(intent) is IntentState.FINAL_SUCCESS
    assert (await stage.pulls(), len(stage.node.sent), stage.answers()) == (1, 1, ["accepted"])
    assert [(receipt.succeeded, receipt.gas_used > 0) for receipt in stage.receipts()] == [(True, True)]
    assert stage.node.undurable == []


async def test_no_key_in_the_journal(stage: Stage) -> None:
    """Nothing that is recorded on the whole way, in bytes or in print, holds the key."""
    stage.admit()
    await stage.act()
    await stage.turn(3)
    key = stage.signer._key.secret
    assert key not in encoder().encode(stage.recorder.entries)
    assert key.hex() not in repr(stage.recorder.entries) + json_text(stage.recorder.entries)
    assert repr(key)[2:-1] not in repr(stage.recorder.entries)


async def test_offer(stage: Stage) -> None:
    """The first offer is twice the head's base fee and the node's tip; the gas limit is the estimate and a quarter."""
    tip = stage.engine.chains[CHAIN_ID].tip
    assert tip is not None
    stage.admit()
    await stage.act()
    attempt, preflight = stage.attempts()[0], stage.recorder.of(PreflightSeen)[0]
    assert isinstance(preflight, PreflightSeen)
    assert attempt.priority_fee_wei_max == Wei(GWEI)  # the local node suggests one gwei at all times
    assert attempt.fee_wei_max == Wei(2 * tip.base_fee_wei + GWEI)
    assert attempt.gas_limit == -(-preflight.gas * 5 // 4)
    assert preflight.block_hash == tip.hash


async def test_a_cheap_simulation_is_not_believed(stage: Stage) -> None:
    """The gas limit is never below what the venue says a call costs: the next block may make the contract do more."""
    stage.admit(gas=400_000)
    await stage.act()
    assert stage.attempts()[0].gas_limit == 400_000


async def test_several_in_flight(stage: Stage) -> None:
    """Slots are opened in order of admission, with contiguous nonces, and no more than allowed."""
    intents = [stage.admit() for _ in range(6)]
    await stage.act()
    assert [attempt.nonce for attempt in stage.attempts()] == [0, 1, 2, 3]
    assert [attempt.intent_id for attempt in stage.attempts()] == intents[:4]
    await stage.turn(4)
    assert await stage.pulls() == 6
    assert [stage.state(intent) for intent in intents] == [IntentState.FINAL_SUCCESS] * 6


async def test_doomed_call_costs_nothing(stage: Stage) -> None:
    """A call that would revert is dropped with the contract's reason, and no nonce is used."""
    intent = stage.admit(FAIL + LOCKED)
    await stage.act()
    assert stage.state(intent) is IntentState.ABANDONED
    assert stage.reasons(intent) == ["would revert: LEVER_LOCKED"]
    preflight = stage.recorder.of(PreflightSeen)[0]
    assert isinstance(preflight, PreflightSeen)
    assert preflight.revert == RevertReason("LEVER_LOCKED", LOCKED)
    assert (stage.attempts(), stage.node.sent) == ([], [])


async def test_late_admission(stage: Stage) -> None:
    """An admission whose time has passed is dropped unsigned."""
    intent = stage.admit(valid_for=1)
    await stage.mine(2)
    await stage.act()
    assert stage.reasons(intent) == ["expired"]
    assert stage.attempts() == []


async def test_last_block(stage: Stage) -> None:
    """In the last block of its validity an admission is still taken."""
    intent = stage.admit(valid_for=1)
    await stage.turn()
    assert stage.state(intent) is IntentState.BROADCAST


async def test_nonces_go_on(stage: Stage) -> None:
    """An intent that has ended leaves its nonce spent."""
    stage.admit()
    await stage.act()
    await stage.turn(3)
    intent = stage.admit()
    await stage.act()
    await stage.turn(3)
    assert [attempt.nonce for attempt in stage.attempts()] == [0, 1]
    assert stage.state(intent) is IntentState.FINAL_SUCCESS


async def test_kill_switch(stage: Stage) -> None:
    """What was admitted just before the kill switch was armed is not signed any more."""
    intent = stage.admit()
    stage.recorder.put(KillSwitchChanged(armed=True, reason="file"))
    await stage.act()
    assert stage.reasons(intent) == ["kill switch"]
    assert stage.attempts() == []


async def test_kill_switch_in_preflight(stage: Stage) -> None:
    """What is still unsigned when the kill switch is armed is not signed, however far it has come."""
    intent = stage.admit()
    interrupt(stage.lane, lambda: stage.recorder.put(KillSwitchChanged(armed=True, reason="file")))
    await stage.act()
    assert (stage.attempts(), stage.state(intent)) == ([], IntentState.ADMITTED)
    await stage.act()
    assert stage.reasons(intent) == ["kill switch"]


async def test_gas_too_dear(stage: Stage) -> None:
    """While the base fee is above an intent's ceiling nothing is signed, and it is tried again at the next head."""
    intent = stage.admit(ceiling_gwei=50)
    await stage.set_base_fee(60 * GWEI)
    await stage.turn()
    assert (stage.state(intent), stage.attempts()) == (IntentState.ADMITTED, [])
    await stage.turn(4)
    assert (stage.state(intent), await stage.pulls()) == (IntentState.MINED, 1)


@pytest.mark.fault(42)
async def test_stale_decision(stage: Stage) -> None:
    """A decision that could not be signed within its time to live is dropped unsigned, to be made anew."""
    stage.decision_ttl_blocks = 2
    stage.restart()
    await stage.follow()
    intent = stage.admit(ceiling_gwei=1)
    await stage.set_base_fee(60 * GWEI)
    await stage.turn(2)
    assert stage.state(intent) is IntentState.ADMITTED
    await stage.turn()
    assert (stage.reasons(intent), stage.attempts()) == (["stale decision"], [])


@pytest.mark.fault(42)
async def test_old_head(stage: Stage) -> None:
    """On a head older than the limit nothing is signed, whatever was decided on it."""
    intent = stage.admit()
    tip = stage.engine.chains[CHAIN_ID].tip
    assert tip is not None
    stage.recorder.put(ClockTicked((tip.timestamp + 61) * 1000))
    await stage.act()
    assert (stage.reasons(intent), stage.attempts()) == (["old head"], [])


async def test_reverted_in_the_block(stage: Stage) -> None:
    """A call that reverts for what its own block brought is seen with the reason, and is final as reverted."""
    intent = stage.admit()
    await stage.act()
    await _lock(stage)
    await stage.turn()
    receipt = stage.receipts()[0]
    assert (receipt.succeeded, receipt.revert) == (False, RevertReason("LEVER_LOCKED", LOCKED))
    await stage.turn(2)
    assert stage.state(intent) is IntentState.FINAL_REVERTED


async def test_reverted_after_the_cause(stage: Stage) -> None:
    """The reason is found when the parent block already explains the revert."""
    intent = stage.admit()
    await stage.act()
    await stage.drop(stage.attempts()[0])
    await _lock(stage)
    await stage.mine()
    await stage.rpc.call(SEND, to_hex(stage.attempts()[0].raw), answer=object)
    await stage.turn()
    assert stage.receipts()[0].revert == RevertReason("LEVER_LOCKED", LOCKED)
    assert stage.state(intent) is IntentState.MINED


async def test_reason_not_told(stage: Stage) -> None:
    """A node that cannot repeat a reverted call is reported, and its receipt recorded without a reason."""
    stage.admit()
    await stage.act()
    await _lock(stage)
    await stage.mine()
    interrupt(stage.lane, lambda: stage.node.lost_requests.update({SIMULATION: 1}))
    await stage.act()
    assert [(receipt.succeeded, receipt.revert) for receipt in stage.receipts()] == [(False, None)]
    assert len(stage.troubles) == 1


async def test_foreign_transaction(stage: Stage) -> None:
    """A slot that a foreign transaction of our key took halts the signer, and the lane goes silent."""
    intent = stage.admit()
    await stage.act()
    await stage.drop(stage.attempts()[0])
    foreign = {"from": to_hex(stage.signer.address), "to": to_hex(stage.signer.address), "nonce": "0x0"}
    await stage.rpc.call("eth_sendTransaction", foreign, answer=object)
    await stage.turn(20)
    assert stage.state(intent) is IntentState.SLOT_LOST
    assert stage.engine.intents.halted("main") is not None
    later = stage.admit()
    await stage.turn()
    assert (stage.state(later), len(stage.node.sent)) == (IntentState.ADMITTED, 1)
    assert len(stage.recorder.of(PreflightSeen)) == 1


async def test_halted_is_silent(stage: Stage) -> None:
    """A halted signer does not even send again what is durable, but its receipts are still read."""
    intent = stage.admit()
    await stage.act()
    await stage.drop(stage.attempts()[0])
    stage.engine.intents._halted["main"] = "the operator must look"
    await stage.turn()
    assert len(stage.node.sent) == 1
    await stage.rpc.call("eth_sendRawTransaction", to_hex(stage.attempts()[0].raw), answer=object)
    await stage.turn()
    assert (stage.state(intent), len(stage.receipts())) == (IntentState.MINED, 1)


async def test_halted_signs_no_replacement(stage: Stage) -> None:
    """A halted signer raises nothing and cancels nothing, however long a slot waits."""
    stage.admit(valid_for=1)
    await stage.act()
    stage.engine.intents._halted["main"] = "the operator must look"
    await stage.wait(4)
    assert (len(stage.attempts()), len(stage.node.sent)) == (1, 1)


async def test_halt_in_preflight(stage: Stage) -> None:
    """A halt that arrives during the simulation keeps the nonce unspent."""
    stage.admit()
    interrupt(stage.lane, lambda: stage.engine.intents._halted.update(main="foreign transaction"))
    await stage.act()
    assert (stage.attempts(), len(stage.recorder.of(PreflightSeen))) == ([], 1)


async def test_halted_and_late(stage: Stage) -> None:
    """An admission whose time has passed is dropped although the signer is halted: dropping signs and sends nothing."""
    intent = stage.admit(valid_for=1)
    stage.engine.intents._halted["main"] = "the operator must look"
    await stage.mine(2)
    await stage.act()
    assert (stage.reasons(intent), stage.node.sent) == (["expired"], [])


async def test_halt_between_record_and_send(stage: Stage) -> None:
    """A halt that arrives while an attempt is made durable keeps it in the process."""

    class HaltingRecorder:
        """Records, and halts the signer as another fact of the same queue would."""

        submit = stage.recorder.submit

        async def record(self, facts: object) -> None:
            """Record, then halt."""
            await stage.recorder.record(facts)  # type: ignore[arg-type]
            stage.engine.intents._halted["main"] = "foreign transaction"

    stage.lane._recorder = HaltingRecorder()
    stage.admit()
    await stage.act()
    assert (len(stage.attempts()), stage.node.sent) == (1, [])


async def test_no_money(stage: Stage) -> None:
    """While a slot waits for money no other is opened, and it goes on when there is some."""
    intents = [stage.admit()]
    refusal = NodeRefused(SEND, -32003, "Insufficient funds for gas * price + value")
    stage.node.refusals[SEND] = [refusal]
    await stage.act()
    intents.append(stage.admit())
    await stage.act()
    assert (len(stage.attempts()), stage.answers()) == (1, ["insufficient_funds"])
    await stage.set_balance(RICH)
    await stage.turn(4)
    assert await stage.pulls() == 2
    assert [stage.state(intent) for intent in intents] == [IntentState.FINAL_SUCCESS] * 2


@pytest.mark.parametrize("trouble", [SIMULATION, RECEIPT])
async def test_node_in_trouble(stage: Stage, trouble: str) -> None:
    """A node that does not answer ends the pass, is reported, and the next head tries again."""
    stage.admit()
    if trouble == RECEIPT:
        await stage.act()
    stage.node.lost_requests[trouble] = 1
    await stage.act() if trouble == SIMULATION else await stage.turn()
    assert len(stage.troubles) == 1
    await stage.turn(2)
    assert await stage.pulls() == 1


async def test_block_gone_in_preflight(stage: Stage) -> None:
    """A simulation on a block that the node does not have is no revert: the intent waits for the next head."""
    intent = stage.admit()
    await stage.rpc.call("anvil_reorg", 1, [], answer=object)
    await stage.act()
    assert (stage.state(intent), stage.recorder.of(IntentDropped)) == (IntentState.ADMITTED, [])
    await stage.follow()
    await stage.act()
    assert stage.state(intent) is IntentState.BROADCAST


async def test_behind_the_head(stage: Stage) -> None:
    """While the fold is behind the head the lane does nothing."""
    stage.admit()
    stage.engine.chains[CHAIN_ID].behind_blocks = 1
    await stage.act()
    assert (stage.attempts(), stage.node.sent) == ([], [])


async def test_run(stage: Stage) -> None:
    """The lane makes a pass whenever it is woken, outlives a node in trouble, and ends with the process."""
    stage.lane._on_trouble = lambda _: stage.lane.head()
    stage.node.lost_requests[SIMULATION] = 1
    intent = stage.admit()
    stage.recorder.steps.left = 8  # one lost request, then a simulation, an attempt, a send, and its answer
    with pytest.raises(Crash):
        await stage.lane.run()
    assert stage.state(intent) is IntentState.BROADCAST


async def test_falling_behind(stage: Stage) -> None:
    """A fold that falls behind the head while the node answers keeps slots as they are until the next head."""
    stage.admit()
    await stage.act()
    await stage.drop(stage.attempts()[0])
    await stage.mine()
    interrupt(stage.lane, lambda: setattr(stage.engine.chains[CHAIN_ID], "behind_blocks", 1))
    await stage.act()
    assert (len(stage.node.sent), stage.troubles) == (1, [])


async def test_oldest_first(stage: Stage) -> None:
    """Lost slots are sent again lowest nonce first, and before anything new."""
    for _ in range(3):
        stage.admit()
    await stage.act()
    for attempt in stage.attempts():
        await stage.drop(attempt)
    stage.admit()
    stage.node.sent.clear()
    await stage.turn()
    assert stage.node.sent == [to_hex(attempt.raw) for attempt in stage.attempts()]
    assert [attempt.nonce for attempt in stage.attempts()] == [0, 1, 2, 3]


async def test_other_lane(stage: Stage) -> None:
    """An intent of another signer is not taken, and a key that is not the configured one is refused."""
    intent = stage.admit()
    tracked = stage.engine.intents.tracked(intent)
    assert tracked is not None
    stage.lane._chain_id = 1
    with pytest.raises(InvariantBroken, match="is not for signer main"):
        stage.lane.admit(tracked.intent)


def json_text(value: object) -> str:
    """Return what the programs' output would be, byte strings as hexadecimal digits."""
    return json.dumps(
        msgspec.to_builtins(value, enc_hook=json_hook, builtin_types=(bytes,)), default=lambda raw: raw.hex()
    )


async def _lock(stage: Stage) -> None:
    """Have somebody else lock the lever in the next block, before anything of ours."""
    somebody = (await stage.rpc.call("eth_accounts", answer=list[str]))[0]
    lock = {"from": somebody, "to": to_hex(stage.contract), "data": to_hex(LOCK), "maxFeePerGas": hex(90 * GWEI)}
    await stage.rpc.call("eth_sendTransaction", {**lock, "maxPriorityFeePerGas": hex(9 * GWEI)}, answer=object)
