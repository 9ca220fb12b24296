"""What the operator set: read once, typed, frozen, and either right or one line that says what to change.

Sources, later ones win: the defaults, the TOML file, ``KEEPER__SECTION__KEY`` in the environment, and for secrets
the file named by ``KEEPER__..._FILE`` or a credential of the service manager. Every key with its unit, default and
reason: ``config/README.md``.
"""

from keeper.settings.credentials import development_keys, forget_secrets
from keeper.settings.loading import load_settings
from keeper.settings.model import (
    ChainSettings,
    ContractSettings,
    HttpSettings,
    JournalSettings,
    LimitSettings,
    LogSettings,
    PartialLiquidationSettings,
    PreLiquidationSettings,
    Settings,
    SignerSettings,
    StrategySettings,
    SupervisionSettings,
    VenueSettings,
)
from keeper.settings.values import Listen, NodeUrl

__all__ = [
    "ChainSettings",
    "ContractSettings",
    "HttpSettings",
    "JournalSettings",
    "LimitSettings",
    "Listen",
    "LogSettings",
    "NodeUrl",
    "PartialLiquidationSettings",
    "PreLiquidationSettings",
    "Settings",
    "SignerSettings",
    "StrategySettings",
    "SupervisionSettings",
    "VenueSettings",
    "development_keys",
    "forget_secrets",
    "load_settings",
]
