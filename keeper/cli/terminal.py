"""What commands print: tables for people, JSON for programs, both through one function.

Everything goes through :func:`emit`, so that a reader who leaves early (``keeper journal tail | head``) ends the
command without a word. Progress goes to stderr and only to a terminal. Colour is rich's affair, which respects
``NO_COLOR``; away from a terminal there is none, and lines are as long as they need to be.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 10_000
Advance = Callable[[int], None]


class PipeClosed(Exception):  # noqa: N818 - it names a situation, nobody's error
    """Whoever read our output has left."""


def emit(text: str = "") -> None:
    """Print a line (or several) on stdout.

    Raises:
        PipeClosed: nobody reads any more.
    """
    try:
        print(text)  # noqa: T201 - the one place where commands print
    except BrokenPipeError:
        raise PipeClosed from None


def flush() -> None:
    """Hand over what was printed.

    Raises:
        PipeClosed: nobody reads any more.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise PipeClosed from None


def emit_json(document: object) -> None:
    """Print one JSON document on one line; what it holds is made printable by :func:`keeper.cli.plain.plain`."""
    import msgspec

    from keeper.cli.plain import plain

    emit(msgspec.json.encode(plain(document)).decode())


def emit_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    styles: Sequence[str] = (),
) -> None:
    """Print a table; the columns named in ``right`` are aligned there. Nothing is cut off: long cells wrap.

    ``styles`` are of the rows, where given.
    """
    from rich import box
    from rich.table import Table

    console = _console()
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row, style in zip(rows, styles or [""] * len(rows), strict=True):
        table.add_row(*row, style=style)
    _print(console, table)


def emit_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one pair a line."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        emit(f"{name:<{width}}  {value}")


def emit_tree(label: str, branches: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Print a label, below it the branches, and below each of these its leaves."""
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(label))
    for name, leaves in branches:
        branch = tree.add(Text(name))
        for leaf in leaves:
            branch.add(Text(leaf))
    _print(_console(), tree)


def styled(text: str, style: str) -> str:
    """Return text in a style on a terminal, as it is elsewhere."""
    from rich.text import Text

    console = _console()
    with console.capture() as captured:
        console.print(Text(text, style=style), end="")
    return captured.get()


@contextmanager
def progress(label: str, total: int) -> Iterator[Advance]:
    """Show a bar on stderr for long work, with its speed and the time that is left.

    The callable given takes how many steps were done.
    """
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, Task
    from rich.text import Text

    class Speed(ProgressColumn):
        """Steps in a second."""

        def render(self, task: Task) -> Text:
            """Write the speed, once it is known."""
            return Text("" if task.speed is None else f"{task.speed:,.0f}/s", style="dim")

    with Progress(*Progress.get_default_columns(), Speed(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.advance(task, done)


def _console() -> Console:
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(highlight=False, width=width, markup=False)


def _print(console: Console, renderable: object) -> None:
    with console.capture() as captured:
        console.print(renderable)
    emit("\n".join(line.rstrip() for line in captured.get().rstrip("\n").split("\n")))
