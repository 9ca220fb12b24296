"""What the operator set: read once, typed, frozen, and either right or one line that says what to change.

Sources, later ones win: the defaults, the TOML file, ``KEEPER__SECTION__KEY`` in the environment, and for secrets
the file named by ``KEEPER__..._FILE`` or a credential of the service manager. Every key with its unit, default and
reason: ``config/README.md``.
"""

from keeper.settings.credentials import Withheld, development_keys, forget_secrets, http_token, withheld
from keeper.settings.loading import load_settings
from keeper.settings.model import (
    ChainSettings,
    ContractSettings,
    DeltaHedgeSettings,
    HttpSettings,
    JournalSettings,
    LimitSettings,
    LogSettings,
    PartialLiquidationSettings,
    PreLiquidationSettings,
    SelfProtectSettings,
    Settings,
    SignerSettings,
    StrategySettings,
    SupervisionSettings,
    VenueSettings,
)
from keeper.settings.notify import NotifySettings
from keeper.settings.risk import RiskSettings
from keeper.settings.values import Listen, NodeUrl

__all__ = [
    "ChainSettings",
    "ContractSettings",
    "DeltaHedgeSettings",
    "HttpSettings",
    "JournalSettings",
    "LimitSettings",
    "Listen",
    "LogSettings",
    "NodeUrl",
    "NotifySettings",
    "PartialLiquidationSettings",
    "PreLiquidationSettings",
    "RiskSettings",
    "SelfProtectSettings",
    "Settings",
    "SignerSettings",
    "StrategySettings",
    "SupervisionSettings",
    "VenueSettings",
    "Withheld",
    "development_keys",
    "forget_secrets",
    "http_token",
    "load_settings",
    "withheld",
]
