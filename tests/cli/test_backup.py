"""``keeper journal backup``: a copy is a whole prefix of the journal, whoever writes it meanwhile, or there is none."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import apsw
import pytest

from keeper.core.errors import OperatorError
from keeper.journal import backup as module
from keeper.journal.backup import backup
from keeper.journal.frames import CODEC_PLAIN, NO_BLOCK, Header, frame_hash
from keeper.journal.reader import JournalReader
from keeper.journal.sqlite import SqliteJournal
from keeper.journal.verify import verify
from tests.cli.conftest import Keeper
from tests.cli.history_file import JournalFile
from tests.engine.history import CHAIN
from tests.journal.bodies import ticks
from tests.journal.failing_disk import failing_disk


class Bars:
    """Bars that nobody sees: what they counted, and something that is done at each step of the first."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.meanwhile = meanwhile
        self.steps: dict[str, list[int]] = {}
        self.totals: dict[str, int] = {}

    @contextmanager
    def __call__(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Count under a label."""
        steps = self.steps.setdefault(label, [])
        self.totals[label] = total

        def advance(done: int) -> None:
            steps.append(done)
            if label == "copying":
                self.meanwhile()

        yield advance


def left_in(folder: Path) -> set[str]:
    """Return the names of the files in a folder."""
    return {path.name for path in folder.iterdir()}


def test_a_copy_is_the_journal(keeper: Keeper, journal: JournalFile, tmp_path: Path) -> None:
    """The copy verifies with the head and the state of the journal, is a single file, and the command says its head."""
    copy = tmp_path / "safe" / "copy.db"
    copy.parent.mkdir()
    told = keeper("journal", "backup", "--journal", journal.url, "-o", copy, "--json").document
    one, other = (keeper("verify", "--journal", f"sqlite://{each}", "--json").document for each in (journal.path, copy))
    same = ("tip_hash", "state_hash", "last_sequence", "records", "decisions", "snapshots_compared", "fault")

    assert {key: one[key] for key in same} == {key: other[key] for key in same}
    assert (told["tip_hash"], told["last_sequence"]) == (one["tip_hash"], one["last_sequence"])
    assert (told["copy_bytes"], left_in(copy.parent)) == (copy.stat().st_size, {copy.name})


def test_it_says_the_head(keeper: Keeper, journal: JournalFile, tmp_path: Path) -> None:
    """For people, the head's hash and place stand in a line."""
    outcome = keeper("journal", "backup", "--journal", journal.url, "--output", tmp_path / "copy.db")
    tip = keeper("verify", "--journal", journal.url, "--json").document["tip_hash"]

    assert f"head     {tip} at {len(journal.records):,}\n" in outcome.out


def test_a_copy_can_be_gone_on_with(keeper: Keeper, journal: JournalFile, tmp_path: Path) -> None:
    """A copy that is put in a journal's place is opened and written as one."""
    copy = tmp_path / "copy.db"
    assert keeper("journal", "backup", "--journal", journal.url, "-o", copy).code == 0
    with JournalReader(journal.path) as reader:
        chain_ids, last = reader.birth.chain_ids, reader.last_sequence
    with SqliteJournal(copy, chain_ids) as opened:
        asyncio.run(opened.wait_durable(opened.append(ticks(3), 0)))

        assert opened.durable_sequence == last + 3


def test_what_is_written_meanwhile_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A writer that commits between any two pages neither waits nor gets into the copy, which ends where it began."""
    monkeypatch.setattr(module, "STEP_PAGES", 1)
    path, copy = tmp_path / "journal.db", tmp_path / "copy.db"
    with SqliteJournal(path, [31337]) as journal:

        def write() -> None:
            asyncio.run(journal.wait_durable(journal.append(ticks(10), 0)))

        for _ in range(50):
            write()
        bars = Bars(write)
        found = backup(path, copy, bars)
        with JournalReader(path) as reader:
            records = list(reader.read(1, 500))
            assert reader.place(501)[0] == found.last_sequence == 500
            assert reader.last_sequence == 500 + 10 * len(bars.steps["copying"]) > 520
    with JournalReader(copy) as reader:
        assert list(reader.read()) == records
    assert {label: sum(steps) for label, steps in bars.steps.items()} == bars.totals


@pytest.mark.slow
def test_a_copy_beside_another_process(keeper: Keeper, tmp_path: Path) -> None:
    """Copies that are taken while a process appends as fast as it can are prefixes of what it wrote."""
    path = tmp_path / "journal.db"
    command = [sys.executable, "-m", "tests.journal.appender", str(path), "7", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        try:
            told = []
            for number in range(3):
                for _ in range(20):
                    writer.stdout.readline()
                arguments = ("--journal", f"sqlite://{path}", "-o", tmp_path / f"{number}.db", "--json")
                told.append(keeper("journal", "backup", *arguments).document)
        finally:
            writer.kill()
    with JournalReader(path) as whole:
        for number, each in enumerate(told):
            with JournalReader(tmp_path / f"{number}.db") as reader:
                assert verify(reader).violation is None
                assert reader.tip() == whole.place(each["last_sequence"] + 1)
                assert list(reader.read()) == list(whole.read(1, each["last_sequence"]))
    assert 0 < told[0]["last_sequence"] < told[1]["last_sequence"] < told[2]["last_sequence"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory://", "is forgotten when its process ends"),
        ("postgres://db", "is not of a kind that is known"),
        ("sqlite://{0}/none.db", "there is no such file"),
        ("sqlite://{0}", "names a folder"),
    ],
)
def test_no_journal_to_copy(keeper: Keeper, tmp_path: Path, url: str, said: str) -> None:
    """What is no journal that another process can read is refused, in a line, and nothing is written."""
    outcome = keeper("journal", "backup", "--journal", url.format(tmp_path), "-o", tmp_path / "copy.db")

    assert (outcome.code, said in outcome.err, outcome.err.count("\n")) == (2, True, 1)
    assert left_in(tmp_path) == set()


@pytest.mark.parametrize(
    ("there", "output", "said"),
    [
        ("copy.db", "copy.db", "exists already; give another name, or remove it"),
        ("folder/file", "folder", "is a folder; add the file's name"),
        ("copy.db-wal", "copy.db", "copy.db-wal of another journal lies there"),
        ("copy.db.mark", "copy.db", "copy.db.mark of another journal lies there"),
        ("other", "none/copy.db", "its folder does not exist"),
        ("file", "file/copy.db", "its folder does not exist"),
    ],
)
def test_where_no_copy_is_made(
    keeper: Keeper, journal: JournalFile, tmp_path: Path, there: str, output: str, said: str
) -> None:
    """What is there is never replaced, nor is a copy put beside what would change it when it is opened."""
    before = tmp_path / "out" / there
    before.parent.mkdir(parents=True)
    before.write_bytes(b"what was there")
    outcome = keeper("journal", "backup", "--journal", journal.url, "-o", tmp_path / "out" / output)

    assert (outcome.code, said in outcome.err, outcome.err.count("\n")) == (2, True, 1), outcome.err
    assert before.read_bytes() == b"what was there"
    assert left_in(before.parent) == {before.name}


def test_a_disk_without_room(
    keeper: Keeper, journal: JournalFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the copy would not fit, nothing is begun, and both sizes are told."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=4096))
    out = tmp_path / "out"
    out.mkdir()
    outcome = keeper("journal", "backup", "--journal", journal.url, "-o", out / "copy.db")

    assert (outcome.code, "bytes, its disk has 4,096; free space" in outcome.err) == (2, True)
    assert left_in(out) == set()


def test_a_disk_that_becomes_full(journal: JournalFile, tmp_path: Path) -> None:
    """When room runs out on the way, that is said and nothing is left of the copy."""
    out = tmp_path / "out"
    out.mkdir()
    with SqliteJournal(journal.path, [CHAIN]), failing_disk() as disk:
        disk.failure = "full"

        def fill() -> None:
            disk.fails_at = len(disk.done) + 1

        with pytest.raises(OperatorError, match="the disk is full; free space"):
            backup(journal.path, out / "copy.db", Bars(fill))
    assert disk.has_failed
    assert left_in(out) == set()


@pytest.mark.parametrize("column", ["payload = x'00'", "last_unix_ms = 1"])
def test_of_a_damaged_journal_there_is_no_copy(
    keeper: Keeper, journal: JournalFile, tmp_path: Path, column: str
) -> None:
    """Damage that opening the journal does not meet, far behind its mark, is found in the copy, and none is kept."""
    connection = apsw.Connection(str(journal.path))
    connection.execute(f"UPDATE frames SET {column} WHERE first_sequence = 1")
    connection.close()
    out = tmp_path / "out"
    out.mkdir()
    outcome = keeper("journal", "backup", "--journal", journal.url, "-o", out / "copy.db")

    assert (outcome.code, "gave a copy that is not whole" in outcome.err) == (4, True)
    assert left_in(out) == set()


def test_records_that_cannot_be_read_are_not_copied(keeper: Keeper, tmp_path: Path) -> None:
    """A frame whose hash holds and whose records are none is found as well: the copy is read, not only hashed."""
    path, out = tmp_path / "journal.db", tmp_path / "out"
    out.mkdir()
    with SqliteJournal(path, [CHAIN]):
        pass
    with JournalReader(path) as reader:
        header = Header(1, 1, 0, 0, NO_BLOCK, NO_BLOCK, CODEC_PLAIN)
        sealed = frame_hash(reader.birth.hash, header, b"no records")
    connection = apsw.Connection(str(path))
    connection.execute("INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*header, sealed, b"no records"))
    connection.close()
    outcome = keeper("journal", "backup", "--journal", f"sqlite://{path}", "-o", out / "copy.db")

    assert (outcome.code, "is not whole at sequence 1; none was kept" in outcome.err) == (4, True), outcome.err
    assert left_in(out) == set()
