"""Two series of decisions about the same facts, side by side: what one has and the other has not, or otherwise.

Decisions are matched by the fact that they follow from and by what they are about. The order of those that follow from
one fact is not compared.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Container, Iterator, Sequence
from enum import Enum

import msgspec

from keeper.core.decisions import (
    AnyDecision,
    AuditAgreed,
    AuditFailed,
    HealthChanged,
    HedgeProposed,
    Intent,
    IntentAdmitted,
    IntentAdvanced,
    LiquidationObserved,
    ProposalRefused,
    ProtectionRefused,
    RiskHealthChanged,
    SignerHalted,
    VenuePaused,
)
from keeper.core.ids import Address, Hash32, to_hex
from keeper.core.risk import RiskStatus
from keeper.core.units import BaseAmount
from keeper.core.venue import Epoch

_CALLED = (RiskStatus.CALL, RiskStatus.BREACHED)
_NAMES = ("name", "venue")


class FieldChange(msgspec.Struct, frozen=True):
    """A figure that differs, by the dotted path to it; unset where one side has none."""

    path: str
    recorded: object
    changed: object


class How(Enum):
    """In what two decisions about one thing differ."""

    ONLY_RECORDED = "only_recorded"
    ONLY_CHANGED = "only_changed"
    FIGURES = "figures"


class Difference(msgspec.Struct, frozen=True):
    """A decision that differs: what it is about, and the figures. ``cause`` is the fact's sequence."""

    cause: int
    kind: str
    subject: tuple[str, ...]
    how: How
    recorded: AnyDecision | None
    changed: AnyDecision | None
    fields: tuple[FieldChange, ...]


class KindCount(msgspec.Struct):
    """How the decisions of one kind compare."""

    same: int = 0
    only_recorded: int = 0
    only_changed: int = 0
    figures: int = 0


class Reasons(msgspec.Struct):
    """How often a rule of the gate refused."""

    recorded: int = 0
    changed: int = 0


class Worth(msgspec.Struct):
    """Slices that were admitted, and what they were to bring when they were (USD, 1e-8).

    What is tried again counts as an intent once more, but its value counts once for each position of an account.
    """

    intents: int = 0
    positions: int = 0
    repaid_base: BaseAmount = BaseAmount(0)
    profit_base: BaseAmount = BaseAmount(0)


class CallMoved(msgspec.Struct, frozen=True):
    """A margin call that comes at another block. ``blocks`` is below zero for one that comes earlier.

    The block is ``None`` on the side that has no such call; ``blocks`` is then ``None`` too.
    """

    venue: str
    account: Address
    recorded_block: int | None
    changed_block: int | None
    blocks: int | None


class Calls(msgspec.Struct, frozen=True):
    """The margin calls of both sides; ``moved`` are those that do not come at the same block."""

    recorded: int
    changed: int
    same: int
    moved: tuple[CallMoved, ...]


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that came out of it. ``missing`` and ``extra`` are slices of one side alone."""

    kinds: dict[str, KindCount]
    recorded: Worth
    changed: Worth
    missing: Worth
    extra: Worth
    refusals: dict[str, Reasons]
    margin_calls: Calls
    differences: tuple[Difference, ...]


class Comparison:
    """Takes the decisions of both sides, fact by fact."""

    def __init__(self) -> None:
        self._kinds: dict[str, KindCount] = defaultdict(KindCount)
        self._refusals: dict[str, Reasons] = defaultdict(Reasons)
        self._differences: list[Difference] = []
        self._recorded, self._changed = _Side(), _Side()

    def take(self, cause: int, recorded: Sequence[AnyDecision], changed: Sequence[AnyDecision]) -> None:
        """Compare what follows from one fact."""
        for decision in recorded:
            self._recorded.take(cause, decision)
            if isinstance(decision, ProposalRefused):
                self._refusals[decision.reason].recorded += 1
        for decision in changed:
            self._changed.take(cause, decision)
            if isinstance(decision, ProposalRefused):
                self._refusals[decision.reason].changed += 1
        for one, other in _paired(recorded, changed):
            self._count(cause, one, other)

    def result(self) -> Compared:
        """Sum up."""
        ours, theirs = self._recorded, self._changed
        return Compared(
            kinds=dict(sorted(self._kinds.items())),
            recorded=ours.worth(frozenset()),
            changed=theirs.worth(frozenset()),
            missing=ours.worth(theirs.slices.keys()),
            extra=theirs.worth(ours.slices.keys()),
            refusals=dict(sorted(self._refusals.items())),
            margin_calls=_calls(ours, theirs),
            differences=tuple(self._differences),
        )

    def _count(self, cause: int, recorded: AnyDecision | None, changed: AnyDecision | None) -> None:
        told = recorded if recorded is not None else changed
        count = self._kinds[type(told).__name__]
        fields: tuple[FieldChange, ...] = ()
        if recorded is None:
            how = How.ONLY_CHANGED
            count.only_changed += 1
        elif changed is None:
            how = How.ONLY_RECORDED
            count.only_recorded += 1
        elif recorded == changed:
            count.same += 1
            return
        else:
            how, fields = How.FIGURES, tuple(fields_that_differ(recorded, changed))
            count.figures += 1
        kind, *subject = _key(told)  # type: ignore[arg-type]  # one of the two is there
        self._differences.append(Difference(cause, kind, tuple(subject), how, recorded, changed, fields))


class _Episode(msgspec.Struct):
    """A margin call, from the fact that brought it to the one that ended it (``None``: none did)."""

    begun: int
    block: int
    ended: int | None = None


class _Side:
    """What is summed up of one series of decisions."""

    def __init__(self) -> None:
        self.slices: dict[Hash32, Intent] = {}
        self.calls: dict[tuple[str, Address], list[_Episode]] = defaultdict(list)

    def take(self, cause: int, decision: AnyDecision) -> None:
        """Take a decision."""
        if isinstance(decision, IntentAdmitted) and decision.intent.kind == "liquidation":
            self.slices[decision.intent.intent_id] = decision.intent
        elif isinstance(decision, RiskHealthChanged):
            self._called(cause, decision)

    def worth(self, without: Container[Hash32]) -> Worth:
        """Sum up the slices that are not among others."""
        worth = Worth()
        seen: set[tuple[str, Address, Epoch]] = set()
        for intent_id, intent in self.slices.items():
            if intent_id in without:
                continue
            worth.intents += 1
            position = (intent.venue, intent.account, intent.epoch)
            if position not in seen:
                seen.add(position)
                worth.repaid_base += intent.spend_base
                worth.profit_base += intent.profit_base
        worth.positions = len(seen)
        return worth

    def _called(self, cause: int, decision: RiskHealthChanged) -> None:
        """Begin or end a margin call; while the opinion is unknown the last one stands."""
        opinion = decision.opinion
        episodes = self.calls[opinion.venue, opinion.account]
        is_open = bool(episodes) and episodes[-1].ended is None
        if opinion.status in _CALLED and not is_open:
            episodes.append(_Episode(cause, decision.block_number))
        elif opinion.status in (RiskStatus.SAFE, RiskStatus.WARNING) and is_open:
            episodes[-1].ended = cause


def fields_that_differ(recorded: object, changed: object, path: str = "") -> Iterator[FieldChange]:
    """Yield the figures in which two values of one shape differ, each by its path; sections by their names."""
    if recorded == changed:
        return
    if isinstance(recorded, msgspec.Struct) and type(recorded) is type(changed):
        for field in recorded.__struct_fields__:
            yield from fields_that_differ(getattr(recorded, field), getattr(changed, field), _below(path, field))
    elif isinstance(recorded, tuple) and isinstance(changed, tuple) and len(recorded) == len(changed):
        for place, (one, other) in enumerate(zip(recorded, changed, strict=True)):
            name = next((getattr(one, each) for each in _NAMES if hasattr(one, each)), str(place))
            yield from fields_that_differ(one, other, _below(path, name))
    else:
        yield FieldChange(path, recorded, changed)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _paired(
    recorded: Sequence[AnyDecision], changed: Sequence[AnyDecision]
) -> Iterator[tuple[AnyDecision | None, AnyDecision | None]]:
    """Match decisions of one kind about one thing, in their order."""
    waiting: dict[tuple[str, ...], deque[AnyDecision]] = defaultdict(deque)
    for decision in changed:
        waiting[_key(decision)].append(decision)
    for decision in recorded:
        same = waiting[_key(decision)]
        yield decision, same.popleft() if same else None
    for left in waiting.values():
        for decision in left:
            yield None, decision


def _key(decision: AnyDecision) -> tuple[str, ...]:  # noqa: PLR0911 - one case for each kind
    """Return the kind of a decision, and what it is about."""
    kind = type(decision).__name__
    match decision:
        case HealthChanged(margin=told) | RiskHealthChanged(opinion=told):
            return (kind, told.venue, to_hex(told.account))
        case ProposalRefused(proposal=told) | ProtectionRefused(proposal=told):
            return (kind, told.venue, to_hex(told.account))
        case HedgeProposed(plan=plan):
            return (kind, plan.venue, to_hex(plan.market))
        case IntentAdmitted(intent=intent):
            about = intent.to if intent.kind == "approval" else intent.account
            return (kind, intent.venue, to_hex(about))
        case IntentAdvanced(intent_id=intent_id):
            return (kind, to_hex(intent_id))
        case LiquidationObserved(liquidation=seen):
            return (kind, seen.venue, to_hex(seen.account), to_hex(seen.tx_hash))
        case AuditFailed(venue=venue, account=account):
            return (kind, venue, to_hex(account))
        case AuditAgreed(venue=venue) | VenuePaused(venue=venue):
            return (kind, venue)
        case SignerHalted(signer=signer):
            return (kind, signer)


def _calls(recorded: _Side, changed: _Side) -> Calls:
    moved: list[CallMoved] = []
    same = 0
    for venue, account in sorted(recorded.calls.keys() | changed.calls.keys()):
        key = (venue, account)
        for one, other in _overlapping(recorded.calls.get(key, []), changed.calls.get(key, [])):
            before, after = _block(one), _block(other)
            if before == after:
                same += 1
                continue
            blocks = None if before is None or after is None else after - before
            moved.append(CallMoved(venue, account, before, after, blocks))
    return Calls(_count(recorded), _count(changed), same, tuple(moved))


def _block(episode: _Episode | None) -> int | None:
    return None if episode is None else episode.block


def _count(side: _Side) -> int:
    return sum(map(len, side.calls.values()))


def _overlapping(
    recorded: Sequence[_Episode], changed: Sequence[_Episode]
) -> Iterator[tuple[_Episode | None, _Episode | None]]:
    """Match the calls of one account that stand at the same time, each with one; the others stand alone."""
    ours, theirs = deque(recorded), deque(changed)
    while ours and theirs:
        if _is_over(ours[0], theirs[0].begun):
            yield ours.popleft(), None
        elif _is_over(theirs[0], ours[0].begun):
            yield None, theirs.popleft()
        else:
            yield ours.popleft(), theirs.popleft()
    for each in ours:
        yield each, None
    for each in theirs:
        yield None, each


def _is_over(episode: _Episode, at: int) -> bool:
    return episode.ended is not None and episode.ended <= at
