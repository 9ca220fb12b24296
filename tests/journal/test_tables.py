"""What SQLite's errors mean."""

from __future__ import annotations

import errno
from pathlib import Path

import apsw
import pytest

from keeper.core.errors import JournalDamaged, JournalStopped, KeeperError, OperatorError
from keeper.journal.tables import check_sqlite, translated

APSW_ERRORS = [value for value in vars(apsw).values() if isinstance(value, type) and issubclass(value, apsw.Error)]


@pytest.mark.parametrize("kind", APSW_ERRORS)
def test_no_error_of_sqlite_gets_through(kind: type[apsw.Error]) -> None:
    """Whatever SQLite raises becomes an error of ours."""
    with pytest.raises(KeeperError, match=r"^journal x\.db: "), translated(Path("x.db")):
        raise kind("something")


@pytest.mark.parametrize(
    ("error", "ours", "message"),
    [
        (apsw.FullError("full"), JournalStopped, "the disk is full; free space, then start again"),
        (OSError(errno.ENOSPC, "No space"), JournalStopped, "the disk is full; free space, then start again"),
        (apsw.IOError("I/O"), JournalStopped, r"the disk failed \(I/O\); check the disk, then start again"),
        (OSError(errno.EIO, "I/O"), JournalStopped, "the disk failed"),
        (apsw.CantOpenError("no"), OperatorError, "check its permissions"),
        (apsw.BusyError("busy"), OperatorError, "which programs have it open"),
        (apsw.CorruptError("malformed"), JournalDamaged, r"cannot be read \(malformed\); restore the file"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), JournalDamaged, "restore the file"),
    ],
)
def test_errors_say_who_must_act(error: Exception, ours: type[KeeperError], message: str) -> None:
    """A disk that fails, a file that is in use and a file that is damaged are three different things."""
    with pytest.raises(ours, match=message), translated(Path("x.db")):
        raise error


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2", "3.7.0"])
def test_a_sqlite_that_corrupts_is_refused(version: str) -> None:
    """A library older than 3.51.3 is not used; its successors are."""
    with pytest.raises(OperatorError, match=f"SQLite {version}: can corrupt a WAL"):
        check_sqlite(version)
    check_sqlite("3.51.3")
    check_sqlite("3.100.0")
