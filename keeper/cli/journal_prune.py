"""``keeper journal prune``: delete what is older than is wanted, once all of it has been proven."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from keeper.cli.journal_places import unix_ms_of
from keeper.cli.options import JournalOption, JsonOption
from keeper.cli.terminal import emit_json, emit_pairs, progress
from keeper.core.errors import UsageError

if TYPE_CHECKING:
    from keeper.journal.reader import JournalReader

DAY_MS = 86_400_000


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted: the records up to ``cut_sequence``, after which the frame's hash is ``cut_hash``."""

    journal: str
    records_deleted: int
    cut_sequence: int
    cut_hash: str
    last_sequence: int
    tip_hash: str
    bytes_before: int
    bytes_after: int


def command(
    *,
    journal: JournalOption,
    before: Annotated[str | None, typer.Option(help="Keep what is not before this time or sequence.")] = None,
    keep_days: Annotated[int | None, typer.Option(min=0, help="Keep so many days before the newest record.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Delete old records behind a state that is made again and compared first; the chain's head stays as it is."""
    from keeper.journal.prune import hold
    from keeper.journal.urls import journal_path

    if (before is None) == (keep_days is None):
        raise UsageError("prune", "needs either --before or --keep-days", "give one of them")
    path = journal_path(journal)
    if not path.exists():
        raise UsageError(f"journal {path}", "there is no such file", "give the url of an existing journal")
    lock = hold(path)
    try:
        pruned = _prune(journal, before, keep_days)
    finally:
        lock.release()
    if as_json:
        emit_json(pruned)
        return
    emit_pairs(
        [
            ("journal", pruned.journal),
            ("deleted", f"{pruned.records_deleted:,} records, up to sequence {pruned.cut_sequence:,}"),
            ("hash there", pruned.cut_hash),
            ("tip", f"{pruned.tip_hash}, as before"),
            ("bytes", f"{pruned.bytes_before:,} before, {pruned.bytes_after:,} now"),
        ]
    )


def _prune(url: str, before: str | None, keep_days: int | None) -> Pruned:
    from keeper.cli.journals import opened, state_at
    from keeper.cli.verify import verify_journal
    from keeper.core.ids import to_hex
    from keeper.engine.step import ENGINE_VERSION
    from keeper.journal.prune import prune
    from keeper.journal.snapshots import seal_snapshot

    verified = verify_journal(url)
    error = verified.error()
    if error is not None:
        raise error
    with opened(url) as reader:
        bytes_before, first = reader.stored_bytes(), reader.first_sequence
        cut, cut_hash = _cut(reader, before, keep_days)
        with progress("replaying", cut) as advance:
            state = state_at(reader, cut, advance).snapshot()
        base = seal_snapshot(reader.birth.hash, cut, str(ENGINE_VERSION), state)
    prune(reader.path, base)
    with opened(url) as reader:
        last, tip = reader.tip()
        return Pruned(
            journal=url,
            records_deleted=cut - first + 1,
            cut_sequence=cut,
            cut_hash=to_hex(cut_hash),
            last_sequence=last,
            tip_hash=to_hex(tip),
            bytes_before=bytes_before,
            bytes_after=reader.stored_bytes(),
        )


def _cut(reader: JournalReader, before: str | None, keep_days: int | None) -> tuple[int, bytes]:
    """Return the end of the frame behind which is deleted, and its hash.

    Raises:
        UsageError: no whole frame lies before it, or no snapshot that this version has compared lies behind it.
    """
    from keeper.engine.step import ENGINE_VERSION

    newest = max((snapshot.sequence for snapshot in reader.snapshots(str(ENGINE_VERSION))), default=0)
    wanted = _wanted(reader, before, keep_days)
    cut, cut_hash = reader.place(wanted)
    if cut < reader.first_sequence:
        raise UsageError(f"journal {reader.path}", "has nothing before that", "`keeper journal stat` shows what it has")
    if cut > newest:
        reason = f"would be cut at sequence {cut}, past the newest verified snapshot at {newest}"
        remedy = f"give --before {newest + 1} or earlier" if newest else "let `keeper run` take a snapshot first"
        raise UsageError(f"journal {reader.path}", reason, remedy)
    return cut, cut_hash


def _wanted(reader: JournalReader, before: str | None, keep_days: int | None) -> int:
    """Return the first sequence to keep."""
    unix_ms = None if before is None else unix_ms_of(before)
    if before is not None and unix_ms is None:
        from keeper.cli.journals import sequence_of

        return sequence_of(reader, before) if before != str(reader.last_sequence + 1) else reader.last_sequence + 1
    newest_ms = reader.summary().last_unix_ms or 0
    limit = newest_ms - (keep_days or 0) * DAY_MS if unix_ms is None else unix_ms
    for frame in reader.frames(1, reader.last_sequence):
        if frame.header.last_unix_ms >= limit:
            return frame.header.first_sequence
    return reader.last_sequence + 1
