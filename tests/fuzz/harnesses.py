"""All harnesses by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NamedTuple

from tests.fuzz import (
    answers,
    configuration,
    frames,
    keystore,
    mark,
    market,
    reading,
    records,
    retry_after,
    state,
    websocket,
)


class Harness(NamedTuple):
    """A decoder of outside bytes, valid samples of them, and those that once did worse than an error."""

    run: Callable[[bytes], None]
    samples: Sequence[bytes]
    found: Sequence[bytes]


def _of(module: ModuleType) -> Harness:
    return Harness(module.harness, module.SAMPLES, module.FOUND)


HARNESSES = {
    module.__name__.rpartition(".")[2]: _of(module)
    for module in (
        answers,
        configuration,
        frames,
        keystore,
        mark,
        market,
        reading,
        records,
        retry_after,
        state,
        websocket,
    )
}
