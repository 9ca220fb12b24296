"""``keeper stress contagion``: how a fall of a price would spread over all venues of a journal."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from keeper.cli.accounts import Watermark, engine_at, watermark_of
from keeper.cli.options import JsonOption
from keeper.cli.terminal import emit, emit_json, emit_table, styled
from keeper.core.errors import UsageError
from keeper.core.ids import Address, parse_address, to_hex

if TYPE_CHECKING:
    from keeper.engine.contagion import AssetEffect, Claims, Cleared, Contagion, Exposures, VenueEffect
    from keeper.engine.step import Engine

ALL = "all"
PERCENT = 100.0
REASONS_SHOWN = 5
"""So many accounts without figures are named in the table's footer; programs get them all."""


def command(
    *,
    asset: Annotated[
        list[str],
        typer.Option(help="The address of what falls, repeatable; or all: what is put up more than owed."),
    ],
    shock: Annotated[float, typer.Option(help="How far it falls, in percent.")],
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The configuration file whose journal is read.")
    ] = None,
    journal: Annotated[str | None, typer.Option("--journal", help="The journal, instead of a configuration.")] = None,
    at: Annotated[str | None, typer.Option(help="As of block:N, or of a sequence; the end when left out.")] = None,
    depth_usd: Annotated[
        list[str] | None,
        typer.Option(help="USD for every asset, or ADDRESS=USD, repeatable; a quarter of what is held if left out."),
    ] = None,
    bonus: Annotated[float, typer.Option(help="What liquidators get on top of what they repay, in percent.")] = 5.0,
    target_health: Annotated[float, typer.Option(help="The health that a liquidation restores.")] = 1.05,
    claims: Annotated[
        Path | None, typer.Option(help="A TOML file of reserves_usd and [[claims]] between venues, to be cleared.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Let a price fall: whose liquidations move it further, and whom that hits, to the fixed point."""
    from keeper.engine.contagion import cleared, contagion, exposures_of
    from keeper.risk.inputs import number

    fall = number("--shock", shock, least=0, most=PERCENT) / PERCENT
    asked, depths = _assets(asset), _depths(depth_usd or [])
    told = None if claims is None else _claims(claims)
    engine = engine_at("contagion", config, journal, at)
    exposures = exposures_of(engine.ledgers, () if engine.config is None else engine.config.venues)
    found = contagion(
        exposures,
        dict.fromkeys(_fallen(engine, exposures, asked), fall),
        {each: depth for each, depth in depths.items() if each is not None},
        depth_usd=depths.get(None),
        bonus=number("--bonus", bonus, least=0) / PERCENT,
        health_target=number("--target-health", target_health, least=1),
    )
    paid = None if told is None else cleared(found, told)
    chains = dict.fromkeys(engine.ledgers[venue].chain_id for venue in exposures.venues)
    marks = [watermark_of(engine, chain_id) for chain_id in chains]
    if as_json:
        emit_json(_document(marks, exposures, found, paid))
    else:
        _show(marks, exposures, found, paid)


def _assets(asked: Sequence[str]) -> tuple[Address, ...] | None:
    """Return the assets that are named, ``None`` for all."""
    if ALL in asked:
        if len(asked) > 1:
            raise UsageError("--asset", "names all and others besides", "give either all or addresses")
        return None
    return tuple(_address("--asset", each) for each in asked)


def _address(option: str, text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise UsageError(f"{option} {text!r:.80}", str(error), "give an address, as 0x and 40 digits") from error


def _depths(told: Sequence[str]) -> dict[Address | None, float]:
    """Return depths by asset, under ``None`` that of all others."""
    found: dict[Address | None, float] = {}
    for each in told:
        name, _, amount = each.rpartition("=")
        try:
            found[_address("--depth-usd", name) if name else None] = float(amount)
        except ValueError:
            raise UsageError(f"--depth-usd {each!r:.80}", "is no amount", "give USD, or ADDRESS=USD") from None
    return found


def _claims(path: Path) -> Claims:
    from keeper.engine.contagion import Claims

    remedy = "give [reserves_usd] by name, and [[claims]] with debtor, creditor and usd"
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Claims)
    except OSError as error:
        raise UsageError(f"--claims {path}", error.strerror or "cannot be read", "name a file that can be") from error
    except ValueError as error:  # of TOML, of its bytes, or of what it holds
        raise UsageError(f"--claims {path}", str(error), remedy) from error


def _fallen(engine: Engine, exposures: Exposures, asked: Sequence[Address] | None) -> tuple[Address, ...]:
    """Return the assets that fall.

    Raises:
        UsageError: nobody whose figures are known has one of them.
    """
    from keeper.engine.contagion import put_up

    if asked is None:
        if not (found := put_up(exposures)):
            raise UsageError("--asset all", "no account with debt has known figures", _why(exposures))
        return found
    for asset in asked:
        if asset in exposures.assets:
            continue
        told = {name: dict(_prices(engine, name)) for name in engine.ledgers}
        listed = {name: prices[asset] for name, prices in told.items() if asset in prices}
        if listed and not any(listed.values()):
            reason = f"has no price at {', '.join(listed)}"
            raise UsageError(f"--asset {to_hex(asset)}", reason, "give a place of the journal where it has one")
        reason = "is held and owed by nobody with debt at any venue of the journal"
        raise UsageError(f"--asset {to_hex(asset)}", reason, "`--asset all` lists what is")
    return tuple(asked)


def _prices(engine: Engine, venue: str) -> list[tuple[Address, object]]:
    return [(each.asset, each.price) for each in engine.ledgers[venue].asset_prices()]


def _why(exposures: Exposures) -> str:
    first = next(iter(exposures.unmapped), None)
    return "there is none" if first is None else f"{to_hex(first.account)} at {first.venue}: {first.reason}"


def _document(
    marks: Sequence[Watermark],
    exposures: Exposures,
    found: Contagion,
    paid: tuple[list[Cleared], int] | None,
) -> dict[str, object]:
    """Return the answer; ``unknown`` are not in the figures, the accounts of ``left_out`` are there as another's."""
    return {
        "watermarks": marks,
        "rounds": found.rounds,
        "converged": found.converged,
        "assets": found.assets,
        "venues": found.venues,
        "spillovers": found.spillovers,
        "unknown": [
            {"venue": each.venue, "account": to_hex(each.account), "reason": each.reason} for each in exposures.unmapped
        ],
        "left_out": exposures.left_out,
        "clearing": None if paid is None else {"rounds": paid[1], "nodes": paid[0]},
    }


def _show(
    marks: Sequence[Watermark],
    exposures: Exposures,
    found: Contagion,
    paid: tuple[list[Cleared], int] | None,
) -> None:
    _show_assets(found.assets)
    emit()
    _show_venues(found.venues)
    if found.spillovers:
        emit()
        rows = [(each.seller, each.holder, _usd(each.cost_usd)) for each in found.spillovers]
        emit_table(("liquidations at", "cost collateral at", "USD"), rows, right=("USD",))
    if paid is not None:
        emit()
        _show_cleared(*paid)
    emit()
    if any(each.depth_assumed and each.sold_usd for each in found.assets):
        emit(styled("depths not given with --depth-usd are a guess, and how far prices fall hangs on them", "yellow"))
    rest = "prices at rest" if found.converged else "prices still falling: they are lower than shown"
    emit(f"{rest} after {found.rounds} rounds")
    for each in exposures.unmapped[:REASONS_SHOWN]:
        emit(styled(f"not in the figures: {to_hex(each.account)} at {each.venue}: {each.reason}", "yellow"))
    if len(exposures.unmapped) > REASONS_SHOWN:
        emit(styled(f"and {len(exposures.unmapped) - REASONS_SHOWN} others", "yellow"))
    for venue in exposures.left_out:
        emit(styled(f"{venue} closes debts of a market that is in the figures already", "dim"))
    for mark in marks:
        emit(styled(f"block {mark.block} of chain {mark.chain} {mark.hash}", "dim"))


def _show_assets(assets: Sequence[AssetEffect]) -> None:
    right = ("held", "owed", "depth", "shock", "sold", "further drop")
    rows = [
        (
            each.asset,
            *(_usd(amount) for amount in (each.held_usd, each.owed_usd, each.depth_usd)),
            _share(each.shock),
            _usd(each.sold_usd),
            _share(each.further_drop),
        )
        for each in assets
    ]
    emit_table(("asset", *right), rows, right=right)


def _show_venues(venues: Sequence[VenueEffect]) -> None:
    right = ("accounts", "unknown", "held", "owed", "liquidated", "debt liquidated", "bad before", "bad debt")
    rows = [
        (
            each.venue,
            *(str(each.accounts), str(each.unknown), _usd(each.held_usd), _usd(each.owed_usd), str(each.liquidated)),
            *(_usd(amount) for amount in (each.debt_liquidated_usd, each.bad_debt_before_usd, each.bad_debt_usd)),
        )
        for each in venues
    ]
    emit_table(("venue", *right), rows, right=right)


def _show_cleared(nodes: Sequence[Cleared], rounds: int) -> None:
    right = ("owes", "pays", "keeps")
    rows = [
        (each.node, _usd(each.owes_usd), _usd(each.pays_usd), _usd(each.keeps_usd), "yes" if each.defaults else "no")
        for each in nodes
    ]
    emit_table(("node", *right, "defaults"), rows, right=right)
    emit(f"cleared after {rounds} waves of defaults")


def _usd(amount: float) -> str:
    return f"{amount:,.0f}"


def _share(part: float) -> str:
    return f"{part:.2%}"
