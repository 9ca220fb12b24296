"""``keeper replay``: the engine over the recorded facts again, as it was told to decide or by other settings."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from keeper.cli.options import JournalOption, JsonOption
from keeper.cli.terminal import emit_json, emit_pairs, progress
from keeper.core.errors import NotHolding, UsageError

DIFFERENCES_SHOWN = 20


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay gave. ``from_sequence`` is the place of the snapshot it began at, zero for the beginning.

    ``decisions_digest`` is blake2b-256 over the decisions made from there on.
    """

    journal: str
    from_sequence: int
    last_sequence: int
    facts: int
    decisions: int
    decisions_digest: str
    state_hash: str
    divergence: str | None
    seconds: float
    facts_per_second: int


def command(
    *,
    journal: JournalOption,
    until: Annotated[
        str | None, typer.Option(help="Stop after this record, or block:N for the last record of a block.")
    ] = None,
    from_snapshot: Annotated[
        bool, typer.Option("--from-snapshot", help="Begin at the newest good snapshot, not at the first record.")
    ] = False,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Decide by this value, as the configuration file would have it; may be repeated.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Decide by this whole configuration file.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="How many differences to show.")] = DIFFERENCES_SHOWN,
    as_json: JsonOption = False,
) -> None:
    """Step the recorded facts again; say whether every decision came out the same.

    With other settings: which decisions would have differed, on the market as it was.
    """
    if changes or config is not None:
        from keeper.cli.what_if import tell

        if from_snapshot:
            raise UsageError("--from-snapshot", "what if begins at the first record", "leave it out")
        tell(journal, until, changes or (), config, limit, as_json=as_json)
        return
    result = replay_journal(journal, until, from_snapshot=from_snapshot)
    if as_json:
        emit_json(result)
    else:
        _show(result)
    if result.divergence is not None:
        raise NotHolding(f"journal {journal} at sequence {result.last_sequence}", result.divergence)


def replay_journal(url: str, until: str | None = None, *, from_snapshot: bool = False) -> Replayed:
    """Replay a journal; shows its progress on a terminal.

    Raises:
        KeeperError: the journal cannot be read, or ``until`` is not in it.
    """
    from keeper.cli.journals import engine_before, first_engine, opened, replayed, sequence_of
    from keeper.cli.verify import difference
    from keeper.core.ids import to_hex

    with opened(url) as reader:
        last = sequence_of(reader, until)
        engine = engine_before(reader, last) if from_snapshot else first_engine(reader)
        first = engine.sequence
        started = time.monotonic()
        with progress("replaying", last - first) as advance:
            result = replayed(reader, engine, last, advance)
        seconds = time.monotonic() - started
    return Replayed(
        journal=url,
        from_sequence=first,
        last_sequence=result.last_sequence,
        facts=result.facts,
        decisions=result.decisions,
        decisions_digest=to_hex(result.decisions_digest),
        state_hash=to_hex(result.state_hash),
        divergence=None if result.divergence is None else difference(result.divergence),
        seconds=round(seconds, 3),
        facts_per_second=round(result.facts / seconds) if seconds else 0,
    )


def _show(result: Replayed) -> None:
    begun = f"the snapshot at {result.from_sequence:,}" if result.from_sequence else "the first record"
    same = "as recorded" if result.divergence is None else "one of them not as recorded"
    emit_pairs(
        [
            ("journal", result.journal),
            ("replayed", f"{result.facts:,} facts from {begun} to {result.last_sequence:,}"),
            ("decisions", f"{result.decisions:,}, {same}"),
            ("digest", result.decisions_digest),
            ("state", result.state_hash),
            ("speed", f"{result.facts_per_second:,} facts/s ({result.seconds} s)"),
        ]
    )
