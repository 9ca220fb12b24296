"""Many intents at once wait as often as one does, and none of them pays for another's trouble."""

from __future__ import annotations

import pytest

from keeper.core.decisions import IntentState
from keeper.core.errors import NodeRefused
from keeper.core.facts import BlockReverted, IntentDropped, PreflightSeen
from keeper.core.ids import to_hex
from tests.execution.faults import SEND
from tests.execution.lever import FAIL, LOCKED
from tests.execution.scripted import interrupt
from tests.execution.stage import CHAIN_ID, GWEI, Stage

pytestmark = pytest.mark.chain

SIGNER_READS = ("eth_getTransactionCount", "eth_maxPriorityFeePerGas")
SIMULATION = ("eth_call", "eth_estimateGas")
SLOT_LOOK = ("eth_getTransactionByHash", "eth_getTransactionReceipt")
"""What is asked about a slot with one attempt that waits for a block."""


async def test_waits_of_a_burst(stage: Stage) -> None:
    """Four intents wait for one look, one durable group before any byte is sent, one send and one group after it."""
    for _ in range(4):
        stage.admit()
    stage.recorder.waits.clear()
    await stage.act()
    assert stage.recorder.waits == [
        SIGNER_READS + SIMULATION * 4,
        ("PreflightSeen",) * 4 + ("AttemptPrepared",) * 4,
        (SEND,) * 4,
        ("AttemptSent",) * 4,
    ]
    assert stage.node.undurable == []


async def test_sent_in_order(stage: Stage) -> None:
    """The batch is in the order of admission and of nonces, and a real node includes all of it in the next block."""
    intents = [stage.admit() for _ in range(4)]
    await stage.act()
    assert [(each.nonce, each.intent_id) for each in stage.attempts()] == list(enumerate(intents))
    assert stage.node.sent == [to_hex(attempt.raw) for attempt in stage.attempts()]
    await stage.mine()
    assert (await stage.pulls(), await stage.mined_count()) == (4, 4)


@pytest.mark.parametrize("refused", range(4))
async def test_refused_among_others(stage: Stage, refused: int) -> None:
    """One that is refused keeps its slot and is sent again alone; the others' answers are their own."""
    refusal = NodeRefused(SEND, -32000, "nonce too high")
    stage.node.refusals[SEND] = [refusal if place == refused else None for place in range(4)]
    intents = [stage.admit() for _ in range(4)]
    await stage.act()
    expected = ["accepted"] * 4
    expected[refused] = "nonce_too_high"
    assert stage.answers() == expected
    await stage.turn(4)
    assert stage.node.sent[4] == to_hex(stage.attempts()[refused].raw)
    assert (len(stage.attempts()), await stage.mined_count()) == (4, 4)
    assert [stage.state(intent) for intent in intents] == [IntentState.FINAL_SUCCESS] * 4


async def test_half_delivered(stage: Stage) -> None:
    """When the connection breaks in a batch every one of it is unknown, and each is included once."""
    stage.node.delivered_max = 2
    intents = [stage.admit() for _ in range(4)]
    await stage.act()
    assert stage.answers() == ["unknown"] * 4
    await stage.turn(5)
    assert [stage.state(intent) for intent in intents] == [IntentState.FINAL_SUCCESS] * 4
    assert (len(stage.attempts()), await stage.pulls(), await stage.mined_count()) == (4, 4, 4)
    assert stage.node.sent[4:] == [to_hex(attempt.raw) for attempt in stage.attempts()[2:]]


async def test_doomed_among_others(stage: Stage) -> None:
    """One that would revert is dropped without a nonce, and leaves no gap."""
    intents = [stage.admit(), stage.admit(FAIL + LOCKED), stage.admit()]
    await stage.act()
    assert [(each.nonce, each.intent_id) for each in stage.attempts()] == [(0, intents[0]), (1, intents[2])]
    assert stage.reasons(intents[1]) == ["would revert: LEVER_LOCKED"]


async def test_not_simulated_among_others(stage: Stage) -> None:
    """One that the node cannot simulate waits for the next head, and leaves no gap."""
    stage.node.refusals["eth_call"] = [None, NodeRefused("eth_call", -32000, "header not found")]
    intents = [stage.admit() for _ in range(3)]
    await stage.act()
    assert [(each.nonce, each.intent_id) for each in stage.attempts()] == [(0, intents[0]), (1, intents[2])]
    assert (stage.state(intents[1]), len(stage.troubles)) == (IntentState.ADMITTED, 1)
    await stage.turn()
    assert (stage.attempts()[2].nonce, stage.attempts()[2].intent_id) == (2, intents[1])


async def test_too_dear_among_others(stage: Stage) -> None:
    """One whose ceiling is below the base fee waits, and leaves no gap."""
    await stage.set_base_fee(60 * GWEI)
    await stage.mine()
    intents = [stage.admit(), stage.admit(ceiling_gwei=2), stage.admit()]
    await stage.act()
    assert [(each.nonce, each.intent_id) for each in stage.attempts()] == [(0, intents[0]), (1, intents[2])]
    assert len(stage.recorder.of(PreflightSeen)) == 3


async def test_room_left_by_the_doomed(stage: Stage) -> None:
    """What found no room takes, in the same pass, the place of those that were dropped."""
    for _ in range(4):
        stage.admit(FAIL)
    intents = [stage.admit(), stage.admit()]
    await stage.act()
    assert [attempt.intent_id for attempt in stage.attempts()] == intents
    assert len(stage.recorder.of(IntentDropped)) == 4


async def test_raised_before_the_new(stage: Stage) -> None:
    """A slot that needs a raise is in the group and in the batch before the new one."""
    stage.admit()
    await stage.act()
    await stage.wait(2)
    stage.admit()
    await stage.mine_without_ours()
    stage.recorder.waits.clear()
    await stage.act()
    assert [(each.nonce, each.attempt) for each in stage.attempts()] == [(0, 1), (0, 2), (1, 1)]
    assert stage.node.sent[1:] == [to_hex(attempt.raw) for attempt in stage.attempts()[1:]]
    assert stage.recorder.waits == [
        SIGNER_READS + SLOT_LOOK + SIMULATION * 2,
        ("PreflightSeen", "AttemptPrepared", "AttemptPrepared"),
        (SEND,) * 2,
        ("AttemptSent",) * 2,
    ]


async def test_new_before_receipts(stage: Stage) -> None:
    """At a new head the new is sent before the receipts of the block are recorded, and those are one group."""
    for _ in range(3):
        stage.admit()
    await stage.act()
    await stage.mine()
    stage.admit()
    stage.recorder.waits.clear()
    await stage.act()
    assert stage.recorder.waits == [
        SIGNER_READS + ("eth_getTransactionReceipt",) * 3 + SIMULATION,
        ("PreflightSeen", "AttemptPrepared"),
        (SEND,),
        ("AttemptSent",),
        ("ReceiptSeen",) * 3,
    ]


async def test_first_pass_of_a_run(stage: Stage) -> None:
    """A new run settles and keeps alive what the last one left before it takes anything new."""
    stage.admit()
    stage.admit()
    await stage.act()
    await stage.drop(stage.attempts()[1])
    await stage.mine()
    stage.restart()
    await stage.mine()
    stage.admit()
    stage.recorder.waits.clear()
    await stage.act()
    assert stage.recorder.waits == [
        SIGNER_READS + ("eth_getTransactionByHash",) + ("eth_getTransactionReceipt",) * 2 + SIMULATION,
        (SEND,),
        ("AttemptSent",),
        ("ReceiptSeen",),
        SIGNER_READS + SIMULATION,
        ("PreflightSeen", "AttemptPrepared"),
        (SEND,),
        ("AttemptSent",),
    ]


async def test_room_left_by_receipts(stage: Stage) -> None:
    """What found no room takes, in the same pass, the place of slots that only a receipt shows to be spent."""
    for _ in range(4):
        stage.admit(valid_for=1)
    await stage.act()
    await stage.wait(2)
    later = stage.admit()
    await stage.act()
    assert stage.state(later) is IntentState.ADMITTED
    await stage.turn()
    assert stage.state(later) is IntentState.BROADCAST
    assert [(each.nonce, each.kind) for each in stage.attempts()[4:]] == [
        *((nonce, "cancel") for nonce in range(4)),
        (4, "call"),
    ]


async def test_reorg_in_preflight(stage: Stage) -> None:
    """Slots that a reorg opens again while the node answers leave less room for the new ones."""
    for _ in range(3):
        stage.admit()
    await stage.act()
    await stage.turn()
    mined_in = stage.engine.chains[CHAIN_ID].tip
    assert mined_in is not None

    def reorg() -> None:
        """Take the block back, once."""
        if stage.engine.chains[CHAIN_ID].tip == mined_in:
            stage.recorder.put(BlockReverted(CHAIN_ID, mined_in.number, mined_in.hash))

    intents = [stage.admit() for _ in range(4)]
    interrupt(stage.lane, reorg)
    await stage.act()
    assert [(each.nonce, each.intent_id) for each in stage.attempts()[3:]] == [(3, intents[0])]
