"""``keeper demo``, as a newcomer runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from keeper.journal.reader import JournalReader
from tests.cli.queries import Archive


@pytest.mark.chain
@pytest.mark.soak
def test_the_demo_saves_everybody(tmp_path: Path) -> None:
    """The command leaves with zero, helps accounts of every protocol, leaves none that could be, and verifies."""
    demo = [sys.executable, "-m", "keeper.cli", "demo", "--json", "--out", str(tmp_path / "out")]
    run = subprocess.run(demo, capture_output=True, text=True, check=False, timeout=120)

    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert len(document["summary"]["accounts"]) >= 10
    helped = {account["venue"] for account in document["summary"]["accounts"].values() if account["slices"]}
    assert helped == set(document["summary"]["hurt"]) == {"aave", "morpho", "perp"}
    assert [finding for finding in document["findings"] if finding["remedy"]] == []
    assert document["verified"]["fault"] is None
    assert (tmp_path / "out" / "keeper.toml").exists()

    with JournalReader(tmp_path / "out" / "journal.db") as reader:
        archive = Archive(reader.read(), tmp_path / "archive")
    hurt = Counter[object](dict(document["summary"]["hurt"]))
    assert Counter(row[0] for row in archive.ask(2)) == hurt
    assert archive.tally(3, 0, 2) == hurt
    slices = sum(account["slices"] for account in document["summary"]["accounts"].values())
    assert archive.tally(5, 1, 3) == {"ours": slices}
    assert archive.ask(19) == []
    assert [number for number in (1, 4, 6, 7, 8, 9, 10, 16, 17, 20) if not archive.ask(number)] == []


@pytest.mark.chain
@pytest.mark.slow
def test_an_interrupted_demo_has_shown_nothing(tmp_path: Path) -> None:
    """Ctrl-C before the end is 130, not success, and not a traceback."""
    demo = [sys.executable, "-m", "keeper.cli", "demo", "--out", str(tmp_path / "out")]
    with subprocess.Popen(demo, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        run.stderr.readline()
        run.send_signal(signal.SIGINT)
        _, error = run.communicate(timeout=20)

    assert (run.returncode, error) == (130, "")
