"""What ``keeper demo`` prints: each step as it begins, then the table, then the figures of the run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict

from keeper.cli.accounts import Accounts, accounts_of, engine_at, show_accounts
from keeper.cli.terminal import emit, emit_json, emit_pairs, emit_table
from keeper.cli.verify import Verified
from keeper.core.units import BaseAmount
from keeper.lab.demo.run import DemoResult
from keeper.lab.demo.summary import AccountStory

WAD = 10**18
ETHER = 10**18
MOVED = ("slices", "repaid $", "seized $", "profit $", "gas ETH")
COLUMNS = ("venue", "account", "called", "health", *MOVED)
VENUE_COLUMNS = ("venue", "called", "hurt", "forewarned", "helped", "breaches", *MOVED)
NEAREST_SHOWN = 8
HEALTH_SHOWN_MAX = 1_000
WHOLE_DOLLARS_FROM = 1_000


def say(step: str) -> None:
    """Tell what begins now, on stderr."""
    print(f"· {step}", file=sys.stderr, flush=True)  # noqa: T201 - progress, not output


def show(result: DemoResult, verified: Verified | None, *, as_json: bool) -> None:
    """Print the result on stdout; ``verified`` is ``None`` while the daemon is still up."""
    if as_json:
        emit_json({**asdict(result), "config": str(result.config), "verified": verified})
        return
    accounts = result.summary.accounts.values()
    emit("\naccounts that were helped: blocks from margin call to breach, lowest health seen, and health on chain now")
    emit_table(
        COLUMNS,
        [_row(story, result.health_after_wad[story.account]) for story in accounts],
        right=COLUMNS[2:],
    )
    emit("\nby venue, all by one daemon and one signer")
    emit_table(VENUE_COLUMNS, [_venue_row(result, venue) for venue in result.summary.hurt], right=VENUE_COLUMNS[1:])
    emit("\nnearest to the line now: the venue's health, and the second opinion beside it")
    nearest = accounts_of(engine_at("demo", None, result.journal_url, None), None)
    show_accounts(Accounts(nearest.watermark, nearest.accounts[:NEAREST_SHOWN]))
    emit()
    emit_pairs(list(_figures(result, verified).items()))


def show_urls(result: DemoResult) -> None:
    """Tell where node and daemon answer."""
    say(f"node {result.node_url}, live page {result.http_url}/ with /metrics /healthz /readyz /status; Ctrl-C ends all")


def _figures(result: DemoResult, verified: Verified | None) -> dict[str, str]:
    summary = result.summary
    figures = {
        "blocks": f"{summary.blocks}",
        "below 1 now": f"{len(result.findings)} accounts, of which a liquidation would help {len(result.unhelped)}",
        "reverted": f"{summary.reverted} transactions",
    }
    figures |= {f"{stage}": f"{milliseconds:.0f} ms" for stage, milliseconds in summary.stage_median_ms.items()}
    if verified is not None:
        figures["verified"] = f"{verified.records:,} records, {verified.decisions:,} decisions made again, bit for bit"
    figures["left behind"] = f"{result.config} and {result.journal_url}"
    figures["took"] = f"{result.seconds:.0f} s"
    return figures


def _venue_row(result: DemoResult, venue: str) -> list[str]:
    summary = result.summary
    stories = [story for story in summary.accounts.values() if story.venue == venue]
    helped = sum(story.slices > 0 for story in stories)
    called, hurt, forewarned = (each.get(venue, 0) for each in (summary.called, summary.hurt, summary.forewarned))
    return [venue, *map(str, (called, hurt, forewarned, helped, summary.breaches[venue])), *_moved(stories)]


def _row(story: AccountStory, health_after_wad: int) -> list[str]:
    return [
        story.venue,
        f"{story.account[:6]}…{story.account[-4:]}",
        "-" if story.called_blocks_before is None else f"{story.called_blocks_before} before",
        f"{story.health_min_wad / WAD:.4f} → {_health(health_after_wad)}",
        *_moved([story]),
    ]


def _health(wad: int) -> str:
    """Write a health; one without debt, or with next to none, is without bound."""
    return f"{wad / WAD:.4f}" if wad < HEALTH_SHOWN_MAX * WAD else "∞"


def _moved(stories: Sequence[AccountStory]) -> list[str]:
    """Write what accounts' slices moved together."""
    return [
        str(sum(story.slices for story in stories)),
        _dollars(sum(story.repaid_base for story in stories)),
        _dollars(sum(story.seized_base for story in stories)),
        _dollars(sum(story.profit_base for story in stories)),
        f"{sum(story.gas_wei for story in stories) / ETHER:.5f}",
    ]


def _dollars(base: int) -> str:
    value = base / BaseAmount.ONE
    return f"{value:,.0f}" if value >= WHOLE_DOLLARS_FROM else f"{value:,.2f}"
