"""The configuration that a run would have had under other settings.

Only what the changes change is changed: a key that is left alone keeps the figure that the run was recorded with, also
where this version would derive another one from the same settings. The addresses behind the keystores are the
recorded ones, and so is whether transactions could be sent, unless the mode itself is asked for.
"""

from __future__ import annotations

from typing import Any

import msgspec

from keeper.app.runconfig import run_config
from keeper.core.errors import ConfigError
from keeper.core.facts import RunStarted, SettingsReloaded
from keeper.core.runconfig import RunConfig
from keeper.settings import Settings
from keeper.settings.changes import recorded_settings
from keeper.settings.loading import Named

_MODE = ("mode",)
_NAMES = ("name", "venue")
"""The fields by which the sections of a list are told apart."""


def changed_config(fact: RunStarted | SettingsReloaded, sequence: int, changes: Named) -> RunConfig:
    """Return the configuration of a run with some of its recorded settings changed.

    Args:
        fact: What tells the run's configuration.
        sequence: Its place in the journal, for messages.
        changes: As :func:`keeper.settings.changes.asked` reads them.

    Raises:
        ConfigError: the journal has kept no settings of the run, or a change is wrong.
    """
    origin, told = f"the settings recorded at sequence {sequence}", fact.settings_redacted_json
    before = recorded_settings(told, {}, origin)
    after = recorded_settings(told, changes, origin)
    live = after.mode == "live" if _MODE in changes else fact.config.live
    config: RunConfig = _grafted(
        fact.config,
        _derived(before, fact.config, live=fact.config.live),
        _derived(after, fact.config, live=live),
    )
    return config


def config_of(settings: Settings, fact: RunStarted | SettingsReloaded, *, mode_asked: bool) -> RunConfig:
    """Return the configuration of a run under a whole other file.

    Args:
        settings: The file's.
        fact: What tells the run's recorded configuration.
        mode_asked: The mode was asked for by itself, so that it alone says whether transactions may be sent.

    Raises:
        ConfigError: it names a signer whose address the journal does not know.
    """
    live = settings.mode == "live" and (mode_asked or fact.config.live)
    return _derived(settings, fact.config, live=live)


def _derived(settings: Settings, recorded: RunConfig, *, live: bool) -> RunConfig:
    addresses = {signer.name: signer.address for signer in recorded.signers}
    for name in settings.signers:
        if name not in addresses:
            known = ", ".join(addresses) or "none"
            raise ConfigError(
                f"signer {name}", "is not in this journal, so its address is not known", f"it has: {known}"
            )
    return run_config(settings, live=live, signers=addresses)


def _grafted(recorded: Any, before: Any, after: Any) -> Any:  # noqa: ANN401 - any part of a configuration
    """Return what is recorded, but where two derived parts differ the later one."""
    if before == after:
        return recorded
    if isinstance(recorded, msgspec.Struct) and type(recorded) is type(before) is type(after):
        parts = {
            field: _grafted(getattr(recorded, field), getattr(before, field), getattr(after, field))
            for field in recorded.__struct_fields__
        }
        return msgspec.structs.replace(recorded, **parts)
    if _names(recorded) == _names(before) == _names(after) is not None:
        return tuple(_grafted(*each) for each in zip(recorded, before, after, strict=True))
    return after


def _names(sections: object) -> tuple[str, ...] | None:
    """Return the names of a list of sections, ``None`` when it is none."""
    if not isinstance(sections, tuple):
        return None
    found = [str(getattr(each, name)) for each in sections for name in _NAMES if hasattr(each, name)]
    return tuple(found) if len(found) == len(sections) else None
