"""The outputs of the view calls that read a whole Aave market at one block."""

from __future__ import annotations

from contextlib import suppress
from itertools import chain as joined

from keeper.core.errors import KeeperError
from keeper.core.facts import ContractRead
from keeper.core.runconfig import VenueSpec
from keeper.venues.aave_v3.items import VIEWS, Item
from keeper.venues.aave_v3.ledger import AaveLedger
from tests.venues.event_logs import header
from tests.venues.synthetic import ALICE, ORACLE, POOL_PROXY, ROOT, SENTINEL, USDC, WETH

ITEMS_MAX = 40
SPEC = VenueSpec(
    name="aave", protocol="aave_v3", chain_id=1, root=ROOT, from_block=0, prices="read", bootstrap="snapshot"
)


def _words(*values: int | bytes) -> bytes:
    return b"".join(value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0") for value in values)


CONTRACTS = _words(POOL_PROXY, ROOT, ORACLE, SENTINEL)
RESERVES = _words(1, 32, 2, WETH, USDC)
SAMPLES = (
    CONTRACTS + RESERVES + _words(*range(1, 200)),
    CONTRACTS + _words(1, 32, 0) + bytes(32 * 60),
    CONTRACTS + RESERVES + _words(*[1 << 64] * 90),
    CONTRACTS + RESERVES + _words(*[ALICE] * 90),
)
FOUND: tuple[bytes, ...] = ()


def harness(raw: bytes) -> None:
    """Read a market whose contracts answer these bytes, one after the other; the last are short, or there are none."""
    ledger = AaveLedger(SPEC)
    reading = ledger.reading
    assert reading is not None
    reading.begin(header(7, 84), search_anew=True)
    rest = raw
    for _ in range(ITEMS_MAX):
        items = reading.items(1)
        if not items:
            break
        answers = []
        for request, view in zip(reading.requests(items[0]), VIEWS[Item.unpack(items[0]).kind], strict=False):
            size = 32 * (view.words + (3 if view.open_ended else 0))
            output, rest = rest[:size], rest[size:]
            answers.append(ContractRead(request.target, request.calldata, output or None, None))
        with suppress(KeeperError):
            reading.check(items, answers)
            reading.take(items, answers)
            continue
        break
    reading.shortfall()
    ledger.load(ledger.dump())
    list(joined(ledger.accounts(), ledger.tokens()))
