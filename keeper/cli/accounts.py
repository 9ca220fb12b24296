"""``keeper accounts``: who has debt and how near each is to liquidation, from the journal alone."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from keeper.cli.options import JsonOption
from keeper.cli.terminal import emit, emit_json, emit_table, progress, styled
from keeper.core.errors import UsageError

if TYPE_CHECKING:
    from keeper.cli.journals import Watch
    from keeper.core.risk import RiskHealth
    from keeper.core.venue import AccountMargin, Ledger
    from keeper.engine.step import Engine
    from keeper.journal.reader import JournalReader
    from keeper.settings import Settings

WAD_DECIMALS = 18


class Watermark(msgspec.Struct, frozen=True):
    """The block that everything is as of."""

    chain: int
    block: int
    hash: str


class SecondOpinion(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator's model of risk says of an account.

    ``stressed_wad`` is the health that the reckoned-with moves leave, ``breach_ppm`` the probability that the line is
    touched within the model's horizon (1e-6), ``loss_expected_base`` what is then expected to be owed beyond the
    collateral (USD 1e-8).
    """

    status: str
    reason: str | None
    model: str
    stressed_wad: str | None
    breach_ppm: int
    loss_expected_base: str


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account with debt.

    ``health_wad`` is the contract's own figure, ``None`` when unknown. ``distance`` is its natural logarithm: how far
    prices may move against the account; ``None`` when unknown, or when there is no collateral at all. ``opinion`` is
    the second one, ``None`` where the venue has no model of risk.
    """

    venue: str
    account: str
    status: str
    reason: str | None
    health_wad: str | None
    collateral_base: str
    debt_base: str
    distance: float | None
    as_of_block: int
    opinion: SecondOpinion | None = None


class Accounts(msgspec.Struct, frozen=True):
    """The answer, nearest to liquidation first; what is unknown comes before all others."""

    watermark: Watermark
    accounts: list[Account]


def command(
    *,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The configuration file whose journal is read.")
    ] = None,
    journal: Annotated[str | None, typer.Option("--journal", help="The journal, instead of a configuration.")] = None,
    venue: Annotated[str | None, typer.Option(help="This venue's accounts only.")] = None,
    at: Annotated[str | None, typer.Option(help="As of block:N, or of a sequence; the end when left out.")] = None,
    below: Annotated[
        str | None, typer.Option(help="Healths below this only, and the unknown ones: they may be.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show every account with debt, nearest to liquidation first."""
    limit_wad = None if below is None else _wad(below)
    found = accounts_of(engine_at("accounts", config, journal, at), venue)
    if limit_wad is not None:
        near = [one for one in found.accounts if one.health_wad is None or int(one.health_wad) < limit_wad]
        found = Accounts(found.watermark, near)
    if as_json:
        emit_json(found)
    else:
        show_accounts(found)


def engine_at(
    command: str, config: Path | None, journal: str | None, at: str | None, watch: Watch | None = None
) -> Engine:
    """Replay a journal, named by itself or by its configuration, to a place; a watch sees all that is on the way.

    Raises:
        UsageError: neither was given, or both.
        JournalForeign: the journal is of another chain than the configuration.
    """
    from keeper.cli.journals import end_of_group, sequence_of, state_at, state_watched

    with reader_of(command, config, journal) as reader:
        until = end_of_group(reader, sequence_of(reader, at))
        with progress("replaying", until) as advance:
            return state_at(reader, until, advance) if watch is None else state_watched(reader, until, advance, watch)


@contextmanager
def reader_of(command: str, config: Path | None, journal: str | None) -> Iterator[JournalReader]:
    """Open a journal, named by itself or by its configuration.

    Raises:
        UsageError: neither was given, or both.
        JournalForeign: the journal is of another chain than the configuration.
    """
    from keeper.cli.journals import check_chains, opened

    if (config is None) == (journal is None):
        raise UsageError(command, "needs a configuration or a journal", "give either -c FILE or --journal URL")
    settings = _settings(config) if config is not None else None
    with opened(settings.journal.url if settings is not None else str(journal)) as reader:
        if settings is not None:
            check_chains(reader, settings)
        yield reader


def _settings(config: Path) -> Settings:
    """Read the configuration; importing its reader takes longer than reading a journal."""
    from keeper.settings import load_settings

    return load_settings(config, os.environ)


def accounts_of(engine: Engine, venue: str | None) -> Accounts:
    """Classify the accounts of one venue, or of all, at the watermark.

    Raises:
        UsageError: no such venue, venues on several chains, or no block yet.
    """
    ledgers = chosen(engine, venue)
    watermark = watermark_of(engine, ledgers[0].chain_id)
    found = [
        _account(ledger.margin(account), watermark.block, engine.risk.of(ledger.name, account))
        for ledger in ledgers
        for account in ledger.accounts()
    ]
    return Accounts(watermark, sorted(found, key=_nearness))


def watermark_of(engine: Engine, chain_id: int) -> Watermark:
    """Return the block that a chain's accounts are as of.

    Raises:
        UsageError: there is no block yet.
    """
    tip = engine.chains[chain_id].tip
    if tip is None:
        raise UsageError(f"chain {chain_id}", "has no block at that place of the journal", "give a later place")
    return Watermark(chain_id, tip.number, "0x" + tip.hash.hex())


def chosen(engine: Engine, venue: str | None) -> list[Ledger]:
    """Return the venue of that name, or all of them, which must be on one chain.

    Raises:
        UsageError: no such venue, or venues on several chains.
    """
    names = ", ".join(engine.ledgers) or "none"
    ledgers = [ledger for name, ledger in engine.ledgers.items() if venue in (None, name)]
    if not ledgers:
        raise UsageError(f"venue {venue or ''}".rstrip(), "is not in the journal", f"it has: {names}")
    if len({ledger.chain_id for ledger in ledgers}) > 1:
        raise UsageError("accounts", "the venues are on several chains", f"choose one with --venue: {names}")
    return ledgers


def _account(margin: AccountMargin, block: int, opinion: RiskHealth | None) -> Account:
    health = None if margin.health_wad is None else int(margin.health_wad)
    return Account(
        venue=margin.venue,
        account="0x" + margin.account.hex(),
        status=margin.health.status.value,
        reason=margin.health.reason,
        health_wad=None if health is None else str(health),
        collateral_base=str(int(margin.collateral_base)),
        debt_base=str(int(margin.debt_base)),
        distance=math.log(health / 10**WAD_DECIMALS) if health else None,
        as_of_block=block,
        opinion=None if opinion is None else _opinion(opinion),
    )


def _opinion(opinion: RiskHealth) -> SecondOpinion:
    stressed = None if opinion.stressed_wad is None else str(int(opinion.stressed_wad))
    return SecondOpinion(
        status=opinion.status.value,
        reason=opinion.reason,
        model=opinion.model,
        stressed_wad=stressed,
        breach_ppm=opinion.breach_ppm,
        loss_expected_base=str(int(opinion.loss_expected_base)),
    )


def _nearness(one: Account) -> tuple[bool, int, str, str]:
    return (one.health_wad is not None, int(one.health_wad or 0), one.venue, one.account)


def _wad(text: str) -> int:
    try:
        return int(Decimal(text).scaleb(WAD_DECIMALS))
    except (ArithmeticError, ValueError):
        raise UsageError(f"--below {text}", "is not a number", "give a health factor, such as 1.05") from None


def show_accounts(found: Accounts) -> None:
    """Print accounts as a table, in their order."""
    from keeper.core.units import BaseAmount, Wad
    from keeper.observe.lines import dollars, health

    styles = {"liquidatable": "bold red", "unknown": "yellow"}
    judged = any(one.opinion is not None for one in found.accounts)
    rows = [
        (
            one.venue,
            one.account,
            one.status if one.reason is None else f"{one.status}: {one.reason}",
            health(None if one.health_wad is None else Wad(int(one.health_wad))),
            "-" if one.distance is None else f"{one.distance:.4f}",
            dollars(BaseAmount(int(one.collateral_base))),
            dollars(BaseAmount(int(one.debt_base))),
            *(_second(one.opinion) if judged else ()),
        )
        for one in found.accounts
    ]
    figures = ("health", "distance", "collateral", "debt")
    opinion = ("second opinion", "after moves", "breach", "expected loss") if judged else ()
    emit_table(
        ("venue", "account", "status", *figures, *opinion),
        rows,
        right=(*figures, *opinion[1:]),
        styles=[styles.get(one.status, "") for one in found.accounts],
    )
    place = f"block {found.watermark.block} of chain {found.watermark.chain} {found.watermark.hash}"
    emit(styled(f"{len(rows)} accounts at {place}", "dim"))


def _second(opinion: SecondOpinion | None) -> tuple[str, str, str, str]:
    from keeper.core.units import BaseAmount, Wad
    from keeper.observe.lines import dollars, health, percent

    if opinion is None:
        return ("-", "-", "-", "-")
    if opinion.reason is not None:
        return (f"{opinion.status}: {opinion.reason}", "-", "-", "-")
    stressed = None if opinion.stressed_wad is None else Wad(int(opinion.stressed_wad))
    expected = dollars(BaseAmount(int(opinion.loss_expected_base)))
    return (opinion.status, health(stressed), percent(opinion.breach_ppm), expected)
