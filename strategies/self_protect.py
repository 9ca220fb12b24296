"""Keep the operator's own accounts away from the line, before a liquidator may touch them.

An account below the floor of health is brought back to the target by the smallest amount that does it, with the
action that the operator prefers: *repay* debt, *top up* collateral, or *reduce* both sides where they are the same
asset. Where nothing reaches the target (the wallet holds too little, or one intent may not spend so much), the action
that raises health the most is taken with all that may be used: some protection is better than none, unless it is worth
less than its own gas.

An amount is sized so that the target still stands :data:`HORIZON_SECONDS` later, at the prices of now: interest goes on
until the transaction is mined. The health that is told is that of the head, to the last digit of the contract's
arithmetic.

What may be done beside the best follows it, best first: where the gate refuses the one, it may let the other pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from keeper.core.own_money import ProtectionAlternative, ProtectionProposal
from keeper.core.protection import ProtectedHealth, ProtectionOption, ProtectionView
from keeper.core.runconfig import SelfProtectSpec
from keeper.core.units import UINT256_MAX, BaseAmount, TokenAmount, Wad
from keeper.core.venue import AccountMargin, StrategyView

HORIZON_SECONDS = 600
"""How much later the target still stands, at the prices of now."""


def decide(
    view: StrategyView, accounts: Sequence[AccountMargin], spec: SelfProtectSpec
) -> Iterator[ProtectionProposal]:
    """Propose what could be done for each account that is below the floor, best first.

    Args:
        view: The head of one chain, through the eyes of one signer.
        accounts: Own accounts whose health is known.
        spec: The operator's parameters.
    """
    for margin in accounts:
        protections = view.venue(margin.venue).protections
        if protections is not None and margin.health_wad is not None and margin.health_wad < spec.floor_health:
            yield from _Account(view, protections, margin, margin.health_wad, spec).proposals()


class _Sized(NamedTuple):
    """An action that would be done: the amount, its value (USD 1e-8), and the health at the head and later."""

    option: ProtectionOption
    amount: int
    amount_base: BaseAmount
    health_after: Wad | None
    health_later: Wad | None


class _Account:
    """One account and what could be done for it."""

    def __init__(
        self,
        view: StrategyView,
        protections: ProtectionView,
        margin: AccountMargin,
        health: Wad,
        spec: SelfProtectSpec,
    ) -> None:
        self._view = view
        self._venue = view.venue(margin.venue)
        self._protections = protections
        self._margin = margin
        self._health = health
        self._spec = spec
        self._gas_cost_base = view.gas_cost_base(protections.protection_gas) or BaseAmount(0)

    def proposals(self) -> list[ProtectionProposal]:
        """Weigh every option; what reaches the target comes before what does not."""
        options = self._protections.options(self._margin.account)
        looked = [self._sized(option) for option in options if option.action in self._spec.actions]
        ranked = sorted((found for found in looked if isinstance(found, _Sized)), key=self._rank)
        passed = tuple(found for found in looked if isinstance(found, ProtectionAlternative))
        return [
            self._proposal(found, (*(self._beaten(each) for each in ranked if each is not found), *passed))
            for found in ranked
        ]

    def _rank(self, found: _Sized) -> tuple[bool, int, int, int]:
        """Order by the operator's preference, then by value; where the target is missed, by the health that is left."""
        preference = self._spec.actions.index(found.option.action)
        if self._reaches(found.health_later):
            return (False, preference, int(found.amount_base), 0)
        return (True, -_figure(found.health_later), preference, int(found.amount_base))

    def _sized(self, option: ProtectionOption) -> _Sized | ProtectionAlternative:
        """Return an option with the least amount that reaches the target, or else with all that may be used."""
        if option.action == "reduce" and self._margin.account != self._view.signer:
            return self._pass(option, 0, "only the account itself can do it")
        most = int(option.amount_max)
        if option.action != "reduce":
            most = min(most, int(self._view.inventory(option.asset)))
        if most <= 0:
            return self._pass(option, 0, "no free inventory")
        largest = self._later(option, most)
        if largest.refusal is not None:
            return self._pass(option, most, largest.refusal)
        amount = self._least(option, most) if self._reaches(largest.health_wad) else most
        return self._weighed(option, amount)

    def _weighed(self, option: ProtectionOption, amount: int) -> _Sized | ProtectionAlternative:
        """Return an option with its amount, unless it is worth nothing to the account."""
        tokens = TokenAmount(amount)
        value = self._venue.value_base(option.asset, tokens)
        after = self._protections.preview(self._margin.account, option.action, option.asset, tokens)
        later = self._later(option, amount)
        refusal = after.refusal or later.refusal
        if refusal is not None or value is None:
            return self._pass(option, amount, refusal or "its value is not known")
        if _figure(after.health_wad) <= int(self._health):
            return self._pass(option, amount, "does not raise health")
        if not self._reaches(later.health_wad) and value < self._gas_cost_base:
            return self._pass(option, amount, "is worth less than its gas")
        return _Sized(option, amount, value, after.health_wad, later.health_wad)

    def _least(self, option: ProtectionOption, most: int) -> int:
        """Return the least amount that reaches the target; ``most`` does.

        Health grows with the amount but for the contract's rounding, so what is returned has been looked at.
        """
        low, high = 0, most
        while high - low > 1:
            middle = (low + high) // 2
            found = self._later(option, middle)
            if found.refusal is None and self._reaches(found.health_wad):
                high = middle
            else:
                low = middle
        return high

    def _later(self, option: ProtectionOption, amount: int) -> ProtectedHealth:
        tokens = TokenAmount(amount)
        return self._protections.preview(
            self._margin.account, option.action, option.asset, tokens, seconds=HORIZON_SECONDS
        )

    def _reaches(self, health: Wad | None) -> bool:
        return health is None or health >= self._spec.target_health

    def _proposal(self, found: _Sized, alternatives: tuple[ProtectionAlternative, ...]) -> ProtectionProposal:
        margin, spec = self._margin, self._spec
        reaches = self._reaches(found.health_later)
        return ProtectionProposal(
            strategy=spec.name,
            venue=margin.venue,
            account=margin.account,
            epoch=margin.epoch,
            health_before=self._health,
            floor_health=spec.floor_health,
            target_health=spec.target_health,
            action=found.option.action,
            asset=found.option.asset,
            amount=TokenAmount(found.amount),
            amount_base=found.amount_base,
            health_after=found.health_after,
            gas_cost_base=self._gas_cost_base,
            rationale="the least that restores the target"
            if reaches
            else "the target is out of reach; this raises most",
            alternatives=alternatives,
        )

    def _beaten(self, found: _Sized) -> ProtectionAlternative:
        option, amount = found.option, TokenAmount(found.amount)
        why_not = "another is preferred, or smaller" if self._reaches(found.health_later) else "misses the target"
        return ProtectionAlternative(option.action, option.asset, amount, found.health_after, why_not)

    def _pass(self, option: ProtectionOption, amount: int, why_not: str) -> ProtectionAlternative:
        return ProtectionAlternative(option.action, option.asset, TokenAmount(amount), self._health, why_not)


def _figure(health: Wad | None) -> int:
    """Return a health to compare by; no debt left is the best."""
    return UINT256_MAX if health is None else int(health)
