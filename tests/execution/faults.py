"""A recorder and a node that can fail at any step, and say what passed through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from keeper.core.decisions import AnyDecision, Intent
from keeper.core.errors import KeeperError, NodeRefused, NodeUnreachable
from keeper.core.facts import AnyFact, AttemptPrepared
from keeper.core.ids import to_hex
from keeper.engine.step import Engine
from keeper.lab.localchain.rpc import LabRpc, Request

SEND = "eth_sendRawTransaction"


class Crash(KeeperError):  # noqa: N818 - it names what happened
    """The process died here."""


@dataclass
class Steps:
    """Counts down the steps between which a process can die; ``None`` lets it live."""

    left: int | None = None

    def take(self) -> None:
        """Pass one step, or die."""
        if self.left == 0:
            raise Crash("process", "died")
        if self.left is not None:
            self.left -= 1


@dataclass
class Recorder:
    """Steps an engine and keeps what a journal would hold, in order; an :class:`Intent` stands for its admission.

    ``waits`` names what was waited for, in order: the facts of each group, and the methods of each batch of the node.
    """

    engine: Engine
    entries: list[AnyFact | Intent] = field(default_factory=list)
    waits: list[tuple[str, ...]] = field(default_factory=list)
    decisions: list[AnyDecision] = field(default_factory=list)
    steps: Steps = field(default_factory=Steps)

    async def record(self, facts: Sequence[AnyFact]) -> None:
        """Make facts durable: they are entries from here on, whatever happens after."""
        self.steps.take()
        self.waits.append(tuple(type(fact).__name__ for fact in facts))
        for fact in facts:
            self.put(fact)
        self.steps.take()

    submit = record

    def put(self, entry: AnyFact | Intent) -> None:
        """Append an entry and let the engine have it."""
        self.entries.append(entry)
        if isinstance(entry, Intent):
            self.engine.intents.admit(entry, 0)
        else:
            self.decisions += self.engine.step(entry, len(self.entries))

    def of(self, *kinds: type) -> list[AnyFact | Intent]:
        """Return the entries of some kinds."""
        return [entry for entry in self.entries if isinstance(entry, kinds)]


class StageNode:
    """A node that forwards to a real one, writes down what left the process, and fails as told.

    ``lost_requests`` and ``lost_replies`` count down per method, for whole batches. ``refusals`` are answered instead
    of forwarding; ``None`` forwards. Of the next batch of raw transactions only the first ``delivered_max`` arrive, and
    the reply is lost. ``undurable`` lists raw transactions that were sent before the recorder held them.
    """

    def __init__(self, rpc: LabRpc, recorder: Recorder) -> None:
        self._rpc = rpc
        self._recorder = recorder
        self.sent: list[str] = []
        self.undurable: list[str] = []
        self.lost_requests: dict[str, int] = {}
        self.lost_replies: dict[str, int] = {}
        self.refusals: dict[str, list[NodeRefused | None]] = {}
        self.delivered_max: int | None = None

    async def call(self, method: str, params: Sequence[object]) -> object:
        """Forward one request, or fail."""
        answer = (await self.batch([(method, params)]))[0]
        if isinstance(answer, NodeRefused):
            raise answer
        return answer

    async def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[object]:
        """Forward several requests, or fail."""
        self._recorder.steps.take()
        methods = tuple(method for method, _ in calls)
        self._recorder.waits.append(methods)
        self._note([str(params[0]) for method, params in calls if method == SEND])
        if _strikes(self.lost_requests, methods):
            raise NodeUnreachable("stage", "the requests were lost")
        answers = await self._forward(calls)
        self._recorder.steps.take()
        if _strikes(self.lost_replies, methods):
            raise NodeUnreachable("stage", "the replies were lost")
        return answers

    async def _forward(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[object]:
        """Forward what is not refused here, as one batch of the real node."""
        refused = [self._refusal(method) for method, _ in calls]
        requests = [
            Request(method, params) for (method, params), refusal in zip(calls, refused, strict=True) if refusal is None
        ]
        if calls[0][0] == SEND and self.delivered_max is not None:
            requests, self.delivered_max = requests[: self.delivered_max], None
            await self._rpc.outcomes(requests, answer=object)
            raise NodeUnreachable("stage", "the connection was lost")
        answers = iter(await self._rpc.outcomes(requests, answer=object))
        return [next(answers) if refusal is None else refusal for refusal in refused]

    def _refusal(self, method: str) -> NodeRefused | None:
        planned = self.refusals.get(method)
        return planned.pop(0) if planned else None

    def _note(self, raws: Sequence[str]) -> None:
        durable = [to_hex(entry.raw) for entry in self._recorder.entries if isinstance(entry, AttemptPrepared)]
        self.sent += raws
        self.undurable += [raw for raw in raws if raw not in durable]


def _strikes(budget: dict[str, int], methods: Sequence[str]) -> bool:
    struck = next((method for method in methods if budget.get(method, 0) > 0), None)
    if struck is not None:
        budget[struck] -= 1
    return struck is not None
