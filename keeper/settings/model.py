"""The sections of the configuration file, one class each, frozen.

Each key carries its description, unit and example beside its type, so that an error message and the table in
``config/README.md`` cannot drift from the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, PlainValidator, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from keeper.core.ids import Address, Hash32, to_hex
from keeper.core.protection import ProtectionAction
from keeper.core.units import UINT256_MAX
from keeper.settings import values
from keeper.settings.notify import NotifySettings
from keeper.settings.risk import RiskSettings
from keeper.settings.section import Count, Section
from keeper.settings.section import key as _key
from keeper.settings.values import Listen, NodeUrl

ENV_PREFIX = "KEEPER__"
JSON_INTEGER_END = 2**53

Ratio = Annotated[Decimal, PlainValidator(values.exact(18, above=1))]
AddressValue = Annotated[Address, PlainValidator(values.address)]
CountOrZero = Annotated[int, PlainValidator(values.whole(0))]
Name = Annotated[str, BeforeValidator(values.name)]
Usd = Annotated[Decimal, PlainValidator(values.exact(8))]
Span = Annotated[float, PlainValidator(values.seconds)]


class JournalSettings(Section):
    """Where everything is remembered."""

    url: Annotated[str, PlainValidator(values.journal_url)] = _key(
        "where the journal is kept", "URL", '"sqlite:///var/lib/keeper/journal.db"'
    )
    snapshot_every_records: Count = _key("how often the state is saved", "records", "20000", 20_000)


class HttpSettings(Section):
    """The HTTP server: the page, metrics, health, status."""

    listen: Annotated[Listen, PlainValidator(values.listen)] = _key(
        "where metrics and health are served", "host:port", '"127.0.0.1:9464"', Listen("127.0.0.1", 9464)
    )
    token: Annotated[SecretStr | None, PlainValidator(values.token)] = _key(
        "who has it may read from elsewhere and set the kill switch", "secret", "(from a file)", None
    )


class LogSettings(Section):
    """What is written to stderr."""

    format: Literal["auto", "json", "console"] = _key(
        'how log lines look ("auto": console on a terminal, else json)', "name", '"json"', "auto"
    )
    level: Literal["debug", "info", "warning", "error"] = _key(
        "the least level that is logged", "name", '"info"', "info"
    )


class ChainSettings(Section):
    """A chain and its nodes."""

    chain_id: Count = _key("what eth_chainId answers", "number", "31337")
    http: Annotated[tuple[NodeUrl, ...], PlainValidator(values.node_urls("http", "https", least=1))] = _key(
        "the nodes, first choice first", "list of URLs", '["http://127.0.0.1:8545"]'
    )
    ws: Annotated[tuple[NodeUrl, ...], PlainValidator(values.node_urls("ws", "wss"))] = _key(
        "where new heads are announced", "list of URLs", '["ws://127.0.0.1:8545"]', ()
    )
    finality: Annotated[Literal["tag"] | int, PlainValidator(values.finality)] = _key(
        'depth at which a block is final; "tag": the chain says', "blocks", '"tag"', "tag"
    )
    finality_depth_fallback: Count = _key(
        "the depth that counts while the nodes do not know the tag", "blocks", "64", 64
    )
    backup_scan: bool = _key("final blocks are read again from a second node", "true or false", "true", default=True)
    audit_every_blocks: CountOrZero = _key(
        "how often accounts are compared with the venue's own view", "blocks", "10", 10
    )
    wrapped_native: Annotated[Address | None, PlainValidator(values.address)] = _key(
        "the token whose venue price values gas", "address", '"0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"', None
    )
    poll_interval_seconds: Span = _key("how often a head is asked for without a websocket", "seconds", "2.0", 2.0)
    stale_after_seconds: Count = _key("no head for that long makes every account unknown", "seconds", "60", 60)
    request_timeout_seconds: Span = _key("how long one answer may take", "seconds", "10", 10.0)
    batch_size_max: Count = _key("requests in one batch", "requests", "100", 100)
    concurrency_max: Count = _key("requests in flight at one node", "requests", "16", 16)
    range_blocks_max: Count = _key("the widest range one getLogs asks for", "blocks", "2000", 2_000)
    response_bytes_max: Count = _key("a longer answer is refused", "bytes", "67_108_864", 67_108_864)
    response_logs_max: Count = _key("an answer with more logs is refused", "logs", "100_000", 100_000)
    hedge_seconds_min: Span = _key("a read is asked of a second node after this long or longer", "seconds", "0.1", 0.1)
    hedge_seconds_max: Span = _key("the same, at the latest", "seconds", "2", 2.0)
    hedge_percent_max: Annotated[int, PlainValidator(values.whole(0, 100))] = _key(
        "how many of 100 reads may be asked twice; 0 for none", "percent", "5", 5
    )
    quorum: Count = _key("nodes that must say alike what is decided on", "nodes", "2", 1)
    quarantine_seconds: Span = _key("how long a node that was caught lying is not asked", "seconds", "600", 600.0)
    head_lag_blocks_max: Count = _key("a node further behind the others is asked last", "blocks", "3", 3)


class SignerSettings(Section):
    """A key that may sign, and its bounds."""

    keystore: Annotated[Path, PlainValidator(values.path)] = _key(
        "the encrypted keystore, relative to the configuration file", "path", '"keys/main.json"'
    )
    password: Annotated[SecretStr | None, PlainValidator(values.secret)] = _key(
        "the keystore's password; better from KEEPER__SIGNERS__<NAME>__PASSWORD_FILE", "secret", "(from a file)", None
    )
    in_flight_max: Count = _key("transactions unmined at once", "transactions", "4", 4)
    bump_after_blocks: Count = _key("unmined for that long, the fee is raised", "blocks", "3", 3)
    valid_for_blocks: Count = _key("unmined for that long, the intent expires", "blocks", "20", 20)
    balance_wei_min: Annotated[int, PlainValidator(values.whole(0, UINT256_MAX))] = _key(
        "below this balance the signer admits nothing", "wei", "10_000_000_000_000_000", 10**16
    )


def _contract(description: str) -> Any:  # noqa: ANN401 - pydantic's own signature
    return _key(description, "address", '"0x82ac2ce43e33683c58be4cdc40975e73aa50f459"')


class ContractSettings(Section):
    """The contracts of an exchange of perpetuals: no event names them, `keeper doctor` compares them."""

    account_balance: AddressValue = _contract("the AccountBalance")
    exchange: AddressValue = _contract("the Exchange")
    vault: AddressValue = _contract("the Vault")
    config: AddressValue = _contract("the ClearingHouseConfig")
    collateral_manager: AddressValue = _contract("the CollateralManager")
    registry: AddressValue = _contract("the MarketRegistry")
    insurance_fund: AddressValue = _contract("the InsuranceFund")
    quote: AddressValue = _contract("the quote token")
    settlement: AddressValue = _contract("the settlement token")
    settlement_decimals: Annotated[int, PlainValidator(values.whole(0, 18))] = _key(
        "the settlement token's decimals", "digits", "6", 6
    )


class VenueSettings(Section):
    """A deployment of a protocol."""

    protocol: Literal["aave_v3", "morpho_blue", "perp_v2"] = _key("the protocol", "name", '"aave_v3"')
    chain: str = _key("the name of a [chains.NAME] section", "name", '"ethereum"')
    address: AddressValue = _key(
        "the root contract (Aave: PoolAddressesProvider; Morpho: the contract itself; Perp: ClearingHouse)",
        "address",
        '"0x2f39d218133afab8f2b819b1066c7e434ad94e9e"',
    )
    bootstrap: Literal["logs", "snapshot"] = _key(
        'how the past is learned ("snapshot": every account is read at one block)', "name", '"logs"', "logs"
    )
    from_block: CountOrZero = _key("the block the protocol was deployed in, or one before it", "block", "16291117", 0)
    prices: Literal["read", "events"] = _key(
        'how prices are learned ("read": the oracle is called at each block)', "name", '"read"', "read"
    )
    market: Annotated[Hash32 | None, PlainValidator(values.hash32)] = _key(
        "the id of an isolated market (Morpho)",
        "32 bytes",
        '"0xb323495f7e4148be5643a4ea4a8221eef163e4bccfdedc2a6f4696baacbc86cc"',
        None,
    )
    loan_usd: Annotated[Decimal | None, PlainValidator(values.exact(8, above=0))] = _key(
        "what one whole of an isolated market's loan token counts as", "USD", "1", None
    )
    pre_liquidation: Annotated[Address | None, PlainValidator(values.address)] = _key(
        "the contract that closes debts of an isolated market before they are unsafe (Morpho)",
        "address",
        '"0x1111111111111111111111111111111111111111"',
        None,
    )
    contracts: ContractSettings | None = Field(default=None, description="the contracts of an exchange (Perp)")
    risk: RiskSettings | None = Field(default=None, description="the second opinion; none without this section")


class ActingSettings(Section):
    """What every strategy is told: where it acts and who signs."""

    venues: Annotated[tuple[str, ...], PlainValidator(values.names)] = _key(
        "the venues it acts on", "list of names", '["aave"]'
    )
    signer: str | None = _key("the signer that pays and receives", "name", '"main"', None)
    signers: Annotated[tuple[str, ...], PlainValidator(values.names)] = _key(
        "the same, several: first choice first", "list of names", '["main", "second"]', ()
    )

    @property
    def all_signers(self) -> tuple[str, ...]:
        """Return who signs, first choice first."""
        return self.signers if self.signer is None else (self.signer,)


class SellingSettings(ActingSettings):
    """What every strategy of slices is told beside that: what selling costs."""

    slippage_bps: Annotated[dict[str, int], PlainValidator(values.slippages)] = _key(
        "what selling each seized token costs, by its address",
        "bps",
        "{ 0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2 = 20 }",
        {},
    )
    slippage_bps_default: Annotated[int, PlainValidator(values.whole(0, 10_000))] = _key(
        "the same for every other token", "bps", "50", 50
    )
    slippage_bps_per_million: Annotated[dict[str, int], PlainValidator(values.slippages)] = _key(
        "what each million USD sold at once adds to it, by the token's address",
        "bps",
        "{ 0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2 = 5 }",
        {},
    )


class PartialLiquidationSettings(SellingSettings):
    """Parameters of ``strategies/partial_liquidation.py``."""

    objective: Literal["target-health", "max-profit"] = _key(
        "what a slice is sized for", "name", '"target-health"', "target-health"
    )
    target_health: Ratio = _key("the health a slice restores", "ratio", "1.05", Decimal("1.05"))
    dust_usd: Usd = _key("a slice never leaves less debt than this", "USD", "50", Decimal(50))
    exit_slippage_bps: Annotated[int, PlainValidator(values.whole(0, 10_000))] = _key(
        "how far off the mark price a position is left at worst (Perp)", "bps", "200", 200
    )


class PreLiquidationSettings(SellingSettings):
    """Parameters of ``strategies/pre_liquidation.py``."""

    target_health: Ratio = _key("the health a slice restores, by the contract's line", "ratio", "1.02", Decimal("1.02"))
    headroom_bps: Annotated[int, PlainValidator(values.whole(0, 9_999))] = _key(
        "how much of what the close factor lets is left alone", "bps", "500", 500
    )


class SelfProtectSettings(ActingSettings):
    """Parameters of ``strategies/self_protect.py``."""

    accounts: Annotated[tuple[Address, ...], PlainValidator(values.addresses)] = _key(
        "the accounts that are protected; none: the signers' own",
        "list of addresses",
        '["0x1111111111111111111111111111111111111111"]',
        (),
    )
    floor_health: Ratio = _key("below this health something is done", "ratio", "1.15", Decimal("1.15"))
    target_health: Ratio = _key("the health that is then restored", "ratio", "1.3", Decimal("1.3"))
    actions: Annotated[tuple[ProtectionAction, ...], PlainValidator(values.chosen("repay", "top-up", "reduce"))] = _key(
        "what may be done, first choice first", "list of names", '["repay", "top-up"]', ("repay", "top-up")
    )


class DeltaHedgeSettings(ActingSettings):
    """Parameters of ``strategies/delta_hedge.py``."""

    hedge_venue: str = _key("the exchange where it would be hedged (Perp)", "name", '"perp"')
    exposures: Annotated[tuple[tuple[Address, Address], ...], PlainValidator(values.address_pairs)] = _key(
        "tokens, and the base token of the market that hedges each",
        "table of addresses",
        '{ 0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2 = "0x8c835dfaa34e2ae61775e80ee29e2c724c6ae2bb" }',
    )
    accounts: Annotated[tuple[Address, ...], PlainValidator(values.addresses)] = _key(
        "whose positions count beside the wallet; none: the signer's own",
        "list of addresses",
        '["0x1111111111111111111111111111111111111111"]',
        (),
    )
    band_usd: Usd = _key("a net delta up to this is left alone", "USD", "1_000", Decimal(1_000))
    slippage_bps: Annotated[int, PlainValidator(values.whole(0, 10_000))] = _key(
        "how far off the mark price a hedge may trade", "bps", "50", 50
    )


class StrategySettings(Section):
    """The strategies that run; none means that the keeper only watches."""

    partial_liquidation: PartialLiquidationSettings | None = Field(default=None, description="liquidate in slices")
    pre_liquidation: PreLiquidationSettings | None = Field(default=None, description="close in slices before that")
    self_protect: SelfProtectSettings | None = Field(default=None, description="keep own accounts from the line")
    delta_hedge: DeltaHedgeSettings | None = Field(default=None, description="propose hedges of what is held")

    @property
    def chosen(self) -> dict[str, ActingSettings]:
        """Return the strategies that run, by name."""
        named: dict[str, ActingSettings | None] = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: strategy for name, strategy in named.items() if strategy is not None}


class LimitSettings(Section):
    """What the policy gate lets through."""

    profit_usd_min: Annotated[Decimal, PlainValidator(values.exact(8, signed=True))] = _key(
        "the least profit after gas; negative helps small accounts at a loss", "USD", "5", Decimal(0)
    )
    gas_price_gwei_max: Annotated[Decimal, PlainValidator(values.exact(9))] = _key(
        "the highest fee per gas", "gwei", "200", Decimal(200)
    )
    spend_usd_per_hour_max: Usd = _key(
        "repaid in any hour, all signers together", "USD", "1_000_000", Decimal(1_000_000)
    )
    spend_usd_per_intent_max: Usd = _key("repaid by one intent", "USD", "250_000", Decimal(250_000))
    attempts_per_account_max: Count = _key("failed intents before an account is left alone", "intents", "3", 3)
    head_age_seconds_max: Count = _key("on a head older than this nothing is decided or signed", "seconds", "30", 30)
    decision_ttl_blocks: CountOrZero = _key("unsigned for longer than that, a decision is dropped", "blocks", "2", 2)
    reverts_per_venue_max: Count = _key("reverts in a row that pause a venue", "transactions", "5", 5)
    breaker_window_blocks: Count = _key("within how many blocks they count", "blocks", "50", 50)
    breaker_pause_blocks: Count = _key("how long the venue then rests", "blocks", "50", 50)
    gas_native_per_hour_max: Annotated[Decimal, PlainValidator(values.exact(18, above=0))] = _key(
        "what each signer's gas of any hour may cost", "native coin", "0.5", Decimal(5)
    )
    kill_switch_file: Annotated[Path | None, PlainValidator(values.path)] = _key(
        "while this file exists nothing is sent", "path", '"/run/keeper/STOP"', None
    )


class SupervisionSettings(Section):
    """When a part of the process counts as hanging."""

    node_seconds_max: Span = _key("work that waits for a node gets nowhere for that long", "seconds", "120", 120.0)
    disk_seconds_max: Span = _key("work that waits for the disk gets nowhere for that long", "seconds", "20", 20.0)


class Settings(BaseSettings):
    """The whole configuration; made by :func:`keeper.settings.load_settings`."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
    )

    mode: Literal["dry-run", "live"] = _key(
        '"live" sends transactions, if --live is given too', "name", '"dry-run"', "dry-run"
    )
    journal: JournalSettings
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    chains: dict[Name, ChainSettings]
    signers: dict[Name, SignerSettings] = {}
    venues: dict[Name, VenueSettings]
    strategies: StrategySettings = StrategySettings()
    limits: LimitSettings = LimitSettings()
    supervision: SupervisionSettings = SupervisionSettings()
    notify: dict[Name, NotifySettings] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing by itself: the environment is an argument of ``load_settings``."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    def without_secrets(self) -> Settings:
        """Return the configuration without passwords, token and webhooks: once taken up nobody needs them here."""
        signers = {name: signer.model_copy(update={"password": None}) for name, signer in self.signers.items()}
        notify = {name: section.without_secrets() for name, section in self.notify.items()}
        http = self.http.model_copy(update={"token": None})
        return self.model_copy(update={"signers": signers, "http": http, "notify": notify})

    def redacted(self) -> dict[str, Any]:
        """Return the configuration as plain JSON values, without secrets and without what a URL may carry.

        Integers that a JSON reader may round (from 2**53 on) and decimals are strings.
        """
        plain: dict[str, Any] = _plain(self)
        return plain


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON of any shape
    match value:
        case BaseModel():
            return {key: _plain(item) for key, item in value if not isinstance(item, SecretStr)}
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case tuple():
            return [_plain(item) for item in value]
        case bytes():
            return to_hex(value)
    keeps = value is None or isinstance(value, str | float) or (isinstance(value, int) and value < JSON_INTEGER_END)
    return value if keeps else str(value)
