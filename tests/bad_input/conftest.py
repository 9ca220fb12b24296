"""The market of the daemon's own tests."""

from tests.app.conftest import market

__all__ = ["market"]
