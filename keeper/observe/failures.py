"""How often an address gave a wrong token of late: after too many, it is not listened to for a while."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable

FAILURES_MAX = 10
WINDOW_SECONDS = 60.0
ADDRESSES_MAX = 1024
"""So many are remembered; the one that failed longest ago is forgotten first."""


class Failures:
    """Wrong tokens by address, the last few of each.

    Args:
        monotonic: A clock that never steps back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._times)

    def note(self, address: str) -> None:
        """Remember a wrong token."""
        self._times.setdefault(address, deque(maxlen=FAILURES_MAX)).append(self._monotonic())
        self._times.move_to_end(address)
        while len(self._times) > ADDRESSES_MAX:
            self._times.popitem(last=False)

    def wait_seconds(self, address: str) -> int:
        """Return for how long an address is not listened to; zero if it is."""
        times = self._times.get(address)
        if times is None or len(times) < FAILURES_MAX:
            return 0
        return max(0, math.ceil(times[0] + WINDOW_SECONDS - self._monotonic()))
