"""``docs/writing_a_strategy.md``: its example decides in the real engine, and is checked as our own code is."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from keeper.core.decisions import IntentAdmitted, Proposal
from keeper.engine.replay import replay
from keeper.engine.step import Engine
from keeper.engine.what_if import WhatIf
from strategies import STRATEGIES
from tests.cli.queries import incident_journal
from tests.docs.code import blocks
from tests.engine.history import ALICE, History, opened_ledger

STRATEGY, ASKING = blocks("writing_a_strategy.md")
"""The strategy, and how a recorded incident is asked."""
LAST_SEQUENCE = 928
"""The incident's newest record."""
ALLOWED = re.compile(r"keeper\.(core|margin|risk)\b|collections\.abc|__future__")


@pytest.fixture
def quarters(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Import the strategy of the page as the module ``quarters``."""
    module = ModuleType("quarters")
    exec(compile(STRATEGY, "docs/writing_a_strategy.md", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, "quarters", module)
    return module


def engine(quarters: ModuleType) -> Engine:
    """Return an engine that decides by the page."""
    return Engine(opened_ledger, {**STRATEGIES, "partial_liquidation": quarters.decide})


def test_a_quarter_is_proposed_and_admitted(quarters: ModuleType) -> None:
    """Of an account below its line a quarter of what may be repaid is admitted, and health is raised by it."""
    history = History(engine=engine(quarters))
    proposal = admitted(history)
    (pair,) = (
        each for each in history.engine.ledgers["toy"].pairs(ALICE) if each.debt_asset == proposal.preview.debt_asset
    )

    assert int(proposal.preview.cover) == int(pair.cover_max) // 4
    assert proposal.preview.health_after is not None
    assert proposal.preview.health_after > proposal.health_before
    assert proposal.rationale == "a quarter of what may be repaid"


def test_it_decides_the_same_again(quarters: ModuleType) -> None:
    """A replay by the same strategy makes the recorded decisions, and one by the shipped strategy does not."""
    history = History(engine=engine(quarters))
    admitted(history)

    assert replay(history.records, engine(quarters)).divergence is None
    assert replay(history.records, Engine(opened_ledger, STRATEGIES)).divergence is not None


@pytest.mark.slow
def test_an_incident_can_be_asked(quarters: ModuleType, tmp_path: Path) -> None:
    """Over a recorded incident it admits other slices than were recorded, and the same facts are stepped."""
    module = ModuleType("asking")
    exec(compile(ASKING, "docs/writing_a_strategy.md", "exec"), module.__dict__)
    found: WhatIf = module.ask(incident_journal(tmp_path))
    admitted = found.compared.kinds["IntentAdmitted"]

    assert (found.last_sequence, found.changes) == (LAST_SEQUENCE, ())
    assert admitted.figures > 0


@pytest.mark.slow
def test_it_is_checked_as_our_own(tmp_path: Path) -> None:
    """Mypy in strict mode and ruff take the page's code, and it imports vocabulary and mathematics alone."""
    (tmp_path / "quarters.py").write_text(STRATEGY, encoding="utf-8")
    (tmp_path / "asking.py").write_text(ASKING, encoding="utf-8")
    for command in ("mypy --strict quarters.py asking.py", "ruff check --isolated --line-length 120 quarters.py"):
        done = subprocess.run([sys.executable, "-m", *command.split()], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout.decode()

    imported = re.findall(r"^(?:from|import) (\S+)", STRATEGY, re.MULTILINE)
    assert [name for name in imported if not ALLOWED.match(name)] == []


def admitted(history: History) -> Proposal:
    """Let prices fall until an account is below its line; return what was admitted of it."""
    history.market()
    (intent,) = (each for each in history.breach() if isinstance(each, IntentAdmitted))
    assert intent.proposal is not None
    return intent.proposal
