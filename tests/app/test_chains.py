"""Which signers act on which chain, and first contact with its nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from keeper.app.chains import Following, check_code, following, lanes, provider_pool, signers_of
from keeper.chain.pool import ProviderPool
from keeper.chain.rpc import Provider
from keeper.core.errors import ConfigError, NodeUnreachable
from keeper.core.facts import RunStarted
from keeper.core.ids import Address, content_id
from keeper.core.ports import UNWATCHED, Pulse, Pulses, unwatched
from keeper.core.runconfig import RunConfig
from keeper.engine.step import Engine
from keeper.execution.keys import import_keystore, unlock_keystore
from keeper.execution.lane import Lane
from keeper.execution.signer import LocalSigner
from keeper.observe.metrics import Metrics
from keeper.settings import ChainSettings
from strategies import STRATEGIES
from tests.chain_ingestion.fakes import Journal, JumpClock
from tests.chain_ingestion.scripted import CHAIN_ID, ScriptedChain, ScriptedServer, serving
from tests.engine.history import CHAIN_SPEC, CONFIG, SIGNER_SPEC, STRATEGY_SPEC, VENUE_SPEC, opened_ledger

SECOND_CHAIN = 7
NOWHERE = "http://127.0.0.1:9"


def config_of(*used: tuple[str, int]) -> RunConfig:
    """Return a configuration of two chains, with a strategy for each pair of a signer and a chain."""
    second = msgspec.structs.replace(CHAIN_SPEC, name="second", chain_id=SECOND_CHAIN)
    venues = (VENUE_SPEC, msgspec.structs.replace(VENUE_SPEC, name="toy2", chain_id=SECOND_CHAIN))
    at = {venue.chain_id: venue.name for venue in venues}
    strategies = tuple(
        msgspec.structs.replace(STRATEGY_SPEC, name=f"strategy {place}", signer=signer, venues=(at[chain_id],))
        for place, (signer, chain_id) in enumerate(used)
    )
    signers = (SIGNER_SPEC, msgspec.structs.replace(SIGNER_SPEC, name="other", address=Address(b"\xbb" * 20)))
    return msgspec.structs.replace(
        CONFIG, chains=(CHAIN_SPEC, second), venues=venues, signers=signers, strategies=strategies
    )


@pytest.mark.parametrize(
    ("used", "first", "second"),
    [
        ((), (), ()),
        ((("main", CHAIN_ID),), ("main",), ()),
        ((("main", CHAIN_ID), ("main", SECOND_CHAIN)), ("main",), ("main",)),
        ((("other", CHAIN_ID), ("main", CHAIN_ID), ("other", CHAIN_ID)), ("other", "main"), ()),
    ],
)
def test_a_signer_is_a_chains_where_a_strategy_uses_it(
    used: Sequence[tuple[str, int]], first: Sequence[str], second: Sequence[str]
) -> None:
    """A signer belongs to the chains of the venues that its strategies act on, each once, in their order."""
    config = config_of(*used)

    assert (signers_of(config, CHAIN_ID), signers_of(config, SECOND_CHAIN)) == (first, second)


@pytest.fixture
def signer(tmp_path: Path) -> LocalSigner:
    """A signer with a key of its own."""
    import_keystore(tmp_path / "key.json", "11" * 32, "pass", work_factor=2**4)
    return unlock_keystore(tmp_path / "key.json", "pass")


EVERYTHING = {
    "chain_id": CHAIN_ID,
    "http": [NOWHERE, f"{NOWHERE}/other"],
    "ws": ["ws://127.0.0.1:9", "ws://127.0.0.1:9/other"],
    "audit_every_blocks": 1,
}
NODE_SECONDS, OWN_SECONDS = 120.0, 37.0


async def test_every_loop_of_a_chain_is_watched(signer: LocalSigner) -> None:
    """Each task that follows a chain, and each loop in it, has a pulse; a silent websocket ends by itself before it."""
    spec = msgspec.structs.replace(CHAIN_SPEC, scanned=True)
    main = msgspec.structs.replace(SIGNER_SPEC, address=signer.address)
    config = msgspec.structs.replace(CONFIG, chains=(spec,), signers=(main,))
    bounds: dict[str, float] = {}

    def watched(part: str, own_seconds: float = 0.0) -> Pulse:
        bounds[part] = NODE_SECONDS + own_seconds
        return UNWATCHED

    each = followings_of(config, EVERYTHING, watched)[0]
    lanes(config, engine=each.engine, recorder=Journal(), signers={"main": signer}, followings=[each], watched=watched)

    near = dict.fromkeys(
        (
            "heads local poll",
            "heads local compared",
            "follower local",
            "bootstrap local",
            "finality local",
            "scan local",
            "audit local",
            "providers local",
            "lane main on local",
        ),
        NODE_SECONDS,
    )
    assert bounds == near | dict.fromkeys(
        ("heads local websocket 0", "heads local websocket 1"), NODE_SECONDS + OWN_SECONDS
    )
    assert {f"{name} local" for name in each.checks} <= near.keys()


def lanes_of(config: RunConfig, signers: dict[str, LocalSigner]) -> dict[tuple[int, str], Lane]:
    """Return the lanes of a run on two chains."""
    followings = followings_of(config, {"chain_id": CHAIN_ID, "http": [NOWHERE]}, unwatched)
    return lanes(
        config,
        engine=followings[0].engine,
        recorder=Journal(),
        signers=signers,
        followings=followings,
        watched=unwatched,
    )


def followings_of(config: RunConfig, chain: Mapping[str, object], watched: Pulses) -> list[Following]:
    """Return the followers of a run whose chains are all configured alike."""
    engine = Engine(opened_ledger, STRATEGIES)
    engine.step(RunStarted(content_id("run"), "1", config, "{}", 1), 1)
    clock, metrics = JumpClock(), Metrics(CollectorRegistry())
    settings = ChainSettings.model_validate(chain)
    return [
        following(
            spec,
            settings,
            pool=ProviderPool([_provider(settings, clock, metrics)], clock),
            config=config,
            engine=engine,
            recorder=Journal(),
            clock=clock,
            watched=watched,
        )
        for spec in config.chains
    ]


def _provider(settings: ChainSettings, clock: JumpClock, metrics: Metrics) -> Provider:
    return Provider(settings.http[0].reveal(), settings.chain_id, clock, on_request=metrics.on_request("local"))


async def test_a_live_signer_has_a_lane_on_each_of_its_chains(signer: LocalSigner) -> None:
    """There is one lane for each chain and signer that a strategy brings together, and none besides."""
    config = config_of(("main", CHAIN_ID), ("main", SECOND_CHAIN))
    spec = msgspec.structs.replace(SIGNER_SPEC, address=signer.address)
    config = msgspec.structs.replace(config, signers=(spec, config.signers[1]))

    assert list(lanes_of(config, {"main": signer})) == [(CHAIN_ID, "main"), (SECOND_CHAIN, "main")]


async def test_a_dry_run_has_no_lane() -> None:
    """Without keys there is nobody who could send."""
    assert lanes_of(config_of(("main", CHAIN_ID)), {}) == {}


@pytest_asyncio.fixture
async def node() -> AsyncIterator[ScriptedServer]:
    """A scripted node."""
    async with serving(ScriptedChain()) as running:
        yield running


async def contact(*urls: str, chain_id: int = CHAIN_ID) -> None:
    """Make first contact with the nodes at these URLs."""
    settings = ChainSettings.model_validate({"chain_id": chain_id, "http": list(urls)})
    spec = msgspec.structs.replace(CHAIN_SPEC, chain_id=chain_id)
    async with provider_pool(spec, settings, JumpClock(), Metrics(CollectorRegistry())):
        pass


async def test_one_node_that_answers_is_enough(node: ScriptedServer) -> None:
    """A node that is down does not keep the keeper from starting while another answers; it is reported."""
    with capture_logs() as logs:
        await contact(NOWHERE, node.url)

    assert [(log["event"], log["error"]) for log in logs] == [("survived", "NodeUnreachable")]


async def test_no_node_is_too_few() -> None:
    """When none answers there is no first contact."""
    with pytest.raises(NodeUnreachable):
        await contact(NOWHERE, f"{NOWHERE}/other")


@pytest.mark.parametrize("wrong", [0, 1])
async def test_every_node_must_serve_the_chain(node: ScriptedServer, wrong: int) -> None:
    """A node of another chain is found at the start, even in second place, not in the emergency that needs it."""
    async with serving(ScriptedChain()) as other:
        other.fault = lambda *_: hex(SECOND_CHAIN)
        urls = [node.url, node.url + "/again"]
        urls[wrong] = other.url

        with pytest.raises(ConfigError, match=f"serves chain id {SECOND_CHAIN}, expected {CHAIN_ID}"):
            await contact(*urls)


@pytest.mark.parametrize("code", ["0x", None])
async def test_a_venue_without_code_is_refused(node: ScriptedServer, code: str | None) -> None:
    """A root contract that is not there is the operator's to correct, and is named by its key."""
    node.fault = lambda method, _: code if method == "eth_getCode" else hex(CHAIN_ID)
    settings = ChainSettings.model_validate({"chain_id": CHAIN_ID, "http": [node.url]})

    async with provider_pool(CHAIN_SPEC, settings, JumpClock(), Metrics(CollectorRegistry())) as pool:
        with pytest.raises(ConfigError, match=r"venues\.toy\.address: 0x9999.* has no code on chain local; check"):
            await check_code(pool, CHAIN_SPEC, CONFIG)
