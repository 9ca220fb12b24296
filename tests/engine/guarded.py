"""The toy venue where own accounts can be helped: to the unit, as linear as all of it."""

from __future__ import annotations

import msgspec

from keeper.core.facts import RawLog
from keeper.core.ids import Address
from keeper.core.protection import ProtectedHealth, ProtectionAction, ProtectionOption
from keeper.core.runconfig import VenueSpec
from keeper.core.units import TokenAmount, Wad
from keeper.core.venue import Call
from tests.engine.toy import POOL, TOKENS, Position, ToyLedger

MOST = 10**9


class Guard:
    """Implements ``core.protection.ProtectionView`` of a toy venue.

    What is in ``refused`` the contract refuses; ``accruing`` is what later figures have of an action's token on top.
    """

    protection_gas = 50_000
    spender = POOL

    def __init__(self, ledger: Guarded) -> None:
        self._ledger = ledger
        self.refused: dict[ProtectionAction, str] = {}
        self.accruing = Position()

    def tokens(self) -> tuple[Address, ...]:
        """All four."""
        return TOKENS

    def options(self, account: Address) -> tuple[ProtectionOption, ...]:
        """Every debt, every collateral, and both where they are the same token."""
        found: list[ProtectionOption] = []
        for token, held in self._ledger.holdings(account).items():
            if held.debt:
                found.append(ProtectionOption("repay", token, TokenAmount(held.debt)))
            if held.collateral:
                found.append(ProtectionOption("top-up", token, TokenAmount(MOST)))
            if held.debt and held.collateral:
                found.append(ProtectionOption("reduce", token, TokenAmount(min(held.debt, held.collateral))))
        return tuple(found)

    def preview(
        self,
        account: Address,
        action: ProtectionAction,
        asset: Address,
        amount: TokenAmount,
        seconds: int = 0,
    ) -> ProtectedHealth:
        """What the sums give."""
        if action in self.refused:
            return ProtectedHealth(None, self.refused[action])
        moved = int(amount)
        change = {"repay": Position(0, -moved), "top-up": Position(moved, 0), "reduce": Position(-moved, -moved)}
        more = self.accruing if seconds else Position()
        whole = Position(change[action].collateral + more.collateral, change[action].debt + more.debt)
        return ProtectedHealth(self._ledger.health_with(account, asset, whole))

    def call(self, account: Address, action: ProtectionAction, asset: Address, amount: TokenAmount) -> Call:
        """Readable bytes."""
        return Call(self.spender, b"|".join((action.encode(), account, asset, str(int(amount)).encode())))

    def moved(self, log: RawLog) -> Address | None:
        """The account of a "set"."""
        kind, account, *_ = msgspec.msgpack.decode(log.data)
        return Address(account) if kind == "set" else None


class Guarded(ToyLedger):
    """The venue."""

    def __init__(self, spec: VenueSpec) -> None:
        super().__init__(spec)
        self.protections = self.guard = Guard(self)

    def holdings(self, account: Address) -> dict[Address, Position]:
        """What an account has, by token."""
        return self._of(account)

    def health_with(self, account: Address, token: Address, change: Position) -> Wad | None:
        """The health with a change of one token."""
        tokens = dict(self._of(account))
        held = tokens.get(token, Position())
        tokens[token] = Position(held.collateral + change.collateral, held.debt + change.debt)
        _, weighted, debt = self._sums(tokens)
        return None if debt == 0 else Wad(weighted * Wad.ONE // debt)
