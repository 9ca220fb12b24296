"""A program that journals groups until it is killed or its disk is full, and says on stdout what is durable.

Run as ``python -m tests.journal.appender PATH SEED FILE_BYTES_MAX [SYNCHRONOUS]``; each group's records tell which
group they are of.
"""

from __future__ import annotations

import asyncio
import random
import resource
import signal
import sys
from pathlib import Path

from keeper.core.decisions import SignerHalted
from keeper.core.errors import JournalStopped
from keeper.journal import tables
from keeper.journal.sqlite import SqliteJournal
from tests.journal.bodies import Group


def group_of(chance: random.Random, number: int) -> Group:
    """Return a group of random size whose records name the group, their place in it and its size."""
    size = chance.randint(1, 40)
    filling = chance.randbytes(chance.randint(0, 300)).hex()
    return [(SignerHalted(f"{number} {index} {size}", filling), 0) for index in range(size)]


async def append_for_ever(journal: SqliteJournal, chance: random.Random) -> None:
    """Append a few groups at a time, wait for the last, print its sequence."""
    number = journal.last_sequence
    while True:
        for _ in range(chance.randint(1, 5)):
            await journal.wait_room()
            number += 1
            last = journal.append(group_of(chance, number), number)
        await journal.wait_durable(last)
        sys.stdout.write(f"{last}\n")
        sys.stdout.flush()


def main(path: str, seed: str, file_bytes_max: str, synchronous: str = "2") -> None:
    """Append under the system's limit to the size of any file, zero for none, and with a setting of SQLite's."""
    tables.SYNCHRONOUS = int(synchronous)
    if int(file_bytes_max):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_bytes_max), int(file_bytes_max)))
    with SqliteJournal(Path(path), [31337]) as journal:
        try:
            asyncio.run(append_for_ever(journal, random.Random(int(seed))))
        except JournalStopped as error:
            sys.stdout.write(f"stopped: {error}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
