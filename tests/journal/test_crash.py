"""Killed at any moment, out of disk at any moment: what was acknowledged is there, what was torn is not."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from keeper.core.decisions import SignerHalted
from keeper.journal.reader import JournalReader
from keeper.journal.verify import verify

KILLS = 12
SEED = 20_260_313


@contextmanager
def appender(
    path: Path, seed: int, file_bytes_max: int = 0, synchronous: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run the appending program beside the test."""
    command = [sys.executable, "-m", "tests.journal.appender", str(path), str(seed), str(file_bytes_max)]
    command += [] if synchronous is None else [str(synchronous)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def acknowledged_before_kill(process: subprocess.Popen[str], count: int) -> int:
    """Kill the program after it has acknowledged some groups; return the last sequence it acknowledged."""
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(count)]
    process.kill()
    lines += process.stdout.readlines()
    return int([line for line in lines if line.endswith("\n")][-1])


def whole_groups(reader: JournalReader) -> bool:
    """Tell whether every group that has a record in the journal has all of them, in order."""
    bodies = (record.body for record in reader.read())
    for body in bodies:
        assert isinstance(body, SignerHalted)
        number, index, size = body.signer.split()
        rest = [other.signer for other in islice(bodies, int(size) - 1) if isinstance(other, SignerHalted)]
        if index != "0" or rest != [f"{number} {place} {size}" for place in range(1, int(size))]:
            return False
    return True


@pytest.mark.slow
def test_a_kill_loses_nothing_acknowledged_and_tears_nothing(tmp_path: Path) -> None:
    """Killed and restarted many times at random moments, the journal keeps every acknowledged group, whole."""
    chance = random.Random(SEED)
    path = tmp_path / "journal.db"
    for _ in range(KILLS):
        with appender(path, chance.getrandbits(32)) as process:
            acknowledged = acknowledged_before_kill(process, chance.randint(1, 120))
        with JournalReader(path) as reader:
            assert reader.last_sequence >= acknowledged
            assert whole_groups(reader)
            assert verify(reader).violation is None


@pytest.mark.fault(21)
@pytest.mark.slow
@pytest.mark.parametrize("file_bytes_max", [60_000, 333_333, 1_000_000])
def test_a_full_disk_stops_the_journal_and_loses_nothing(tmp_path: Path, file_bytes_max: int) -> None:
    """When the system lets no file grow, the journal stops; the next start with room has all it acknowledged."""
    path = tmp_path / "journal.db"
    with appender(path, SEED, file_bytes_max) as process:
        assert process.stdout is not None
        *acknowledged, stopped = process.stdout.readlines()

    assert stopped.startswith(f"stopped: journal {path}: the disk ")
    with JournalReader(path) as reader:
        assert reader.last_sequence >= int(acknowledged[-1])
        assert whole_groups(reader)
    with appender(path, SEED) as process:
        assert acknowledged_before_kill(process, 1) > int(acknowledged[-1])
