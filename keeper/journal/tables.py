"""The SQLite file: what is in it, how it is opened, and what its errors mean.

Facts this rests on: SQLite before 3.51.3 can corrupt a WAL when two connections write or checkpoint at once; WAL with
``synchronous=FULL`` loses no acknowledged commit in a power cut and ``NORMAL`` does; the automatic checkpoint hides its
errors and tries again, and an fsync that is tried again after it failed reports success over lost pages. So the version
is checked, the pragmas are read back, and the writer checkpoints by itself (``keeper.journal.writer``).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from keeper.core.errors import JournalDamaged, JournalForeign, JournalStopped, OperatorError
from keeper.core.ids import Hash32, content_id
from keeper.journal.frames import RESTORE

APPLICATION_ID = 0x6B656570
IMPORTED_ID = 0x6B656571
"""Of a journal that was made of a bundle: it is read like any, and nothing is appended to it."""
"""``keep`` in the SQLite header: this database is a journal of ours."""
FORMAT = 1
SQLITE_MIN = (3, 51, 3)
SYNCHRONOUS = 2
"""``FULL``: a sync at every commit."""
_AFTER_STOP = "then start again: nothing acknowledged is lost"

_SCHEMA = """
CREATE TABLE birth (id BLOB NOT NULL, chain_ids TEXT NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE TABLE frames (
    first_sequence INTEGER PRIMARY KEY,
    last_sequence INTEGER NOT NULL,
    first_unix_ms INTEGER NOT NULL,
    last_unix_ms INTEGER NOT NULL,
    first_block INTEGER NOT NULL,
    last_block INTEGER NOT NULL,
    codec INTEGER NOT NULL,
    hash BLOB NOT NULL,
    payload BLOB NOT NULL
) STRICT;
CREATE TABLE snapshots (
    sequence INTEGER PRIMARY KEY,
    engine_version TEXT NOT NULL,
    state_hash BLOB NOT NULL,
    hash BLOB NOT NULL,
    payload BLOB NOT NULL
) STRICT;
"""
_TABLES = {("table", text.split()[2], text) for each in _SCHEMA.split(";") if (text := each.strip())}
_DISTRUST = {
    apsw.SQLITE_DBCONFIG_DEFENSIVE: 1,
    apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA: 0,
    apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER: 0,
    apsw.SQLITE_DBCONFIG_ENABLE_VIEW: 0,
}
"""A file may come from anywhere: nothing that its schema defines is run."""


class Birth(NamedTuple):
    """Who a journal is: ``hash`` covers the format, the random id and the chain ids, and starts the chain of frames."""

    id: bytes
    chain_ids: tuple[int, ...]
    hash: Hash32


def new_birth(chain_ids: Sequence[int]) -> Birth:
    """Return the identity of a new journal of these chains."""
    return birth_of(os.urandom(16), chain_ids)


def birth_of(journal_id: bytes, chain_ids: Sequence[int]) -> Birth:
    """Return the identity of the journal with this id."""
    return _birth(journal_id, " ".join(str(chain_id) for chain_id in sorted(chain_ids)))


def _birth(journal_id: bytes, chain_ids: str) -> Birth:
    return Birth(journal_id, tuple(int(word) for word in chain_ids.split()), content_id(FORMAT, journal_id, chain_ids))


def check_sqlite(version: str) -> None:
    """Refuse a SQLite library that can lose what it acknowledged.

    Raises:
        OperatorError: older than 3.51.3.
    """
    if tuple(int(part) for part in version.split(".")) < SQLITE_MIN:
        raise OperatorError(f"SQLite {version}", "can corrupt a WAL (fixed in 3.51.3)", "upgrade the apsw package")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Translate what SQLite says of a file that it cannot use.

    Raises:
        JournalDamaged: the file is not a database, or is corrupt.
        JournalStopped: the disk is full or fails.
        OperatorError: the file cannot be opened, or another program holds it.
    """
    where = f"journal {path}"
    try:
        yield
    except (apsw.FullError, apsw.IOError, OSError) as error:
        raise stopped(where, error) from error
    except (apsw.BusyError, apsw.LockedError, apsw.CantOpenError, apsw.PermissionsError) as error:
        raise OperatorError(where, str(error), "check its permissions and which programs have it open") from error
    except (apsw.Error, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise JournalDamaged(where, f"cannot be read ({error})", RESTORE) from error


def stopped(where: str, error: Exception) -> JournalStopped:
    """Return what a failed write means to the operator."""
    if isinstance(error, apsw.FullError) or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
        return JournalStopped(where, "the disk is full", f"free space, {_AFTER_STOP}")
    return JournalStopped(where, f"the disk failed ({error})", f"check the disk, {_AFTER_STOP}")


def connect(path: Path, flags: int) -> apsw.Connection:
    """Open the file with the settings that reading and writing share."""
    check_sqlite(apsw.sqlite_lib_version())
    connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(2000)
    for setting, value in _DISTRUST.items():
        connection.config(setting, value)
    connection.pragma("cell_size_check", True)
    return connection


def make_durable(connection: apsw.Connection, path: Path) -> None:
    """Switch the connection to WAL with a sync at every commit, and read both settings back.

    Raises:
        OperatorError: the file system or library does not support it.
    """
    mode = connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", SYNCHRONOUS)
    synchronous = connection.pragma("synchronous")
    if (mode, synchronous) != ("wal", SYNCHRONOUS):
        reason = f"SQLite runs it with journal_mode={mode}, synchronous={synchronous} instead of wal, {SYNCHRONOUS}"
        raise OperatorError(f"journal {path}", reason, "put it on a local disk")


def is_blank(connection: apsw.Connection) -> bool:
    """Tell whether the database was never written to: new, or left by a crash in the middle of its creation."""
    marks = (connection.pragma("application_id"), connection.pragma("user_version"))
    return marks == (0, 0) and one(connection, "SELECT count(*) FROM sqlite_schema") == (0,)


def create(connection: apsw.Connection, birth: Birth, application_id: int = APPLICATION_ID) -> None:
    """Make the tables and give the journal its identity, in one transaction."""
    with connection:
        connection.execute(_SCHEMA)
        connection.pragma("application_id", application_id)
        connection.pragma("user_version", FORMAT)
        chain_ids = " ".join(str(chain_id) for chain_id in birth.chain_ids)
        connection.execute("INSERT INTO birth VALUES (?, ?, ?)", (birth.id, chain_ids, birth.hash))


def read_birth(connection: apsw.Connection, path: Path) -> Birth:
    """Return the identity of an existing journal.

    Raises:
        JournalForeign: not a journal of this program, or of a newer format.
        JournalDamaged: the identity is not what was written.
    """
    where = f"journal {path}"
    if connection.pragma("application_id") not in {APPLICATION_ID, IMPORTED_ID}:
        raise JournalForeign(where, "is empty, or a database of another program", "check the journal's url")
    version = connection.pragma("user_version")
    if version > FORMAT:
        raise JournalForeign(where, f"has format {version}, this version reads {FORMAT}", "upgrade margin-keeper")
    _check_schema(connection, where)
    row = one(connection, "SELECT id, chain_ids, hash FROM birth")
    if version != FORMAT or row is None or not _is_birth(row):
        raise JournalDamaged(where, "its identity is not what was written", RESTORE)
    return _birth(row[0], row[1])


def refuse_imported(connection: apsw.Connection, path: Path) -> None:
    """Do not go on with a journal that was made of a bundle.

    Raises:
        JournalForeign: it was.
    """
    if connection.pragma("application_id") == IMPORTED_ID:
        reason = "was imported from a bundle, and what it tells of goes on elsewhere"
        raise JournalForeign(f"journal {path}", reason, "give the url of this keeper's own journal")


def _check_schema(connection: apsw.Connection, where: str) -> None:
    """Refuse a file with anything but the tables as they were made: no view in place of one, no trigger, no index."""
    held = {tuple(row) for row in connection.execute("SELECT type, name, sql FROM sqlite_schema")}
    strange = sorted(str(name) for _, name, _ in held ^ _TABLES)
    if strange:
        reason = f"its {strange[0]!r} is not what a journal has"
        raise JournalDamaged(where, reason, RESTORE)


def _is_birth(row: tuple[Any, ...]) -> bool:
    try:
        return bool(_birth(row[0], row[1]).hash == row[2])
    except (TypeError, ValueError, AttributeError):
        return False


def one(connection: apsw.Connection, sql: str, bindings: Sequence[Any] = ()) -> Any:  # noqa: ANN401 - a row of any columns
    """Return the only row of a query as a tuple, or ``None``."""
    return connection.execute(sql, bindings).fetchone()
