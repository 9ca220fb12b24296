"""``keeper``: the commands, and what their failures mean for the exit code.

0 done, 1 the thing checked does not hold, 2 bad usage or configuration, 3 an outside system failed, 4 the journal is
damaged; 130 after Ctrl-C, 141 when whoever read the output has left. An error is one line on stderr that names the
thing, the reason and the remedy; ``KEEPER_TRACEBACK=1`` shows where it came from.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Annotated

import typer

from keeper import __version__
from keeper.cli.accounts import command as accounts
from keeper.cli.demo import command as demo
from keeper.cli.doctor import command as doctor
from keeper.cli.explain import command as explain
from keeper.cli.journal import app as journal
from keeper.cli.keys import app as keys
from keeper.cli.lab import app as lab
from keeper.cli.margin import command as margin
from keeper.cli.postmortem import command as postmortem
from keeper.cli.replay import command as replay
from keeper.cli.run import command as run
from keeper.cli.stress import app as stress
from keeper.cli.terminal import PipeClosed, emit, flush
from keeper.cli.verify import command as verify
from keeper.core.errors import KeeperError
from keeper.observe.scrub import redacted

INTERRUPTED = 130
PIPE_CLOSED = 141

app = typer.Typer(
    name="keeper",
    help="Keep on-chain margin safe, one slice at a time, and prove why.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
EXAMPLES: dict[Callable[..., None], str] = {
    run: "keeper run -c keeper.toml --live",
    demo: "keeper demo --keep --out /srv/demo",
    doctor: "keeper doctor -c keeper.toml",
    accounts: "keeper accounts -c keeper.toml --below 1.05 --at block:120",
    margin: "keeper margin 0x5b38da6a701c568545dcfcb03fcb875f56beddc4 -c keeper.toml",
    explain: "keeper explain 0x5b38da6a701c568545dcfcb03fcb875f56beddc4 -c keeper.toml --at block:120",
    replay: "keeper replay --journal sqlite:///var/lib/keeper/journal.db --set limits.gas_price_gwei_max=400",
    verify: "keeper verify --journal sqlite:///var/lib/keeper/journal.db",
    postmortem: "keeper postmortem --journal sqlite:///var/lib/keeper/journal.db --from block:80 -o report.html",
}
for each, example in EXAMPLES.items():
    name = each.__module__.rpartition(".")[2]
    app.command(name, epilog=f"Example: {example}")(each)
app.add_typer(journal, name="journal")
app.add_typer(keys, name="keys")
app.add_typer(lab, name="lab")
app.add_typer(stress, name="stress")


def _version(asked: bool) -> None:  # noqa: FBT001 - typer calls it with the flag
    if asked:
        emit(f"keeper {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Keep on-chain margin safe, one slice at a time, and prove why."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    sys.excepthook = _print_bug
    sys.exit(exit_code())


def exit_code() -> int:
    """Run the command line; every failure becomes a line and a code."""
    try:
        code = _invoke()
        flush()
    except KeeperError as error:
        if os.environ.get("KEEPER_TRACEBACK") == "1":
            _print_bug(type(error), error, error.__traceback__)
        else:
            print(f"keeper: {redacted(str(error))}", file=sys.stderr)  # noqa: T201 - the one line of an error
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except PipeClosed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the last flush would complain
        return PIPE_CLOSED
    return code


def _print_bug(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
    """Print a traceback without what a message may carry of a URL; no frame's variables are in it."""
    print(redacted("".join(traceback.format_exception(kind, error, frames))), end="", file=sys.stderr)  # noqa: T201 - as above


def _invoke() -> int:
    """Let typer parse and call; it leaves by SystemExit."""
    try:
        app(prog_name="keeper")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    return 0
