"""The configuration is right, or one line says what to change; a secret shows nowhere."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import ConfigError
from keeper.settings import Listen, Settings, http_token, load_settings

TOKENS = ("0x" + "ab" * 20, "0x" + "cd" * 20)
MINIMAL = """
[journal]
url = "memory://"

[chains.local]
chain_id = 31337
http = ["http://127.0.0.1:8545"]

[signers.main]
keystore = "keys/main.json"

[venues.aave]
protocol = "aave_v3"
chain = "local"
address = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"

[strategies.partial_liquidation]
venues = ["aave"]
signer = "main"
"""
SECRET_MARK = "s3cr3t"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, so that messages name ``keeper.toml`` alone."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(toml: str = MINIMAL, **environ: str) -> Settings:
    """Load a file of this text, with ``KEEPER__`` variables."""
    Path("keeper.toml").write_text(toml, encoding="utf-8")
    return load_settings(Path("keeper.toml"), {f"KEEPER__{name}": value for name, value in environ.items()})


def refusal(toml: str = MINIMAL, **environ: str) -> str:
    """Return the message with which this configuration is refused."""
    with pytest.raises(ConfigError) as caught:
        load(toml, **environ)
    assert caught.value.__context__ is None
    assert caught.value.exit_code == 2
    return str(caught.value)


def with_line(line: str, section: str) -> str:
    """Return the minimal file with a line added to a section."""
    return (
        MINIMAL.replace(f"[{section}]", f"[{section}]\n{line}")
        if f"[{section}]" in MINIMAL
        else f"{MINIMAL}\n[{section}]\n{line}"
    )


def with_morpho(lines: str) -> str:
    """Return the minimal file with its venue a market of Morpho."""
    return MINIMAL.replace('protocol = "aave_v3"', lines.strip())


@pytest.mark.usefixtures("here")
class TestReading:
    """What a good file means."""

    def test_defaults(self) -> None:
        """What is left out takes the safe default."""
        settings = load()

        assert settings.mode == "dry-run"
        assert settings.http.listen == Listen("127.0.0.1", 9464)
        assert settings.limits.spend_usd_per_intent_max == Decimal(250_000)
        assert settings.chains["local"].finality == "tag"

    def test_decimal_is_exact(self) -> None:
        """A decimal is read as written, never through a binary float."""
        settings = load(with_line("target_health = 1.100000000000000001", "strategies.partial_liquidation"))

        strategy = settings.strategies.partial_liquidation
        assert strategy is not None
        assert strategy.target_health == Decimal("1.100000000000000001")

    def test_address_is_bytes(self) -> None:
        """An address of any letter case is twenty bytes inside."""
        assert load().venues["aave"].address == bytes.fromhex("2f39d218133afab8f2b819b1066c7e434ad94e9e")

    def test_finality_depth(self) -> None:
        """Finality may be a depth."""
        assert load(with_line("finality = 12", "chains.local")).chains["local"].finality == 12

    def test_relative_paths(self, here: Path) -> None:
        """Relative paths are taken from the file's folder."""
        (here / "deep").mkdir()
        (here / "deep" / "keeper.toml").write_text(with_line('kill_switch_file = "STOP"', "limits"), encoding="utf-8")

        settings = load_settings(Path("deep/keeper.toml"), {})

        assert settings.signers["main"].keystore == Path("deep/keys/main.json")
        assert settings.limits.kill_switch_file == Path("deep/STOP")

    def test_slippage_table(self) -> None:
        """Slippage is known by address in any letter case."""
        settings = load(with_line(f"slippage_bps = {{ 0x{'AB' * 20} = 20 }}", "strategies.partial_liquidation"))

        strategy = settings.strategies.partial_liquidation
        assert strategy is not None
        assert strategy.slippage_bps == {"0x" + "ab" * 20: 20}

    def test_slippage_by_symbol(self) -> None:
        """A symbol is refused: two tokens may share one."""
        assert "'weth' is not an address" in refusal(
            with_line("slippage_bps = { WETH = 20 }", "strategies.partial_liquidation")
        )

    def test_frozen(self) -> None:
        """Settings do not change after they were read."""
        with pytest.raises(ValueError, match="frozen"):
            load().limits.attempts_per_account_max = 99

    def test_ipv6_listen(self) -> None:
        """The IPv6 loopback address is written in brackets."""
        listen = load(with_line('listen = "[::1]:0"', "http")).http.listen

        assert (listen.host, listen.port, str(listen)) == ("::1", 0, "[::1]:0")


@pytest.mark.usefixtures("here")
class TestEnvironment:
    """What the environment may override."""

    def test_scalar(self) -> None:
        """A variable wins over the file."""
        assert load(CHAINS__LOCAL__CHAIN_ID="5").chains["local"].chain_id == 5

    def test_list(self) -> None:
        """A list is written as JSON."""
        settings = load(CHAINS__LOCAL__WS='["ws://a:1", "wss://b"]')

        assert [url.reveal() for url in settings.chains["local"].ws] == ["ws://a:1", "wss://b"]

    def test_section_of_the_default(self) -> None:
        """A variable reaches a section that the file leaves out."""
        assert load(LIMITS__GAS_PRICE_GWEI_MAX="0.5").limits.gas_price_gwei_max == Decimal("0.5")

    def test_table_entry(self) -> None:
        """A variable overrides one entry of a table."""
        settings = load(
            with_line(f"slippage_bps = {{ {TOKENS[0]} = 20, {TOKENS[1]} = 30 }}", "strategies.partial_liquidation"),
            **{f"STRATEGIES__PARTIAL_LIQUIDATION__SLIPPAGE_BPS__{TOKENS[0].upper()}": "7"},
        )

        strategy = settings.strategies.partial_liquidation
        assert strategy is not None
        assert strategy.slippage_bps == {TOKENS[0]: 7, TOKENS[1]: 30}

    def test_other_variables(self) -> None:
        """Variables of other programs are not looked at."""
        Path("keeper.toml").write_text(MINIMAL, encoding="utf-8")

        assert load_settings(Path("keeper.toml"), {"HTTP__LISTEN": "x", "KEEPER_MODE": "x"}).mode == "dry-run"

    def test_secret_from_file(self, here: Path) -> None:
        """A secret may come from a file, without its last newline."""
        (here / "password").write_text("two words\n\n", encoding="utf-8")
        (here / "password").chmod(0o600)

        password = load(SIGNERS__MAIN__PASSWORD_FILE="password").signers["main"].password

        assert password is not None
        assert password.get_secret_value() == "two words\n"

    def test_key_that_ends_in_file(self) -> None:
        """A key whose own name ends in ``_file`` is a key."""
        settings = load(LIMITS__KILL_SWITCH_FILE="/run/STOP")

        assert settings.limits.kill_switch_file == Path("/run/STOP")


HTTP_EXAMPLE = 'write for example http = ["http://127.0.0.1:8545"] (list of URLs: the nodes, first choice first)'
WS_EXAMPLE = 'write for example ws = ["ws://127.0.0.1:8545"] (list of URLs: where new heads are announced)'
LISTEN_EXAMPLE = 'write for example listen = "127.0.0.1:9464" (host:port: where metrics and health are served)'
ADDRESS_EXAMPLE = (
    'write for example address = "0x2f39d218133afab8f2b819b1066c7e434ad94e9e"'
    " (address: the root contract (Aave: PoolAddressesProvider; Morpho: the contract itself; Perp: ClearingHouse))"
)


@pytest.mark.usefixtures("here")
class TestRefusal:
    """Each wrong input, and the whole line the operator reads."""

    def test_no_file(self) -> None:
        """A file that is not there is named."""
        with pytest.raises(ConfigError) as caught:
            load_settings(Path("nowhere.toml"), {})

        assert str(caught.value) == (
            "nowhere.toml: No such file or directory; "
            "see config/keeper.toml for an example, config/README.md for every key"
        )

    def test_not_text(self) -> None:
        """A file that is not UTF-8 is named with the byte."""
        Path("keeper.toml").write_bytes(b'mode = "\xff"')

        with pytest.raises(ConfigError) as caught:
            load_settings(Path("keeper.toml"), {})

        assert str(caught.value) == (
            "keeper.toml: is not UTF-8 text (byte 8); "
            "see config/keeper.toml for an example, config/README.md for every key"
        )

    def test_malformed_toml(self) -> None:
        """Malformed TOML is named with line and column."""
        assert refusal('[journal]\nurl = "memory://') == (
            "keeper.toml: is not valid TOML: Unterminated string (at end of document); "
            "see config/keeper.toml for an example, config/README.md for every key"
        )

    def test_malformed_toml_place(self) -> None:
        """The place of the mistake is given."""
        assert refusal("[journal]\nurl memory") == (
            "keeper.toml: is not valid TOML: Expected '=' after a key in a key/value pair (at line 2, column 5); "
            "see config/keeper.toml for an example, config/README.md for every key"
        )

    @pytest.mark.parametrize("number", ["9" * 5000, "1e9999999999999999999"])
    def test_endless_number(self, number: str) -> None:
        """A number that Python does not read is not TOML."""
        assert refusal(f"a = {number}") == (
            "keeper.toml: is not valid TOML: a number has too many digits; "
            "see config/keeper.toml for an example, config/README.md for every key"
        )

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("attempts_per_account_max = 0x" + "f" * 9000, "a number of thousands of digits: must be 9223372036854775"),
            ("profit_usd_min = 1e-99999999", "1E-99999999: has more than 8 digits after the point; write for example"),
            ('kill_switch_file = "a\\u0000b"', r'"a\u0000b": must not have a NUL in it; write for example'),
        ],
    )
    def test_absurd_value(self, line: str, message: str) -> None:
        """A value that would take forever, cannot be printed or is no path is refused in one line."""
        assert refusal(with_line(line, "limits")).startswith(
            f"keeper.toml: limits.{line.partition(' ')[0]} = {message}"
        )

    def test_unknown_key(self) -> None:
        """An unknown key is refused with the name that was meant, and without its value."""
        assert refusal(with_line("gas_price_gwei = 80", "limits")) == (
            'keeper.toml: limits.gas_price_gwei: unknown key; did you mean "gas_price_gwei_max"?'
        )

    def test_unknown_key_without_a_neighbour(self) -> None:
        """An unknown key that resembles none is answered with what there is."""
        assert refusal(with_line("zzz = 1", "journal")) == (
            "keeper.toml: journal.zzz: unknown key; the keys here are: url, snapshot_every_records"
        )

    def test_unknown_section(self) -> None:
        """An unknown section is refused."""
        assert refusal(with_line("a = 1", "limit")) == 'keeper.toml: limit: unknown key; did you mean "limits"?'

    @pytest.mark.parametrize(
        ("right", "wrong", "told"),
        [
            ("chain_id", "chainid", 'chains.local.chainid: unknown key; did you mean "chain_id"?'),
            ("[journal]", "[jurnal]", 'jurnal: unknown key; did you mean "journal"?'),
        ],
    )
    def test_misspelt_required_key(self, right: str, wrong: str, told: str) -> None:
        """A required key that is misspelt is called misspelt before it is called missing."""
        assert refusal(MINIMAL.replace(right, wrong)) == f"keeper.toml: {told} (and 1 more)"

    def test_unknown_strategy(self) -> None:
        """A strategy that does not exist is refused."""
        assert refusal(with_line("a = 1", "strategies.martingale")) == (
            "keeper.toml: strategies.martingale: unknown key; the keys here are: partial_liquidation, pre_liquidation, "
            "self_protect, delta_hedge"
        )

    def test_unknown_variable(self) -> None:
        """A variable that no key has is refused by its own name."""
        assert refusal(LIMIT__PROFIT="1") == 'KEEPER__LIMIT__PROFIT: limit.profit: unknown key; did you mean "limits"?'

    def test_wrong_variable(self) -> None:
        """A wrong value from the environment names the variable, not the file."""
        assert refusal(LIMITS__ATTEMPTS_PER_ACCOUNT_MAX="many") == (
            'KEEPER__LIMITS__ATTEMPTS_PER_ACCOUNT_MAX: limits.attempts_per_account_max = "many": '
            "must be a whole number; "
            "write for example attempts_per_account_max = 3 (intents: failed intents before an account is left alone)"
        )

    def test_missing_key(self) -> None:
        """A missing key is named with an example."""
        assert refusal(MINIMAL.replace("chain_id = 31337", "")) == (
            "keeper.toml: chains.local.chain_id: is missing; "
            "write for example chain_id = 31337 (number: what eth_chainId answers)"
        )

    def test_missing_section(self) -> None:
        """A missing section is named."""
        assert refusal(MINIMAL.replace('[journal]\nurl = "memory://"', "")) == (
            "keeper.toml: journal: is missing; write [journal] and its keys, see config/README.md"
        )

    def test_not_a_section(self) -> None:
        """A value where a section belongs is refused, and not shown."""
        assert refusal(f'limits = "{SECRET_MARK}"\n{MINIMAL}') == (
            "keeper.toml: limits: must be a section; write [limits] and its keys, see config/README.md"
        )

    def test_no_chain(self) -> None:
        """A keeper without a chain has nothing to watch."""
        assert refusal('[journal]\nurl = "memory://"\n[chains]\n[venues]') == (
            "keeper.toml: chains: there is none; write [chains.NAME] and its keys, see config/README.md (and 1 more)"
        )

    def test_several_problems(self) -> None:
        """The first problem is told and the others are counted."""
        assert refusal(with_line("snapshot_every_records = 0\nx = 1", "journal"), MODE="off") == (
            "KEEPER__MODE: mode = \"off\": must be 'dry-run' or 'live'; "
            'write for example mode = "dry-run" (name: "live" sends transactions, if --live is given too) (and 2 more)'
        )

    def test_address(self) -> None:
        """An address has forty digits."""
        assert refusal(MINIMAL.replace("Ad94E9e", "Ad94E9")) == (
            'keeper.toml: venues.aave.address = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9": '
            f"is not an address: must be 0x and 40 hexadecimal digits; {ADDRESS_EXAMPLE}"
        )

    def test_protocol(self) -> None:
        """A protocol that is not built is refused."""
        assert refusal(MINIMAL.replace("aave_v3", "aave_v9")) == (
            "keeper.toml: venues.aave.protocol = \"aave_v9\": must be 'aave_v3', 'morpho_blue' or 'perp_v2'; "
            'write for example protocol = "aave_v3" (name: the protocol)'
        )

    def test_bootstrap(self) -> None:
        """There are two ways to learn the past."""
        assert refusal(with_line('bootstrap = "disk"', "venues.aave")) == (
            "keeper.toml: venues.aave.bootstrap = \"disk\": must be 'logs' or 'snapshot'; "
            'write for example bootstrap = "logs" '
            '(name: how the past is learned ("snapshot": every account is read at one block))'
        )

    def test_bootstraps_of_one_chain(self) -> None:
        """All venues of a chain begin in the same way."""
        address = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"
        other = (
            f'\n[venues.other]\nprotocol = "aave_v3"\nchain = "local"\naddress = "{address}"\nbootstrap = "snapshot"\n'
        )
        assert refusal(MINIMAL + other) == (
            'keeper.toml: venues.other.bootstrap = "snapshot": is "logs" at venues.aave of the same chain; '
            "give all venues of a chain the same"
        )

    def test_url_scheme(self) -> None:
        """A node URL of another scheme is refused without being shown."""
        assert refusal(MINIMAL.replace("http://127", "ftp://127")) == (
            f"keeper.toml: chains.local.http: must hold URLs that start with http:// or https://; {HTTP_EXAMPLE}"
        )

    def test_url_port(self) -> None:
        """A URL with an impossible port is refused."""
        assert refusal(MINIMAL.replace(":8545", ":85450")) == (
            f"keeper.toml: chains.local.http: must hold URLs that start with http:// or https://; {HTTP_EXAMPLE}"
        )

    def test_url_twice(self) -> None:
        """One node is not two."""
        assert refusal(with_line('ws = ["ws://a", "ws://a"]', "chains.local")) == (
            f"keeper.toml: chains.local.ws: names the same URL twice; {WS_EXAMPLE}"
        )

    def test_no_url(self) -> None:
        """A chain needs a node."""
        assert refusal(MINIMAL.replace('["http://127.0.0.1:8545"]', "[]")) == (
            f"keeper.toml: chains.local.http: must have 1 URL or more; {HTTP_EXAMPLE}"
        )

    def test_url_not_a_list(self) -> None:
        """One URL is written as a list of one."""
        assert refusal(CHAINS__LOCAL__HTTP="http://127.0.0.1") == (
            f"KEEPER__CHAINS__LOCAL__HTTP: chains.local.http: must be a list of URLs; {HTTP_EXAMPLE}"
        )

    def test_journal_url(self) -> None:
        """A journal of another kind is refused, and its URL not shown."""
        assert refusal(MINIMAL.replace("memory://", f"postgres://u:{SECRET_MARK}@h/db")) == (
            "keeper.toml: journal.url: must be sqlite:// and an absolute path, or memory://; "
            'write for example url = "sqlite:///var/lib/keeper/journal.db" (URL: where the journal is kept)'
        )

    def test_listen_shape(self) -> None:
        """A listening address has a port."""
        assert refusal(with_line('listen = "localhost"', "http")) == (
            'keeper.toml: http.listen = "localhost": must be host:port with a port from 0 to 65535; ' + LISTEN_EXAMPLE
        )

    def test_listen_port(self) -> None:
        """A port has sixteen bits."""
        assert refusal(with_line('listen = "localhost:65536"', "http")) == (
            'keeper.toml: http.listen = "localhost:65536": must be host:port with a port from 0 to 65535; '
            + LISTEN_EXAMPLE
        )

    def test_listen_beyond_loopback(self) -> None:
        """Serving other hosts needs a token, and the token is never shown."""
        open_to_all = with_line('listen = "0.0.0.0:9464"', "http")
        Path("keeper.toml").write_text(open_to_all, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            http_token(load_settings(Path("keeper.toml"), {}))
        assert str(caught.value) == (
            "http.listen 0.0.0.0:9464: others can reach it, and there is no http.token; "
            "set KEEPER__HTTP__TOKEN_FILE to a file that holds one, or listen on 127.0.0.1"
        )
        token = http_token(load_settings(Path("keeper.toml"), {"KEEPER__HTTP__TOKEN": SECRET_MARK * 4}))
        assert token is not None
        assert token.get_secret_value() == SECRET_MARK * 4

    def test_listen_name(self) -> None:
        """A listening address is an address, not a name that may come to mean another."""
        assert refusal(with_line('listen = "keeper.example:9464"', "http")) == (
            'keeper.toml: http.listen = "keeper.example:9464": must be an IP address or localhost, and a port; '
            + LISTEN_EXAMPLE
        )

    def test_short_token(self) -> None:
        """A token that can be guessed is refused, and not shown."""
        assert refusal(HTTP__TOKEN=SECRET_MARK) == (
            "KEEPER__HTTP__TOKEN: http.token: must be 16 or more visible ASCII characters; write for example "
            "token = (from a file) (secret: who has it may read from elsewhere and set the kill switch)"
        )

    def test_target_health(self) -> None:
        """A target at or below one would leave the account liquidatable."""
        assert refusal(with_line("target_health = 1.0", "strategies.partial_liquidation")) == (
            "keeper.toml: strategies.partial_liquidation.target_health = 1.0: must be greater than 1; "
            "write for example target_health = 1.05 (ratio: the health a slice restores)"
        )

    def test_negative_money(self) -> None:
        """A spend limit is never negative; the least profit may be."""
        assert refusal(with_line("spend_usd_per_hour_max = -5", "limits")) == (
            "keeper.toml: limits.spend_usd_per_hour_max = -5: must not be negative; "
            "write for example spend_usd_per_hour_max = 1_000_000 (USD: repaid in any hour, all signers together)"
        )
        assert load(with_line("profit_usd_min = -5", "limits")).limits.profit_usd_min == Decimal(-5)

    def test_wrong_unit(self) -> None:
        """A gas price below one wei is a wrong unit."""
        assert refusal(with_line("gas_price_gwei_max = 0.00000000005", "limits")) == (
            "keeper.toml: limits.gas_price_gwei_max = 5E-11: has more than 9 digits after the point; "
            "write for example gas_price_gwei_max = 200 (gwei: the highest fee per gas)"
        )

    def test_finest_gas_price(self) -> None:
        """A gas price is a whole number of wei: one is accepted, a tenth is not."""
        assert load(LIMITS__GAS_PRICE_GWEI_MAX="0.000000001").limits.gas_price_gwei_max == Decimal("1e-9")
        assert "has more than 9 digits after the point" in refusal(LIMITS__GAS_PRICE_GWEI_MAX="0.0000000001")

    def test_too_large(self) -> None:
        """A limit that large is a typing error."""
        assert refusal(LIMITS__SPEND_USD_PER_HOUR_MAX="1e19") == (
            'KEEPER__LIMITS__SPEND_USD_PER_HOUR_MAX: limits.spend_usd_per_hour_max = "1e19": '
            "must be a finite number below 1e19; "
            "write for example spend_usd_per_hour_max = 1_000_000 (USD: repaid in any hour, all signers together)"
        )

    def test_not_a_number(self) -> None:
        """Infinity is no limit."""
        assert refusal(with_line("spend_usd_per_hour_max = inf", "limits")) == (
            "keeper.toml: limits.spend_usd_per_hour_max = Infinity: must be a finite number below 1e19; "
            "write for example spend_usd_per_hour_max = 1_000_000 (USD: repaid in any hour, all signers together)"
        )

    def test_truth_is_not_a_number(self) -> None:
        """``true`` is not one."""
        assert refusal(with_line("from_block = true", "venues.aave")) == (
            "keeper.toml: venues.aave.from_block = true: must be a whole number; "
            "write for example from_block = 16291117 (block: the block the protocol was deployed in, or one before it)"
        )

    def test_zero_count(self) -> None:
        """A bound of zero would stop everything silently."""
        assert refusal(with_line("concurrency_max = 0", "chains.local")) == (
            "keeper.toml: chains.local.concurrency_max = 0: must be 1 or more; "
            "write for example concurrency_max = 16 (requests: requests in flight at one node)"
        )

    def test_slippage_above_all(self) -> None:
        """Slippage is at most everything."""
        assert refusal(with_line("slippage_bps_default = 10001", "strategies.partial_liquidation")) == (
            "keeper.toml: strategies.partial_liquidation.slippage_bps_default = 10001: must be 10000 or less; "
            "write for example slippage_bps_default = 50 (bps: the same for every other token)"
        )

    def test_slippage_not_a_table(self) -> None:
        """Slippage per token is a table."""
        assert refusal(with_line("slippage_bps = 50", "strategies.partial_liquidation")) == (
            "keeper.toml: strategies.partial_liquidation.slippage_bps = 50: "
            "must be a table of token address to basis points; "
            "write for example slippage_bps = { 0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2 = 20 } "
            "(bps: what selling each seized token costs, by its address)"
        )

    def test_no_time(self) -> None:
        """A time span is greater than zero."""
        assert refusal(with_line("poll_interval_seconds = 0", "chains.local")) == (
            "keeper.toml: chains.local.poll_interval_seconds = 0: must be greater than 0; "
            "write for example poll_interval_seconds = 2.0 (seconds: how often a head is asked for without a websocket)"
        )

    def test_finality_zero(self) -> None:
        """Finality at the head is no finality."""
        assert refusal(with_line("finality = 0", "chains.local")) == (
            'keeper.toml: chains.local.finality = 0: must be "tag" or a depth of 1 block or more; '
            """write for example finality = "tag" (blocks: depth at which a block is final; "tag": the chain says)"""
        )

    def test_name_that_the_environment_cannot_spell(self) -> None:
        """A name must be addressable by a variable."""
        assert refusal(MINIMAL.replace("[signers.main]", "[signers.Main]")) == (
            "keeper.toml: signers.Main: a name has lower-case letters, digits and single '_' or '-' between them; "
            "write [signers.Main] and its keys, see config/README.md"
        )

    def test_chain_of_venue(self) -> None:
        """A venue on a chain that is not configured is refused."""
        assert refusal(MINIMAL.replace('chain = "local"', 'chain = "locale"')) == (
            'keeper.toml: venues.aave.chain = "locale": there is no section [chains.locale]; did you mean "local"?'
        )

    def test_venue_of_strategy(self) -> None:
        """A strategy on a venue that is not configured is refused."""
        assert refusal(MINIMAL.replace('["aave"]', '["morpho"]')) == (
            'keeper.toml: strategies.partial_liquidation.venues = "morpho": there is no section [venues.morpho]; '
            "the venues are: aave"
        )

    def test_venue_twice(self) -> None:
        """A strategy acts on a venue once."""
        assert refusal(MINIMAL.replace('["aave"]', '["aave", "aave"]')) == (
            'keeper.toml: strategies.partial_liquidation.venues = ["aave", "aave"]: names the same thing twice; '
            'write for example venues = ["aave"] (list of names: the venues it acts on)'
        )

    def test_signer_of_strategy(self) -> None:
        """A strategy with a signer that is not configured is refused."""
        assert refusal(MINIMAL.replace("[signers.main]", "[signers.spare]")) == (
            'keeper.toml: strategies.partial_liquidation.signer = "main": there is no section [signers.main]; '
            "the signers are: spare"
        )

    def test_two_names_for_a_chain(self) -> None:
        """A chain has one section."""
        toml = MINIMAL + '[chains.other]\nchain_id = 31337\nhttp = ["http://other"]\n'

        assert refusal(toml) == (
            "keeper.toml: chains.other.chain_id = 31337: is chains.local already; give each chain one section"
        )

    def test_quorum_of_more_nodes_than_there_are(self) -> None:
        """A quorum that could never be had is refused."""
        assert refusal(with_line("quorum = 2", "chains.local")) == (
            "keeper.toml: chains.local.quorum = 2: is more than the 1 URLs in http; add nodes, or lower it"
        )

    def test_secret_file_missing(self) -> None:
        """A secret's file that is not there is named."""
        assert refusal(SIGNERS__MAIN__PASSWORD_FILE="nowhere") == (
            'KEEPER__SIGNERS__MAIN__PASSWORD_FILE = "nowhere": the file cannot be read (No such file or directory); '
            "name a file that holds the secret alone"
        )

    def test_secret_file_binary(self, here: Path) -> None:
        """A secret's file that is not text is refused without its content."""
        (here / "password").write_bytes(b"\xff")

        assert refusal(SIGNERS__MAIN__PASSWORD_FILE="password") == (
            'KEEPER__SIGNERS__MAIN__PASSWORD_FILE = "password": the file is not UTF-8 text; '
            "name a file that holds the secret alone"
        )

    def test_secret_twice(self, here: Path) -> None:
        """A secret comes from one place."""
        (here / "password").write_text(SECRET_MARK, encoding="utf-8")

        assert refusal(SIGNERS__MAIN__PASSWORD=SECRET_MARK, SIGNERS__MAIN__PASSWORD_FILE="password") == (
            "KEEPER__SIGNERS__MAIN__PASSWORD_FILE: is set beside KEEPER__SIGNERS__MAIN__PASSWORD; set one of the two"
        )

    def test_empty_secret(self) -> None:
        """An empty password is a mistake."""
        assert refusal(SIGNERS__MAIN__PASSWORD="") == (
            "KEEPER__SIGNERS__MAIN__PASSWORD: signers.main.password: must be a text that is not empty; "
            "write for example password = (from a file) "
            "(secret: the keystore's password; better from KEEPER__SIGNERS__<NAME>__PASSWORD_FILE)"
        )


MORPHO = f"""
protocol = "morpho_blue"
market = "0x{"5c" * 32}"
loan_usd = 1.5
"""


@pytest.mark.usefixtures("here")
class TestIsolatedMarkets:
    """Keys that one protocol needs and the others do not have."""

    def test_a_market_is_read(self) -> None:
        """The id is bytes and the value exact."""
        venue = load(with_morpho(MORPHO)).venues["aave"]
        assert (venue.market, venue.loan_usd) == (b"\x5c" * 32, Decimal("1.5"))

    @pytest.mark.parametrize("line", MORPHO.split("\n")[2:4])
    def test_both_are_needed(self, line: str) -> None:
        """The contract alone is many markets, and none says what its loan token is worth."""
        key = line.split(" = ", maxsplit=1)[0]
        assert refusal(with_morpho(MORPHO.replace(line, ""))).startswith(
            f"keeper.toml: venues.aave.{key}: is missing; morpho_blue needs it; write for example {key} = "
        )

    def test_an_id_is_32_bytes(self) -> None:
        """An address is no id."""
        assert "is not 32 bytes: must be 0x and 64 hexadecimal digits" in refusal(
            with_morpho(MORPHO.replace("5c" * 32, "5c" * 20))
        )

    def test_other_protocols_have_none(self) -> None:
        """A market of Aave is all of it."""
        assert refusal(with_line("loan_usd = 1", "venues.aave")) == (
            "keeper.toml: venues.aave.loan_usd: is nothing that aave_v3 has; leave it out"
        )

    @pytest.mark.parametrize(
        ("key", "wrong", "only"), [("prices", "events", "read"), ("bootstrap", "snapshot", "logs")]
    )
    def test_there_is_one_way(self, key: str, wrong: str, only: str) -> None:
        """Its oracle tells nothing by events, and its accounts are found by folding only."""
        assert refusal(with_morpho(f'{MORPHO}{key} = "{wrong}"')) == (
            f'keeper.toml: venues.aave.{key} = "{wrong}": morpho_blue has no other way than "{only}"; '
            f'write {key} = "{only}", or leave it out'
        )


EARLY = f'{MORPHO}pre_liquidation = "0x{"7e" * 20}"'
"""A market's pre-liquidation contract."""


@pytest.mark.usefixtures("here")
class TestPreLiquidation:
    """A contract that closes debts early is a venue, and has a strategy of its own."""

    def test_a_contract_is_read(self) -> None:
        """It is an address; the strategy for it needs nothing but a venue and a signer."""
        text = with_morpho(EARLY).replace("partial_liquidation]", "pre_liquidation]")
        settings = load(text)
        assert settings.venues["aave"].pre_liquidation == b"\x7e" * 20
        assert list(settings.strategies.chosen) == ["pre_liquidation"]

    def test_other_protocols_have_none(self) -> None:
        """Aave has no such contract."""
        assert refusal(with_line(EARLY.splitlines()[-1], "venues.aave")) == (
            "keeper.toml: venues.aave.pre_liquidation: is nothing that aave_v3 has; leave it out (and 1 more)"
        )

    def test_each_strategy_has_its_own_venues(self) -> None:
        """The call of a contract is not that of its market."""
        assert refusal(with_morpho(EARLY)) == (
            'keeper.toml: strategies.partial_liquidation.venues = "aave": '
            "venues.aave names a pre_liquidation contract; put it into strategies.pre_liquidation.venues"
        )
        assert refusal(with_morpho(MORPHO).replace("partial_liquidation]", "pre_liquidation]")) == (
            'keeper.toml: strategies.pre_liquidation.venues = "aave": venues.aave names no pre_liquidation contract; '
            "name it in venues.aave"
        )


SECRETS = st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=30).map(lambda tail: SECRET_MARK + tail)
PLACES = st.sampled_from(
    [
        "SIGNERS__MAIN__PASSWORD",
        "SIGNERS__MAIN__PASSWRD",
        "SIGNERS__MAIN",
        "SIGNERS",
        "PASSWORD",
        "CHAINS__LOCAL__HTTP",
        "CHAINS__LOCAL__WS",
        "CHAINS__LOCAL",
        "JOURNAL__URL",
        "VENUES",
    ]
)
SHAPES = st.sampled_from(
    [
        "{}",
        "https://user:{}@host/path",
        '["https://user:{}@host"]',
        '["wss://host:1/v3/{}"]',
        '["wss://host:x/v3/{}"]',
        '["https://host/v3?key={}", "https://host/v3?key={}"]',
        '["https://[host/{}"]',
        '["{}"]',
        '{{"main": {{"keystore": "k", "password": "{}"}}}}',
        '{{"main": {{"keystore": "k", "password": ["{}"]}}}}',
        '{{"password": "{}", "keystore": 7}}',
        "[{}",
    ]
)
MORE_TROUBLE = st.sampled_from([{}, {"MODE": "wrong"}, {"LIMITS__NOPE": "1"}, {"VENUES__AAVE__CHAIN": "gone"}])


@given(secret=SECRETS, place=PLACES, shape=SHAPES, trouble=MORE_TROUBLE)
def test_no_secret_is_shown(
    tmp_path_factory: pytest.TempPathFactory, secret: str, place: str, shape: str, trouble: dict[str, str]
) -> None:
    """Wherever a secret was put, rightly or wrongly, no text made of the settings or of the error has it."""
    file = tmp_path_factory.getbasetemp() / "keeper.toml"
    file.write_text(MINIMAL, encoding="utf-8")
    environ = {f"KEEPER__{name}": value for name, value in {**trouble, place: shape.format(secret, secret)}.items()}
    try:
        settings = load_settings(file, environ)
    except ConfigError as error:
        shown = f"{error} {error!r} {error.args} {error.__context__!r} {error.__cause__!r}"
    else:
        shown = f"{settings} {settings!r} {json.dumps(settings.redacted())}"

    assert SECRET_MARK not in shown


TOML_LEAVES = st.one_of(st.booleans(), st.integers(), st.decimals(), st.text(max_size=5), st.just([]), st.just({}))


@pytest.mark.slow
@given(
    path=st.lists(
        st.sampled_from(
            ["chains", "local", "http", "signers", "main", "password", "limits", "mode", "venues", "x", ""]
        ),
        min_size=1,
        max_size=4,
    ),
    value=TOML_LEAVES,
)
def test_any_variable(tmp_path_factory: pytest.TempPathFactory, path: list[str], value: object) -> None:
    """Whatever a variable is called and holds, the answer is settings or one line."""
    file = tmp_path_factory.getbasetemp() / "keeper.toml"
    file.write_text(MINIMAL, encoding="utf-8")
    try:
        load_settings(file, {"KEEPER__" + "__".join(path).upper(): str(value), "KEEPER__LIMITS__PROFIT_USD_MIN": "1"})
    except ConfigError as error:
        shown = str(error)
    else:
        shown = "fine"

    assert "\n" not in shown


@pytest.mark.usefixtures("here")
def test_redacted() -> None:
    """The redacted form is plain JSON that keeps every figure and loses what a URL may carry."""
    redacted = load(
        CHAINS__LOCAL__HTTP='["https://user:pw@node.example:444/v3/key?x=1"]', SIGNERS__MAIN__PASSWORD=SECRET_MARK
    ).redacted()

    assert json.loads(json.dumps(redacted)) == redacted
    assert redacted["chains"]["local"]["http"] == ["https://node.example:444/…"]
    assert redacted["signers"]["main"]["balance_wei_min"] == "10000000000000000"
    assert "password" not in redacted["signers"]["main"]
    assert redacted["strategies"]["partial_liquidation"]["target_health"] == "1.05"
    assert redacted["venues"]["aave"]["address"] == "0x2f39d218133afab8f2b819b1066c7e434ad94e9e"


PERP_KEYS = (
    *("account_balance", "exchange", "vault", "config", "collateral_manager", "registry", "insurance_fund", "quote"),
    "settlement",
)
CONTRACTS = "\n".join(f'{key} = "0x{place:02x}{"07" * 19}"' for place, key in enumerate(PERP_KEYS))


def with_perp(contracts: str) -> str:
    """Return a configuration whose venue is an exchange of perpetuals."""
    text = MINIMAL.replace('protocol = "aave_v3"', 'protocol = "perp_v2"')
    return f"{text}\n[venues.aave.contracts]\n{contracts}\n"


@pytest.mark.usefixtures("here")
class TestExchange:
    """A venue of Perpetual Protocol needs its contracts, and nobody else has any."""

    def test_contracts(self) -> None:
        """Each is an address; the settlement token has six decimals unless told otherwise."""
        contracts = load(with_perp(CONTRACTS)).venues["aave"].contracts
        assert contracts is not None
        assert (contracts.vault.hex(), contracts.settlement_decimals) == ("02" + "07" * 19, 6)

    @pytest.mark.parametrize("key", PERP_KEYS)
    def test_missing(self, key: str) -> None:
        """One that is left out is named, with an example."""
        line = next(line for line in CONTRACTS.splitlines() if line.startswith(f"{key} ="))
        assert refusal(with_perp(CONTRACTS.replace(line, ""))).startswith(
            f"keeper.toml: venues.aave.contracts.{key}: is missing; write for example {key} = "
        )

    def test_all_missing(self) -> None:
        """Without the section it is the section that is missing."""
        text = MINIMAL.replace('protocol = "aave_v3"', 'protocol = "perp_v2"')
        assert refusal(text) == (
            "keeper.toml: venues.aave.contracts: is missing; perp_v2 needs it; "
            "write [venues.aave.contracts] and its keys, see config/README.md"
        )

    def test_not_of_others(self) -> None:
        """Another protocol's venue has none, and this one is no isolated market."""
        text = with_perp(CONTRACTS).replace("perp_v2", "aave_v3")
        assert refusal(text) == "keeper.toml: venues.aave.contracts: is nothing that aave_v3 has; leave it out"
        text = with_perp(CONTRACTS).replace('"perp_v2"', '"perp_v2"\nloan_usd = 1')
        assert refusal(text) == "keeper.toml: venues.aave.loan_usd: is nothing that perp_v2 has; leave it out"
