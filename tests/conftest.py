"""What every test shares: the same examples on every machine, no deadline on a busy one, and a Ctrl-C that is heard."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# A run in the background of a shell inherits that Ctrl-C is ignored, and every child would; tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")
