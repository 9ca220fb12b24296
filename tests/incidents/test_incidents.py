"""What was decided in an incident is decided again, whatever the code has become since.

A bundle is put here by ``keeper journal import BUNDLE --as-test tests/incidents/NAME``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.cli.verify import verify_journal
from keeper.journal.bundle import unpack, write_journal

INCIDENTS = sorted(Path(__file__).parent.glob("*.keeper"))


@pytest.mark.slow
@pytest.mark.parametrize("incident", INCIDENTS, ids=[path.stem for path in INCIDENTS])
def test_an_incident_is_decided_as_it_was(incident: Path, tmp_path: Path) -> None:
    """Every decision of a bundle follows from its facts, bit for bit."""
    bundle, path = unpack(incident.read_bytes(), incident.name), tmp_path / "journal.db"
    write_journal(bundle, path)
    verified = verify_journal(f"sqlite://{path}")

    assert (verified.fault, verified.last_sequence) == (None, bundle.frames[-1].header.last_sequence)
    assert verified.decisions > 0


def test_there_are_incidents() -> None:
    """At least one bundle is stepped."""
    assert INCIDENTS
