"""One seed, one history, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from keeper.core.codec import Record, encoder
from keeper.core.decisions import IntentAdvanced, IntentState
from keeper.core.facts import AttemptPrepared, BlockApplied, BlockReverted
from keeper.lab.simulator.faults import ALL, Chaos
from keeper.lab.simulator.life import Parts
from keeper.lab.simulator.loop import VirtualLoop
from keeper.lab.simulator.oracles import Violation
from keeper.lab.simulator.streams import Streams
from keeper.lab.simulator.world import World


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to. ``digest`` is blake2b-256 of all its records: the same seed gives the same one anywhere."""

    seed: int
    violation: Violation | None
    digest: str
    records: int
    blocks: int
    reverted: int
    reorgs: int
    lives: int
    crashes: int
    stops: int
    attempts: int
    slices: int
    faults: dict[str, int]


def run_seed(seed: int, faults: Collection[str] = ALL, *, parts: Parts | None = None, certain: bool = False) -> Outcome:
    """Run one seed to its end, or to the first promise that it breaks.

    Args:
        seed: Any integer.
        faults: Names of the faults that it may have.
        parts: What the life is made of; the shipped parts when not given.
        certain: It has all of these faults.
    """
    return _outcome(seed, *_lived(seed, faults, parts or Parts(), certain=certain))


def journal_of(seed: int, faults: Collection[str] = ALL) -> list[Record]:
    """Return the records that the keeper of a seed has left; none when the seed breaks a promise."""
    return _lived(seed, faults, Parts(), certain=False)[1]


def _lived(seed: int, faults: Collection[str], parts: Parts, *, certain: bool) -> tuple[World, list[Record]]:
    """Run a world to its end, and read what lies on its disk."""
    streams = Streams(seed)
    chaos = Chaos(streams, faults, certain=certain)
    loop = VirtualLoop()
    try:
        world = World(loop, streams, chaos, parts)
        loop.set_exception_handler(lambda _, context: world.oracles.violate("alive", _told(context)))
        work = loop.create_task(world.run())
        work.add_done_callback(lambda _: loop.stop())
        loop.run_forever()
        if work.done() and not work.cancelled() and work.exception() is not None:
            world.oracles.violate("alive", repr(work.exception()))
        return world, _records(world)
    finally:
        loop.close()


def _records(world: World) -> list[Record]:
    for life in world.lives:
        life.process.on_death = None
        life.process.kill()
    return world.oracles.at_rest() if world.oracles.violation is None else []


def _told(context: dict[str, Any]) -> str:
    return f"{context.get('message')}: {context.get('exception')!r}"


def _outcome(seed: int, world: World, records: Sequence[Record]) -> Outcome:
    kinds = Counter(type(record.body) for record in records)
    return Outcome(
        seed=seed,
        violation=world.oracles.violation,
        digest=_digest(records),
        records=len(records),
        blocks=kinds[BlockApplied],
        reverted=kinds[BlockReverted],
        reorgs=world.reorgs,
        lives=len(world.lives),
        crashes=world.crashes,
        stops=world.stops,
        attempts=kinds[AttemptPrepared],
        slices=sum(
            isinstance(record.body, IntentAdvanced) and record.body.state is IntentState.FINAL_SUCCESS
            for record in records
        ),
        faults=dict(sorted(world.chaos.counts.items())),
    )


def _digest(records: Sequence[Record]) -> str:
    digest, pack = blake2b(digest_size=32), encoder().encode
    for record in records:
        digest.update(pack(record))
    return digest.hexdigest()
