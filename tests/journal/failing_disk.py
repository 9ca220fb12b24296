"""A disk whose syncs can be made to fail, under SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw


class FailingDisk(apsw.VFS):
    """SQLite's own file layer, except that a sync of a file whose name ends in ``failing`` is an I/O error."""

    def __init__(self) -> None:
        self.failing: str | None = None
        self.failures = 0
        super().__init__("failing-disk", "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        """Open a file of this disk."""
        return _File(self, name, flags)


class _File(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._disk = disk
        self._name = name.filename() if isinstance(name, apsw.URIFilename) else name
        super().__init__("unix", name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        if self._disk.failing is not None and str(self._name).endswith(self._disk.failing):
            self._disk.failures += 1
            raise apsw.IOError("sync failed")
        super().xSync(flags)


@contextmanager
def failing_disk() -> Iterator[FailingDisk]:
    """Put every database that is opened meanwhile on such a disk."""
    disk = FailingDisk()
    try:
        yield disk
    finally:
        disk.unregister()
