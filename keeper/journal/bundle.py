"""An incident as one file: a window of a journal, the state before it, and its place in the journal's chain.

The file is a head that says what it is, one zstd frame of msgpack, and a digest of both. Frames are those of the
journal. Of one that was redacted the digest of the original payload stays, which is all that the chain covers, so the
chain is followed from the base over every frame of the window and over the digests of those after it to the journal's
head. ``docs/incident_bundle.md`` says what that proves, and what it does not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import apsw
import msgspec
import zstandard

from keeper.core.codec import AnyBody, Record, decoder, encoder
from keeper.core.decisions import Decision, IntentAdmitted
from keeper.core.errors import JournalDamaged, JournalForeign, NotHolding, OperatorError, UsageError
from keeper.core.ids import HASH_LENGTH, Hash32
from keeper.engine.step import Engine
from keeper.journal import tables
from keeper.journal.expanding import expanded
from keeper.journal.frames import (
    BY_DIGEST,
    CUT,
    REDACTED,
    Frame,
    Header,
    check_frame,
    link_hash,
    original_header,
    payload_digest,
    redact_frame,
)
from keeper.journal.redact import Pseudonyms, provider_names
from keeper.journal.snapshots import StoredSnapshot, snapshot_fault

MAGIC = b"keepbndl"
VERSION = 1
HEAD_LENGTH = len(MAGIC) + 2
LINKS_MAX = 10_000
"""Frames after the window that are followed to the journal's head at most."""
_AGAIN = "get the file again from whoever made it"
_PLAIN = "give --no-redact, and mind what it shows"


class Link(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A frame after the window: its header as written, and what its hash covers of the payload."""

    header: Header
    digest: bytes


class Bundle(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the file holds. ``base_hash`` is that of the frame before the window, ``links`` lead from its end on."""

    code_version: str
    birth_id: bytes
    chain_ids: tuple[int, ...]
    base: Header
    base_hash: bytes
    state: StoredSnapshot
    frames: tuple[Frame, ...]
    links: tuple[Link, ...]
    head_hash: bytes
    head_sequence: int
    redacted: dict[str, int]

    @property
    def birth(self) -> tables.Birth:
        """Return the identity of the journal that it is of."""
        return tables.birth_of(self.birth_id, self.chain_ids)

    @property
    def frames_redacted(self) -> int:
        """Return how many frames have other words than were written."""
        return sum(bool(frame.header.codec & REDACTED) for frame in self.frames)

    @property
    def is_linked(self) -> bool:
        """Tell whether the chain is followed to the head that the journal had."""
        return (self.links[-1].header if self.links else self.frames[-1].header).last_sequence == self.head_sequence


_ENCODER = encoder()
_BUNDLE = decoder(Bundle)
_BODY = decoder(AnyBody)


def redact(
    frames: Sequence[tuple[Frame, list[Record]]], before: Engine, blank: Engine, names: Pseudonyms
) -> tuple[bytes, list[Frame]]:
    """Put pseudonyms into a window and the state before it, and prove that the engine decides alike.

    Args:
        frames: The window, decoded.
        before: The engine before it.
        blank: A new engine, which is loaded and stepped.
        names: Empty; holds what was replaced afterwards.

    Raises:
        NotHolding: a decision comes out otherwise under other names.
        UsageError: a frame was sealed before digests, so that its place could not be proven without its words.
    """
    state = msgspec.msgpack.decode(before.snapshot())
    names.learn_config(before.config)
    names.learn(state)
    for chain in before.chains.values():
        names.learn_providers(span.source for span in chain.unverified.spans)
    for _, records in frames:
        for record in records:
            _learn(names, record)
    _load(blank, _ENCODER.encode(names.value(state)))
    redacted_state = blank.snapshot()
    return redacted_state, [_redacted(frame, records, blank, names) for frame, records in frames]


def _learn(names: Pseudonyms, record: Record) -> None:
    names.learn(msgspec.msgpack.decode(_ENCODER.encode(record.body)))
    if not isinstance(record.body, Decision):
        names.learn_providers(provider_names(record.body))
        names.learn_config(getattr(record.body, "config", None))


def _load(engine: Engine, state: bytes) -> None:
    try:
        engine.load(state)
    except (JournalDamaged, JournalForeign) as error:
        raise NotHolding("the state before the window", f"cannot be redacted ({error.args[1]})", _PLAIN) from error


def _redacted(frame: Frame, records: Sequence[Record], engine: Engine, names: Pseudonyms) -> Frame:
    """Return a frame with pseudonyms, or as it is when it holds no word that is replaced."""
    made: list[AnyBody] = []
    bodies: list[AnyBody] = []
    for record in records:
        place = f"record {record.sequence}"
        if isinstance(record.body, Decision):
            if record.cause < engine.sequence or not made:
                raise NotHolding(place, "is not decided again under other names", _PLAIN)
            actual = made.pop(0)
            if isinstance(record.body, IntentAdmitted) and isinstance(actual, IntentAdmitted):
                names.ids[record.body.intent.intent_id] = actual.intent.intent_id
            body = _renamed(record.body, names, place)
            if body != actual:
                raise NotHolding(place, "is decided otherwise under other names", _PLAIN)
        else:
            body = _renamed(record.body, names, place)
            made = list(engine.step(body, record.sequence))  # type: ignore[arg-type]  # a fact stays one
        bodies.append(body)
    if made:
        raise NotHolding(f"record {records[-1].sequence}", "is followed by more decisions under other names", _PLAIN)
    if bodies == [record.body for record in records]:
        return frame
    if not frame.header.codec & BY_DIGEST:
        reason = "was written before frames were sealed by digest, so a redacted one would have no place in the chain"
        raise UsageError(f"the frame at sequence {frame.header.first_sequence}", reason, _PLAIN)
    renamed = [msgspec.structs.replace(record, body=body) for record, body in zip(records, bodies, strict=True)]
    return redact_frame(frame, renamed)


def _renamed(body: AnyBody, names: Pseudonyms, place: str) -> AnyBody:
    plain = names.value(msgspec.msgpack.decode(_ENCODER.encode(body)))
    try:
        renamed: AnyBody = _BODY.decode(_ENCODER.encode(plain))
    except (msgspec.MsgspecError, ValueError) as error:
        raise NotHolding(place, f"has a word of its own for a name ({error})", _PLAIN) from error
    return renamed


def links_of(frames: Iterator[Frame]) -> tuple[Link, ...]:
    """Return what leads from the window to the head, as far as it can be led."""
    links: list[Link] = []
    for frame in frames:
        if len(links) == LINKS_MAX or not frame.header.codec & BY_DIGEST:
            break
        is_redacted = frame.header.codec & REDACTED
        digest = frame.payload[:HASH_LENGTH] if is_redacted else payload_digest(frame.payload)
        links.append(Link(original_header(frame.header), digest))
    return tuple(links)


def pack(bundle: Bundle) -> bytes:
    """Return the bytes of the file."""
    head = MAGIC + VERSION.to_bytes(2, "big")
    body = zstandard.ZstdCompressor(level=19).compress(_ENCODER.encode(bundle))
    return head + body + blake2b(head + body, digest_size=HASH_LENGTH).digest()


def digest_of(raw: bytes) -> bytes:
    """Return the file's digest, its last bytes."""
    return raw[-HASH_LENGTH:]


def unpack(raw: bytes, where: str) -> Bundle:
    """Read a bundle and check it: its digest, its chain to the end, its state.

    Raises:
        UsageError: it is no bundle.
        JournalForeign: it is of a newer version.
        JournalDamaged: it is not what was written.
    """
    if raw[: len(MAGIC)] != MAGIC:
        raise UsageError(where, "is not a bundle", "give a file of `keeper journal bundle`")
    version = int.from_bytes(raw[len(MAGIC) : HEAD_LENGTH], "big")
    if version > VERSION:
        raise JournalForeign(where, f"has version {version}, this one reads {VERSION}", "upgrade margin-keeper")
    content, digest = raw[:-HASH_LENGTH], raw[-HASH_LENGTH:]
    if len(raw) < HEAD_LENGTH + HASH_LENGTH or blake2b(content, digest_size=HASH_LENGTH).digest() != digest:
        raise JournalDamaged(where, "is cut short or not what was written", _AGAIN)
    try:
        bundle: Bundle = _BUNDLE.decode(expanded(content[HEAD_LENGTH:]))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise JournalDamaged(where, f"cannot be decoded ({error})", _AGAIN) from error
    _check(bundle, where)
    return bundle


def _check(bundle: Bundle, where: str) -> None:
    """Follow the chain from the base to the end, and look at the state."""
    tip, sequence = Hash32(bundle.base_hash), bundle.base.last_sequence + 1
    for frame in bundle.frames:
        check_frame(frame, tip, sequence, where)
        tip, sequence = frame.hash, frame.header.last_sequence + 1
    for link in bundle.links:
        if link.header.first_sequence != sequence:
            raise JournalDamaged(where, f"does not say what stands at sequence {sequence}", _AGAIN)
        tip, sequence = link_hash(tip, link.header, link.digest), link.header.last_sequence + 1
    if not bundle.frames or (bundle.is_linked and tip != bundle.head_hash):
        raise JournalDamaged(where, "does not lead to the head that it names", _AGAIN)
    fault = snapshot_fault(bundle.state, bundle.birth.hash, bundle.base.last_sequence)
    if fault is not None or bundle.state.sequence != bundle.base.last_sequence:
        raise JournalDamaged(where, f"its state {fault or 'is of another place'}", _AGAIN)


def write_journal(bundle: Bundle, path: Path) -> None:
    """Make a journal of a bundle, which begins at its window.

    Raises:
        UsageError: there is something at the path.
        OperatorError: it cannot be written there.
    """
    where = f"journal {path}"
    if path.exists():
        raise UsageError(where, "exists already", "give the url of a journal that does not")
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with tables.translated(path):
        with closing(tables.connect(draft, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)) as connection:
            tables.create(connection, bundle.birth, tables.IMPORTED_ID)
            with connection:
                if bundle.base.last_sequence:
                    cut = Frame(bundle.base._replace(codec=CUT), Hash32(bundle.base_hash), b"")
                    connection.execute(_INSERT_FRAME, (*cut.header, cut.hash, cut.payload))
                    connection.execute(_INSERT_STATE, bundle.state)
                for frame in bundle.frames:
                    connection.execute(_INSERT_FRAME, (*frame.header, frame.hash, frame.payload))
        draft.rename(path)


_INSERT_FRAME = "INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_STATE = "INSERT INTO snapshots VALUES (?, ?, ?, ?, ?)"


def write_file(path: Path, raw: bytes) -> None:
    """Write a whole file or none.

    Raises:
        UsageError: there is one already.
        OperatorError: it cannot be written.
    """
    if path.exists():
        raise UsageError(str(path), "exists already", "give another name, or remove it")
    draft = path.with_name(f"{path.name}.new")
    try:
        with draft.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except OSError as error:
        raise OperatorError(str(path), f"cannot be written ({error.strerror})", "check its folder") from error
