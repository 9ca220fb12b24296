"""A process may die between any two steps; what it left in the journal is enough to include each intent once."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

import pytest
from _pytest.mark.structures import ParameterSet

from keeper.core.decisions import Intent, IntentState
from keeper.core.errors import NodeRefused
from keeper.core.facts import AttemptPrepared
from keeper.lab.localchain.rpc import LabRpc
from tests.execution.faults import SEND, Crash
from tests.execution.stage import Stage, open_stage

pytestmark = [pytest.mark.chain, pytest.mark.slow]

Scenario = Callable[[Stage], Awaitable[None]]
STEPS_MAX = 200
SETTLING_BLOCKS = 8


async def plain(stage: Stage) -> None:
    """Two calls on their whole way."""
    stage.admit()
    stage.admit()
    await stage.act()
    await stage.turn(3)


async def lost_reply(stage: Stage) -> None:
    """A send whose reply is lost."""
    stage.node.lost_replies[SEND] = 1
    await plain(stage)


async def lost_request(stage: Stage) -> None:
    """A send that never arrives."""
    stage.node.lost_requests[SEND] = 1
    await plain(stage)


async def raised(stage: Stage) -> None:
    """Two calls that wait until they are raised."""
    stage.admit()
    stage.admit()
    await stage.act()
    await stage.wait(4)
    await stage.turn(3)


async def cancelled(stage: Stage) -> None:
    """A call that expires and is cancelled."""
    stage.admit(valid_for=1)
    await stage.act()
    await stage.wait(2)
    await stage.turn(3)


async def reorganised(stage: Stage) -> None:
    """A call whose block is abandoned."""
    stage.admit()
    await stage.act()
    await stage.turn()
    await stage.rpc.call("anvil_reorg", 1, [], answer=object)
    await stage.follow()
    await stage.act()
    await stage.turn(3)


async def burst(stage: Stage) -> None:
    """Four calls at once, one of them refused, and then more on top of a slot that has to be kept alive."""
    stage.node.refusals[SEND] = [None, NodeRefused(SEND, -32000, "nonce too high")]
    for _ in range(4):
        stage.admit()
    await stage.act()
    await stage.drop(stage.attempts()[3])
    stage.admit()
    stage.admit()
    await stage.turn(4)


async def half_delivered(stage: Stage) -> None:
    """Four calls at once, of which the node gets two and says nothing."""
    stage.node.delivered_max = 2
    await burst(stage)


def _long(case: object) -> ParameterSet:
    return pytest.param(case, marks=pytest.mark.soak)


@pytest.mark.parametrize(
    "scenario", [plain, lost_reply, reorganised, burst, *map(_long, [lost_request, raised, cancelled, half_delivered])]
)
async def test_crash_anywhere(rpc: LabRpc, stage: Stage, scenario: Scenario) -> None:
    """Wherever the process dies, each signed intent takes one slot and has one transaction in the chain."""
    crash_at = 0
    while crash_at < STEPS_MAX:
        each = await open_stage(rpc)
        each.recorder.steps.left = crash_at
        died = await _run(each, scenario)
        await _settle(each)
        await _check(each, crash_at)
        if not died:
            break
        crash_at += 1
    assert 15 < crash_at < STEPS_MAX


@pytest.mark.parametrize("scenario", [plain, burst])
@pytest.mark.parametrize("second", [0, *map(_long, [2, 5])])
async def test_crash_in_recovery(rpc: LabRpc, stage: Stage, scenario: Scenario, second: int) -> None:
    """A process that dies while it recovers from a death leaves enough as well."""
    for crash_at in range(3, 24, 2):
        each = await open_stage(rpc)
        each.recorder.steps.left = crash_at
        await _run(each, scenario)
        each.recorder.steps.left = second
        with contextlib.suppress(Crash):
            await each.turn(3)
        each.restart()
        await _settle(each)
        await _check(each, crash_at)


async def _run(stage: Stage, scenario: Scenario) -> bool:
    """Play a scenario until it ends or the process dies; start the next process."""
    try:
        await scenario(stage)
    except Crash:
        assert stage.node.undurable == []
        stage.restart()
        return True
    stage.recorder.steps.left = None
    return False


async def _settle(stage: Stage) -> None:
    for _ in range(SETTLING_BLOCKS):
        await stage.turn()


async def _check(stage: Stage, crash_at: int) -> None:
    """Compare the journal, the engine and the chain."""
    intents = [entry.intent_id for entry in stage.recorder.entries if isinstance(entry, Intent)]
    prepared = [entry for entry in stage.recorder.entries if isinstance(entry, AttemptPrepared)]
    signed = {attempt.intent_id for attempt in prepared}
    slots = {attempt.nonce: attempt.intent_id for attempt in prepared}
    states = {intent: stage.state(intent) for intent in intents}
    spent = (IntentState.FINAL_SUCCESS, IntentState.FINAL_CANCELLED)
    where = f"crash at step {crash_at}: {states}"
    assert all(slots[attempt.nonce] == attempt.intent_id for attempt in prepared), where
    assert sorted(slots) == list(range(len(signed))), where
    assert all(
        state in spent if intent in signed else state is IntentState.ABANDONED for intent, state in states.items()
    ), where
    assert await stage.pulls() == sum(state is IntentState.FINAL_SUCCESS for state in states.values()), where
    assert await stage.mined_count() == len(slots), where
    assert stage.node.undurable == [], where
