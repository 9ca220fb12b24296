"""The health map: who was last found not to be healthy, and the decision when that changes.

Who is not in the map is healthy, as an account without debt is by definition: it is ``healthy`` before its entry and
leaves as ``healthy``. So a head costs what its suspects cost, whatever the number of accounts.
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
    """The last margin of each account that is liquidatable or unknown, by (venue, account).

    An account is ``doubted`` from an audit that failed until one that agrees, and unknown while it is. A venue is
    ``seen`` from the head that it is classified at until nothing is heard of its chain: who is not in the map is
    healthy then, and not known at all otherwise.
    """

    def __init__(
        self,
        margins: Iterable[AccountMargin] = (),
        doubted: Iterable[AccountKey] = (),
        seen: Iterable[str] = (),
    ) -> None:
        self.margins: dict[AccountKey, AccountMargin] = {(margin.venue, margin.account): margin for margin in margins}
        self.doubted: set[AccountKey] = set(doubted)
        self.seen: set[str] = set(seen)

    def classify(self, ledger: Ledger, block_number: int) -> list[HealthChanged]:
        """Look at whom a venue suspects, and whom we do, at the current block; accounts that lost all debt leave."""
        subjects = {(ledger.name, account) for account in ledger.suspects()} | self._known(ledger.name)
        subjects |= {key for key in self.doubted if key[0] == ledger.name}
        owing = {key for key in subjects if ledger.owes(key[1])}
        changes = [self._leave(key, ledger, block_number) for key in sorted(subjects - owing) if key in self.margins]
        changes += [self._enter(key, ledger.margin(key[1]), block_number) for key in sorted(owing)]
        self.seen.add(ledger.name)
        return [change for change in changes if change is not None]

    def doubt(self, ledger: Ledger, account: Address, block_number: int) -> list[HealthChanged]:
        """Make an account ``Unknown`` until an audit of it agrees."""
        key = (ledger.name, account)
        self.doubted.add(key)
        known = self.margins.get(key)
        if known is None and ledger.name in self.seen and ledger.owes(account):
            known = ledger.margin(account)
        change = None if known is None else self._enter(key, known, block_number)
        return [] if change is None else [change]

    def trust(self, venue: str, accounts: Iterable[Address]) -> None:
        """End the doubt about accounts; they are classified at the next head."""
        self.doubted.difference_update((venue, account) for account in accounts)

    def blind(self, ledger: Ledger, block_number: int) -> list[HealthChanged]:
        """Make every account of a venue ``Unknown``: nothing was heard of its chain for too long.

        The one thing that costs by the number of accounts, once each time that a chain falls silent.
        """
        if ledger.name not in self.seen:
            return []
        self.seen.discard(ledger.name)
        everyone = {(ledger.name, account) for account in ledger.accounts()} | self._known(ledger.name)
        margins = {key: self.margins.get(key) or ledger.margin(key[1]) for key in sorted(everyone)}
        changes = [
            self._enter(key, _unknown(margin, LAGS), block_number)
            for key, margin in margins.items()
            if key not in self.margins or margin.health.status is not Status.UNKNOWN
        ]
        return [change for change in changes if change is not None]

    def at_risk(self, venue: str) -> list[AccountMargin]:
        """Return a venue's liquidatable accounts, in order of account."""
        margins = [self.margins[key] for key in sorted(self._known(venue))]
        return [margin for margin in margins if margin.health.status is Status.LIQUIDATABLE]

    def _known(self, venue: str) -> set[AccountKey]:
        return {key for key in self.margins if key[0] == venue}

    def _enter(self, key: AccountKey, margin: AccountMargin, block_number: int) -> HealthChanged | None:
        known = self.margins.get(key)
        previous = known.health.status if known is not None else Status.HEALTHY
        if key in self.doubted and margin.health.status is not Status.UNKNOWN:
            margin = _unknown(margin, AUDIT_FAILED)
        if margin.health.status is Status.HEALTHY:
            self.margins.pop(key, None)
        else:
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
