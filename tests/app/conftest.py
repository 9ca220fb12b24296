"""The market that the daemon is tested on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.app.market import Market, opened_market


@pytest_asyncio.fixture
async def market(tmp_path: Path) -> AsyncIterator[Market]:
    """A market of its own for each test, on a node that follows the wall clock."""
    async with opened_market(tmp_path) as opened:
        yield opened
