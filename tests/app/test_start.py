"""What a daemon waits for before it sees its first block."""

from __future__ import annotations

import subprocess
import sys

import pytest

SLOW = {
    "scipy.signal",
    "scipy.optimize",
    "scipy.interpolate",
    "scipy.stats",
    "scipy.sparse",
    "pyarrow",
    "plotly",
    "web3",
    "eth_account",
}
"""What takes longer to import than all of the keeper, and is for reports, laboratories and signatures."""


@pytest.mark.slow
def test_a_daemon_starts_without_what_it_may_never_need() -> None:
    """The daemon imports no optimiser, no filter, no archive and no charts, so that a killed one is soon back."""
    program = f"import sys, keeper.app.daemon; print(sorted({SLOW!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)

    assert done.stdout == "[]\n"
