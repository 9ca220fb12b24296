"""Tells the service manager how the daemon is, by systemd's protocol: datagrams to the socket that it names.

Without ``NOTIFY_SOCKET`` nothing is told. A manager that does not listen is no reason to stop keeping accounts safe, so
a datagram that cannot be delivered is dropped; what the manager then does is its own timeout's business.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress

_ABSTRACT = "@"
ALIVE_TICKS = 20
"""Every how many ticks of the event loop's watchdog the manager is told: about five seconds of a loop that turns."""


class ServiceManager:
    """Whoever started the daemon and waits for word of it.

    Args:
        environ: Its ``NOTIFY_SOCKET`` is a path, or a name in the abstract namespace after ``@``.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith(_ABSTRACT) else address
        self._ticks = 0

    def ready(self) -> None:
        """Say that the run has begun: what it decides from now on is recorded."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """Say that the run drains."""
        self._tell("STOPPING=1")

    def tick(self) -> None:
        """Say at the first tick of the event loop, and at every so many, that it turns and no part hangs for good."""
        if self._ticks % ALIVE_TICKS == 0:
            self._tell("WATCHDOG=1")
        self._ticks += 1

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)  # a manager that does not read must not stop the event loop
            sender.sendto(state.encode(), self._address)
