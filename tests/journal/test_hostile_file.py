"""A file that somebody made up: nothing in its schema is run, nothing in it is believed for being well sealed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import apsw
import pytest
import zstandard
from structlog.testing import capture_logs

from keeper.core.errors import JournalDamaged, KeeperError, OperatorError
from keeper.core.ids import HASH_LENGTH, Hash32, content_id
from keeper.journal.frames import CODEC_PLAIN, CODEC_ZSTD, NO_BLOCK, Header, frame_hash
from keeper.journal.mark import Mark, MarkFile, read_mark
from keeper.journal.reader import JournalReader, mark_path
from keeper.journal.snapshots import StoredSnapshot
from keeper.journal.sqlite import SqliteJournal
from keeper.journal.verify import verify
from tests.journal.bodies import ticks

CHAINS = [31337]
CLAIMS_TOO_MUCH = b"\x28\xb5\x2f\xfd\xe0" + b"\x7f" * 8
"""The head of a zstd frame that says it holds 2^63 bytes."""
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of one frame of two records, with one snapshot."""
    path = tmp_path / "journal.db"
    with SqliteJournal(path, CHAINS) as journal:
        asyncio.run(journal.wait_durable(journal.append(ticks(2), 0)))
        journal.save_snapshot(2, "1", b"state")
    return path


def run_sql(path: Path, sql: str, bindings: tuple[int | str | bytes, ...] = ()) -> None:
    """Change the file as somebody would who may."""
    connection = apsw.Connection(str(path))
    connection.execute(sql, bindings)
    connection.close()


def read_as_daemon(path: Path) -> object:
    """Open it as a starting daemon does, and read."""
    with SqliteJournal(path, CHAINS) as journal:
        return list(journal.read())


def read_only(path: Path) -> object:
    """Open it as a command does, and read."""
    with JournalReader(path) as reader:
        return list(reader.read())


@pytest.mark.fault(22)
@pytest.mark.parametrize("read", [read_only, read_as_daemon])
@pytest.mark.parametrize(
    ("sql", "name"),
    [
        (f"DROP TABLE birth; CREATE VIEW birth AS {ENDLESS} SELECT i AS id, i AS chain_ids, i AS hash FROM n", "birth"),
        ("ALTER TABLE frames RENAME TO f; CREATE VIEW frames AS SELECT * FROM f", "f"),
        ("DROP TABLE snapshots", "snapshots"),
        ("ALTER TABLE snapshots ADD COLUMN more TEXT", "snapshots"),
        ("CREATE TABLE theirs (x)", "theirs"),
        ("CREATE INDEX quicker ON frames (last_sequence)", "quicker"),
        ("CREATE TRIGGER spy AFTER INSERT ON frames BEGIN DELETE FROM snapshots; END", "spy"),
        ("CREATE VIRTUAL TABLE words USING fts5(word)", "words"),
    ],
)
def test_a_foreign_schema_is_refused(path: Path, sql: str, name: str, read: Callable[[Path], object]) -> None:
    """A view in place of a table, a trigger, an index, a table or column more or less: the file is not read."""
    run_sql(path, sql)

    with pytest.raises(JournalDamaged, match=f"^journal .*: its '{name}' is not what a journal has; restore the file"):
        read(path)


def test_nothing_of_a_schema_runs(path: Path) -> None:
    """The writing connection runs no trigger and no view, and its settings say so."""
    with SqliteJournal(path, CHAINS) as journal:
        config = journal._writer._connection.config
        settings = {
            name: config(getattr(apsw, f"SQLITE_DBCONFIG_{name}"), -1)
            for name in ("DEFENSIVE", "TRUSTED_SCHEMA", "ENABLE_TRIGGER", "ENABLE_VIEW")
        }

    assert settings == {"DEFENSIVE": 1, "TRUSTED_SCHEMA": 0, "ENABLE_TRIGGER": 0, "ENABLE_VIEW": 0}


@pytest.mark.fault(22)
@pytest.mark.parametrize(
    ("codec", "payload"),
    [(CODEC_PLAIN, b"\x91" * 2000), (CODEC_ZSTD, b"nonsense"), (CODEC_PLAIN, b"\x92\x01\x02"), (16, b"")],
)
def test_a_forged_frame_is_a_violation(path: Path, codec: int, payload: bytes) -> None:
    """A frame whose hash somebody made right is named by its sequence where it holds no records."""
    with JournalReader(path) as reader:
        birth = reader.birth.hash
    header = Header(1, 2, 0, 0, NO_BLOCK, NO_BLOCK, codec)
    run_sql(
        path, "UPDATE frames SET codec = ?, hash = ?, payload = ?", (codec, frame_hash(birth, header, payload), payload)
    )
    mark_path(path).unlink()

    with JournalReader(path) as reader:
        violation = verify(reader).violation
    assert violation is not None
    assert violation.sequence == 1
    with pytest.raises(JournalDamaged, match="the frame at sequence 1 "):
        read_only(path)


@pytest.mark.parametrize(
    "payload", [b"nonsense", zstandard.compress(b"state") + b"\0", zstandard.compress(b"state"), CLAIMS_TOO_MUCH]
)
def test_a_forged_snapshot_is_skipped(path: Path, payload: bytes) -> None:
    """A snapshot whose seal somebody made right is passed over where it does not expand to what we would write."""
    with JournalReader(path) as reader:
        birth = reader.birth.hash
    state_hash = Hash32(bytes(HASH_LENGTH))
    row = StoredSnapshot(1, "1", state_hash, content_id(birth, 1, "1", state_hash, payload), payload)
    run_sql(path, "INSERT INTO snapshots VALUES (?, ?, ?, ?, ?)", row)

    with JournalReader(path) as reader, capture_logs() as logs:
        assert [snapshot.sequence for snapshot in reader.snapshots("1")] == [2]
        assert verify(reader).snapshots_bad == (1,)
    assert [log["event"] for log in logs] == ["snapshot skipped"]


def test_a_mark_of_another_kind_is_no_mark(path: Path) -> None:
    """A mark with the right checksum and another magic is of a version that we do not know: it is not read as ours."""
    mark = Mark(Hash32(bytes(HASH_LENGTH)), 1, Hash32(bytes(HASH_LENGTH)))
    other = path.with_name("other.mark")
    MarkFile(other, mark).close()
    content = other.read_bytes().replace(b"keepmrk1", b"keepmrk2")
    fields = content[:80]
    other.write_bytes(fields + checksum(fields) + content[96:])

    with pytest.raises(JournalDamaged, match="cannot be read"):
        read_mark(other)


def checksum(fields: bytes) -> bytes:
    """Return the checksum of a slot, as its writer makes it."""
    return blake2b(fields, digest_size=16).digest()


def test_a_folder_in_place_of_the_mark(path: Path) -> None:
    """A mark that cannot be opened is said in one line, by readers and daemons alike."""
    mark_path(path).unlink()
    mark_path(path).mkdir()

    for read in (read_only, read_as_daemon):
        with pytest.raises(OperatorError, match=r"^high-water mark .*\.mark: cannot be opened \(Is a directory\)"):
            read(path)


def test_a_mark_of_any_length_is_read_in_part(path: Path) -> None:
    """What stands after the two slots of a mark is not read, however long it is."""
    with mark_path(path).open("r+b") as file:
        file.truncate(1 << 40)

    read_only(path)


def test_errors_are_ours(path: Path) -> None:
    """A journal path that is a folder is the operator's, in one line."""
    with pytest.raises(KeeperError):
        JournalReader(path.parent)
