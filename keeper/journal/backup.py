"""A copy of a journal, taken while a keeper writes it.

One read transaction sees the journal as it is at one moment, WAL included, however long the copy takes; the writer goes
on meanwhile. The copy is a single file, whole or absent: it is made beside its name, checked to its last record, synced
and only then given the name.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import apsw

from keeper.core.errors import JournalDamaged, OperatorError, UsageError
from keeper.journal import tables
from keeper.journal.reader import JournalReader, mark_path
from keeper.journal.verify import Verification, verify

STEP_PAGES = 1024
"""Pages of the file that are copied between two looks at the progress: 4 MiB."""
Bar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Given what is done and in how many steps, shows it while entered; what it gives takes how many steps were done."""
_NO_COPY = "none was kept; `keeper verify` shows more of it"


def backup(path: Path, copy: Path, bar: Bar) -> Verification:
    """Copy a journal to a new file, check all that was copied, and return what was found.

    Args:
        path: The journal, which may be written meanwhile.
        copy: The file to make.
        bar: Shows how far it is, in pages and then in records.

    Raises:
        UsageError: there is something at the copy's name, or something beside it that SQLite would take for its own.
        OperatorError: it cannot be written there, for want of room too.
        JournalDamaged: what was copied is not what was once written; no copy is left.
    """
    check_free(copy)
    where = f"backup {copy}"
    with _written(where):
        handle, name = tempfile.mkstemp(dir=copy.parent, prefix=f".{copy.name}-")
        os.close(handle)
    draft = Path(name)
    try:
        with closing(_opened(path)) as source, _written(where):
            _copy(source, draft, bar)
        found = _checked(draft, path, bar)
        check_free(copy)
        with _written(where):
            _sync(draft)
            draft.rename(copy)
            _sync(copy.parent)
    finally:
        draft.unlink(missing_ok=True)
    return found


def check_free(copy: Path) -> None:
    """Refuse a name that is taken, or beside which files of another journal are left.

    Raises:
        UsageError: it is so.
    """
    if copy.is_dir():
        raise UsageError(f"--output {copy}", "is a folder", "add the file's name")
    if copy.exists():
        raise UsageError(f"--output {copy}", "exists already", "give another name, or remove it")
    beside = (copy.with_name(f"{copy.name}{end}") for end in ("-wal", "-shm", "-journal"))
    for left in (*beside, mark_path(copy)):
        if left.exists():
            raise UsageError(f"--output {copy}", f"{left.name} of another journal lies there", "give another name")


def _opened(path: Path) -> apsw.Connection:
    """Return a connection that sees the journal as it is now, whatever is written from now on."""
    with tables.translated(path):
        source = tables.connect(path, apsw.SQLITE_OPEN_READONLY)
        try:
            source.execute("BEGIN")
            tables.read_birth(source, path)
        except BaseException:
            source.close()
            raise
    return source


def _copy(source: apsw.Connection, draft: Path, bar: Bar) -> None:
    with closing(tables.connect(draft, apsw.SQLITE_OPEN_READWRITE)) as target:
        target.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)  # pages are copied, not rows
        target.pragma("synchronous", 0)  # it is synced once, as a whole
        left = source.pragma("page_count")
        with bar("copying", left) as advance, target.backup("main", source, "main") as copying:
            while not copying.done:
                copying.step(STEP_PAGES)
                advance(left - copying.remaining)
                left = copying.remaining
    with closing(tables.connect(draft, apsw.SQLITE_OPEN_READWRITE)) as target:
        target.pragma("journal_mode", "delete")  # one file, to be read where nothing can be written


def _checked(draft: Path, path: Path, bar: Bar) -> Verification:
    """Read the copy from its first record to its last.

    Raises:
        JournalDamaged: it is not whole.
    """
    where = f"journal {path}"
    try:
        with JournalReader(draft) as reader, bar("checking", reader.last_sequence) as advance:
            found = verify(reader, advance)
    except JournalDamaged as error:
        raise JournalDamaged(where, f"gave a copy that is not whole ({error.reason})", _NO_COPY) from error
    if found.violation is not None:
        raise JournalDamaged(where, f"gave a copy that is not whole at sequence {found.violation.sequence}", _NO_COPY)
    return found


@contextmanager
def _written(where: str) -> Iterator[None]:
    """Say what a failure to write the copy means.

    Raises:
        OperatorError: the disk is full, fails or may not be written.
    """
    try:
        yield
    except apsw.FullError as error:
        raise OperatorError(where, "the disk is full", "free space, or name a file on another disk") from error
    except apsw.Error as error:
        raise OperatorError(where, f"cannot be copied ({error})", "check both disks") from error
    except OSError as error:
        raise OperatorError(where, f"cannot be written ({error.strerror})", "check its folder and its disk") from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
