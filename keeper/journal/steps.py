"""Names for the moments around each durable step, so that a test can end the process exactly there.

Whoever takes a step does it inside ``with step("commit"):``. In production :func:`unwatched` stands there and nothing
happens; :mod:`keeper.app.failpoints` hands in something that looks when the operator's environment asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from keeper.core.codec import AnyBody

StepName = Literal["append", "commit", "act", "send", "snapshot", "mark", "checkpoint"]
"""``append``: a group goes to the journal's queue. ``commit``: a frame becomes durable. ``act``: a durable group goes
to those who act on it. ``send``: signed bytes go to a node. The others are what the writer does beside its frames."""

Step = Callable[[StepName, Sequence[AnyBody]], AbstractContextManager[None]]
"""Called with a step's name and the bodies it is about, where they are known; entered before it and left after it."""

_NOTHING = nullcontext()


def unwatched(_name: StepName, _bodies: Sequence[AnyBody] = ()) -> AbstractContextManager[None]:
    """Watch nothing: what production does."""
    return _NOTHING
