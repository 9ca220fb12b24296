"""Become another program that dies with its parent: ``python launch.py PARENT_PID PROGRAM ARGUMENT...``.

Run as a script, in isolated mode, by :mod:`keeper.lab.localchain.node`. The process asks the kernel for SIGTERM at
its parent's death and then replaces itself by the program, which keeps that request and the process id. Doing this
here, and not in a ``preexec_fn``, runs no Python code between fork and exec of a parent that may have threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind this process to its parent's life (Linux; elsewhere the parent alone ends it), then become the program."""
    parent_pid, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent_pid):  # it died before the request was made
        return
    os.execv(command[0], command)  # noqa: S606 - the caller names the program; no shell is wanted


if __name__ == "__main__":
    main()
