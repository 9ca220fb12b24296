"""``keeper demo``, as a newcomer runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.chain
@pytest.mark.soak
def test_the_demo_saves_everybody(tmp_path: Path) -> None:
    """The command leaves with zero, helps accounts, leaves none that could be helped, and its journal verifies."""
    demo = [sys.executable, "-m", "keeper.cli", "demo", "--json", "--out", str(tmp_path / "out")]
    run = subprocess.run(demo, capture_output=True, text=True, check=False, timeout=120)

    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert len(document["summary"]["accounts"]) >= 10
    assert [finding for finding in document["findings"] if finding["remedy"]] == []
    assert document["verified"]["fault"] is None
    assert (tmp_path / "out" / "keeper.toml").exists()
