"""The health map: what every account with debt was last found to be, and the decision when that changes.

An account without debt is healthy by definition, so it is not in the map, appears as ``healthy`` before its first entry
and leaves as ``healthy``.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from keeper.core.decisions import HealthChanged
from keeper.core.ids import Address
from keeper.core.units import BaseAmount
from keeper.core.venue import AccountMargin, Health, Ledger, Status

LAGS = "watermark lags"
AUDIT_FAILED = "audit failed"

AccountKey = tuple[str, Address]


class HealthMap:
    """The last margin of each account with debt, by (venue, account), in the order of classification.

    An account is ``doubted`` from an audit that failed until one that agrees, and unknown while it is.
    """

    def __init__(self, margins: Iterable[AccountMargin] = (), doubted: Iterable[AccountKey] = ()) -> None:
        self.margins: dict[AccountKey, AccountMargin] = {(margin.venue, margin.account): margin for margin in margins}
        self.doubted: set[AccountKey] = set(doubted)

    def classify(self, ledger: Ledger, block_number: int) -> list[HealthChanged]:
        """Classify every account of a venue at the current block; accounts that lost all debt leave."""
        found = {(ledger.name, account): ledger.margin(account) for account in ledger.accounts()}
        left = [key for key in self.margins if key[0] == ledger.name and key not in found]
        changes = [self._leave(key, ledger, block_number) for key in sorted(left)]
        changes += [self._enter(key, margin, block_number) for key, margin in found.items()]
        return [change for change in changes if change is not None]

    def doubt(self, venue: str, account: Address, block_number: int) -> list[HealthChanged]:
        """Make an account ``Unknown`` until an audit of it agrees."""
        key = (venue, account)
        self.doubted.add(key)
        known = self.margins.get(key)
        change = None if known is None else self._enter(key, known, block_number)
        return [] if change is None else [change]

    def trust(self, venue: str, accounts: Iterable[Address]) -> None:
        """End the doubt about accounts; they are classified at the next head."""
        self.doubted.difference_update((venue, account) for account in accounts)

    def blind(self, venue: str, block_number: int) -> list[HealthChanged]:
        """Make every account of a venue ``Unknown``: nothing was heard of its chain for too long."""
        known = [
            key
            for key, margin in self.margins.items()
            if key[0] == venue and margin.health.status is not Status.UNKNOWN
        ]
        changes = [self._enter(key, _unknown(self.margins[key], LAGS), block_number) for key in sorted(known)]
        return [change for change in changes if change is not None]

    def at_risk(self, venue: str) -> list[AccountMargin]:
        """Return a venue's liquidatable accounts, in order of account."""
        found = [
            key
            for key, margin in self.margins.items()
            if key[0] == venue and margin.health.status is Status.LIQUIDATABLE
        ]
        return [self.margins[key] for key in sorted(found)]

    def _enter(self, key: AccountKey, margin: AccountMargin, block_number: int) -> HealthChanged | None:
        known = self.margins.get(key)
        previous = known.health.status if known is not None else Status.HEALTHY
        if key in self.doubted and margin.health.status is not Status.UNKNOWN:
            margin = _unknown(margin, AUDIT_FAILED)
        self.margins[key] = margin
        return _change(margin, previous, block_number)

    def _leave(self, key: AccountKey, ledger: Ledger, block_number: int) -> HealthChanged | None:
        previous = self.margins.pop(key)
        margin = msgspec.structs.replace(
            ledger.margin(key[1]), health=Health(Status.HEALTHY), health_wad=None, debt_base=BaseAmount(0)
        )
        return _change(margin, previous.health.status, block_number)


def _unknown(margin: AccountMargin, reason: str) -> AccountMargin:
    return msgspec.structs.replace(margin, health=Health(Status.UNKNOWN, reason), health_wad=None)


def _change(margin: AccountMargin, previous: Status, block_number: int) -> HealthChanged | None:
    if margin.health.status is previous:
        return None
    return HealthChanged(margin, previous.value, block_number)
