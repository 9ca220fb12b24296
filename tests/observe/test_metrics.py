"""Figures from records: each is what the records say, and nothing of the interface is forgotten."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from keeper.core.codec import AnyBody
from keeper.core.decisions import AuditAgreed, AuditFailed, IntentState, ProposalRefused, ProtectionRefused
from keeper.core.facts import BlockReverted, BlocksBackfilled, ClockTicked, LogsRepaired, RangeVerified, SignerRead
from keeper.core.ids import content_id, to_hex
from keeper.core.units import Wei
from keeper.engine.intents import TrackedIntent
from keeper.observe.metrics import Metrics
from tests.observe import records
from tests.observe.pictures import WELL, with_venue

INTERFACE = (
    "head_block",
    "watermark_block",
    "watermark_lag_seconds",
    "reorgs_total",
    "reorg_depth_blocks",
    "verified_block",
    "repairs_total",
    "audits_total",
    "rpc_requests_total",
    "rpc_seconds",
    "rpc_provider_up",
    "rpc_provider_score",
    "rpc_quarantined",
    "rpc_hedges_total",
    "rpc_rate_limited_total",
    "heads_degraded",
    "bloom_false_positives_total",
    "facts_total",
    "journal_append_seconds",
    "journal_bytes",
    "journal_disk_free_bytes",
    "journal_sequence",
    "engine_step_seconds",
    "event_loop_lag_seconds",
    "hedge_proposed_usd",
    "part_late_total",
    "notifications_total",
    "queue_depth",
    "queue_peak",
    "accounts",
    "debt_unknown_ratio",
    "account_distance_bucket",
    "at_risk_debt_usd",
    "price_age_seconds",
    "price_unmoved_seconds",
    "proposals_total",
    "intents",
    "attempts_total",
    "slice_seconds",
    "repaid_usd_total",
    "seized_usd_total",
    "profit_usd_total",
    "gas_spent_wei_total",
    "signer_balance_wei",
    "signer_halted",
    "liquidations_seen_total",
    "replay_divergence_total",
    "venue_unread_items",
    "account_distance_bucket",
    "at_risk_debt_usd",
    "price_age_seconds",
    "price_move_ratio",
    "price_stress_probability",
    "price_trusted",
    "price_vol_annual_ratio",
    "risk_accounts",
    "build_info",
    "kill_switch_armed",
    "lowest_nonce_age_seconds",
    "price_age_seconds_max",
    "prices_missing",
    "progress_age_seconds",
    "signer_balance_wei_min",
    "spend_usd_hour",
    "spend_usd_hour_max",
    "venue_paused",
    "venue_reverts",
    "venue_reverts_max",
    "watermark_lag_seconds_max",
)
"""Every metric that the interface names, without the prefix."""

BUSY: list[tuple[int, Sequence[AnyBody]]] = [
    (1_000, [records.run_started(1_000)]),
    (2_000, [records.block_applied(10, 1, seen_unix_ms=1_500), records.admitted()]),
    (2_250, [records.sent(), records.advanced(IntentState.ADMITTED, IntentState.BROADCAST)]),
    (
        4_250,
        [
            records.block_applied(11, 3),
            records.liquidated(),
            records.advanced(IntentState.BROADCAST, IntentState.MINED),
            records.receipt(),
        ],
    ),
    (12_250, [records.advanced(IntentState.MINED, IntentState.FINAL_SUCCESS)]),
]
"""The life of one slice."""


class Observed:
    """Metrics, fed with groups of bodies, and asked by the names of the interface."""

    def __init__(self, *groups: tuple[int, Sequence[AnyBody]]) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self._next = 1
        for unix_ms, bodies in [(0, [records.run_started()]), *groups]:
            self.take(unix_ms, *bodies)

    def take(self, unix_ms: int, *bodies: AnyBody) -> None:
        """Feed one group."""
        self.metrics.observe(bodies, first_sequence=self._next, unix_ms=unix_ms)
        self._next += len(bodies)

    def __call__(self, name: str, **labels: str) -> float | None:
        """Return a figure."""
        return self.registry.get_sample_value(f"keeper_{name}", labels)


def test_every_metric_of_the_interface_is_exported() -> None:
    """What the interface names is registered under that very name, or has a reason why not."""
    metrics = Observed(*BUSY)
    metrics.metrics.reflect(WELL)
    exported = {
        line.split()[2].removeprefix("keeper_")
        for line in metrics.metrics.exposition().decode().splitlines()
        if line.startswith("# TYPE")
    }

    assert sorted(set(INTERFACE) - exported) == []
    assert sorted(exported - set(INTERFACE)) == []


def test_a_price_has_its_volatility_and_its_stress_where_that_is_known() -> None:
    """Both as plain numbers; a price without regimes has no probability rather than none of stress."""
    observed = Observed()
    observed.metrics.reflect(WELL)
    one, other = ({"venue": "aave", "feed": "0x" + each * 20} for each in ("04", "05"))

    assert (observed("price_vol_annual_ratio", **one), observed("price_stress_probability", **one)) == (0.75, 0.02)
    assert (observed("price_vol_annual_ratio", **other), observed("price_stress_probability", **other)) == (0.8, None)


def test_a_replay_exports_what_the_run_exported() -> None:
    """Two folds over the same records give the same exposition, byte for byte."""
    assert Observed(*BUSY).metrics.exposition() == Observed(*BUSY).metrics.exposition()


def test_records_are_grouped_as_one_likes() -> None:
    """A journal that is read record by record gives the figures of the run that wrote it in groups."""
    one_by_one = [(unix_ms, [body]) for unix_ms, bodies in BUSY for body in bodies]

    assert Observed(*one_by_one).metrics.exposition() == Observed(*BUSY).metrics.exposition()


def test_head_and_watermark() -> None:
    """While catching up, the head is ahead of the watermark by the blocks that are behind."""
    observed = Observed((0, [records.block_applied(10, behind_blocks=5)]))

    assert (observed("head_block", chain="local"), observed("watermark_block", chain="local")) == (15.0, 10.0)


def test_a_backfill_moves_the_watermark() -> None:
    """The last block of a complete range is the watermark."""
    fact = BlocksBackfilled(records.CHAIN_ID, 1, records.header(500), (), (), 100)
    observed = Observed((0, [fact]))

    assert (observed("head_block", chain="local"), observed("watermark_block", chain="local")) == (600.0, 500.0)


def test_the_lag_grows_with_the_clock() -> None:
    """The lag is measured at each tick against the watermark's own timestamp, block or no block."""
    observed = Observed((0, [records.block_applied(10, 1_000), ClockTicked(1_002_500)]))
    first = observed("watermark_lag_seconds", chain="local")
    observed.take(0, ClockTicked(1_060_000))

    assert (first, observed("watermark_lag_seconds", chain="local")) == (2.5, 60.0)


def test_the_lag_grows_where_blocks_are_ahead_of_the_clock() -> None:
    """A chain whose clock is ahead of ours lags from the moment at which its last block arrived."""
    observed = Observed((0, [ClockTicked(900_000), records.block_applied(10, 1_000), ClockTicked(960_000)]))

    assert observed("watermark_lag_seconds", chain="local") == 60.0


def test_a_reorg_is_counted_once_with_its_depth() -> None:
    """Abandoned blocks in a row are one reorg; its depth is their number."""
    reverted = [BlockReverted(records.CHAIN_ID, number, records.block_hash(number)) for number in (11, 10)]
    blocks = [records.block_applied(10), records.block_applied(11)]
    observed = Observed((0, [*blocks, *reverted, *blocks]))

    assert observed("reorgs_total", chain="local") == 1.0
    assert observed("reorg_depth_blocks_sum", chain="local") == 2.0


def test_an_abandoned_block_takes_the_watermark_back() -> None:
    """After a reverted block the watermark is its parent."""
    observed = Observed((0, [records.block_applied(10), BlockReverted(records.CHAIN_ID, 10, records.block_hash(10))]))

    assert observed("watermark_block", chain="local") == 9.0


def test_facts_are_counted_by_kind() -> None:
    """Facts are counted, decisions are not."""
    observed = Observed(*BUSY)

    assert (observed("facts_total", kind="BlockApplied"), observed("facts_total", kind="IntentAdmitted")) == (2.0, None)


def test_the_sequence_is_the_last_records() -> None:
    """The journal's sequence is that of the newest record seen."""
    observed = Observed((0, [ClockTicked(1), ClockTicked(2)]))

    assert observed("journal_sequence") == 3.0


def test_requests_are_counted_by_outcome() -> None:
    """Each request to a node counts under its method and outcome, and its time under its method."""
    observed = Observed()
    measure = observed.metrics.on_request("local")
    measure("eth_call", "ok", 0.25, "http://127.0.0.1:8545")
    measure("eth_call", "refused", 0.5, "http://127.0.0.1:8545")

    assert observed("rpc_requests_total", chain="local", method="eth_call", outcome="ok") == 1.0
    assert observed("rpc_seconds_sum", chain="local", method="eth_call") == 0.75


def test_a_provider_is_up_or_down() -> None:
    """A provider that is passed over is down."""
    observed = Observed()
    observed.metrics.provider("local", "http://127.0.0.1:8545", up=False, score=0.5, quarantined=True)

    assert observed("rpc_provider_up", chain="local", provider="http://127.0.0.1:8545") == 0.0
    assert observed("rpc_provider_score", chain="local", provider="http://127.0.0.1:8545") == 0.5
    assert observed("rpc_quarantined", chain="local", provider="http://127.0.0.1:8545") == 1.0


def test_what_providers_tell_is_counted() -> None:
    """What the nodes of a chain tell of is counted under its name."""
    observed = Observed()
    observed.metrics.on_count("local")("bloom_false_positive", "")

    observed.metrics.on_count("local")("hedge", "won")
    observed.metrics.on_request("local")("eth_call", "limited", 0.1, "http://127.0.0.1:8545")
    observed.metrics.heads_degraded("local", degraded=True)

    assert observed("bloom_false_positives_total", chain="local") == 1.0
    assert observed("rpc_hedges_total", chain="local", outcome="won") == 1.0
    assert observed("rpc_rate_limited_total", chain="local", provider="http://127.0.0.1:8545") == 1.0
    assert observed("heads_degraded", chain="local") == 1.0


def test_groups_are_timed() -> None:
    """A group's step and its way to the disk are measured apart."""
    observed = Observed()
    observed.metrics.settled(step_seconds=0.25, durable_seconds=0.5)

    assert (observed("engine_step_seconds_sum"), observed("journal_append_seconds_sum")) == (0.25, 0.5)


def test_every_stage_of_a_slice_is_timed() -> None:
    """Seen to decided to sent to included to final, each from the one before, in seconds."""
    observed = Observed(*BUSY)
    stages = {
        stage: observed("slice_seconds_sum", venue="aave", stage=stage)
        for stage in ("decided", "sent", "included", "final")
    }

    assert stages == {"decided": 0.5, "sent": 0.25, "included": 2.0, "final": 8.0}


def test_a_stage_counts_once() -> None:
    """A second attempt, and a block that was lost and found again, do not time a stage twice."""
    back = records.advanced(IntentState.MINED, IntentState.BROADCAST)
    again = records.advanced(IntentState.BROADCAST, IntentState.MINED)
    observed = Observed(*BUSY[:-1], (6_250, [back, records.sent(), again]), *BUSY[-1:])

    counts = [observed("slice_seconds_count", venue="aave", stage=stage) for stage in ("sent", "included", "final")]
    assert counts == [1.0, 1.0, 1.0]


def test_the_last_inclusion_counts_for_finality() -> None:
    """After a reorg the way to finality begins at the block that stayed."""
    back = records.advanced(IntentState.MINED, IntentState.BROADCAST)
    again = records.advanced(IntentState.BROADCAST, IntentState.MINED)
    observed = Observed(*BUSY[:-1], (6_250, [back, again]), *BUSY[-1:])

    assert observed("slice_seconds_sum", venue="aave", stage="final") == 6.0


def test_money_is_counted_at_finality() -> None:
    """A mined slice has not earned anything; a final one has."""
    labels = {"venue": "aave", "strategy": "partial_liquidation"}
    mined, final = Observed(*BUSY[:-1]), Observed(*BUSY)

    assert mined("repaid_usd_total", **labels) is None
    assert (final("repaid_usd_total", **labels), final("seized_usd_total", **labels)) == (100.0, 105.0)
    assert final("profit_usd_total", **labels) == 2.0


def test_what_was_taken_back_earns_nothing() -> None:
    """An effect that a reorg took away is not counted when the intent ends without one."""
    back = records.advanced(IntentState.MINED, IntentState.BROADCAST)
    again = records.advanced(IntentState.BROADCAST, IntentState.MINED)
    reverted = records.advanced(IntentState.MINED, IntentState.FINAL_REVERTED)
    observed = Observed(*BUSY[:-1], (6_250, [back, again, reverted]))

    assert observed("repaid_usd_total", venue="aave", strategy="partial_liquidation") is None


def test_money_is_what_happened() -> None:
    """When less was repaid, less was won with it, whatever tokens a moved price gave; a loss is negative."""
    labels = {"venue": "aave", "strategy": "partial_liquidation"}
    less = records.liquidated(repaid=200, seized=400)
    groups = [*BUSY[:3], (4_250, [less, *[body for body in BUSY[3][1] if body != records.liquidated()]]), BUSY[4]]
    observed = Observed(*groups)

    assert (observed("seized_usd_total", **labels), observed("profit_usd_total", **labels)) == (21.0, -2.0)


def test_gas_is_counted_at_finality() -> None:
    """Fees count once, when the transaction is final."""
    labels = {"chain": "local", "signer": "main"}
    mined, final = Observed(*BUSY[:-1]), Observed(*BUSY)

    assert (mined("gas_spent_wei_total", **labels), final("gas_spent_wei_total", **labels)) == (None, 6e14)


def test_a_late_receipt_counts_its_gas() -> None:
    """The venue's event may end an intent before its receipt arrives; the fees count all the same, once."""
    early = (4_250, [body for body in BUSY[3][1] if body != records.receipt()])
    late = (13_000, [records.receipt(), records.receipt()])
    observed = Observed(*BUSY[:3], early, BUSY[4], late)

    assert observed("gas_spent_wei_total", chain="local", signer="main") == 6e14


def test_intents_stand_in_one_state() -> None:
    """An intent is counted in the state it is in, and in no other."""
    observed = Observed(*BUSY)
    states = [observed("intents", venue="aave", state=state) for state in ("admitted", "broadcast", "mined")]

    assert states == [0.0, 0.0, 0.0]
    assert observed("intents", venue="aave", state="final_success") == 1.0


def test_open_intents_outlive_the_process() -> None:
    """Intents that an earlier run admitted are counted from the start, and their gas when they end."""
    observed = Observed()
    observed.metrics.resume([TrackedIntent(records.intent(), IntentState.MINED)])
    before = observed("intents", venue="aave", state="mined")
    observed.take(0, records.receipt(), records.advanced(IntentState.MINED, IntentState.FINAL_SUCCESS))

    assert (before, observed("intents", venue="aave", state="mined")) == (1.0, 0.0)
    assert observed("gas_spent_wei_total", chain="local", signer="main") == 6e14


def test_attempts_are_counted_by_answer() -> None:
    """What a provider said of a transaction is counted for its signer."""
    observed = Observed(*BUSY)

    assert observed("attempts_total", chain="local", signer="main", outcome="accepted") == 1.0


def test_proposals_are_counted_by_reason() -> None:
    """A refusal counts under its reason, an admission under none."""
    observed = Observed(*BUSY, (13_000, [ProposalRefused(records.proposal(), "dry_run", "")]))
    labels = {"venue": "aave", "strategy": "partial_liquidation"}

    assert observed("proposals_total", **labels, outcome="refused", reason="dry_run") == 1.0
    assert observed("proposals_total", **labels, outcome="admitted", reason="") == 1.0


def test_protections_are_counted_as_proposals() -> None:
    """The care of an own account counts by strategy, admitted or by the reason of its refusal."""
    observed = Observed((1_000, [records.protected(), ProtectionRefused(records.protection(), "kill_switch", "")]))
    labels = {"venue": "aave", "strategy": "self_protect"}

    assert observed("proposals_total", **labels, outcome="admitted", reason="") == 1.0
    assert observed("proposals_total", **labels, outcome="refused", reason="kill_switch") == 1.0
    assert observed("intents", venue="aave", state="admitted") == 1.0


def test_a_proposed_hedge_is_shown_until_it_is_none() -> None:
    """Its value, below zero for a sale, by exchange and market; zero once nothing is to be done."""
    labels = {"venue": "perp", "market": to_hex(records.COLLATERAL)}

    assert Observed((1_000, [records.hedge()]))("hedge_proposed_usd", **labels) == -1_000.0
    assert Observed((1_000, [records.hedge(), records.hedge(0)]))("hedge_proposed_usd", **labels) == 0.0


def test_liquidations_are_counted_by_verdict() -> None:
    """Every liquidation on chain counts, by who did it and why it was not us."""
    observed = Observed(*BUSY, (13_000, [records.liquidated(ours=False)]))

    series = [("ours", "ours"), ("others", "refused-by-policy")]
    counts = [observed("liquidations_seen_total", venue="aave", by=by, verdict=verdict) for by, verdict in series]
    assert counts == [1.0, 1.0]


def test_the_balance_is_the_last_one_read() -> None:
    """A signer's balance is exported in wei."""
    reads = [
        SignerRead(records.CHAIN_ID, "main", number, records.block_hash(number), Wei(balance), 0, ())
        for number, balance in ((1, 10**18), (2, 9 * 10**17))
    ]
    observed = Observed((0, reads))

    assert observed("signer_balance_wei", chain="local", signer="main") == 9e17


def test_gauges_of_state_follow_the_picture() -> None:
    """Accounts and unknown debt are those of the newest picture."""
    observed = Observed()
    observed.metrics.reflect(WELL)

    assert observed("accounts", venue="aave", status="liquidatable") == 2.0
    assert observed("debt_unknown_ratio", venue="aave") == 0.25


@pytest.mark.parametrize(("halted", "figure"), [(None, 0.0), ("a stranger has the key", 1.0)])
def test_a_halted_signer_is_a_figure(halted: str | None, figure: float) -> None:
    """What waits for the operator can be alerted on, and is zero again once it was released."""
    observed = Observed()
    signer = msgspec.structs.replace(WELL.signers[0], halted=halted)
    observed.metrics.reflect(msgspec.structs.replace(WELL, signers=(signer,)))

    assert observed("signer_halted", chain="local", signer="main") == figure


@pytest.mark.parametrize(
    ("accounts", "unknown_base", "ratio"),
    [({"healthy": 3, "unknown": 1}, "0", 0.25), ({"unknown": 2}, "0", 1.0), ({"healthy": 1, "unknown": 0}, "0", 0.0)],
)
def test_unknown_debt_is_never_nothing(accounts: dict[str, int], unknown_base: str, ratio: float) -> None:
    """Where not even the debt of the unknown accounts is known, their share of all accounts stands for it."""
    observed = Observed()
    observed.metrics.reflect(with_venue(accounts=accounts, debt_unknown_base=unknown_base))

    assert observed("debt_unknown_ratio", venue="aave") == ratio


def test_what_only_this_machine_knows() -> None:
    """The journal's size and the version are exported as given; what runs has not diverged from its journal."""
    observed = Observed()
    observed.metrics.journal_bytes(4096)

    assert (observed("journal_bytes"), observed("replay_divergence_total")) == (4096.0, 0.0)
    assert observed("build_info", version="0.1.0") == 1.0


def test_confirmations_repairs_and_audits_are_counted() -> None:
    """What a second provider confirmed, what was put right and what audits found is counted."""
    observed = Observed(
        (
            1_000,
            [
                RangeVerified(records.CHAIN_ID, 3, 9, content_id("digest"), ("a", "b")),
                LogsRepaired(records.CHAIN_ID, 10, (), "b", "a"),
                AuditAgreed("aave", (records.ACCOUNT, records.SIGNER), 11),
                AuditFailed("aave", records.ACCOUNT, 11, "1", "2"),
            ],
        )
    )

    assert observed("verified_block", chain="local") == 9
    assert observed("repairs_total", chain="local") == 1
    assert observed("audits_total", venue="aave", outcome="agreed") == 2
    assert observed("audits_total", venue="aave", outcome="failed") == 1
