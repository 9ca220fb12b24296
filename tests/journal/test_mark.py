"""The high-water mark."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.core.errors import JournalDamaged
from keeper.core.ids import Hash32
from keeper.journal.mark import SLOT_BYTES, Mark, MarkFile, read_mark

BIRTH = Hash32(b"\1" * 32)


def at(sequence: int) -> Mark:
    """Return a mark at a sequence."""
    return Mark(BIRTH, sequence, Hash32(sequence.to_bytes(32, "big")))


def written(path: Path, *sequences: int) -> bytes:
    """Write marks in order; return the file."""
    file = MarkFile(path, at(sequences[0]))
    for sequence in sequences[1:]:
        file.write(at(sequence))
    file.close()
    return path.read_bytes()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_newest_mark_is_read(tmp_path: Path, count: int) -> None:
    """The last mark written is the one read."""
    written(tmp_path / "mark", *range(count))

    assert read_mark(tmp_path / "mark") == at(count - 1)


def test_an_opened_mark_goes_on(tmp_path: Path) -> None:
    """Opening an existing file keeps its newest mark until the next is written."""
    written(tmp_path / "mark", 4, 5)
    file = MarkFile(tmp_path / "mark", at(0))
    assert read_mark(tmp_path / "mark") == at(5)
    file.write(at(6))
    file.close()

    assert read_mark(tmp_path / "mark") == at(6)
    assert bytes(at(5).hash) in (tmp_path / "mark").read_bytes()


def test_no_file_is_no_mark(tmp_path: Path) -> None:
    """A file that is not there says nothing."""
    assert read_mark(tmp_path / "mark") is None


@pytest.mark.parametrize("sequences", [(1, 2, 3), (1, 2, 3, 4)])
@pytest.mark.parametrize("kept", range(0, 96, 5))
def test_a_torn_write_leaves_the_older_mark(tmp_path: Path, sequences: tuple[int, ...], kept: int) -> None:
    """However much of the newest slot reached the disk, the mark before it or itself is read."""
    path = tmp_path / "mark"
    before, after = written(path, *sequences[:-1]), written(tmp_path / "after", *sequences)
    slot = SLOT_BYTES * (before[:SLOT_BYTES] == after[:SLOT_BYTES])
    path.write_bytes(before[:slot] + after[slot : slot + kept] + before[slot + kept :])

    assert read_mark(path) in (at(sequences[-2]), at(sequences[-1]))


@pytest.mark.parametrize("content", [b"", b"\0" * 8192, b"keepmrk1" * 1024])
def test_an_unreadable_mark_is_an_error(tmp_path: Path, content: bytes) -> None:
    """A mark that is there and cannot be read is never taken for none."""
    (tmp_path / "mark").write_bytes(content)

    with pytest.raises(JournalDamaged, match=r"cannot be read.*compare the signers' nonces"):
        read_mark(tmp_path / "mark")
