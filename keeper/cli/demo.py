"""``keeper demo``: a real market, a real crash, the shipped daemon, in under a minute."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from keeper.core.errors import NotHolding

EXAMPLES = """\
Examples:

  keeper demo                     run it once; leaves keeper.toml, the journal and the daemon's log in ./demo-out

  keeper demo --keep --seed 3     another market, and leave node and daemon up
"""


def command(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave node and daemon up and print their URLs.")] = False,
    seed: Annotated[int, typer.Option(help="Draws the borrowers and the price path.")] = 7,
    out: Annotated[Path, typer.Option(help="Where keeper.toml, the journal and the log are left.")] = Path("demo-out"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of tables.")] = False,
) -> None:
    """Start a local node, deploy the real protocol, open accounts, crash the prices, and let the keeper save them."""
    from keeper.cli import demo_output as output
    from keeper.lab.demo.run import DemoOptions, DemoResult, run_demo

    async def wait_for_interrupt(result: DemoResult) -> None:
        output.show(result, as_json=as_json)
        output.show_urls(result)
        await asyncio.Event().wait()

    options = DemoOptions(folder=out, seed=seed)
    try:
        result = asyncio.run(run_demo(options, output.say, keep=wait_for_interrupt if keep else None))
    except KeyboardInterrupt:
        return
    verified = output.verify(result.journal_url)
    output.show(result, as_json=as_json)
    output.show_verification(verified)
    if result.unhelped:
        raise NotHolding("the demo", f"{len(result.unhelped)} accounts below the line could have been helped")
