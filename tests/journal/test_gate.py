"""Waiting on the event loop for another thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from keeper.journal.gate import Gate


async def test_a_waiter_is_woken_from_another_thread() -> None:
    """What another thread changes and announces is seen."""
    gate, done = Gate(), threading.Event()

    def change() -> None:
        done.set()
        gate.notify()

    thread = threading.Thread(target=change)
    asyncio.get_running_loop().call_soon(thread.start)
    await asyncio.wait_for(gate.wait_until(done.is_set), 5)
    thread.join()


async def test_a_change_before_the_look_needs_no_announcement() -> None:
    """A condition that holds already is not waited for."""
    await Gate().wait_until(lambda: True)


async def test_a_change_between_the_looks_is_seen() -> None:
    """A condition that comes true while the waiter registers does not wait for the next announcement."""
    looks = iter([False, True, True])

    await Gate().wait_until(lambda: next(looks))


async def test_a_condition_that_passed_is_waited_for_again() -> None:
    """A waiter that another one overtook on its way out goes on waiting: when it returns the condition holds."""
    gate, room = Gate(), [0]

    async def take() -> None:
        await gate.wait_until(lambda: room[0] > 0)
        room[0] -= 1

    def give() -> None:
        room[0] += 1
        gate.notify()

    asyncio.get_running_loop().call_later(0.001, give)
    asyncio.get_running_loop().call_later(0.002, give)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(take())
        tasks.create_task(take())

    assert (room, gate._waiters) == ([0], [])


async def test_a_waiter_that_gave_up_is_forgotten() -> None:
    """A cancelled waiter leaves nothing behind."""
    gate = Gate()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(gate.wait_until(lambda: False), 0.001)

    assert gate._waiters == []


def test_a_closed_loop_is_no_concern() -> None:
    """Announcing to waiters whose loop was closed under them is harmless."""
    gate, loop = Gate(), asyncio.new_event_loop()
    gate._waiters.append((lambda: True, loop.create_future()))
    loop.close()

    gate.notify()
