"""What ``keeper doctor`` found: one line for each check, the remedy beside a failure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from keeper.core.errors import KeeperError


class Finding(msgspec.Struct, frozen=True):
    """The outcome of a check. ``exit_code`` is zero when it passed, else that of the error it failed with."""

    check: str
    ok: bool
    detail: str
    remedy: str
    exit_code: int


class Findings:
    """All outcomes so far.

    Args:
        tell: Told of each at once.
    """

    def __init__(self, tell: Callable[[Finding], None]) -> None:
        self.all: list[Finding] = []
        self._tell = tell

    def check(self, name: str, probe: Callable[[], str]) -> bool:
        """Take a check's detail, or its :class:`KeeperError` as a failure. Tells whether it passed."""
        try:
            return self._passed(name, probe())
        except KeeperError as error:
            return self.failed(name, error)

    async def ask(self, name: str, probe: Awaitable[str]) -> bool:
        """Do the same for a check that waits for a node."""
        try:
            return self._passed(name, await probe)
        except KeeperError as error:
            return self.failed(name, error)

    def failed(self, name: str, error: KeeperError) -> bool:
        """Take a failure."""
        self._add(Finding(name, ok=False, detail=error.reason, remedy=error.remedy, exit_code=error.exit_code))
        return False

    @property
    def exit_code(self) -> int:
        """The process's: configuration before journal before node before a check that does not hold; zero for none."""
        found = {finding.exit_code for finding in self.all}
        return next((code for code in (2, 4, 3, 1) if code in found), 0)

    def _passed(self, name: str, detail: str) -> bool:
        self._add(Finding(name, ok=True, detail=detail, remedy="", exit_code=0))
        return True

    def _add(self, finding: Finding) -> None:
        self.all.append(finding)
        self._tell(finding)
