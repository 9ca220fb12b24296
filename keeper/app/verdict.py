"""What a run ended by: of all the errors of its tasks, the one that the operator is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import structlog

from keeper.core.errors import Halt, InvariantBroken, KeeperError


def verdict(errors: Sequence[Exception]) -> KeeperError:
    """Return the error to exit with: a bug before all others, as it may have caused them, then a halt."""
    bug = next((error for error in errors if not isinstance(error, KeeperError)), None)
    if bug is not None:
        structlog.get_logger().error("bug", exc_info=bug)
        return InvariantBroken("the daemon", repr(bug), "this is a bug: keep the journal and report it")
    known = [error for error in errors if isinstance(error, KeeperError)]
    return next((error for error in known if isinstance(error, Halt)), known[0])


def leaves(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    """Yield the errors of a group, and of the groups in it."""
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from leaves(error)
        else:
            yield error
