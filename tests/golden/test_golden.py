"""The golden log: an old journal means the same in every process, under every seed of hashes, on every Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from keeper.core.codec import AnyBody
from keeper.core.facts import BootstrapCompleted, BootstrapStarted, HoldersFound, VenueRead
from keeper.journal.reader import JournalReader
from tests.cli.history_file import write_history
from tests.golden import Outcome, golden_outcome, golden_records, outcome
from tests.golden.story import told

ROOT = Path(__file__).resolve().parents[2]
IMPORTED = os.pathsep.join([str(ROOT), *(each for each in sys.path if each.endswith("site-packages"))])
NOT_OF_THE_TOY = {BootstrapStarted, HoldersFound, VenueRead, BootstrapCompleted}
"""It is folded from its logs and never read."""


def pythons() -> list[str]:
    """Return every other Python on the path that can import what this one has installed: compiled wheels are choosy."""
    folders = os.get_exec_path()
    candidates = {Path(folder) / f"python3.{minor}" for folder in folders for minor in range(11, 20)}
    return [str(path) for path in sorted(candidates) if os.access(path, os.X_OK) and _imports(path)]


def _imports(path: Path) -> bool:
    command = [str(path), "-c", "import msgspec, keeper.engine.step, strategies"]
    return subprocess.run(command, env=environment("0"), capture_output=True, check=False).returncode == 0


def environment(hash_seed: str) -> dict[str, str]:
    """Return an environment in which sets and dictionaries of bytes are ordered by this seed."""
    return {**os.environ, "PYTHONPATH": IMPORTED, "PYTHONHASHSEED": hash_seed, "PYTHONDONTWRITEBYTECODE": "1"}


def replayed_by(python: str, hash_seed: str) -> Outcome:
    """Replay the golden log in a process of its own."""
    command = [python, "-m", "tests.golden"]
    done = subprocess.run(command, env=environment(hash_seed), cwd=ROOT, capture_output=True, check=True)
    return msgspec.json.decode(done.stdout, type=Outcome)


@pytest.mark.fault(44)
def test_the_golden_log_means_what_it_meant() -> None:
    """Records, decisions and state of the log are today what they were when it was written, to the last bit."""
    assert outcome(golden_records()) == golden_outcome()


@pytest.mark.fault(44)
def test_the_golden_log_goes_through_a_journal(tmp_path: Path) -> None:
    """Written to a journal file and read back, the log is the same."""
    path = write_history(tmp_path / "journal.db", golden_records()).path

    with JournalReader(path) as reader:
        assert outcome(list(reader.read())) == golden_outcome()


@pytest.mark.fault(44)
@pytest.mark.slow
@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_golden_log_under_another_hash_seed(hash_seed: str) -> None:
    """The order in which a process happens to keep its sets decides nothing."""
    assert replayed_by(sys.executable, hash_seed) == golden_outcome()


@pytest.mark.fault(44)
@pytest.mark.slow
def test_the_golden_log_on_every_python() -> None:
    """Every Python that can run this code comes to the same; with only one installed this says no more than that."""
    outcomes = {python: replayed_by(python, "3") for python in [sys.executable, *pythons()]}

    assert outcomes == dict.fromkeys(outcomes, golden_outcome())


def test_the_story_is_still_told_so() -> None:
    """The engine decides today as it did: the story told anew is the log, record by record."""
    assert told() == golden_records()


def test_the_log_has_every_kind_of_record() -> None:
    """No kind of record is left out of the log but those that a toy venue never causes."""
    assert {type(record.body) for record in golden_records()} == set(AnyBody.__args__) - NOT_OF_THE_TOY
