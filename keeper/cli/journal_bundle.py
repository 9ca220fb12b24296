"""``keeper journal bundle`` and ``import``: an incident as one file, and back into a journal or a test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from keeper.cli.options import JournalOption, JsonOption
from keeper.cli.terminal import emit_json, emit_pairs, progress
from keeper.core.errors import UsageError

if TYPE_CHECKING:
    from keeper.journal.bundle import Bundle
    from keeper.journal.reader import JournalReader


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle holds and what is proven of it. ``redacted`` counts the words that have a pseudonym, by kind."""

    file: str
    digest: str
    file_bytes: int
    journal_id: str
    first_sequence: int
    last_sequence: int
    last_hash: str
    head_sequence: int
    head_hash: str
    linked_to_head: bool
    frames: int
    frames_redacted: int
    redacted: dict[str, int]
    written_to: str | None = None


def bundle_command(
    *,
    journal: JournalOption,
    first: Annotated[str, typer.Option("--from", help="A time (UTC unless it says), a sequence, or block:N.")],
    last: Annotated[str, typer.Option("--to", help="The same; both ends are included, and widened to whole frames.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    redact: Annotated[bool, typer.Option(help="Replace URLs, hosts, names of providers and signers, paths.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Cut a window out of a journal as one portable file, redacted, with its place in the chain provable."""
    from keeper.cli.journals import opened
    from keeper.journal.bundle import pack, write_file

    with opened(journal) as reader:
        bundle = cut_out(reader, first, last, redact=redact)
    raw = pack(bundle)
    write_file(output, raw)
    _tell(told(bundle, output, raw), as_json=as_json)


def import_command(
    *,
    bundle: Annotated[Path, typer.Argument(help="A file of `keeper journal bundle`.")],
    journal: Annotated[str | None, typer.Option(help="The journal to make, as sqlite:///path/new.db.")] = None,
    as_test: Annotated[
        Path | None, typer.Option(help="Keep it as a regression test under this name, as tests/incidents/NAME.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a journal of a bundle, or a regression test, after checking all that can be checked."""
    from keeper.journal.bundle import unpack, write_file, write_journal
    from keeper.journal.urls import journal_path

    if (journal is None) == (as_test is None):
        raise UsageError("import", "needs either --journal or --as-test", "give one of them")
    raw = read_file(bundle)
    found = unpack(raw, str(bundle))
    if journal is not None:
        path = journal_path(journal)
        write_journal(found, path)
    else:
        path = as_test.with_suffix(".keeper")  # type: ignore[union-attr]  # one of the two is given
        check_steps(found, str(bundle))
        write_file(path, raw)
    _tell(msgspec.structs.replace(told(found, bundle, raw), written_to=str(path)), as_json=as_json)


def read_file(path: Path) -> bytes:
    """Read a file that a user named.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            str(path), f"cannot be read ({error.strerror})", "give a file of `keeper journal bundle`"
        ) from error


def check_steps(bundle: Bundle, where: str) -> None:
    """Step a bundle's facts from its state and compare every decision.

    Raises:
        NotHolding: this version decides otherwise.
    """
    import tempfile

    from keeper.cli.verify import verify_journal
    from keeper.core.errors import NotHolding
    from keeper.journal.bundle import write_journal

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        write_journal(bundle, path)
        fault = verify_journal(f"sqlite://{path}").fault
    if fault is not None:
        raise NotHolding(f"{where} at sequence {fault.sequence}", fault.reason, "read it with the version that made it")


def cut_out(reader: JournalReader, first: str, last: str, *, redact: bool) -> Bundle:
    """Return the bundle of a window.

    Raises:
        UsageError: the window is empty, or a place is not in the journal.
        NotHolding: a decision would come out otherwise under other names.
        JournalForeign: this version decides otherwise than the one that wrote the journal.
    """
    from keeper import __version__
    from keeper.cli.journal_places import window_of
    from keeper.cli.journals import first_engine, new_engine, state_at
    from keeper.engine.step import ENGINE_VERSION
    from keeper.journal.bundle import Bundle, links_of
    from keeper.journal.bundle import redact as redacted
    from keeper.journal.redact import Pseudonyms
    from keeper.journal.snapshots import seal_snapshot

    head_sequence, head_hash = reader.tip()
    frames = window_of(reader, first, last)
    begin, end = frames[0].header.first_sequence, frames[-1].header.last_sequence
    with progress("replaying", begin) as advance:
        before = state_at(reader, begin - 1, advance) if begin > reader.first_sequence else first_engine(reader)
    names, state = Pseudonyms(), before.snapshot()
    if redact:
        state, frames = redacted([(frame, reader.decode(frame)) for frame in frames], before, new_engine(), names)
    base, base_hash = reader.base_of(begin)
    return Bundle(
        code_version=__version__,
        birth_id=reader.birth.id,
        chain_ids=reader.birth.chain_ids,
        base=base,
        base_hash=base_hash,
        state=seal_snapshot(reader.birth.hash, begin - 1, str(ENGINE_VERSION), state),
        frames=tuple(frames),
        links=links_of(reader.frames(end + 1, head_sequence)),
        head_hash=head_hash,
        head_sequence=head_sequence,
        redacted=names.counts() if redact else {},
    )


def told(bundle: Bundle, path: Path, raw: bytes) -> Told:
    """Sum a bundle up."""
    from keeper.core.ids import to_hex
    from keeper.journal.bundle import digest_of

    return Told(
        file=str(path),
        digest=to_hex(digest_of(raw)),
        file_bytes=len(raw),
        journal_id=to_hex(bundle.birth_id),
        first_sequence=bundle.frames[0].header.first_sequence,
        last_sequence=bundle.frames[-1].header.last_sequence,
        last_hash=to_hex(bundle.frames[-1].hash),
        head_sequence=bundle.head_sequence,
        head_hash=to_hex(bundle.head_hash),
        linked_to_head=bundle.is_linked,
        frames=len(bundle.frames),
        frames_redacted=bundle.frames_redacted,
        redacted=bundle.redacted,
    )


def _tell(summary: Told, *, as_json: bool) -> None:
    if as_json:
        emit_json(summary)
        return
    words = ", ".join(f"{count} {kind}" for kind, count in summary.redacted.items() if count)
    link = "followed there from the window" if summary.linked_to_head else "not followed there: taken from the file"
    emit_pairs(
        [
            ("bundle", f"{summary.file}, {summary.file_bytes:,} bytes"),
            ("digest", summary.digest),
            ("records", f"{summary.first_sequence:,} to {summary.last_sequence:,} in {summary.frames:,} frames"),
            ("hash there", summary.last_hash),
            ("head", f"{summary.head_hash} at {summary.head_sequence:,}, {link}"),
            (
                "redacted",
                f"{words or 'nothing'}; {summary.frames_redacted:,} frames with other words than were written",
            ),
            *([("written to", summary.written_to)] if summary.written_to else []),
        ]
    )
