"""One writer for each journal, held by the operating system so that a crash releases it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from keeper.core.errors import OperatorError


class WriterLock:
    """An exclusive ``flock`` on a file beside the journal. The file stays; only the lock comes and goes.

    Raises:
        OperatorError: another process writes this journal; names its pid.
    """

    def __init__(self, journal: Path) -> None:
        path = journal.with_name(journal.name + ".lock")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise OperatorError(
                f"journal {journal}",
                f"another keeper (pid {holder}) is writing it",
                "stop that one first, or give this one a journal of its own",
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Let another process write the journal."""
        os.close(self._file)
