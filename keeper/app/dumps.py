"""No memory of this process on a disk: keys and the transactions that nobody has seen yet stand in it."""

from __future__ import annotations

import ctypes
import resource
import sys

from keeper.core.errors import OperatorError

_SET_DUMPABLE = 4
"""``PR_SET_DUMPABLE`` of ``linux/prctl.h``."""


def forbid_dumps() -> None:
    """Forbid core dumps; on Linux also that another process of this user reads this one's memory (ptrace).

    ``/proc/<pid>`` then belongs to root. The limit alone would not do: a pipe in ``core_pattern`` ignores it.

    Raises:
        OperatorError: the system does not let it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        reason = f"cannot be forbidden (error {ctypes.get_errno()})"
        raise OperatorError("core dumps", reason, "run where prctl(PR_SET_DUMPABLE) is allowed")
