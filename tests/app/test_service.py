"""What the service manager is told, on real datagram sockets."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.app.service import ALIVE_TICKS, ServiceManager
from tests.app.keeper_process import started
from tests.app.market import Market


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager's socket."""
    with listening(str(tmp_path / "notify")) as listener:
        yield listener


def listening(address: str) -> socket.socket:
    """Return a bound datagram socket that never waits."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(address)
    listener.setblocking(False)
    return listener


def told(listener: socket.socket) -> list[str]:
    """Return what has been told since the last look."""
    words = []
    while True:
        try:
            words.append(listener.recv(4096).decode())
        except BlockingIOError:
            return words


def test_a_path_is_told(manager: socket.socket) -> None:
    """Each word is one datagram, in order."""
    service = ServiceManager({"NOTIFY_SOCKET": manager.getsockname()})
    service.ready()
    service.stopping()

    assert told(manager) == ["READY=1", "STOPPING=1"]


def test_an_abstract_name_is_told(tmp_path: Path) -> None:
    """A name after ``@`` is one of the abstract namespace."""
    with listening(f"\0{tmp_path}") as listener:
        ServiceManager({"NOTIFY_SOCKET": f"@{tmp_path}"}).ready()

        assert told(listener) == ["READY=1"]


def test_a_tick_in_twenty_is_told(manager: socket.socket) -> None:
    """The manager hears of the first tick and of every twentieth after it, and of none that did not come."""
    service = ServiceManager({"NOTIFY_SOCKET": manager.getsockname()})
    words = []
    for _ in range(2 * ALIVE_TICKS + 1):
        service.tick()
        words.append(len(told(manager)))

    assert [place for place, count in enumerate(words) if count] == [0, ALIVE_TICKS, 2 * ALIVE_TICKS]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/notify"}])
def test_nobody_listens(environ: dict[str, str]) -> None:
    """Without a manager, or with one that is gone, the daemon goes on."""
    ServiceManager(environ).ready()


def test_a_manager_that_does_not_read_stops_nobody(manager: socket.socket) -> None:
    """When its buffer is full, words are dropped rather than waited for."""
    service = ServiceManager({"NOTIFY_SOCKET": manager.getsockname()})
    for _ in range(2000):
        service.ready()

    assert 0 < len(told(manager)) < 2000


@pytest.mark.chain
@pytest.mark.slow
async def test_the_daemon_tells_its_manager(market: Market, manager: socket.socket) -> None:
    """A run says that it is alive and ready, and once it drains, that it stops."""
    keeper = market.keeper(environment={"NOTIFY_SOCKET": manager.getsockname()})
    begun: list[str] = []

    async def heard() -> bool:
        begun.extend(told(manager))
        return {"READY=1", "WATCHDOG=1"} <= set(begun)

    async with started(keeper):
        await keeper.until(heard)
        keeper.signal(signal.SIGTERM)
        code = await keeper.exit_code()

    assert (code, set(begun)) == (0, {"READY=1", "WATCHDOG=1"})
    assert [word for word in told(manager) if word != "WATCHDOG=1"] == ["STOPPING=1"]
