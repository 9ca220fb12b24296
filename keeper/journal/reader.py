"""Reading a journal, checked as it goes; needs no lock and works while a daemon writes.

Frames are fetched a page at a time, each page in its own short read transaction, so memory is bounded and a slow reader
never keeps the writer from checkpointing. The log only grows, so pages read at different moments still fit together,
and the chain of hashes proves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import apsw
import msgspec

from keeper.core.codec import Record
from keeper.core.errors import JournalDamaged, UsageError
from keeper.core.ids import Hash32
from keeper.journal import tables
from keeper.journal.frames import CUT, NO_BLOCK, RESTORE, Frame, FrameDecoder, Header, check_frame
from keeper.journal.mark import Mark, read_mark
from keeper.journal.protocol import Snapshot
from keeper.journal.snapshots import StoredSnapshot, good_snapshots
from keeper.journal.upcast import UPCASTS, Upcasts

PAGE_FRAMES = 16
SEQUENCE_MAX = 2**63 - 1

_HEADER_COLUMNS = "first_sequence, last_sequence, first_unix_ms, last_unix_ms, first_block, last_block, codec"
_PAGE = f"SELECT {_HEADER_COLUMNS}, hash, payload FROM frames WHERE first_sequence >= ? ORDER BY first_sequence LIMIT ?"  # noqa: S608 - constants
_PLACE = """SELECT last_sequence, hash FROM frames WHERE first_sequence < ?1 AND last_sequence < ?1
    ORDER BY first_sequence DESC LIMIT 1"""
_BEFORE = f"""SELECT {_HEADER_COLUMNS}, hash FROM frames WHERE first_sequence < ?1 AND last_sequence < ?1
    ORDER BY first_sequence DESC LIMIT 1"""  # noqa: S608 - constants
_FIRST = "SELECT codec, last_sequence FROM frames ORDER BY first_sequence LIMIT 1"
_SUMMARY = f"""SELECT count(*), coalesce((SELECT max(last_sequence) FROM frames), 0),
    min(first_unix_ms), max(last_unix_ms),
    min(nullif(first_block, -1)), nullif(max(last_block), -1), coalesce(sum(length(payload)), 0),
    (SELECT count(*) FROM snapshots) FROM frames WHERE codec <> {CUT}"""  # noqa: S608 - constants
_SNAPSHOTS = "SELECT sequence, engine_version, state_hash, hash, payload FROM snapshots ORDER BY sequence DESC"


class JournalSummary(msgspec.Struct, frozen=True):
    """What the frames' headers say, unchecked. Times in Unix milliseconds; ``None`` where there is nothing."""

    frames: int
    last_sequence: int
    first_unix_ms: int | None
    last_unix_ms: int | None
    first_block: int | None
    last_block: int | None
    payload_bytes: int
    snapshots: int


class JournalReader:
    """A journal file, open for reading.

    Args:
        path: The file.
        upcasts: How old records are read.

    Raises:
        UsageError: there is no such file.
        JournalDamaged: the file or its end is not what was written, or it is older than its high-water mark.
        JournalForeign: not a journal, or of a newer format.
        OperatorError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, upcasts: Upcasts = UPCASTS) -> None:
        self.path = path
        self.where = f"journal {path}"
        self._decoder = FrameDecoder(upcasts, self.where)
        mark = read_mark(mark_path(path))  # before the journal: a mark read later could be of a later commit
        if not path.exists():
            raise UsageError(self.where, "there is no such file", "give the url of an existing journal")
        with tables.translated(path):
            self._connection = tables.connect(path, apsw.SQLITE_OPEN_READONLY)
        try:
            with tables.translated(path):
                self.birth = tables.read_birth(self._connection, path)
            self._check_tail(mark)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def last_sequence(self) -> int:
        """The newest sequence that is committed now; zero in an empty journal."""
        return self.tip()[0]

    @property
    def first_sequence(self) -> int:
        """The first sequence that is kept: one, unless what was before it was pruned or left out of a bundle."""
        with tables.translated(self.path):
            row = tables.one(self._connection, _FIRST)
            return row[1] + 1 if row is not None and row[0] == CUT else 1

    def tip(self) -> tuple[int, Hash32]:
        """Return the newest committed sequence and the hash there; zero and the birth hash in an empty journal."""
        return self._place(SEQUENCE_MAX)

    def stored_bytes(self) -> int:
        """Return what the journal takes on disk: its file, and the WAL that a daemon keeps beside it."""
        wal = self.path.with_name(f"{self.path.name}-wal")
        return sum(file.stat().st_size for file in (self.path, wal) if file.exists())

    def read(self, first: int = 1, last: int | None = None) -> Iterator[Record]:
        """Yield records in order, ``first`` to ``last`` inclusive, or to the newest at the time of the call.

        Raises:
            JournalDamaged: what is stored is not what was written; everything yielded before is right.
            JournalForeign: a record of a newer version.
        """
        end = self.last_sequence if last is None else min(last, self.last_sequence)
        for frame in self.frames(first, end):
            records = self._decoder.decode(frame)
            if frame.header.first_sequence < first or frame.header.last_sequence > end:
                records = [record for record in records if first <= record.sequence <= end]
            yield from records

    def frames(self, first: int, last: int) -> Iterator[Frame]:
        """Yield the checked frames that hold the records from ``first``, or from the first kept, to ``last``.

        Raises:
            JournalDamaged: one of them is not what was written, or is missing.
        """
        first = max(first, self.first_sequence)
        if first > last:
            return
        before, previous = self._place(first)
        sequence = before + 1
        while sequence <= last:
            page = self._page(sequence)
            if not page:
                raise JournalDamaged(self.where, f"records from sequence {sequence} are missing", RESTORE)
            for frame in page:
                check_frame(frame, previous, sequence, self.where)
                yield frame
                previous, sequence = frame.hash, frame.header.last_sequence + 1
                if sequence > last:
                    return

    def decode(self, frame: Frame) -> list[Record]:
        """Return the records of a checked frame."""
        return self._decoder.decode(frame)

    def snapshots(self, engine_version: str) -> Iterator[Snapshot]:
        """Yield the good snapshots of that engine version, newest first; others are skipped with a warning."""
        return good_snapshots(self.stored_snapshots(), self.birth.hash, engine_version, self.last_sequence)

    def stored_snapshots(self) -> list[StoredSnapshot]:
        """Return the snapshots as stored, newest first, unchecked."""
        with tables.translated(self.path):
            rows = self._connection.execute(_SNAPSHOTS).fetchall()
            return [msgspec.convert(row, StoredSnapshot, builtin_types=(bytes,)) for row in rows]

    def summary(self) -> JournalSummary:
        """Return what the headers of all frames say."""
        with tables.translated(self.path):
            return JournalSummary(*tables.one(self._connection, _SUMMARY))

    def _page(self, sequence: int) -> list[Frame]:
        with tables.translated(self.path):
            rows = self._connection.execute(_PAGE, (sequence, PAGE_FRAMES)).fetchall()
            return [msgspec.convert((row[:7], *row[7:]), Frame, builtin_types=(bytes,)) for row in rows]

    def place(self, sequence: int) -> tuple[int, Hash32]:
        """Return the end and the hash of the newest frame that ends before ``sequence``, of the birth if none."""
        return self._place(sequence)

    def base_of(self, sequence: int) -> tuple[Header, Hash32]:
        """Return the header and the hash of the frame before a sequence, of the birth if none."""
        with tables.translated(self.path):
            row = tables.one(self._connection, _BEFORE, (sequence,))
            if row is None:
                return Header(0, 0, 0, 0, NO_BLOCK, NO_BLOCK, CUT), self.birth.hash
            return msgspec.convert((row[:7], row[7]), tuple[Header, Hash32], builtin_types=(bytes,))

    def _place(self, sequence: int) -> tuple[int, Hash32]:
        """Return the end and the hash of the newest frame that ends before ``sequence``."""
        with tables.translated(self.path):
            row = tables.one(self._connection, _PLACE, (sequence,))
            if row is None:
                return 0, self.birth.hash
            return msgspec.convert(row, tuple[int, Hash32], builtin_types=(bytes,))

    def _check_tail(self, mark: Mark | None) -> None:
        """Prove that the journal still reaches its mark, and check the frames since then (all, without a mark)."""
        last, _ = self.tip()
        if mark is not None:
            self._check_mark(mark, last)
        for _ in self.frames(1 if mark is None else max(mark.sequence, 1), last):
            pass

    def _check_mark(self, mark: Mark, last: int) -> None:
        reason = None
        if mark.birth != self.birth.hash:
            reason = "its high-water mark is of another journal"
        elif mark.sequence > last:
            reason = f"ends at sequence {last}, but it was durable up to {mark.sequence}: it went backwards"
        elif self._place(mark.sequence + 1) != (mark.sequence, mark.hash):
            reason = f"is not the one that was durable at sequence {mark.sequence}"
        if reason is not None:
            raise JournalDamaged(self.where, reason, amnesia_remedy(self.path))


def mark_path(journal: Path) -> Path:
    """Return where a journal's high-water mark is kept."""
    return journal.with_name(journal.name + ".mark")


def amnesia_remedy(journal: Path) -> str:
    """Return what an operator does about a journal that lost its end."""
    name = mark_path(journal).name
    return f"restore the newer file; if it is gone, compare the signers' nonces on chain first, then remove {name}"
