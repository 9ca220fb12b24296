"""``keeper postmortem``: what happened in a window of a journal, as one HTML file, a summary, or one JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from keeper.cli.options import JournalOption, JsonOption
from keeper.cli.terminal import Advance, emit_json, progress
from keeper.core.errors import Halt, JournalDamaged, NotHolding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keeper.core.codec import Record
    from keeper.engine.step import Engine
    from keeper.journal.reader import JournalReader
    from keeper.report.chronicle import Chronicle
    from keeper.report.incident import Incident, Proof
    from keeper.report.model import Entry
    from keeper.report.survey import Survey

REPORT = "keep the journal and report it; `keeper verify` shows where it begins to differ"
PLACE = "An ISO time, Unix seconds, block:N (block:CHAIN:N), or a sequence"


def command(
    *,
    journal: JournalOption,
    first: Annotated[str | None, typer.Option("--from", help=f"{PLACE}; the journal's beginning.")] = None,
    last: Annotated[str | None, typer.Option("--to", help=f"{PLACE}, included; the journal's end.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The HTML file to write.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what happened in a window: accounts, slices, gas, latency, faults, money, and why; with its proof."""
    from keeper.cli.postmortem_output import check_writable, show, write

    if output is not None:
        check_writable(output)
    told = incident_of(journal, first, last)
    if output is not None:
        write(output, told)
    if as_json:
        emit_json(told)
    else:
        show(told, output)
    if not told.proof.holds:
        raise NotHolding(f"journal {told.journal}", str(told.proof.divergence), REPORT)


def incident_of(url: str, first: str | None, last: str | None) -> Incident:
    """Read a window of a journal; shows its progress on a terminal.

    Raises:
        UsageError: a place is not in the journal, or nothing lies between them.
        KeeperError: the journal cannot be read.
    """
    from keeper.cli.journals import opened
    from keeper.cli.windows import span_of
    from keeper.report.survey import Survey

    with opened(url) as reader:
        begin, end = span_of(reader, first, last)
        survey = Survey()
        with progress("reading", end - begin + 1) as advance:
            for record in _counted(reader, begin, end, advance):
                survey.take(record)
        return _told(reader, url, begin, end, survey)


def _told(reader: JournalReader, url: str, begin: int, end: int, survey: Survey) -> Incident:
    from keeper.observe.scrub import redacted
    from keeper.report.chronicle import Chronicle
    from keeper.report.narrative import narrative

    chronicle = Chronicle(begin, end, survey)
    with progress("replaying", end) as advance:
        replayed = _Replayed(reader, chronicle, begin, end)
        replayed.run(advance)
    engine = replayed.engine if replayed.fault is None else None
    told = chronicle.incident(redacted(url), replayed.proof(), engine)
    told = msgspec.structs.replace(told, narrative=narrative(told))
    return msgspec.structs.replace(told, citations=_cited(reader, told))


class _Replayed:
    """Steps the engine through the records up to the window's end, and hands all of them to the chronicle."""

    def __init__(self, reader: JournalReader, chronicle: Chronicle, begin: int, end: int) -> None:
        from keeper.cli.journals import engine_before

        self._reader, self._chronicle, self._begin, self._end = reader, chronicle, begin, end
        self.engine: Engine = engine_before(reader, begin - 1)
        self._from = self.engine.sequence + 1
        self.fault: str | None = None
        self._fault_at = end
        self._facts = self._decisions = self._taken = 0

    def run(self, advance: Advance) -> None:
        """Replay; behind a decision that came out otherwise the records speak alone."""
        from keeper.cli.verify import difference
        from keeper.engine.replay import replay

        try:
            result = replay(self._watched(_counted(self._reader, 1, self._end, advance)), self.engine)
        except JournalDamaged:
            raise
        except Halt as error:
            self._fail(self.engine.sequence + 1, f"the engine stops: {error}")
        else:
            self._facts, self._decisions = result.facts, result.decisions
            if result.divergence is not None:
                self._fail(result.divergence.sequence, difference(result.divergence))
        for record in self._reader.read(self._taken + 1, self._end):
            self._chronicle.take(record, None)

    def _watched(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield the records; who asks for the next has stepped the engine through the last."""
        for record in records:
            yield record
            self._chronicle.take(record, self.engine if record.sequence >= self._from else None)
            self._taken = record.sequence

    def _fail(self, sequence: int, reason: str) -> None:
        self._fault_at, self.fault = sequence, f"at sequence {sequence:,} {reason}"

    def proof(self) -> Proof:
        """Say what was checked; the chain of hashes is followed to the journal's end."""
        from keeper import __version__
        from keeper.core.ids import to_hex
        from keeper.engine.step import ENGINE_VERSION
        from keeper.report.incident import Proof

        tip, tip_hash = self._reader.tip()
        with progress("following hashes", tip - self._end) as advance:
            for frame in self._reader.frames(self._end + 1, tip):
                advance(frame.header.last_sequence - frame.header.first_sequence + 1)
        return Proof(
            holds=self.fault is None,
            divergence=self.fault,
            replayed_from=self._from,
            replayed_to=self._fault_at,
            facts=self._facts,
            decisions=self._decisions,
            hash_before=to_hex(self._reader.place(self._begin)[1]),
            hash_after=to_hex(self._reader.place(self._end + 1)[1]),
            tip_sequence=tip,
            tip_hash=to_hex(tip_hash),
            first_sequence=self._reader.first_sequence,
            engine_version=ENGINE_VERSION,
            keeper_version=__version__,
            run_versions=(),
        )


def _counted(reader: JournalReader, first: int, last: int, advance: Advance) -> Iterator[Record]:
    from keeper.cli.journals import counted

    return counted(reader.read(first, last), advance)


def _cited(reader: JournalReader, told: Incident) -> tuple[Entry, ...]:
    """Return the records that the narrative and the tables name, as lines."""
    from keeper.observe.lines import summary
    from keeper.report.citing import sequences_of
    from keeper.report.model import Entry, Moment

    wanted = sequences_of(told)
    found = []
    for record in reader.read(min(wanted, default=1), max(wanted, default=0)):
        if record.sequence in wanted:
            at = Moment(record.sequence, record.recorded_at_ms, None)
            found.append(Entry(at, record.cause, type(record.body).__name__, summary(record.body)))
    return tuple(found)
