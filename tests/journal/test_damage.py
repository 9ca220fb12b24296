"""Bytes changed or missing anywhere in the files: an exact prefix is read or an error is raised, nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keeper.core.codec import Record
from keeper.core.errors import JournalDamaged
from keeper.journal.reader import JournalReader
from keeper.journal.sqlite import SqliteJournal
from tests.journal.bodies import block, ticks

TRIALS = 100
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
