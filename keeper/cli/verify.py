"""``keeper verify``: that the records are those that were written, and that every decision follows from them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from keeper.cli.options import JournalOption, JsonOption
from keeper.cli.terminal import Advance, emit_json, emit_pairs, progress
from keeper.core.errors import Halt, JournalDamaged, KeeperError, NotHolding

if TYPE_CHECKING:
    from keeper.engine.replay import Divergence
    from keeper.engine.step import Engine
    from keeper.journal.protocol import Snapshot
    from keeper.journal.reader import JournalReader

RESTORE = "restore the file from a copy; do not edit or skip records"
REPORT = "keep the journal and report it; `keeper journal tail --from SEQ` shows what stands there"


class Fault(msgspec.Struct, frozen=True):
    """The first place that does not hold. ``damaged``: the file is not what was written; else a decision differs."""

    sequence: int
    reason: str
    damaged: bool


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked, and the fault that ended it, if any."""

    journal: str
    frames: int
    records: int
    facts: int
    decisions: int
    last_sequence: int
    tip_hash: str
    state_hash: str | None
    snapshots_compared: int
    snapshots_bad: tuple[int, ...]
    seconds: float
    fault: Fault | None
    first_sequence: int = 1
    frames_redacted: int = 0

    def error(self) -> KeeperError | None:
        """Return the fault as the error to leave with."""
        if self.fault is None:
            return None
        place = f"journal {self.journal} at sequence {self.fault.sequence}"
        if self.fault.damaged:
            return JournalDamaged(place, self.fault.reason, RESTORE)
        return NotHolding(place, self.fault.reason, REPORT)


class _Replayed(msgspec.Struct):
    facts: int = 0
    decisions: int = 0
    compared: int = 0
    state_hash: str | None = None
    fault: Fault | None = None


def command(*, journal: JournalOption, as_json: JsonOption = False) -> None:
    """Check the chain of hashes, the sequence, every snapshot's state, and every decision bit for bit."""
    verified = verify_journal(journal)
    if as_json:
        emit_json(verified)
    else:
        show(verified)
    error = verified.error()
    if error is not None:
        raise error


def verify_journal(url: str) -> Verified:
    """Check a journal; shows its progress on a terminal.

    Raises:
        JournalDamaged: it cannot even be opened.
        OperatorError: there is no such journal.
    """
    from keeper.cli.journals import opened
    from keeper.journal.verify import verify

    started = time.monotonic()
    with opened(url) as reader:
        whole = verify(reader)
        fault = whole.violation and Fault(whole.violation.sequence, whole.violation.reason, damaged=True)
        with progress("replaying", whole.last_sequence) as advance:
            replayed = _replay(reader, whole.last_sequence, advance) if fault is None else _Replayed()
    return Verified(
        journal=url,
        frames=whole.frames,
        records=whole.records,
        facts=replayed.facts,
        decisions=replayed.decisions,
        last_sequence=whole.last_sequence,
        tip_hash=whole.tip_hash,
        state_hash=replayed.state_hash,
        snapshots_compared=replayed.compared,
        snapshots_bad=whole.snapshots_bad,
        seconds=round(time.monotonic() - started, 3),
        fault=fault or replayed.fault,
        first_sequence=whole.first_sequence,
        frames_redacted=whole.frames_redacted,
    )


def show(verified: Verified) -> None:
    """Print the report for people."""
    bad = f", {len(verified.snapshots_bad)} bad (they are skipped)" if verified.snapshots_bad else ""
    emit_pairs(
        [
            ("journal", verified.journal),
            ("records", f"{verified.records:,} in {verified.frames:,} frames, chain of hashes whole"),
            ("tip", verified.tip_hash),
            ("replayed", f"{verified.facts:,} facts gave {verified.decisions:,} decisions, all as recorded"),
            ("snapshots", f"{verified.snapshots_compared} compared{bad}"),
            ("state", verified.state_hash or "-"),
            *_not_shown(verified),
            ("took", f"{verified.seconds} s"),
        ]
        if verified.fault is None
        else [("journal", verified.journal), ("good up to", f"sequence {verified.fault.sequence - 1}")]
    )


def _not_shown(verified: Verified) -> list[tuple[str, str]]:
    """Say what this check takes on trust."""
    rows = []
    if verified.first_sequence > 1:
        what = (
            f"sequence {verified.first_sequence:,}; what was before is not here, the state there is its snapshot's word"
        )
        rows.append(("from", what))
    if verified.frames_redacted:
        what = f"{verified.frames_redacted:,} frames: their place is proven, their words are whose bundle it was"
        rows.append(("redacted", what))
    return rows


def _replay(reader: JournalReader, last: int, advance: Advance) -> _Replayed:
    """Replay from the first record that is kept, stopping at each snapshot to compare the state."""
    from keeper.cli.journals import first_engine
    from keeper.core.ids import to_hex
    from keeper.engine.step import ENGINE_VERSION

    engine, found, first = first_engine(reader), _Replayed(), reader.first_sequence
    stored = sorted(reader.snapshots(str(ENGINE_VERSION)), key=lambda snapshot: snapshot.sequence)
    snapshots = [snapshot for snapshot in stored if snapshot.sequence >= first]
    for snapshot in snapshots:
        found.fault = _step(reader, engine, snapshot.sequence, advance, found) or _compare(engine, snapshot)
        if found.fault is not None:
            return found
        found.compared += 1
    found.fault = _step(reader, engine, last, advance, found)
    found.state_hash = to_hex(engine.state_hash())
    return found


def _step(reader: JournalReader, engine: Engine, until: int, advance: Advance, found: _Replayed) -> Fault | None:
    from keeper.cli.journals import replayed

    try:
        result = replayed(reader, engine, until, advance)
    except JournalDamaged:
        raise
    except Halt as error:
        return Fault(engine.sequence + 1, f"the engine stops: {error}", damaged=False)
    found.facts += result.facts
    found.decisions += result.decisions
    if result.divergence is not None:
        return Fault(result.divergence.sequence, difference(result.divergence), damaged=False)
    return None


def _compare(engine: Engine, snapshot: Snapshot) -> Fault | None:
    if engine.state_hash() == snapshot.state_hash:
        return None
    return Fault(snapshot.sequence, "the state differs from the snapshot taken there", damaged=False)


def difference(divergence: Divergence) -> str:
    """Say in a line how a replay decided otherwise."""
    from keeper.observe.lines import summary

    def told(decision: object) -> str:
        return "nothing" if decision is None else f"{type(decision).__name__} {summary(decision)}"  # type: ignore[arg-type]  # a decision

    return f"fact {divergence.cause} gave {told(divergence.actual)} where the journal has {told(divergence.expected)}"
