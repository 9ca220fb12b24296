"""``keeper replay --set``, ``--config``: the recorded facts under other settings, and which decisions differ."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from keeper.cli.terminal import emit, emit_json, emit_pairs, emit_table, progress, styled
from keeper.core.units import BaseAmount, Wad
from keeper.engine.differing import Compared, Difference, FieldChange, How, Worth
from keeper.engine.what_if import LIMITS, WhatIf

if TYPE_CHECKING:
    from keeper.engine.what_if import Change

SHOWN_FIELDS = 3
"""Of the figures in which a decision differs; ``--json`` has all."""
SHOWN_LENGTH_MAX = 60
NOTHING = "nothing"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a what-if gave, for programs. ``limits`` is what it does not say."""

    journal: str
    last_sequence: int
    facts: int
    code_versions: tuple[str, ...]
    changes: tuple[FieldChange, ...]
    skipped: dict[str, int]
    expired: int
    moot: int
    compared: Compared
    limits: tuple[str, ...]
    seconds: float
    facts_per_second: int


def tell(
    journal: str, until: str | None, assignments: Sequence[str], config: Path | None, limit: int, *, as_json: bool
) -> None:
    """Replay a journal under other settings and print what differs.

    Raises:
        KeeperError: a change is wrong, the journal cannot go on under it, or it cannot be read.
    """
    told = replay_changed(journal, until, assignments, config)
    if as_json:
        emit_json(told)
    else:
        _show(told, limit)


def replay_changed(url: str, until: str | None, assignments: Sequence[str], config: Path | None) -> Told:
    """Replay a journal under other settings; shows its progress on a terminal.

    Args:
        url: The journal's.
        until: Where to stop; the end when not given.
        assignments: ``key=value`` each, above the recorded settings or above those of the file.
        config: A configuration file in the place of the recorded settings.

    Raises:
        KeeperError: as :func:`tell`.
    """
    from keeper.cli.journals import counted, first_engine, opened, sequence_of
    from keeper.engine.what_if import what_if

    change = _change(assignments, config)
    with opened(url) as reader:
        last = sequence_of(reader, until)
        started = time.monotonic()
        with progress("replaying", last) as advance:
            found = what_if(counted(reader.read(1, last), advance), first_engine(reader), change)
        seconds = time.monotonic() - started
    return _told(url, found, seconds)


def _change(assignments: Sequence[str], config: Path | None) -> Change:
    from keeper.app.changes import changed_config, config_of
    from keeper.settings import load_settings
    from keeper.settings.changes import asked

    changes = asked(assignments)
    if config is None:
        return lambda fact, sequence: changed_config(fact, sequence, changes)
    settings = load_settings(config, os.environ, changes=changes)
    mode_asked = ("mode",) in changes
    return lambda fact, _: config_of(settings, fact, mode_asked=mode_asked)


def _told(url: str, found: WhatIf, seconds: float) -> Told:
    return Told(
        journal=url,
        last_sequence=found.last_sequence,
        facts=found.facts,
        code_versions=found.code_versions,
        changes=found.changes,
        skipped=found.skipped,
        expired=found.expired,
        moot=found.moot,
        compared=found.compared,
        limits=LIMITS,
        seconds=round(seconds, 3),
        facts_per_second=round(found.facts / seconds) if seconds else 0,
    )


def _show(told: Told, limit: int) -> None:
    skipped = ", ".join(f"{count:,} {kind}" for kind, count in told.skipped.items())
    emit_pairs(
        [
            ("journal", told.journal),
            ("replayed", f"{told.facts:,} facts to {told.last_sequence:,}{_foreign_version(told.code_versions)}"),
            *[("changed", _figure(change)) for change in told.changes or ()],
            *([] if told.changes else [("changed", "nothing that decisions are made by")]),
            ("left out", skipped or "no fact"),
            ("not sent", f"{told.moot:,} intents until their account was healthy, {told.expired:,} until they expired"),
            ("speed", f"{told.facts_per_second:,} facts/s ({told.seconds} s)"),
        ]
    )
    _show_kinds(told.compared)
    _show_worth(told.compared)
    _show_refusals(told.compared)
    _show_calls(told.compared)
    _show_differences(told.compared.differences, limit)
    emit()
    for line in LIMITS:
        emit(styled(line, "dim"))


def _foreign_version(versions: Sequence[str]) -> str:
    """Say that another version may decide otherwise by itself."""
    from keeper import __version__

    others = [version for version in versions if version != __version__]
    if not others:
        return ""
    return f"; recorded by version {', '.join(others)}: replay without changes first, to see what differs by itself"


def _show_kinds(compared: Compared) -> None:
    figures = ("same", "only recorded", "only changed", "other figures")
    rows = [
        (kind, f"{each.same:,}", f"{each.only_recorded:,}", f"{each.only_changed:,}", f"{each.figures:,}")
        for kind, each in compared.kinds.items()
    ]
    emit()
    emit_table(("decisions", *figures), rows, right=figures)


def _show_worth(compared: Compared) -> None:
    from keeper.observe.lines import dollars

    def row(name: str, worth: Worth) -> tuple[str, ...]:
        counts = (f"{worth.intents:,}", f"{worth.positions:,}")
        return (name, *counts, dollars(worth.repaid_base), dollars(worth.profit_base))

    figures = ("intents", "positions", "repaid", "profit")
    rows = [
        row("recorded", compared.recorded),
        row("changed", compared.changed),
        row("only recorded", compared.missing),
        row("only changed", compared.extra),
    ]
    emit()
    emit_table(("slices", *figures), rows, right=figures)


def _show_refusals(compared: Compared) -> None:
    if not compared.refusals:
        return
    rows = [(reason, f"{each.recorded:,}", f"{each.changed:,}") for reason, each in compared.refusals.items()]
    emit()
    emit_table(("refusals", "recorded", "changed"), rows, right=("recorded", "changed"))


def _show_calls(compared: Compared) -> None:
    calls = compared.margin_calls
    if not calls.recorded and not calls.changed:
        return
    counts = {
        "earlier": sum((each.blocks or 0) < 0 for each in calls.moved),
        "later": sum((each.blocks or 0) > 0 for each in calls.moved),
        "only recorded": sum(each.changed_block is None for each in calls.moved),
        "only changed": sum(each.recorded_block is None for each in calls.moved),
    }
    emit()
    emit(
        f"margin calls: {calls.recorded:,} recorded, {calls.changed:,} changed; {calls.same:,} at the same block, "
        + ", ".join(f"{count:,} {name}" for name, count in counts.items())
    )
    rows = [
        (
            each.venue,
            "0x" + each.account.hex(),
            NOTHING if each.recorded_block is None else str(each.recorded_block),
            NOTHING if each.changed_block is None else str(each.changed_block),
            "-" if each.blocks is None else f"{each.blocks:+}",
        )
        for each in calls.moved
    ]
    if rows:
        figures = ("recorded", "changed", "blocks")
        emit_table(("venue", "account", *figures), rows, right=figures)


def _show_differences(differences: Sequence[Difference], limit: int) -> None:
    emit()
    if not differences:
        emit("no decision differs")
        return
    rows = [(str(each.cause), each.kind, each.how.value.replace("_", " "), _what(each)) for each in differences[:limit]]
    if rows:
        emit_table(("after", "decision", "is", "what"), rows, right=("after",))
    if len(differences) > len(rows):
        emit(f"… and {len(differences) - len(rows):,} more differences: --limit {len(differences)}, or --json")


def _what(difference: Difference) -> str:
    from keeper.observe.lines import summary

    told = difference.recorded if difference.recorded is not None else difference.changed
    if difference.how is not How.FIGURES:
        return "" if told is None else summary(told)
    telling = sorted(difference.fields, key=lambda each: isinstance(each.recorded, bytes))  # digests and calldata last
    shown = "; ".join(_figure(each) for each in telling[:SHOWN_FIELDS])
    more = len(difference.fields) - SHOWN_FIELDS
    return f"{' '.join(difference.subject)}: {shown}" + (f" (and {more} more)" if more > 0 else "")


def _figure(change: FieldChange) -> str:
    return f"{change.path} {_said(change.recorded)} -> {_said(change.changed)}"


def _said(value: object) -> str:
    from keeper.cli.plain import plain
    from keeper.observe.lines import dollars, health

    match value:
        case None | msgspec.UNSET:
            return NOTHING
        case BaseAmount():
            return dollars(value)
        case Wad():
            return health(value)
    shown = plain(value)
    text = shown if isinstance(shown, str) else msgspec.json.encode(shown).decode()
    return text if len(text) <= SHOWN_LENGTH_MAX else f"{text[:SHOWN_LENGTH_MAX]}…"
