"""The ``Retry-After`` header of a node that is asked too often."""

from __future__ import annotations

from keeper.chain.limits import RETRY_AFTER_SECONDS_MAX, RateLimit
from tests.chain_ingestion.fakes import JumpClock

SAMPLES = (
    b"120",
    b"Fri, 31 Dec 1999 23:59:59 GMT",
    b"Sunday, 06-Nov-94 08:49:37 GMT",
    b"Sun Nov  6 08:49:37 1994",
    b"",
)
FOUND: tuple[bytes, ...] = ()


def harness(raw: bytes) -> None:
    """Wait as the header says, within our bounds."""
    limit = RateLimit(8, JumpClock())
    limit.limited(raw.decode("latin-1"))
    assert 0 <= limit.wait_seconds <= RETRY_AFTER_SECONDS_MAX
