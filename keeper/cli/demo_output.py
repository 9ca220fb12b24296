"""What ``keeper demo`` prints: each step as it begins, then the table, then the figures of the run."""

from __future__ import annotations

import sys
from dataclasses import asdict

from keeper.cli.terminal import emit, emit_json, emit_pairs, emit_table
from keeper.cli.verify import Verified
from keeper.lab.demo.run import DemoResult
from keeper.lab.demo.summary import AccountStory

WAD = 10**18
ETHER = 10**18
USD = 10**8
COLUMNS = ("venue", "account", "health", "slices", "repaid $", "seized $", "profit $", "gas ETH")
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
    emit("\naccounts that were helped: lowest health seen, and health on chain now")
    emit_table(
        COLUMNS,
        [_row(story, result.health_after_wad[story.account]) for story in accounts],
        right=COLUMNS[2:],
    )
    emit()
    emit_pairs(list(_figures(result, verified).items()))


def show_urls(result: DemoResult) -> None:
    """Tell where node and daemon answer."""
    say(f"node {result.node_url}, keeper {result.http_url} with /metrics /healthz /readyz /status; Ctrl-C ends both")


def _figures(result: DemoResult, verified: Verified | None) -> dict[str, str]:
    summary = result.summary
    figures = {venue: _told(result, venue) for venue in summary.breaches} | {
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


def _told(result: DemoResult, venue: str) -> str:
    """Say what happened at a venue."""
    stories = [story for story in result.summary.accounts.values() if story.venue == venue]
    slices = sum(story.slices for story in stories)
    repaid, profit = (
        _dollars(sum(getattr(story, name) for story in stories)) for name in ("repaid_base", "profit_base")
    )
    return f"{result.summary.breaches[venue]} breaches, {slices} slices of ${repaid}, profit ${profit}"


def _row(story: AccountStory, health_after_wad: int) -> list[str]:
    return [
        story.venue,
        f"{story.account[:6]}…{story.account[-4:]}",
        f"{story.health_min_wad / WAD:.4f} → {health_after_wad / WAD:.4f}",
        str(story.slices),
        *(_dollars(base) for base in (story.repaid_base, story.seized_base, story.profit_base)),
        f"{story.gas_wei / ETHER:.5f}",
    ]


def _dollars(base: int) -> str:
    value = base / USD
    return f"{value:,.0f}" if value >= WHOLE_DOLLARS_FROM else f"{value:,.2f}"
