"""``keeper margin``: what an account's margin consists of, term by term, from the journal alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from keeper.cli.accounts import Watermark, chosen, engine_at, watermark_of
from keeper.cli.options import JsonOption
from keeper.cli.terminal import emit, emit_json, emit_table, styled
from keeper.core.errors import UsageError
from keeper.core.ids import Address, parse_address, to_hex
from keeper.core.margin import Bucket, MarginBreakdown, MarginLine
from keeper.core.units import BigInt, Wad

if TYPE_CHECKING:
    from keeper.core.venue import Ledger
    from keeper.engine.step import Engine


class BucketShown(msgspec.Struct, frozen=True, kw_only=True):
    """What is secured as one; figures in units of 1 / ``scale`` of ``unit``. ``binds`` when the least is left here."""

    name: str
    unit: str
    scale: BigInt
    equity: BigInt
    requirement: BigInt
    surplus: BigInt
    binds: bool
    lines: tuple[MarginLine, ...]


class MarginShown(msgspec.Struct, frozen=True, kw_only=True):
    """An account's margin at one venue; without buckets there is a reason."""

    venue: str
    kind: str
    status: str
    reason: str | None
    buckets: list[BucketShown]


class Margins(msgspec.Struct, frozen=True):
    """The answer."""

    watermark: Watermark
    account: str
    margins: list[MarginShown]


def command(
    *,
    account: Annotated[str, typer.Argument(help="The account's address.")],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The configuration file whose journal is read.")
    ] = None,
    journal: Annotated[str | None, typer.Option("--journal", help="The journal, instead of a configuration.")] = None,
    venue: Annotated[str | None, typer.Option(help="At this venue only.")] = None,
    at: Annotated[str | None, typer.Option(help="As of block:N, or of a sequence; the end when left out.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Explain an account's margin: every collateral, debt and position, what it is worth and what of it counts."""
    address = _address(account)
    found = margins_of(engine_at("margin", config, journal, at), address, venue)
    if as_json:
        emit_json(found)
    else:
        _show(found)


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise UsageError(f"account {text!r:.80}", str(error), "give an address, as 0x and 40 digits") from error


def margins_of(engine: Engine, account: Address, venue: str | None) -> Margins:
    """Explain the account's margin at one venue, or at all of one chain.

    Raises:
        UsageError: no such venue, venues on several chains, or no block yet.
    """
    ledgers = chosen(engine, venue)
    watermark = watermark_of(engine, ledgers[0].chain_id)
    return Margins(watermark, to_hex(account), [shown(ledger, account) for ledger in ledgers])


def shown(ledger: Ledger, account: Address) -> MarginShown:
    """Explain the account's margin at a venue."""
    breakdown, health = ledger.breakdown(account), ledger.margin(account).health
    buckets = [_bucket(bucket, breakdown) for bucket in breakdown.buckets]
    return MarginShown(
        venue=ledger.name,
        kind=breakdown.kind.value,
        status=health.status.value,
        reason=breakdown.unknown,
        buckets=buckets,
    )


def _bucket(bucket: Bucket, breakdown: MarginBreakdown) -> BucketShown:
    return BucketShown(
        name=bucket.name,
        unit=bucket.unit,
        scale=bucket.scale,
        equity=BigInt(bucket.equity),
        requirement=BigInt(bucket.requirement),
        surplus=BigInt(bucket.surplus),
        binds=bucket is breakdown.binding,
        lines=bucket.lines,
    )


def _show(found: Margins) -> None:
    for margin in found.margins:
        said = margin.status if margin.reason is None else f"{margin.status}: {margin.reason}"
        emit(f"{margin.venue}: {margin.kind} margin, {said}")
        show_buckets(margin)
    place = f"block {found.watermark.block} of chain {found.watermark.chain} {found.watermark.hash}"
    emit(styled(f"{found.account} at {place}", "dim"))


def show_buckets(margin: MarginShown) -> None:
    """Print the terms of each bucket, their sums, and what is left."""
    for bucket in margin.buckets:
        _show_bucket(bucket)


def _show_bucket(bucket: BucketShown) -> None:
    rows = [
        (
            line.item,
            "" if line.asset is None else to_hex(line.asset),
            str(int(line.amount)) if line.asset is not None else "",
            figure(line.value, bucket.scale),
            figure(line.weight_wad, BigInt(Wad.ONE)),
            figure(line.equity, bucket.scale),
            figure(line.requirement, bucket.scale),
        )
        for line in bucket.lines
    ]
    sums = (figure(bucket.equity, bucket.scale), figure(bucket.requirement, bucket.scale))
    figures = ("amount", "value", "weight", "equity", "requirement")
    emit_table(("item", "asset", *figures), [*rows, ("in all", "", "", "", "", *sums)], right=figures)
    emit(f"{figure(bucket.surplus, bucket.scale) or '0'} {bucket.unit} left")


def figure(amount: BigInt, scale: BigInt) -> str:
    """Write an amount in whole units, with as many decimals as it has; nothing for nothing."""
    whole, part = divmod(abs(int(amount)), int(scale))
    decimals = str(part).rjust(len(str(int(scale))) - 1, "0").rstrip("0")
    sign = "-" if amount < BigInt(0) else ""
    return f"{sign}{whole:,}{'.' if decimals else ''}{decimals}" if amount else ""
