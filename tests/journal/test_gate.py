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
    looks = iter([False, True])

    await Gate().wait_until(lambda: next(looks))


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
