"""``python -m keeper.cli``: the same as ``keeper``."""

from keeper.cli.main import main

main()
