"""A configuration with some keys changed: from a file's settings, or from those that a journal has kept of a run.

A journal keeps settings without secrets and without what a URL may carry, so two nodes of one host may look alike. The
engine never sees a URL, only whether there are several: numbered ones stand in for them here. A keystore is a path that
nobody opens, a password is left out. What was left at its default as ``null`` or as an empty list takes it again.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from keeper.core.errors import ConfigError, UsageError
from keeper.settings.loading import Named, validated, with_changes
from keeper.settings.model import Settings

OPTION = "--set"
EXAMPLE = "give it as the configuration file has it, for example limits.gas_price_gwei_max=400"
BY_FILE = "give the whole configuration with --config FILE"
_BARE = re.compile(r"[^\s\"'\[\]{}#=]+")
_HEX = re.compile(r"0x[0-9A-Fa-f]+")
_KEY = "key"


def asked(assignments: Iterable[str]) -> Named:
    """Read ``key=value``: the key dotted as in TOML, the value as TOML writes it; a bare word or address is a text.

    Raises:
        UsageError: it is not of that form, or a key is given twice.
    """
    changes: dict[tuple[str, ...], tuple[str, Any]] = {}
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        path = _path(key.strip())
        if not sign or path is None:
            raise UsageError(OPTION, "takes a key, an equals sign and a value", EXAMPLE)
        if path in changes:
            raise UsageError(f"{OPTION} {key.strip()}", "is given twice", "leave one of them out")
        changes[path] = (OPTION, _value(key.strip(), text.strip()))
    return changes


def recorded_settings(redacted_json: str, changes: Named, origin: str) -> Settings:
    """Return the settings of a run, by what its journal has kept of them, with some keys changed.

    Args:
        redacted_json: As :meth:`~keeper.settings.model.Settings.redacted` gives it.
        changes: As :func:`asked` reads them.
        origin: What to call the recorded settings in messages.

    Raises:
        ConfigError: nothing was kept, this version does not read it, or a change is wrong.
    """
    kept = _decoded(redacted_json, origin)
    try:
        validated(kept, origin, {})
    except ConfigError as error:
        reason, thing = error.reason, error.thing
    else:
        return validated(with_changes(kept, changes), origin, changes)
    raise ConfigError(thing, f"{reason}, in this version", BY_FILE)


def _decoded(redacted_json: str, origin: str) -> dict[str, Any]:
    try:
        kept = json.loads(redacted_json)
    except ValueError:
        kept = None
    if not isinstance(kept, dict) or not kept:
        raise ConfigError(origin, "the journal has kept no settings of it", BY_FILE)
    pruned: dict[str, Any] = _written(kept)
    chains = pruned.get("chains")
    for chain in chains.values() if isinstance(chains, dict) else ():
        for scheme in ("http", "ws"):
            urls = chain.get(scheme) if isinstance(chain, dict) else None
            if isinstance(urls, list):
                chain[scheme] = [f"{scheme}://node-{place}.invalid" for place, _ in enumerate(urls)]
    return pruned


def _written(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """Leave out what no file can say: ``null``, and lists of nothing."""
    if not isinstance(value, Mapping):
        return value
    return {key: _written(item) for key, item in value.items() if item is not None and item != []}


def _path(key: str) -> tuple[str, ...] | None:
    """Return the parts of a dotted key, ``None`` when it is none."""
    if "\n" in key or "=" in key:
        return None
    try:
        level: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return None
    path: list[str] = []
    while isinstance(level, dict):
        [(part, level)] = level.items()
        path.append(part)
    return tuple(path)


def _value(key: str, text: str) -> Any:  # noqa: ANN401 - TOML of any shape
    if _HEX.fullmatch(text):
        return text
    try:
        found = tomllib.loads(f"{_KEY} = {text}", parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        found = {}
    if found.keys() == {_KEY}:
        return found[_KEY]
    if _BARE.fullmatch(text):
        return text
    raise UsageError(f"{OPTION} {key}", "the value is not valid TOML", EXAMPLE)
