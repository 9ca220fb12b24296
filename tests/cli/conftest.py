"""Commands run in this process through the real entry point; journals with a real history of the toy venue."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from keeper.cli.main import exit_code
from keeper.venues import PROTOCOLS
from tests.cli.history_file import JournalFile, write_history
from tests.engine.history import History
from tests.engine.test_replay import eventful
from tests.engine.toy import ToyLedger


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and how it left."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:  # noqa: ANN401 - JSON of any shape
        """The one JSON document that was printed."""
        return json.loads(self.out)

    @property
    def documents(self) -> list[Any]:
        """The JSON lines that were printed."""
        return [json.loads(line) for line in self.out.splitlines()]


Keeper = Callable[..., Outcome]


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Keeper:
    """Run ``keeper`` with arguments."""

    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["keeper", *map(str, arguments)])
        code = exit_code()
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return run


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    """Leave the process's logging as it was: commands configure it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def _toy_venue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands open the toy venue as they open any other."""
    monkeypatch.setitem(PROTOCOLS, "toy", ToyLedger)


@pytest.fixture
def history(_toy_venue: None) -> History:
    """A history with refusals, attempts, a reorg, finality and a restart."""
    return eventful()


@pytest.fixture
def journal(history: History, tmp_path: Path) -> JournalFile:
    """The history in a file, with a good snapshot in the middle."""
    return write_history(tmp_path / "journal.db", history.records, snapshots=[_middle(history)])


def _middle(history: History) -> int:
    """Return the last sequence of a group about half way."""
    facts: Sequence[int] = [record.sequence for record in history.records if record.cause == 0]
    return facts[len(facts) // 2] - 1
