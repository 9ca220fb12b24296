"""``keeper explain``: what was done about an account or by an intent, and why not sooner, from the journal alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from keeper.cli.accounts import Watermark, chosen, reader_of, watermark_of
from keeper.cli.margin import MarginShown, shown
from keeper.cli.options import JsonOption
from keeper.cli.terminal import emit_json, progress
from keeper.core.errors import UsageError
from keeper.core.ids import Address, parse_address, to_hex

if TYPE_CHECKING:
    from keeper.core.decisions import Intent
    from keeper.engine.step import Engine
    from keeper.journal.reader import JournalReader
    from keeper.report.explaining import Past
    from keeper.report.model import Explanation, IntentStory
    from keeper.report.trail import Trail

_ACCOUNT = re.compile(r"0x[0-9a-f]{40}")
_INTENT = re.compile(r"0x[0-9a-f]{8,64}")


class AtVenue(msgspec.Struct, frozen=True):
    """An account at one venue: what its margin consists of, and everything else."""

    breakdown: MarginShown
    explanation: Explanation


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. ``intent`` is what was asked about, ``None`` when it was an account."""

    watermark: Watermark
    sequence: int
    account: str
    intent: IntentStory | None
    venues: tuple[AtVenue, ...]


def command(
    *,
    subject: Annotated[
        str,
        typer.Argument(metavar="ACCOUNT|INTENT", help="An account's address, or 8 or more digits of an intent's id."),
    ],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The configuration file whose journal is read.")
    ] = None,
    journal: Annotated[str | None, typer.Option("--journal", help="The journal, instead of a configuration.")] = None,
    venue: Annotated[str | None, typer.Option(help="At this venue only.")] = None,
    at: Annotated[str | None, typer.Option(help="As of block:N, or of a sequence; the end when left out.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Explain an account or an intent: what the keeper knew, weighed, did or did not do, and why not sooner."""
    name = subject.lower()
    if not (_ACCOUNT.fullmatch(name) or _INTENT.fullmatch(name)):
        remedy = "give an account as 0x and 40 digits, or an intent as 0x and 8 to 64 digits of its id"
        raise UsageError(f"{subject!r:.80}", "names neither an account nor an intent", remedy)
    with reader_of("explain", config, journal) as reader:
        found = explained(reader, name, venue, at)
    if as_json:
        emit_json(found)
    else:
        from keeper.cli.explain_output import show

        show(found)


def explained(reader: JournalReader, name: str, venue: str | None, at: str | None) -> Explained:
    """Explain an account, or an intent and its account.

    Raises:
        UsageError: the place, the venue, the account or the intent is not in the journal.
        JournalForeign: this version decides otherwise than the one that wrote the journal.
        JournalDamaged: a record is not what was written.
    """
    from keeper.cli.journals import end_of_group, sequence_of, state_beside
    from keeper.observe.lines import summary
    from keeper.report.trail import Trail

    until = end_of_group(reader, sequence_of(reader, at))
    intent = None if _ACCOUNT.fullmatch(name) else _intent(reader, name, until)
    trail = Trail(parse_address(name) if intent is None else intent.account, summary)
    with progress("reading", until) as advance:
        engine = state_beside(reader, until, advance, trail.take)
    if intent is not None and venue not in (None, intent.venue):
        raise UsageError(
            f"intent {name}", f"is of {intent.venue}", f"leave --venue out, or give --venue {intent.venue}"
        )
    return _put_together(engine, until, trail, _past(reader), intent, venue)


def _intent(reader: JournalReader, prefix: str, until: int) -> Intent:
    """Return the intent whose id begins so; its account must be known before the records about it can be kept."""
    from keeper.cli.journals import counted
    from keeper.report.finding import admissions

    with progress("finding", until) as advance:
        return admissions(counted(reader.read(1, until), advance), prefix).one(prefix, until)


def _past(reader: JournalReader) -> Past:
    from keeper.cli.journals import new_engine, record_at, state_at
    from keeper.report.explaining import Past

    def engine_before(sequence: int) -> Engine:
        with progress("replaying", sequence - 1) as advance:
            return state_at(reader, sequence - 1, advance)

    return Past(lambda sequence: record_at(reader, sequence), engine_before, new_engine)


def _put_together(
    engine: Engine, until: int, trail: Trail, past: Past, intent: Intent | None, venue: str | None
) -> Explained:
    from keeper.report.explaining import explain, is_known
    from keeper.report.finding import unknown_account

    ledgers = chosen(engine, venue if intent is None else intent.venue)
    known = [ledger for ledger in ledgers if is_known(engine, trail, ledger.name)]
    if not known:
        others: set[Address] = {account for ledger in ledgers for account in ledger.accounts()}
        raise unknown_account(to_hex(trail.account), until, sorted(map(to_hex, others)))
    told = [(ledger, explain(engine, trail, ledger.name, past)) for ledger in known]
    stories = [story for _, each in told for story in each.intents]
    return Explained(
        watermark=watermark_of(engine, ledgers[0].chain_id),
        sequence=until,
        account=to_hex(trail.account),
        intent=next((one for one in stories if intent is not None and one.intent.intent_id == intent.intent_id), None),
        venues=tuple(AtVenue(shown(ledger, trail.account), each) for ledger, each in told),
    )
