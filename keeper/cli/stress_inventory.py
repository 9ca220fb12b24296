"""``keeper stress inventory``: what the keeper's own holdings may lose until they are sold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli.accounts import engine_at
from keeper.cli.options import JsonOption
from keeper.cli.terminal import emit, emit_json, emit_table, styled
from keeper.core.errors import UsageError
from keeper.core.facts import BlockApplied
from keeper.core.ids import Address, parse_address

if TYPE_CHECKING:
    from keeper.core.codec import Record
    from keeper.core.facts import SignerRead
    from keeper.core.runconfig import SignerSpec
    from keeper.engine.inventory import Held, HeldShortfall, PriceBars
    from keeper.engine.step import Engine
    from keeper.risk.inputs import Floats

RETURNS_LEAST = 100
"""The least returns that a tail is read off; and as many as make one of them lie beyond the confidence."""
COINS = ("btc", "eth", "usd")
DOLLAR = "usd"
"""What does not move."""
COIN_DEFAULT = "eth"
FIXED = "nothing: its price is taken for granted"
CENT_USD = 0.01
"""What is less is rounding."""
JOURNAL = "the journal's prices"


def command(
    *,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The configuration file whose journal is read.")
    ] = None,
    journal: Annotated[str | None, typer.Option("--journal", help="The journal, instead of a configuration.")] = None,
    at: Annotated[str | None, typer.Option(help="As of block:N, or of a sequence; the end when left out.")] = None,
    signer: Annotated[str | None, typer.Option(help="Whose holdings, by name; the only one when left out.")] = None,
    horizon: Annotated[float, typer.Option(help="Seconds until all is sold.")] = 3600.0,
    level: Annotated[float, typer.Option(help="The confidence of the expected shortfall.")] = 0.99,
    bar_seconds: Annotated[int, typer.Option(help="Seconds between two samples of the journal's prices.")] = 3600,
    coin: Annotated[
        list[str] | None,
        typer.Option(help="ADDRESS=btc, eth or usd: as what a token moves where daily closes stand in; else as eth."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what the signer's holdings are expected to lose in the worst cases while they are held."""
    from keeper.engine.inventory import PriceBars, holdings_of, shortfalls
    from keeper.risk.inputs import number, whole
    from keeper.risk.tail import checked_level

    seconds, confidence = number("--horizon", horizon, above=0), checked_level(level)
    bars = PriceBars(whole("--bar-seconds", bar_seconds, least=1))
    coins = _coins(coin or [])
    engine = engine_at("inventory", config, journal, at, lambda now, record: _sample(bars, now, record))
    spec, readings = _signer(engine, signer)
    held = holdings_of(engine.ledgers, readings, spec.address)
    scenarios, moves, step_seconds, source = _scenarios(held, bars, confidence, coins)
    rows, jointly = shortfalls(
        held, moves, scenarios, horizon_seconds=seconds, level=confidence, scenario_seconds=step_seconds
    )
    asked = {"signer": spec.name, "horizon_seconds": seconds, "level": confidence}
    if as_json:
        sources = {"source": source, "scenario_seconds": step_seconds, "scenarios": len(scenarios)}
        emit_json({**asked, **sources, "holdings": rows, "shortfall_usd": jointly})
    else:
        _show(rows, jointly)
        emit(f"{spec.name} within {seconds:g} seconds at {confidence:g}, by {source}")


def _sample(bars: PriceBars, engine: Engine, record: Record) -> None:
    if isinstance(record.body, BlockApplied):
        for ledger in engine.ledgers.values():
            if ledger.chain_id == record.body.chain_id:
                bars.look(ledger, record.body.header.timestamp)


def _coins(told: Sequence[str]) -> dict[Address, str]:
    found: dict[Address, str] = {}
    for each in told:
        name, _, coin = each.partition("=")
        try:
            token = parse_address(name)
        except ValueError as error:
            raise UsageError(f"--coin {each!r:.80}", str(error), "give ADDRESS=COIN") from error
        if coin not in COINS:
            raise UsageError(f"--coin {each!r:.80}", "names no coin that is known", f"give one of {', '.join(COINS)}")
        found[token] = coin
    return found


def _signer(engine: Engine, name: str | None) -> tuple[SignerSpec, list[SignerRead]]:
    """Return a signer and its last readings.

    Raises:
        UsageError: there is none of this name, several without one, or it was never read.
    """
    signers = () if engine.config is None else engine.config.signers
    names = ", ".join(each.name for each in signers) or "none"
    found = [each for each in signers if name in (None, each.name)]
    if not found:
        raise UsageError(f"--signer {name or ''}".rstrip(), "is not in the journal", f"it has: {names}")
    if len(found) > 1:
        raise UsageError("inventory", "the journal has several signers", f"choose one with --signer: {names}")
    readings = [reading for (_, signer), reading in sorted(engine.wallets.items()) if signer == found[0].name]
    if not readings:
        raise UsageError(f"signer {found[0].name}", "was not read at that place of the journal", "give a later place")
    return found[0], readings


def _scenarios(
    held: Sequence[Held], bars: PriceBars, level: float, coins: Mapping[Address, str]
) -> tuple[Floats, list[str], float, str]:
    """Return scenarios, whose returns each holding has, over how many seconds they are, and where they are from."""
    from keeper.engine.inventory import daily_scenarios, recorded_scenarios
    from keeper.risk.volatility import SECONDS_PER_DAY

    shortest = max(RETURNS_LEAST, math.ceil(1 / (1 - level)))
    priced = [each for each in held if each.value_usd is not None]
    recorded = recorded_scenarios(priced, bars, shortest)
    if recorded is not None:
        columns = _widened(recorded, held)
        moves = [JOURNAL if each.reprices else FIXED for each in held]
        return columns, moves, bars.bar_seconds, f"{JOURNAL}, every {bars.bar_seconds} seconds"
    named = [coins.get(each.asset, COIN_DEFAULT if each.reprices else DOLLAR) for each in held]
    moves = [FIXED if coin == DOLLAR else f"daily {coin}" for coin in named]
    daily = daily_scenarios([None if coin == DOLLAR else coin for coin in named], _daily_returns())
    source = f"daily closes, since the journal has fewer than {shortest} returns of every {bars.bar_seconds} seconds"
    return daily, moves, SECONDS_PER_DAY, source


def _widened(scenarios: Floats, held: Sequence[Held]) -> Floats:
    """Return scenarios of the priced holdings with columns that stand still for the others."""
    import numpy as np

    wide = np.zeros((len(scenarios), len(held)))
    wide[:, [place for place, each in enumerate(held) if each.value_usd is not None]] = scenarios
    return wide


def _daily_returns() -> dict[str, Floats]:
    import numpy as np

    from keeper.lab.stress.closes import daily_closes

    closes = daily_closes()
    return {"btc": np.diff(np.log(closes.btc)), "eth": np.diff(np.log(closes.eth))}


def _show(rows: Sequence[HeldShortfall], jointly: float) -> None:
    figures = ("amount", "value", "shortfall")
    cells = [
        (
            str(each.chain_id),
            each.venue or "-",
            f"{'position in ' if each.position else ''}{each.asset}",
            each.amount,
            *("-" if amount is None else f"{amount:,.2f}" for amount in (each.value_usd, each.shortfall_usd)),
            each.reason or each.moves,
        )
        for each in rows
    ]
    value = sum(each.value_usd or 0.0 for each in rows)
    total = ("", "", "in all, jointly", "", f"{value:,.2f}", f"{jointly:,.2f}", "")
    emit_table(("chain", "venue", "holding", *figures, "moves by"), [*cells, total], right=figures)
    spared = sum(each.shortfall_usd or 0.0 for each in rows) - jointly
    if spared >= CENT_USD:
        emit(styled(f"{spared:,.2f} less than each alone: they do not all fall together", "dim"))
