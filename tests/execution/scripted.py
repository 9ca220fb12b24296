"""A node that answers from a script and writes down what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from keeper.core.errors import NodeError, NodeRefused
from keeper.core.ports import Node
from keeper.execution.lane import Lane


class ScriptedNode:
    """Answers each request with the next line of its script. Implements ``core.ports.Node``."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, list[object]]] = []

    async def call(self, method: str, params: Sequence[object]) -> object:
        """Answer one request; an error of the script is raised."""
        answer = self._next(method, params)
        if isinstance(answer, NodeError):
            raise answer
        return answer

    async def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[object]:
        """Answer several requests; a refusal of the script is a value, another error is raised."""
        answers = [self._next(method, params) for method, params in calls]
        for answer in answers:
            if isinstance(answer, NodeError) and not isinstance(answer, NodeRefused):
                raise answer
        return answers

    def _next(self, method: str, params: Sequence[object]) -> object:
        self.asked.append((method, list(params)))
        return self._answers.pop(0)


class InterruptedNode:
    """Forwards, and lets something happen while the lane waits for the answer of a batch."""

    def __init__(self, inner: Node, happens: Callable[[], None]) -> None:
        self._inner = inner
        self._happens = happens

    async def call(self, method: str, params: Sequence[object]) -> object:
        """Forward one request."""
        return await self._inner.call(method, params)

    async def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[object]:
        """Forward several requests; then it happens."""
        answers = await self._inner.batch(calls)
        self._happens()
        return answers


def interrupt(lane: Lane, happens: Callable[[], None]) -> None:
    """Let something happen during the lane's next waits for its node."""
    lane._node = InterruptedNode(lane._node, happens)
