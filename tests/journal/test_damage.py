"""Bytes changed or missing anywhere in the files: an exact prefix is read or an error is raised, nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.core.codec import Record
from keeper.core.errors import JournalDamaged, KeeperError
from keeper.journal.reader import JournalReader
from keeper.journal.sqlite import SqliteJournal
from keeper.journal.verify import verify
from tests.journal.bodies import block, ticks

TRIALS = 100
CLOSED = ("journal.db", "journal.db.mark")
DAMAGE = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), st.integers(0, 1 << 20), st.integers(0, 7).map(lambda bit: bytes([1 << bit]))),
        st.tuples(st.just("cut"), st.integers(0, 1 << 20), st.just(b"")),
        st.tuples(st.just("span"), st.integers(0, 1 << 20), st.binary(min_size=1, max_size=64)),
        st.tuples(st.just("span"), st.integers(0, 200), st.binary(min_size=1, max_size=8)),
    ),
    min_size=1,
    max_size=6,
)
"""What happens to a file, in order: a bit is turned, the rest is lost, a span is overwritten (also in its header)."""
Files = dict[str, bytes]


def read_only(path: Path) -> list[Record]:
    """Read everything as a reader does."""
    with JournalReader(path) as reader:
        return list(reader.read())


def read_as_daemon(path: Path) -> list[Record]:
    """Read everything as a starting daemon does."""
    with SqliteJournal(path, [31337]) as journal:
        return list(journal.read())


async def fill(journal: SqliteJournal) -> None:
    """Commit some groups of three, each in its own frame."""
    for number in range(5):
        group = [*ticks(2, number), (block(number, 1 + number), 0)]
        await journal.wait_durable(journal.append(group, number))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """A journal of which one half is in the database and the other in the WAL, and its mark at the half."""
    path = tmp_path / "journal.db"
    with SqliteJournal(path, [31337]) as journal:
        asyncio.run(fill(journal))
        journal.save_snapshot(3, "1", bytes(5000))
    with SqliteJournal(path, [31337]) as journal:
        asyncio.run(fill(journal))
        return {name: (tmp_path / name).read_bytes() for name in ("journal.db", "journal.db-wal", "journal.db.mark")}


@pytest.fixture
def expected(files: Files, tmp_path: Path) -> list[Record]:
    """The records of the undamaged journal."""
    return read_only(write(files, tmp_path / "whole"))


def write(files: Files, folder: Path) -> Path:
    """Write the files of a journal into a folder that holds nothing else."""
    folder.mkdir(exist_ok=True)
    for leftover in folder.iterdir():
        leftover.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / "journal.db"


def flipped(content: bytes, offset: int) -> bytes:
    """Return the content with one bit changed."""
    return content[:offset] + bytes([content[offset] ^ 1 << offset % 8]) + content[offset + 1 :]


def cut(content: bytes, offset: int) -> bytes:
    """Return the content up to an offset."""
    return content[:offset]


def damaged(files: Files, name: str, damage: Callable[[bytes, int], bytes]) -> Iterator[Files]:
    """Damage one file at many places."""
    content = files[name]
    for offset in range(0, len(content), len(content) // TRIALS | 1):
        yield {**files, name: damage(content, offset)}


@pytest.mark.fault(20, 22)
@pytest.mark.slow
@pytest.mark.parametrize("read", [read_only, read_as_daemon])
@pytest.mark.parametrize("damage", [flipped, cut])
@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "journal.db.mark"])
def test_wrong_records_are_never_read(
    files: Files,
    expected: list[Record],
    tmp_path: Path,
    name: str,
    damage: Callable[[bytes, int], bytes],
    read: Callable[[Path], list[Record]],
) -> None:
    """Whatever byte is changed or lost, what is read is a prefix of whole groups that reaches the mark, or an error."""
    half = len(expected) // 2
    for trial in damaged(files, name, damage):
        try:
            actual = read(write(trial, tmp_path / "trial"))
        except JournalDamaged:
            continue
        assert actual == expected[: len(actual)]
        assert len(actual) % 3 == 0
        assert len(actual) >= half


def damaged_by(content: bytes, damage: list[tuple[str, int, bytes]]) -> bytes:
    """Return the content after all that happened to it."""
    changed = bytearray(content)
    for kind, place, what in damage:
        offset = place % max(len(changed), 1)
        if kind == "cut":
            del changed[offset:]
        elif kind == "span":
            changed[offset : offset + len(what)] = what[: len(changed) - offset]
        elif changed:
            changed[offset] ^= what[0]
    return bytes(changed)


def read_and_verified(path: Path) -> tuple[list[Record], int]:
    """Read everything that a file holds, in every way there is; return the records and how many snapshots are good.

    Raises:
        JournalDamaged: reading said so, or the full check did.
    """
    with JournalReader(path) as reader:
        reader.summary()
        verification = verify(reader)
        if verification.violation is not None:
            raise JournalDamaged(str(path), verification.violation.reason)
        assert all(snapshot.state == bytes(5000) for snapshot in reader.snapshots("1"))
        return list(reader.read()), verification.snapshots_good


@cache
def closed() -> Files:
    """A journal that was closed in order: all of it in the database, its mark at its end, and one snapshot."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        with SqliteJournal(path, [31337]) as journal:
            asyncio.run(fill(journal))
            journal.save_snapshot(3, "1", bytes(5000))
        return {name: (Path(folder) / name).read_bytes() for name in CLOSED}


@pytest.mark.fault(20, 22)
@pytest.mark.slow
@pytest.mark.parametrize("name", CLOSED)
@given(damage=DAMAGE)
@settings(max_examples=100)
def test_any_damage_is_an_error_of_ours_or_none(name: str, damage: list[tuple[str, int, bytes]]) -> None:
    """Whatever happened to a file, all its records are read and nothing else, or one line names the file."""
    with TemporaryDirectory() as folder:
        expected, _ = read_and_verified(write(closed(), Path(folder)))
        path = write({**closed(), name: damaged_by(closed()[name], damage)}, Path(folder))
        try:
            actual, snapshots = read_and_verified(path)
        except KeeperError as error:
            assert str(path) in str(error)  # noqa: PT017 - whatever is raised, not that it is
        else:
            assert (actual, snapshots in (0, 1)) == (expected, True)


@pytest.mark.fault(20, 22)
@pytest.mark.slow
@given(
    column=st.sampled_from(["sequence", "engine_version", "state_hash", "hash", "payload"]),
    value=st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(max_size=9), st.binary(max_size=40)),
)
@settings(max_examples=50)
def test_any_snapshot_row_is_good_or_skipped(column: str, value: int | str | bytes) -> None:
    """Whatever stands in a column of a snapshot, the records are read in full, and it is trusted or not."""
    with TemporaryDirectory() as folder:
        path = write(closed(), Path(folder))
        expected, _ = read_and_verified(path)
        connection = apsw.Connection(str(path))
        with suppress(apsw.ConstraintError, apsw.MismatchError):
            connection.execute(f"UPDATE snapshots SET {column} = ?", (value,))
        connection.close()

        assert read_and_verified(path)[0] == expected
