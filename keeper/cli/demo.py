"""``keeper demo``: real protocols, a real crash, the shipped daemon, in under a minute."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli.options import JsonOption
from keeper.core.errors import NotHolding

if TYPE_CHECKING:
    from keeper.lab.demo.run import DemoResult


def command(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave node and daemon up and print their URLs.")] = False,
    seed: Annotated[int, typer.Option(help="Draws the borrowers and the price path.")] = 7,
    out: Annotated[Path, typer.Option(help="Where keeper.toml, the journal and the log are left.")] = Path("demo-out"),
    as_json: JsonOption = False,
) -> None:
    """Start a local node, deploy three protocols, open accounts, crash the prices, and let the keeper save them."""
    from keeper.cli import demo_output as output
    from keeper.cli.verify import verify_journal
    from keeper.lab.demo.run import DemoOptions, run_demo

    kept = False

    async def show_and_wait(result: DemoResult) -> None:
        nonlocal kept
        output.show(result, None, as_json=as_json)
        output.show_urls(result)
        kept = True
        await asyncio.Event().wait()

    options = DemoOptions(folder=out, seed=seed)
    try:
        result = asyncio.run(run_demo(options, output.say, keep=show_and_wait if keep else None))
    except KeyboardInterrupt:
        if kept:
            return
        raise
    output.say("verifying the journal: every frame's hash, and every decision made again")
    verified = verify_journal(result.journal_url)
    output.show(result, verified, as_json=as_json)
    error = verified.error()
    if error is not None:
        raise error
    if result.unhelped:
        raise NotHolding("the demo", f"{len(result.unhelped)} accounts below the line could have been helped")
