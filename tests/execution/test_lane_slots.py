"""A slot is kept alive until one of its attempts is in a block, and its receipt is recorded once."""

from __future__ import annotations

import pytest
from eth_account import Account

from keeper.core.decisions import IntentState
from keeper.core.errors import NodeRefused
from keeper.core.facts import PreflightSeen, RevertReason
from keeper.core.ids import to_hex
from keeper.core.units import Wei
from keeper.execution.attempts import CANCEL_GAS
from keeper.execution.fees import call_ceiling
from tests.execution.faults import SEND
from tests.execution.lever import LOCK, LOCKED
from tests.execution.stage import GWEI, Stage

pytestmark = pytest.mark.chain


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


async def test_reorg_of_two_about_one_account(stage: Stage) -> None:
    """When a reorg brings back two calls about one account, the older is cancelled in its slot: it is helped once."""
    older = stage.admit(about=7)
    await stage.act()
    await stage.turn()
    younger = stage.admit(about=7)
    await stage.act()
    await stage.turn()
    await stage.rpc.call("anvil_reorg", 2, [], answer=object)
    await stage.follow()
    assert [stage.state(intent) for intent in (older, younger)] == [IntentState.BROADCAST] * 2
    await stage.act()
    await stage.turn(3)
    outcomes = [stage.state(older), stage.state(younger)]
    assert (outcomes, await stage.pulls()) == ([IntentState.FINAL_CANCELLED, IntentState.FINAL_SUCCESS], 1)


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
    await stage.lane._send(stage.attempts())
    assert stage.answers() == ["unknown", "nonce_too_low"]
    await stage.follow()
    await stage.act()
    assert (stage.state(intent), len(stage.attempts())) == (IntentState.MINED, 1)


async def _lock_first(stage: Stage) -> None:
    """Have somebody else lock the lever in a block that has no room for ours."""
    somebody = (await stage.rpc.call("eth_accounts", answer=list[str]))[0]
    await stage.rpc.call("anvil_dropAllTransactions", answer=object)
    lock = {"from": somebody, "to": to_hex(stage.contract), "data": to_hex(LOCK), "maxFeePerGas": hex(90 * GWEI)}
    await stage.rpc.call("eth_sendTransaction", lock, answer=object)
    await stage.rpc.call("evm_mine", answer=object)
    await stage.rpc.call(SEND, to_hex(stage.attempts()[-1].raw), answer=object)
    await stage.follow()


@pytest.mark.fault(14, 15)
async def test_idle_call(stage: Stage) -> None:
    """A waiting call that would revert on the new head is cancelled at once, and the reason is recorded first."""
    intent = stage.admit()
    await stage.act()
    await _lock_first(stage)
    await stage.act()
    assert [(each.attempt, each.kind) for each in stage.attempts()] == [(1, "call"), (2, "cancel")]
    (seen,) = (entry for entry in stage.recorder.of(PreflightSeen)[1:])
    assert isinstance(seen, PreflightSeen)
    assert seen.revert == RevertReason("LEVER_LOCKED", LOCKED)
    entries = stage.recorder.entries
    assert entries.index(seen) < entries.index(stage.attempts()[1])
    await stage.turn(4)
    assert stage.state(intent) is IntentState.FINAL_CANCELLED
    assert await stage.pulls() == 0


async def test_idle_call_untold(stage: Stage) -> None:
    """A node that cannot simulate a waiting call leaves it as it is, and is reported."""
    stage.admit()
    await stage.act()
    await _lock_first(stage)
    for method in ("eth_call", "eth_estimateGas"):
        stage.node.refusals[method] = [NodeRefused("stage", -32000, "missing trie node")]
    await stage.act()
    assert len(stage.attempts()) == 1
    assert len(stage.troubles) == 1


async def test_idle_call_too_dear_to_cancel(stage: Stage) -> None:
    """Where the limit forbids the cancel, a call that the pool holds is left alone, and one it has lost sent again."""
    stage.admit()
    await stage.act()
    await _lock_first(stage)
    stage.limit = stage.attempts()[0].fee_wei_max
    stage.restart()
    await stage.act()
    assert (len(stage.attempts()), stage.node.sent) == (1, [])
    await stage.drop(stage.attempts()[0])
    await stage.rpc.call("evm_mine", answer=object)
    await stage.follow()
    await stage.act()
    assert (len(stage.attempts()), stage.node.sent) == (1, [to_hex(stage.attempts()[0].raw)])


def _worst(stage: Stage) -> int:
    """Return the most that the attempts so far may cost, each slot by its dearest."""
    slots: dict[int, int] = {}
    for attempt in stage.attempts():
        slots[attempt.nonce] = max(slots.get(attempt.nonce, 0), int(attempt.fee_wei_max) * attempt.gas_limit)
    return sum(slots.values())


async def test_signs_what_it_can_pay(stage: Stage) -> None:
    """What is signed at once never costs more than the balance at its worst, and the rest waits for room."""
    stage.admit()
    await stage.act()
    await stage.turn()
    await stage.set_balance(5 * _worst(stage) // 2)
    await stage.mine()
    before = _worst(stage)
    intents = [stage.admit() for _ in range(3)]
    await stage.act()
    assert [stage.state(intent) for intent in intents] == [*[IntentState.BROADCAST] * 2, IntentState.ADMITTED]
    assert _worst(stage) - before <= 5 * before // 2
    await stage.turn()
    assert stage.state(intents[2]) is IntentState.BROADCAST


async def test_raises_what_it_can_pay(stage: Stage) -> None:
    """A raise that could not be paid for is not signed; a cancel, which needs less than its call, always is."""
    stage.admit(valid_for=4)
    await stage.act()
    await stage.set_balance(_worst(stage))
    await stage.wait(4)
    assert [each.kind for each in stage.attempts()] == ["call"]
    await stage.wait()
    assert [each.kind for each in stage.attempts()] == ["call", "cancel"]
