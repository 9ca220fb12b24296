"""What may change while the daemon runs, and what needs a new run.

Bounds and parameters may: the engine reads them anew at each decision, and the lanes at each attempt. What the parts
were built from may not: chains and their nodes, venues, keystores, the journal, the mode, where the kill switch is.
All of a file is applied or nothing, so that what runs is always what some file said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from keeper.core.errors import ConfigError
from keeper.settings import RiskSettings, Settings

Path = tuple[str, ...]

RELOADABLE: tuple[Path, ...] = (
    ("venues", "*", "risk"),  # the section as a whole, when only one of the two files has it
    *(("venues", "*", "risk", key) for key in RiskSettings.model_fields),
    ("log", "level"),
    ("notify", "*", "severity_min"),
    ("signers", "*", "in_flight_max"),
    ("signers", "*", "bump_after_blocks"),
    ("signers", "*", "valid_for_blocks"),
    ("signers", "*", "balance_wei_min"),
    ("strategies", "partial_liquidation", "objective"),
    ("strategies", "partial_liquidation", "target_health"),
    ("strategies", "partial_liquidation", "slippage_bps"),
    ("strategies", "partial_liquidation", "slippage_bps_default"),
    ("strategies", "partial_liquidation", "slippage_bps_per_million"),
    ("strategies", "partial_liquidation", "dust_usd"),
    ("strategies", "partial_liquidation", "exit_slippage_bps"),
    ("strategies", "pre_liquidation", "target_health"),
    ("strategies", "pre_liquidation", "headroom_bps"),
    ("strategies", "pre_liquidation", "slippage_bps"),
    ("strategies", "pre_liquidation", "slippage_bps_default"),
    ("strategies", "pre_liquidation", "slippage_bps_per_million"),
    ("strategies", "self_protect", "floor_health"),
    ("strategies", "self_protect", "target_health"),
    ("strategies", "self_protect", "actions"),
    ("strategies", "delta_hedge", "band_usd"),
    ("strategies", "delta_hedge", "slippage_bps"),
    ("limits", "profit_usd_min"),
    ("limits", "gas_price_gwei_max"),
    ("limits", "spend_usd_per_hour_max"),
    ("limits", "spend_usd_per_intent_max"),
    ("limits", "attempts_per_account_max"),
    ("limits", "head_age_seconds_max"),
)
"""Every key not named here keeps its value until the next start."""


def check_reload(running: Settings, read: Settings) -> tuple[str, ...]:
    """Return the keys whose values differ, all of which may change while the daemon runs.

    Raises:
        ConfigError: a key differs that may not; names all of them.
    """
    changed = list(_changed(running, read, ()))
    fixed = [path for path in changed if not any(_matches(pattern, path) for pattern in RELOADABLE)]
    if fixed:
        reason = "cannot change while the keeper runs, so nothing was applied"
        raise ConfigError(", ".join(".".join(path) for path in fixed), reason, "put it back, or restart the keeper")
    return tuple(".".join(path) for path in changed)


def _matches(pattern: Path, path: Path) -> bool:
    return len(pattern) == len(path) and all(part in ("*", name) for part, name in zip(pattern, path, strict=True))


def _changed(running: object, read: object, path: Path) -> Iterator[Path]:
    """Yield the paths of the keys that differ; a section that only one of them has is one path."""
    before, after = _items(running), _items(read)
    if before is None or after is None:
        if running != read:
            yield path
        return
    for name in dict.fromkeys((*before, *after)):
        if (name in before) != (name in after):
            yield (*path, name)
        else:
            yield from _changed(before.get(name), after.get(name), (*path, name))


def _items(value: object) -> Mapping[str, object] | None:
    """Return what is in a section, or in a table of sections; ``None`` for the value of a key."""
    if isinstance(value, BaseModel):
        return dict(value)
    if isinstance(value, dict) and all(isinstance(item, BaseModel) for item in value.values()) and value:
        return value
    return None
