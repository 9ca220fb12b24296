"""``keeper journal``: look at the records."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from keeper.cli import journal_backup, journal_bundle, journal_prune
from keeper.cli.options import JournalOption, JsonLinesOption, JsonOption
from keeper.cli.terminal import emit, emit_json, emit_pairs, emit_table, flush, progress, styled
from keeper.cli.times import written
from keeper.core.errors import NotHolding, UsageError

if TYPE_CHECKING:
    from keeper.core.codec import Record
    from keeper.journal.reader import JournalReader
    from keeper.observe.completeness import Completeness, Stretch

app = typer.Typer(help="Look at the journal.", no_args_is_help=True, rich_markup_mode=None)

app.command(
    "backup",
    epilog="Example: keeper journal backup --journal sqlite:///var/lib/keeper/journal.db -o /srv/backup/journal.db",
)(journal_backup.command)
app.command(
    "prune", epilog="Example: keeper journal prune --journal sqlite:///var/lib/keeper/journal.db --keep-days 90"
)(journal_prune.command)

app.command(
    "bundle",
    epilog="Example: keeper journal bundle --journal sqlite:///var/lib/keeper/journal.db "
    "--from 2026-11-26T14:28:00Z --to 2026-11-26T14:40:00Z -o incident.keeper",
)(journal_bundle.bundle_command)
app.command("import", epilog="Example: keeper journal import incident.keeper --journal sqlite://incident.db")(
    journal_bundle.import_command
)

FOLLOW_SECONDS = 0.25
ADVANCE_RECORDS = 1000


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal holds. Times in Unix milliseconds; ``None`` where there is nothing."""

    journal: str
    chain_ids: tuple[int, ...]
    frames: int
    first_sequence: int | None
    last_sequence: int
    payload_bytes: int
    file_bytes: int
    first_unix_ms: int | None
    last_unix_ms: int | None
    first_block: int | None
    last_block: int | None
    snapshots: list[int]
    records: dict[str, int]


@app.command(
    epilog="Example: keeper journal tail --journal sqlite:///var/lib/keeper/journal.db -f --kind HealthChanged"
)
def tail(
    *,
    journal: JournalOption,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the newest; --from shows all.")] = 20,
    first: Annotated[int | None, typer.Option("--from", min=1, help="Begin at this sequence.")] = None,
    last: Annotated[int | None, typer.Option("--until", min=1, help="End at this sequence.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="This kind of record only; may be repeated.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
    as_json: JsonLinesOption = False,
) -> None:
    """Print records, one a line."""
    from keeper.cli.journals import opened

    if follow and last is not None:
        raise UsageError("--until", "cannot be given with --follow", "leave one of them out")
    kinds = _known(kind or [])
    show = emit_json if as_json else _emit_line
    with opened(journal) as reader:
        end = reader.last_sequence if last is None else min(last, reader.last_sequence)
        for record in _chosen(reader, first, end, lines, kinds):
            show(record)
        while follow:
            flush()
            time.sleep(FOLLOW_SECONDS)
            newest = reader.last_sequence
            for record in _of_kinds(reader.read(end + 1, newest), kinds):
                show(record)
            end = newest


@app.command(epilog="Example: keeper journal stat --journal sqlite:///var/lib/keeper/journal.db --gaps --json")
def stat(
    *,
    journal: JournalOption,
    gaps: Annotated[
        bool, typer.Option("--gaps", help="Say which blocks came how, who confirmed them, any hole.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Count what is in the journal, and say which time and blocks it spans."""
    if gaps:
        _stat_gaps(journal, as_json=as_json)
        return
    statistics = _statistics(journal)
    if as_json:
        emit_json(statistics)
    else:
        _show(statistics)


@app.command(epilog="Example: keeper journal export --journal sqlite:///var/lib/keeper/journal.db --out archive")
def export(
    *,
    journal: JournalOption,
    form: Annotated[str, typer.Option("--format", help="parquet (a directory) or jsonl.")] = "parquet",
    out: Annotated[Path | None, typer.Option(help="A new directory for Parquet; JSON lines go to stdout.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Recorded from this time on (ISO 8601, UTC).")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Recorded before this time.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Archive the records as Parquet, by kind and day, or as JSON lines."""
    from keeper.cli.archive import line, rows, write_parquet
    from keeper.cli.journals import counted, opened

    if form not in {"parquet", "jsonl"}:
        raise UsageError(f"--format {form}", "there is no such format", "give parquet or jsonl")
    if form == "parquet" and out is None:
        raise UsageError("--out", "is missing", "name a new directory for the Parquet files")
    if form == "jsonl" and out is not None:
        raise UsageError(f"--out {out}", "JSON lines go to stdout", "leave it out and redirect stdout")
    first, end = _instant("--from", since), _instant("--to", until)

    def kept(unix_ms: int) -> bool:
        return (first is None or unix_ms >= first) and (end is None or unix_ms < end)

    with opened(journal) as reader, progress("exporting", reader.last_sequence) as advance:
        found = rows(counted(reader.read(1, reader.last_sequence), advance), kept)
        if out is None:
            for row in found:
                emit(line(row))
            return
        counts = write_parquet(found, out)
    if as_json:
        emit_json({"out": str(out), "records": counts})
    else:
        emit_table(("kind", "records"), [(kind, f"{count:,}") for kind, count in counts.items()], right=("records",))


def _instant(option: str, text: str | None) -> int | None:
    """Return the Unix milliseconds of a time; without a zone it is UTC."""
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option} {text}", "is no time", "give one as 2026-01-31T12:00:00Z") from None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def _stat_gaps(url: str, *, as_json: bool) -> None:
    """Show the completeness of each chain.

    Raises:
        NotHolding: a block is missing.
    """
    from keeper.cli.journals import opened
    from keeper.observe.completeness import CompletenessFold

    fold = CompletenessFold()
    with opened(url) as reader, progress("reading", reader.last_sequence) as advance:
        for count, record in enumerate(reader.read(1, reader.last_sequence), 1):
            fold.take(record)
            if count % ADVANCE_RECORDS == 0:
                advance(ADVANCE_RECORDS)
    chains = fold.result()
    if as_json:
        emit_json({"chains": chains})
    else:
        for chain in chains:
            _show_completeness(chain)
    holes = [hole for chain in chains for hole in chain.holes]
    if holes:
        reason = f"blocks {_stretches(holes)} are missing"
        raise NotHolding(url, reason, "start a new journal: what followed was decided without them")


def _show_completeness(chain: Completeness) -> None:
    emit_pairs(
        [
            ("chain", str(chain.chain_id)),
            ("blocks", "-" if chain.first is None else f"{chain.first} to {chain.tip}"),
            ("final to", "-" if chain.finalized is None else str(chain.finalized)),
            ("back-filled", _stretches(chain.backfilled)),
            ("applied", f"{chain.applied:,} blocks"),
            ("verified", _stretches(chain.verified)),
            ("unverified", _stretches(chain.unverified)),
            ("reorgs", ", ".join(f"{depth} deep" for depth in chain.reorgs) or "none"),
            ("repairs", ", ".join(f"from {first}" for first in chain.repairs) or "none"),
            ("audits", f"{chain.audits:,}; accounts agreed {chain.audits_agreed:,}, failed {chain.audits_failed:,}"),
            ("holes", _stretches(chain.holes)),
        ]
    )
    emit()


def _stretches(stretches: Iterable[Stretch]) -> str:
    said = [
        f"{each.first} to {each.last}" + (f" by {' and '.join(each.providers)}" if each.providers else "")
        for each in stretches
    ]
    return ", ".join(said) or "none"


def _known(kinds: list[str]) -> list[str]:
    from keeper.core import decisions, facts

    known = [kind.__name__ for kind in [*facts.Fact.__subclasses__(), *decisions.Decision.__subclasses__()]]
    for kind in kinds:
        if kind not in known:
            raise UsageError(f"--kind {kind}", "there is no such kind of record", f"it is one of: {', '.join(known)}")
    return kinds


def _chosen(reader: JournalReader, first: int | None, end: int, lines: int, kinds: list[str]) -> Iterable[Record]:
    if first is not None:
        return _of_kinds(reader.read(first, end), kinds)
    if not kinds:
        return reader.read(max(1, end - lines + 1), end) if lines else ()
    return deque(_of_kinds(reader.read(1, end), kinds), maxlen=lines)


def _of_kinds(records: Iterable[Record], kinds: list[str]) -> Iterator[Record]:
    for record in records:
        if not kinds or type(record.body).__name__ in kinds:
            yield record


def _emit_line(record: Record) -> None:
    from keeper.core.decisions import Decision
    from keeper.observe.lines import summary

    kind = type(record.body).__name__
    when = written(record.recorded_at_ms)
    name = styled(f"{kind:<19}", "cyan" if isinstance(record.body, Decision) else "dim")
    emit(f"{record.sequence:>8}  {when}  {name}  {summary(record.body)}")


def _statistics(url: str) -> Statistics:
    from keeper.cli.journals import opened

    with opened(url) as reader:
        summary = reader.summary()
        counts: dict[str, int] = {}
        with progress("counting", summary.last_sequence) as advance:
            for count, record in enumerate(reader.read(1, summary.last_sequence), 1):
                kind = type(record.body).__name__
                counts[kind] = counts.get(kind, 0) + 1
                if count % ADVANCE_RECORDS == 0:
                    advance(ADVANCE_RECORDS)
        return Statistics(
            journal=url,
            chain_ids=reader.birth.chain_ids,
            frames=summary.frames,
            first_sequence=reader.first_sequence if summary.last_sequence else None,
            last_sequence=summary.last_sequence,
            payload_bytes=summary.payload_bytes,
            file_bytes=reader.stored_bytes(),
            first_unix_ms=summary.first_unix_ms,
            last_unix_ms=summary.last_unix_ms,
            first_block=summary.first_block,
            last_block=summary.last_block,
            snapshots=[row.sequence for row in reader.stored_snapshots()],
            records=dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        )


def _show(statistics: Statistics) -> None:
    times = [written(at) for at in (statistics.first_unix_ms, statistics.last_unix_ms) if at is not None]
    blocks = [str(number) for number in (statistics.first_block, statistics.last_block) if number is not None]
    emit_pairs(
        [
            ("journal", statistics.journal),
            ("chains", ", ".join(map(str, statistics.chain_ids))),
            ("records", f"{statistics.last_sequence:,} in {statistics.frames:,} frames"),
            ("bytes", f"{statistics.payload_bytes:,} of records, {statistics.file_bytes:,} in the file"),
            ("time", " to ".join(times) or "-"),
            ("blocks", " to ".join(blocks) or "-"),
            ("snapshots", ", ".join(f"at {sequence:,}" for sequence in statistics.snapshots) or "none"),
        ]
    )
    emit()
    emit_table(
        ("kind", "records"), [(kind, f"{count:,}") for kind, count in statistics.records.items()], right=("records",)
    )
