"""The journal against the ``eventsourcing`` library with its SQLite store: same facts, same disk, same run.

Both sides make each event from the same raw fields and end durable: SQLite in WAL mode with ``synchronous=FULL`` (the
library leaves SQLite's default, which is the same). The library is used as its manual shows, an aggregate whose method
triggers an event, saved by an application; its best batch size is the one compared with. Rounds are interleaved;
figures are medians and ratios are of medians. Appends are timed by the wall, as they wait for the disk; replays, which
only compute, by the process's own CPU time, so that a busy machine does not decide.
"""

from __future__ import annotations

import gc
import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import NamedTuple
from uuid import UUID

import uvloop
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from keeper.core.codec import encoder
from keeper.core.facts import BlockApplied, BlockHeader, RawLog
from keeper.core.ids import Address, Hash32
from keeper.journal.sqlite import SqliteJournal

SEED = 7
PEER_BATCHES = (1, 100, 1000)
GROUP_SIZES = (10, 100)
LATENCY_SAMPLES = 300
REPLAYS = 3


class Fields(NamedTuple):
    """A block with one log, as it comes from the node: about 190 bytes when journalled."""

    number: int
    block_hash: bytes
    parent_hash: bytes
    timestamp: int
    base_fee_wei: int
    address: bytes
    topic: bytes
    data: bytes
    tx_hash: bytes


class Chain(Aggregate):
    """The library's way: an aggregate that applies blocks. JSON carries bytes as hexadecimal."""

    @event("BlockApplied")
    def apply_block(
        self,
        number: int,
        block_hash: str,
        parent_hash: str,
        timestamp: int,
        base_fee_wei: int,
        address: str,
        topic: str,
        data: str,
        tx_hash: str,
    ) -> None:
        """Become the newest block."""
        self.tip = (number, block_hash, parent_hash, timestamp, base_fee_wei, address, topic, data, tx_hash)


def made_up_blocks(count: int) -> list[Fields]:
    """Return blocks whose hashes do not compress."""
    chance = random.Random(SEED)
    return [
        Fields(
            number,
            chance.randbytes(32),
            chance.randbytes(32),
            1_700_000_000 + 12 * number,
            10**9 + number,
            chance.randbytes(20),
            chance.randbytes(32),
            number.to_bytes(32, "big"),
            chance.randbytes(32),
        )
        for number in range(count)
    ]


def fact_of(fields: Fields) -> BlockApplied:
    """Build the keeper's fact."""
    number, block_hash, parent_hash, timestamp, base_fee_wei, address, topic, data, tx_hash = fields
    header = BlockHeader(number, Hash32(block_hash), Hash32(parent_hash), timestamp, base_fee_wei, b"")
    return BlockApplied(1, header, (RawLog(Address(address), (topic,), data, 0, Hash32(tx_hash)),), (), 0)


async def append_all(journal: SqliteJournal, blocks: Sequence[Fields], group_size: int) -> None:
    """Append in groups as the daemon does; durable at the end."""
    for start in range(0, len(blocks), group_size):
        await journal.wait_room()
        last = journal.append([(fact_of(fields), 0) for fields in blocks[start : start + group_size]], start)
    await journal.wait_durable(last)


async def append_one_by_one(journal: SqliteJournal, blocks: Sequence[Fields], group_size: int) -> list[float]:
    """Append groups, each waited for; return the seconds each took."""
    seconds = []
    for start in range(0, len(blocks), group_size):
        started = perf_counter()
        last = journal.append([(fact_of(fields), 0) for fields in blocks[start : start + group_size]], start)
        await journal.wait_durable(last)
        seconds.append(perf_counter() - started)
    return seconds


def replay(journal: SqliteJournal) -> int:
    """Decode every record to structs and keep the newest header; return how many there were."""
    count = 0
    for record in journal.read():
        if isinstance(record.body, BlockApplied):
            _tip = record.body.header
        count += 1
    return count


def wall_seconds(work: Callable[[], object]) -> float:
    """Time one call by the wall, on a clean heap."""
    gc.collect()
    started = perf_counter()
    work()
    return perf_counter() - started


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the median CPU time of a few calls, each on a clean heap."""
    times = []
    for _ in range(REPLAYS):
        gc.collect()
        started = process_time()
        work()
        times.append(process_time() - started)
    return median(times)


def measure_journal(blocks: Sequence[Fields], group_size: int) -> dict[str, float]:
    """Append everything and replay it, in records per second."""
    with TemporaryDirectory() as folder, SqliteJournal(Path(folder) / "journal.db", [1]) as journal:
        append = wall_seconds(lambda: uvloop.run(append_all(journal, blocks, group_size)))
        again = cpu_seconds(lambda: replay(journal))
    return {
        f"append_per_second_groups_of_{group_size}": len(blocks) / append,
        f"replay_per_second_groups_of_{group_size}": len(blocks) / again,
    }


def measure_waiting(blocks: Sequence[Fields], group_size: int) -> dict[str, float]:
    """Append group after group, each durable before the next; replay the small frames that come of it."""
    with TemporaryDirectory() as folder, SqliteJournal(Path(folder) / "journal.db", [1]) as journal:
        waits = uvloop.run(append_one_by_one(journal, blocks[: LATENCY_SAMPLES * group_size], group_size))
        again = cpu_seconds(lambda: replay(journal))
    cuts = quantiles(waits, n=100)
    return {
        f"durable_microseconds_p50_groups_of_{group_size}": cuts[49] * 1e6,
        f"durable_microseconds_p99_groups_of_{group_size}": cuts[98] * 1e6,
        f"append_per_second_waiting_groups_of_{group_size}": len(waits) * group_size / sum(waits),
        f"replay_per_second_frames_of_{group_size}": len(waits) * group_size / again,
    }


def peer_application(folder: str) -> Application[UUID]:
    """Return the library's application on its SQLite store."""
    return Application(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": f"{folder}/peer.db",
            "SQLITE_LOCK_TIMEOUT": "5",
        }
    )


def apply_to(chain: Chain, fields: Fields) -> None:
    """Trigger the event for a block."""
    chain.apply_block(
        number=fields.number,
        block_hash=fields.block_hash.hex(),
        parent_hash=fields.parent_hash.hex(),
        timestamp=fields.timestamp,
        base_fee_wei=fields.base_fee_wei,
        address=fields.address.hex(),
        topic=fields.topic.hex(),
        data=fields.data.hex(),
        tx_hash=fields.tx_hash.hex(),
    )


def peer_append(application: Application[UUID], chain: Chain, blocks: Sequence[Fields], batch: int) -> None:
    """Trigger an event for each block; save after each batch."""
    for start in range(0, len(blocks), batch):
        for fields in blocks[start : start + batch]:
            apply_to(chain, fields)
        application.save(chain)


def peer_notifications(application: Application[UUID]) -> int:
    """Read everything by the library's faster path: notifications, mapped to domain events."""
    start, count = 1, 0
    while page := application.recorder.select_notifications(start, 1000):
        for notification in page:
            application.mapper.to_domain_event(notification)
        count += len(page)
        start = page[-1].id + 1
    return count


def measure_peer(blocks: Sequence[Fields], batch: int) -> dict[str, float]:
    """Append and replay with the library, in events per second."""
    with TemporaryDirectory() as folder:
        application, chain = peer_application(folder), Chain()
        append = wall_seconds(lambda: peer_append(application, chain, blocks, batch))
        again = cpu_seconds(lambda: application.repository.get(chain.id))
        notified = cpu_seconds(lambda: peer_notifications(application))
        application.close()
    return {
        f"peer_append_per_second_batches_of_{batch}": len(blocks) / append,
        f"peer_replay_per_second_after_{batch}": len(blocks) / again,
        f"peer_notifications_per_second_after_{batch}": len(blocks) / notified,
    }


def one_round(blocks: Sequence[Fields], peer_events: int) -> dict[str, float]:
    """Measure everything once."""
    figures: dict[str, float] = {}
    for group_size in GROUP_SIZES:
        figures |= measure_journal(blocks, group_size)
    for group_size in (1, *GROUP_SIZES):
        figures |= measure_waiting(blocks, group_size)
    for batch in PEER_BATCHES:
        figures |= measure_peer(blocks[:peer_events], batch)
    return figures


def ratios(figures: dict[str, float]) -> dict[str, float]:
    """Compare best with best, and our less favourable ways with the library's best."""

    def best(prefix: str) -> float:
        return max(value for name, value in figures.items() if name.startswith(prefix))

    return {
        "append_ratio": best("append_per_second_groups") / best("peer_append"),
        "append_ratio_groups_of_10": figures["append_per_second_groups_of_10"] / best("peer_append"),
        "append_ratio_one_waited_for": figures["append_per_second_waiting_groups_of_1"]
        / figures["peer_append_per_second_batches_of_1"],
        "replay_ratio": best("replay_per_second_groups") / best("peer_replay"),
        "replay_ratio_frames_of_10": figures["replay_per_second_frames_of_10"] / best("peer_replay"),
        "replay_ratio_against_notifications": best("replay_per_second_groups") / best("peer_notifications"),
    }


def run(records: int = 150_000, peer_events: int = 6_000, rounds: int = 3) -> dict[str, object]:
    """Return medians over interleaved rounds, and the ratios between them.

    Args:
        records: How many records our journal appends and replays in each measurement.
        peer_events: How many events the library appends and replays in each.
        rounds: How often everything is measured.
    """
    blocks = made_up_blocks(records)
    measured = [one_round(blocks, peer_events) for _ in range(rounds)]
    figures = {name: median(figures[name] for figures in measured) for name in measured[0]}
    return {
        "records": records,
        "peer_events": peer_events,
        "rounds": rounds,
        "record_bytes": len(encoder().encode(fact_of(blocks[-1]))),
        **{name: round(value) for name, value in figures.items()},
        **{name: round(value, 2) for name, value in ratios(figures).items()},
    }


if __name__ == "__main__":
    json.dump(run(*(int(argument) for argument in sys.argv[1:])), sys.stdout, indent=2)
    print()
