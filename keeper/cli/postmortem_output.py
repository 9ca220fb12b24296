"""What ``keeper postmortem`` prints for people, and the file that it writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from keeper.cli.terminal import emit, emit_pairs, emit_table, styled
from keeper.cli.times import written
from keeper.core.errors import OperatorError, UsageError
from keeper.report.wording import NOTHING, counted, ether, factor, short, span, usd

if TYPE_CHECKING:
    from keeper.report.incident import Incident

ROWS_MAX = 20
REMEDY = "name a file in a folder that exists and may be written"


def check_writable(path: Path) -> None:
    """See that a report can be written, before the work.

    Raises:
        UsageError: it cannot.
    """
    if path.is_dir():
        raise UsageError(f"output {path}", "is a folder", "add the file's name")
    if not path.parent.is_dir():
        raise UsageError(f"output {path}", f"there is no folder {path.parent}", REMEDY)
    if path.exists() and not path.is_file():
        raise UsageError(f"output {path}", "is no plain file", REMEDY)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"output {path}", "may not be written", REMEDY)


def write(path: Path, told: Incident) -> None:
    """Write the report: whole or not at all.

    Raises:
        OperatorError: the disk refuses.
    """
    from keeper.report.page import page

    text, beside = page(told), path.with_name(f".{path.name}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OperatorError(f"output {path}", f"cannot be written ({error.strerror})", REMEDY) from error


def show(told: Incident, output: Path | None) -> None:
    """Print the summary."""
    emit_pairs(_head(told))
    _table("what happened", ("block", "sequence", "time", "what", ""), _timeline(told), ("block", "sequence"))
    _table("accounts", _ACCOUNTS, _accounts(told), _ACCOUNTS[2:])
    _table("money, by final slices", _MONEY, _money(told), _MONEY[2:])
    _table("latency", _LATENCY, _latency(told), _LATENCY[1:])
    _table("refused", _REFUSED, _refused(told), ("times", "accounts", "profit left"))
    emit()
    emit(styled(proof_line(told), "green" if told.proof.holds else "bold red"))
    emit(f"report    {output}" if output is not None else "-o report.html writes the whole report as one file")


_ACCOUNTS = ("venue", "account", "called", "breached", "lowest", "slices", "by others", "repaid", "ended")
_MONEY = ("venue", "strategy", "slices", "not final", "repaid", "received", "gas", "slippage", "profit")
_LATENCY = ("stage", "slices", "median", "95 %", "longest")
_REFUSED = ("venue", "rule", "times", "accounts", "profit left", "last because")


def _head(told: Incident) -> list[tuple[str, str]]:
    window = told.window
    blocks = ", ".join(f"{each.first} to {each.last} of {each.chain}" for each in window.blocks) or NOTHING
    ours, others = told.ours, told.others
    undone = len(told.liquidations) - len(ours) - len(others)
    debts = [f"{path.venue} {usd(path.points[-1].base)}" for path in told.bad_debt if path.points]
    gas = ", ".join(f"{ether(each.wei)} coins by {each.signer} on {each.chain}" for each in told.gas)
    return [
        ("journal", told.journal),
        ("window", f"sequence {window.first_sequence:,} to {window.last_sequence:,}, {window.records:,} records"),
        ("time", f"{written(window.first_unix_ms)} to {written(window.last_unix_ms)}"),
        ("blocks", blocks),
        ("calls", counted(len(told.calls), "margin call")),
        ("slices", f"{len(ours)} of ours, {len(others)} of others, {undone} in blocks that were abandoned"),
        ("profit", usd(sum(int(each.profit_base) for each in told.earned))),
        ("gas", gas or NOTHING),
        ("bad debt", ", ".join(debts) or "none at any head"),
        ("reorgs", counted(len(told.reorgs), "reorg")),
    ]


def _table(
    title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]], right: tuple[str, ...], *, most: int = ROWS_MAX
) -> None:
    if not rows:
        return
    emit()
    emit(styled(title, "bold"))
    emit_table(columns, rows[:most], right=right)
    if len(rows) > most:
        emit(styled(f"{counted(len(rows) - most, 'more row')}; --json and the report have them all", "dim"))


def _timeline(told: Incident) -> list[tuple[str, ...]]:
    return [
        (_number(each.at.block), f"{each.at.sequence}", written(each.at.unix_ms), each.kind, each.text)
        for each in told.timeline
    ]


def _accounts(told: Incident) -> list[tuple[str, ...]]:
    ordered = sorted(told.accounts, key=lambda each: (-int(each.repaid_base), each.venue, each.account))
    return [
        (
            each.venue,
            short(each.account),
            _number(each.called.block if each.called else None),
            _number(each.breached.block if each.breached else None),
            factor(each.health_min),
            f"{each.slices}",
            f"{each.taken_by_others}",
            usd(each.repaid_base),
            factor(each.health),
        )
        for each in ordered
        if each.breached or each.slices or each.taken_by_others
    ]


def _money(told: Incident) -> list[tuple[str, ...]]:
    return [
        (
            each.venue,
            each.strategy,
            f"{each.slices}",
            f"{each.waiting}",
            usd(each.repaid_base),
            usd(each.seized_base),
            usd(each.gas_base),
            usd(each.slippage_base),
            usd(each.profit_base),
        )
        for each in told.earned
    ]


def _latency(told: Incident) -> list[tuple[str, ...]]:
    return [
        (each.stage, f"{each.count}", span(each.median_ms), span(each.p95_ms), span(each.max_ms))
        for each in told.stages
    ]


def _refused(told: Incident) -> list[tuple[str, ...]]:
    return [
        (each.venue, each.reason, f"{each.count}", f"{each.accounts}", usd(each.profit_base), each.example)
        for each in told.refusals
    ]


def proof_line(told: Incident) -> str:
    """Say in a line what was checked of the journal."""
    proof = told.proof
    if not proof.holds:
        return f"NOT VERIFIED: {proof.divergence}"
    return (
        f"verified: hashes whole up to {proof.tip_sequence:,}, {proof.decisions:,} decisions made again from "
        f"{proof.facts:,} facts, {proof.replayed_from:,} to {proof.replayed_to:,}, bit for bit; "
        f"{proof.hash_before[:10]}… to {proof.hash_after[:10]}…, engine {proof.engine_version}"
    )


def _number(value: int | None) -> str:
    return NOTHING if value is None else f"{value}"
