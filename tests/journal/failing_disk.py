"""A disk that fails once, under SQLite, and counts what is still asked of it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import apsw

Operation = Literal["write", "sync", "truncate"]
Failure = Literal["full", "io", "short"]
"""What a write does then: nothing, for want of room; nothing, for an error; half of it, for want of room."""


class FailingDisk(apsw.VFS):
    """SQLite's own file layer, of which one operation fails.

    ``fails_at`` is which one, counted from one over all operations; :meth:`fail_next` names it by what it is.
    """

    def __init__(self) -> None:
        self.fails_at: int | None = None
        self._next: tuple[Operation, str] | None = None
        self.failure: Failure = "io"
        self.done: list[tuple[Operation, str]] = []
        self.done_after_failure: list[tuple[Operation, str]] = []
        self.has_failed = False
        super().__init__("failing-disk", "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        """Open a file of this disk."""
        return _File(self, name, flags)

    def fails(self, operation: Operation, name: str) -> bool:
        """Count an operation, and tell whether it is the one that fails."""
        if self.has_failed:
            self.done_after_failure.append((operation, name))
            return False
        self.done.append((operation, name))
        is_next = self._next is not None and self._next[0] == operation and name.endswith(self._next[1])
        self.has_failed = is_next or len(self.done) == self.fails_at
        return self.has_failed

    def fail_next(self, operation: Operation, suffix: str) -> None:
        """Let the next operation of this kind on a file whose name ends so be the one that fails."""
        self._next = operation, suffix


class _File(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        self._name = str(name.filename() if isinstance(name, apsw.URIFilename) else name)
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        if self._disk.fails("write", self._name):
            if self._disk.failure == "short":
                super().xWrite(data[: len(data) // 2], offset)
            raise apsw.IOError("write failed") if self._disk.failure == "io" else apsw.FullError("no room")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        if self._disk.fails("sync", self._name):
            raise apsw.IOError("sync failed")
        super().xSync(flags)

    def xTruncate(self, size: int) -> None:  # noqa: N802 - SQLite's name
        if self._disk.fails("truncate", self._name):
            raise apsw.IOError("truncate failed")
        super().xTruncate(size)


@contextmanager
def failing_disk() -> Iterator[FailingDisk]:
    """Put every database that is opened meanwhile on such a disk."""
    disk = FailingDisk()
    try:
        yield disk
    finally:
        disk.unregister()
