"""The twins: virtual time, processes that die, geth's pool, the chain and the disk."""

from __future__ import annotations

import asyncio

import pytest

from keeper.core.errors import InvariantBroken, JournalDamaged
from keeper.core.facts import ClockTicked
from keeper.core.ids import Address, Hash32
from keeper.core.units import Wei
from keeper.execution.signer import LocalSigner
from keeper.execution.signer import Transaction as Unsigned
from keeper.lab.simulator.clock import START_UNIX, SimulatedClock
from keeper.lab.simulator.config import SIGNER_KEY
from keeper.lab.simulator.disk import Disk, SimulatedJournal
from keeper.lab.simulator.loop import Process, VirtualLoop
from keeper.lab.simulator.market import State
from keeper.lab.simulator.mempool import Mempool, PoolRefused
from keeper.lab.simulator.streams import Streams
from keeper.lab.simulator.transactions import Transaction, decode_signed

OURS = Address(b"\xaa" * 20)


def transaction(nonce: int = 0, fee: int = 100, tip: int = 10, salt: int = 0) -> Transaction:
    """Return a transaction of ours."""
    tx_hash = Hash32(bytes((nonce, fee % 256, tip % 256, salt)) * 8)
    return Transaction(tx_hash, OURS, nonce, OURS, b"", 21_000, fee, tip, b"raw")


def rich(nonce: int = 0) -> State:
    """Return a state in which we can pay."""
    state = State()
    state.native, state.nonces = {OURS: 10**18}, {OURS: nonce}
    return state


def test_time_jumps_to_the_next_timer() -> None:
    """A day passes at once, and exactly."""
    loop = VirtualLoop()
    loop.run_until_complete(SimulatedClock(loop).sleep(86_400))

    assert loop.time() == 86_400
    loop.close()


def test_waiting_for_nothing_is_told() -> None:
    """A deadlock ends the run instead of hanging it."""
    loop = VirtualLoop()

    with pytest.raises(InvariantBroken, match="nothing will bring about"):
        loop.run_until_complete(loop.create_future())
    loop.close()


def test_a_killed_process_does_nothing_more() -> None:
    """After its last callback a process leaves no trace, its finally blocks included."""
    loop = VirtualLoop()
    done: list[object] = []

    clock = SimulatedClock(loop)

    async def work() -> None:
        try:
            for step in range(10):
                await clock.sleep(1)
                done.append(step)
        finally:
            asyncio.get_running_loop().call_soon(done.append, "after death")

    async def world() -> None:
        Process(dies_at=4).spawn(work())
        await clock.sleep(100)

    loop.run_until_complete(world())
    assert done in ([0], [0, 1], [0, 1, 2])
    loop.close()


def test_a_process_may_die_in_a_task_group() -> None:
    """A process that is killed while it waits inside an empty task group is dead, and the world goes on."""
    loop = VirtualLoop()
    clock = SimulatedClock(loop)

    async def work() -> None:
        async with asyncio.TaskGroup():
            await clock.sleep(50)

    async def world() -> None:
        process = Process()
        process.spawn(work())
        await clock.sleep(1)
        process.kill()
        await clock.sleep(100)
        assert process.dead

    loop.run_until_complete(world())
    loop.close()


def test_the_wall_clock_jumps_and_the_monotonic_does_not() -> None:
    """A step of the wall clock is not seen by the monotonic one."""
    loop = VirtualLoop()
    clock = SimulatedClock(loop)
    clock.offset_ms = -5000

    assert (clock.unix_ms(), clock.monotonic()) == (START_UNIX * 1000 - 5000, 0.0)
    loop.close()


def test_streams_are_independent() -> None:
    """A draw from one stream changes no other."""
    drawn, other = Streams(7), Streams(7)
    drawn.of("a").random()

    assert drawn.of("b").random() == other.of("b").random()


@pytest.mark.parametrize(
    ("held", "offered", "state", "words"),
    [
        ((0, 100, 10), (0, 109, 11), rich(), "replacement transaction underpriced"),
        ((0, 100, 10), (0, 120, 10), rich(), "replacement transaction underpriced"),
        ((0, 100, 10), (0, 100, 10), rich(), "already known"),
        ((5, 100, 10), (1, 100, 10), rich(2), "nonce too low"),
        ((5, 100, 10), (1, 10**15, 10), rich(), "insufficient funds for gas"),
    ],
)
def test_a_pool_refuses_as_geth_does(
    held: tuple[int, int, int], offered: tuple[int, int, int], state: State, words: str
) -> None:
    """What geth refuses, the pool refuses in geth's words."""
    pool = Mempool()
    pool.add(transaction(*held), state)

    with pytest.raises(PoolRefused, match=words):
        pool.add(transaction(*offered), state)


def test_a_pool_takes_a_tenth_more() -> None:
    """Both fees a tenth higher replace a transaction."""
    pool = Mempool()
    pool.add(transaction(fee=100, tip=10), rich())
    pool.add(transaction(fee=110, tip=11), rich())

    assert [held.fee_wei_max for held in pool] == [110]


def test_a_gap_waits() -> None:
    """A nonce above a gap is held and not mined; nothing below the base fee is mined either."""
    pool = Mempool()
    for nonce, fee in ((0, 100), (1, 40), (3, 100)):
        pool.add(transaction(nonce, fee), rich())

    assert [each.nonce for each in pool.next_of(rich(), 50, 0)] == [0]


def test_signed_bytes_are_decoded() -> None:
    """The chain reads what the shipped signer wrote."""
    signer = LocalSigner(SIGNER_KEY)
    unsigned = Unsigned(
        chain_id=1,
        nonce=300,
        to=OURS,
        data=b"x" * 100,
        value_wei=Wei(0),
        gas_limit=21_000,
        fee_wei_max=Wei(10**11),
        priority_fee_wei_max=Wei(10**9),
    )
    signed = signer.sign(unsigned)
    decoded = decode_signed(signed.raw, signer.address)

    assert decoded[:8] == (signed.tx_hash, signer.address, 300, OURS, b"x" * 100, 21_000, 10**11, 10**9)


async def synced(disk: Disk, count: int) -> None:
    """Append one durable record after the other."""
    journal = SimulatedJournal(disk)
    for index in range(count):
        await journal.wait_durable(journal.append([(ClockTicked(index), 0)], 0))


@pytest.mark.fault(20)
async def test_a_torn_tail_is_dropped() -> None:
    """A frame that was cut off by a crash is not there, and what was synced is."""
    disk = Disk()
    await synced(disk, 2)
    SimulatedJournal(disk).append([(ClockTicked(9), 0)], 0)
    disk.cut_power(disk.unsynced_bytes - 1)

    assert SimulatedJournal(disk).last_sequence == 2


@pytest.mark.fault(22)
async def test_a_flipped_bit_is_named() -> None:
    """A frame that was synced and is not what was written is damage, not a torn tail."""
    disk = Disk()
    await synced(disk, 3)
    disk.content[-5] ^= 1

    with pytest.raises(JournalDamaged, match="sequence 3"):
        SimulatedJournal(disk)
