"""A lane includes each admitted intent once, whatever the node and the chain do on the way."""

from __future__ import annotations

import json

import msgspec
import pytest
from eth_account import Account

from keeper.core.codec import encoder, json_hook
from keeper.core.decisions import IntentState
from keeper.core.errors import InvariantBroken, NodeRefused
from keeper.core.facts import IntentDropped, KillSwitchChanged, PreflightSeen, RevertReason
from keeper.core.ids import to_hex
from keeper.core.units import Wei
from keeper.execution.fees import call_ceiling
from keeper.execution.lane import CANCEL_GAS
from tests.execution.lever import FAIL, LOCK, LOCKED
from tests.execution.scripted import interrupt
from tests.execution.stage import CHAIN_ID, GWEI, RICH, SEND, Crash, Stage

pytestmark = pytest.mark.chain

RECEIPTS = "eth_getTransactionCount"
"""The first request of the batch that looks for receipts."""
SIMULATION = "eth_call"
"""The first request of the batch that simulates."""


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


async def test_gas_too_dear(stage: Stage) -> None:
    """While the base fee is above an intent's ceiling nothing is signed, and it is tried again at the next head."""
    intent = stage.admit(ceiling_gwei=50)
    await stage.set_base_fee(60 * GWEI)
    await stage.turn()
    assert (stage.state(intent), stage.attempts()) == (IntentState.ADMITTED, [])
    await stage.turn(4)
    assert (stage.state(intent), await stage.pulls()) == (IntentState.MINED, 1)


async def test_reverted_in_the_block(stage: Stage) -> None:
    """A call that reverts in its block is seen with the contract's reason, and is final as reverted."""
    intent = stage.admit()
    await stage.act()
    await _lock(stage)
    await stage.turn()
    receipt = stage.receipts()[0]
    assert (receipt.succeeded, receipt.revert) == (False, None)  # the lock is in the same block, not in its parent
    await stage.turn(2)
    assert stage.state(intent) is IntentState.FINAL_REVERTED


async def test_reverted_after_the_cause(stage: Stage) -> None:
    """The reason is found when the parent block already explains the revert."""
    intent = stage.admit()
    await stage.act()
    await stage.drop(stage.attempts()[0])
    await _lock(stage)
    await stage.turn(2)
    assert stage.receipts()[0].revert == RevertReason("LEVER_LOCKED", LOCKED)
    assert stage.state(intent) is IntentState.MINED


async def test_reply_lost(stage: Stage) -> None:
    """A send that times out after the node took it is unknown, and is not signed again."""
    stage.node.lost_replies[SEND] = 1
    intent = stage.admit()
    await stage.act()
    assert stage.state(intent) is IntentState.SEND_UNKNOWN
    await stage.turn(3)
    assert (stage.state(intent), await stage.pulls()) == (IntentState.FINAL_SUCCESS, 1)
    assert len(stage.attempts()) == 1


async def test_request_lost(stage: Stage) -> None:
    """A send that never arrived is sent again, the same bytes, at the next head."""
    stage.node.lost_requests[SEND] = 1
    intent = stage.admit()
    await stage.act()
    await stage.turn(2)
    assert (stage.state(intent), await stage.pulls()) == (IntentState.MINED, 1)
    assert stage.node.sent == [to_hex(stage.attempts()[0].raw)] * 2
    assert stage.answers() == ["unknown", "accepted"]


async def test_sent_twice(stage: Stage) -> None:
    """A node that has the bytes already is a node that accepted them."""
    stage.node.lost_replies[SEND] = 1
    stage.admit()
    await stage.act()
    await stage.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(GWEI), answer=object)
    stage.lane._reconciled_at = None
    await stage.act()
    assert stage.answers() == ["unknown", "accepted"]


async def test_lost_by_the_pool(stage: Stage) -> None:
    """What the pool lost is sent again, the same bytes."""
    intent = stage.admit()
    await stage.act()
    await stage.drop(stage.attempts()[0])
    await stage.turn(2)
    assert (stage.state(intent), await stage.pulls()) == (IntentState.MINED, 1)
    assert len(stage.attempts()) == 1


async def test_kept_by_the_pool(stage: Stage) -> None:
    """What the pool holds is left alone until it is old."""
    stage.admit()
    await stage.act()
    await stage.wait(2)
    assert len(stage.node.sent) == 1


async def test_raised(stage: Stage) -> None:
    """A call that waited too long is raised in its own slot by an eighth or more, and one of the two is included."""
    intent = stage.admit()
    await stage.act()
    await stage.wait(3)
    first, second = stage.attempts()
    assert (first.nonce, first.attempt, second.nonce, second.attempt) == (0, 1, 0, 2)
    assert int(second.fee_wei_max) * 8 >= int(first.fee_wei_max) * 9
    assert int(second.priority_fee_wei_max) * 8 >= int(first.priority_fee_wei_max) * 9
    await stage.turn(3)
    assert (stage.state(intent), await stage.pulls()) == (IntentState.FINAL_SUCCESS, 1)


async def test_at_the_ceiling(stage: Stage) -> None:
    """At its ceiling a call is not raised; the same bytes are sent again."""
    stage.admit(ceiling_gwei=2)
    await stage.act()
    await stage.wait(4)
    assert len(stage.attempts()) == 1
    assert stage.attempts()[0].fee_wei_max <= Wei(2 * GWEI)
    assert stage.node.sent == [to_hex(stage.attempts()[0].raw)] * len(stage.node.sent)
    assert len(stage.node.sent) == 3  # once, and at the third and fourth block


async def test_underpriced(stage: Stage) -> None:
    """A refusal as underpriced is answered by a raise at the next head, however young the attempt."""
    stage.node.refusals[SEND] = [NodeRefused(SEND, -32000, "transaction underpriced")]
    intent = stage.admit()
    await stage.act()
    await stage.turn(2)
    assert [attempt.attempt for attempt in stage.attempts()] == [1, 2]
    assert stage.answers() == ["underpriced", "accepted"]
    assert (stage.state(intent), await stage.pulls()) == (IntentState.MINED, 1)


async def test_fee_spike(stage: Stage) -> None:
    """A call that the pool dropped in a spike of the base fee is raised above it in its own slot."""
    intent = stage.admit()
    await stage.act()
    await stage.set_base_fee(40 * GWEI)
    await stage.turn(5)
    assert await stage.pulls() == 1
    assert {attempt.nonce for attempt in stage.attempts()} == {0}
    await stage.turn(2)
    assert stage.state(intent) is IntentState.FINAL_SUCCESS


async def test_cancelled(stage: Stage) -> None:
    """An expired call is replaced by an empty transaction in its own slot, and the slot ends as cancelled."""
    intent = stage.admit(valid_for=1)
    await stage.act()
    await stage.wait(2)
    call, cancel = stage.attempts()
    assert (call.nonce, cancel.nonce, cancel.kind, cancel.gas_limit) == (0, 0, "cancel", CANCEL_GAS)
    assert Account.recover_transaction(cancel.raw).lower() == to_hex(stage.signer.address)
    await stage.turn(3)
    assert (stage.state(intent), await stage.pulls(), await stage.mined_count()) == (
        IntentState.FINAL_CANCELLED,
        0,
        1,
    )


async def test_cancel_is_raised(stage: Stage) -> None:
    """A cancel that waits too long is raised as any attempt is, and stays a cancel."""
    intent = stage.admit(valid_for=1)
    await stage.act()
    await stage.wait(5)
    assert [(each.nonce, each.kind) for each in stage.attempts()] == [(0, "call"), (0, "cancel"), (0, "cancel")]
    await stage.turn(3)
    assert (stage.state(intent), await stage.pulls()) == (IntentState.FINAL_CANCELLED, 0)


async def test_cancel_after_the_ceiling(stage: Stage) -> None:
    """A call at its ceiling under the operator's limit can still be cancelled: one raise was kept back."""
    stage.limit = Wei(2 * GWEI)
    stage.restart()
    await stage.mine()
    stage.admit(valid_for=1)
    await stage.act()
    await stage.wait(2)
    call, cancel = stage.attempts()
    assert call.fee_wei_max == call_ceiling(stage.limit, Wei(400 * GWEI))
    assert (cancel.kind, cancel.fee_wei_max <= stage.limit) == ("cancel", True)


async def test_call_wins_over_its_cancel(stage: Stage) -> None:
    """When the expired call is included after all, its effect counts and the slot is spent once."""
    intent = stage.admit(valid_for=1)
    await stage.act()
    stage.node.lost_requests[SEND] = 1
    await stage.wait(2)
    assert [attempt.kind for attempt in stage.attempts()] == ["call", "cancel"]
    await stage.turn(3)
    assert (stage.state(intent), await stage.pulls()) == (IntentState.FINAL_SUCCESS, 1)


async def test_reorg(stage: Stage) -> None:
    """A call whose block was abandoned is sent again, the same bytes, and is included once."""
    intent = stage.admit()
    await stage.act()
    await stage.turn()
    assert stage.state(intent) is IntentState.MINED
    await stage.rpc.call("anvil_reorg", 1, [], answer=object)
    await stage.follow()
    assert stage.state(intent) is IntentState.BROADCAST
    await stage.act()
    await stage.turn(3)
    assert (stage.state(intent), await stage.pulls()) == (IntentState.FINAL_SUCCESS, 1)
    assert len(stage.attempts()) == 1
    assert len({receipt.block_hash for receipt in stage.receipts()}) == len(stage.receipts()) == 2


async def test_receipt_once(stage: Stage) -> None:
    """A receipt is recorded once for each block that holds the transaction."""
    stage.admit()
    await stage.act()
    await stage.turn(2)
    stage.lane._reconciled_at = None
    await stage.act()
    assert len(stage.receipts()) == 1


async def test_receipt_ahead_of_the_fold(stage: Stage) -> None:
    """A receipt in a block that the fold does not hold yet is waited for: nothing is recorded, raised or sent."""
    stage.admit()
    await stage.act()
    await stage.rpc.call("evm_mine", answer=object)
    stage.lane._reconciled_at = None
    await stage.act()
    assert (stage.receipts(), len(stage.node.sent)) == ([], 1)
    await stage.follow()
    await stage.act()
    assert len(stage.receipts()) == 1


async def test_nonce_too_low(stage: Stage) -> None:
    """A refusal for a nonce that is used leads to the receipt, not to another nonce."""
    stage.node.lost_replies[SEND] = 1
    intent = stage.admit()
    await stage.act()
    await stage.rpc.call("evm_mine", answer=object)
    await stage.lane._send(stage.attempts()[0])
    assert stage.answers() == ["unknown", "nonce_too_low"]
    await stage.follow()
    await stage.act()
    assert (stage.state(intent), len(stage.attempts())) == (IntentState.MINED, 1)


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


async def test_halt_in_preflight(stage: Stage) -> None:
    """A halt that arrives during the simulation keeps the nonce unspent."""
    stage.admit()
    interrupt(stage.lane, lambda: stage.engine.intents._halted.update(main="foreign transaction"))
    await stage.act()
    assert (stage.attempts(), len(stage.recorder.of(PreflightSeen))) == ([], 1)


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
    intents = [stage.admit(), stage.admit()]
    refusal = NodeRefused(SEND, -32003, "Insufficient funds for gas * price + value")
    stage.node.refusals[SEND] = [refusal]
    await stage.act()
    assert (len(stage.attempts()), stage.answers()) == (1, ["insufficient_funds"])
    await stage.set_balance(RICH)
    await stage.turn(4)
    assert await stage.pulls() == 2
    assert [stage.state(intent) for intent in intents] == [IntentState.FINAL_SUCCESS] * 2


@pytest.mark.parametrize("trouble", [SIMULATION, RECEIPTS])
async def test_node_in_trouble(stage: Stage, trouble: str) -> None:
    """A node that does not answer ends the pass, is reported, and the next head tries again."""
    stage.admit()
    if trouble == RECEIPTS:
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
