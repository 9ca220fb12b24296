"""``keeper journal backup``: a copy of a journal, taken while the keeper runs, and checked."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from keeper.cli.options import JournalOption, JsonOption
from keeper.cli.terminal import emit_json, emit_pairs, progress
from keeper.core.errors import OperatorError, UsageError


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What the copy holds: the journal up to ``last_sequence``, where its hash is ``tip_hash``."""

    journal: str
    copy: str
    copy_bytes: int
    frames: int
    records: int
    first_sequence: int
    last_sequence: int
    tip_hash: str
    seconds: float


def command(
    *,
    journal: JournalOption,
    output: Annotated[Path, typer.Option("--output", "-o", help="The new file.")],
    as_json: JsonOption = False,
) -> None:
    """Copy a journal to a new file while the keeper runs, check the copy's chain of hashes, and say its head."""
    copied = _backup(journal, output)
    if as_json:
        emit_json(copied)
        return
    emit_pairs(
        [
            ("journal", copied.journal),
            ("copy", f"{copied.copy}, {copied.copy_bytes:,} bytes"),
            ("records", f"{copied.records:,} in {copied.frames:,} frames, chain of hashes whole"),
            ("head", f"{copied.tip_hash} at {copied.last_sequence:,}"),
            ("took", f"{copied.seconds} s"),
        ]
    )


def _backup(journal: str, output: Path) -> Copied:
    from keeper.cli.journals import opened
    from keeper.journal.backup import backup, check_free

    started = time.monotonic()
    check_free(output)
    with opened(journal) as reader:
        _check_room(output, reader.stored_bytes())
        path = reader.path
    found = backup(path, output, progress)
    return Copied(
        journal=journal,
        copy=str(output),
        copy_bytes=output.stat().st_size,
        frames=found.frames,
        records=found.records,
        first_sequence=found.first_sequence,
        last_sequence=found.last_sequence,
        tip_hash=found.tip_hash,
        seconds=round(time.monotonic() - started, 3),
    )


def _check_room(output: Path, needed: int) -> None:
    """Refuse a disk that cannot take the copy before anything is written to it.

    Raises:
        UsageError: there is no such folder.
        OperatorError: it has no room.
    """
    import shutil

    if not output.parent.is_dir():
        raise UsageError(f"--output {output}", "its folder does not exist", "make the folder, or name another")
    free = shutil.disk_usage(output.parent).free
    if free < needed:
        reason = f"needs {needed:,} bytes, its disk has {free:,}"
        raise OperatorError(f"backup {output}", reason, "free space, or name a file on another disk")
