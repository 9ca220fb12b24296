"""The ports: each has a real adapter and a test or simulator twin, and one contract suite for both.

They live here so that the packages beside each other (chain, execution, journal) need not know each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from keeper.core.facts import AnyFact


class Node(Protocol):
    """A JSON-RPC node, or several behind one failover."""

    async def call(self, method: str, params: Sequence[object]) -> object:
        """Return the ``result`` of one request.

        Raises:
            NodeUnreachable: no answer from any provider; the request may still have been carried out.
            NodeMalformed: an answer that is not JSON-RPC.
            NodeRefused: a JSON-RPC error object.
        """

    async def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[object]:
        """Return the results of several requests made of one provider, in order.

        A request that the node refused gives its :class:`~keeper.core.errors.NodeRefused` as a value in its place.

        Raises:
            NodeUnreachable: no answer from any provider.
            NodeMalformed: an answer that is not JSON-RPC, or not one for every request.
        """


class Recorder(Protocol):
    """The one way into the journal: facts go in as groups, each group atomic, in the order given."""

    async def submit(self, facts: Sequence[AnyFact]) -> None:
        """Queue a group; waits while the queue is full (never drops)."""

    async def record(self, facts: Sequence[AnyFact]) -> None:
        """Queue a group and wait until it is durable and the engine has stepped it.

        Raises:
            JournalStopped: it could not be made durable.
        """


class Clock(Protocol):
    """Time for the shells; the engine gets its time from facts."""

    def unix_ms(self) -> int:
        """Return the wall clock in milliseconds."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class Pulse(Protocol):
    """What a loop tells of itself to whoever notices that it hangs: waiting for work is never late, work may be."""

    def working(self) -> AbstractContextManager[None]:
        """Return the context of one unit of work."""

    def progressed(self) -> None:
        """Say that the unit under way got somewhere: its time begins anew."""


class Unwatched:
    """The pulse of a loop that nobody watches."""

    def working(self) -> AbstractContextManager[None]:
        """Return a context without effect."""
        return nullcontext()

    def progressed(self) -> None:
        """Do nothing."""


UNWATCHED = Unwatched()


class Pulses(Protocol):
    """Makes the pulses of the parts of a process."""

    def __call__(self, part: str, own_seconds: float = 0.0, /) -> Pulse:
        """Return the pulse of a part, which may take ``own_seconds`` longer than others before it ends by itself."""


def unwatched(_part: str, _own_seconds: float = 0.0) -> Pulse:
    """Return the pulse of a part that nobody watches."""
    return UNWATCHED
