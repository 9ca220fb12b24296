"""A picture of a keeper that is well, to be changed by the tests."""

from __future__ import annotations

from typing import Any

import msgspec

from keeper.observe.status import (
    BlockPlace,
    ChainStatus,
    JournalStatus,
    PriceStatus,
    RiskPicture,
    SignerStatus,
    Status,
    VenueStatus,
)

CHAIN = ChainStatus(
    name="local",
    chain_id=31337,
    watermark=BlockPlace(120, "0x" + "ab" * 32, 1_700_000_000),
    behind_blocks=0,
    finalized_block=118,
    followed=True,
    stale=False,
)
VENUE = VenueStatus(
    name="aave",
    protocol="aave_v3",
    chain="local",
    discovered=True,
    accounts={"healthy": 7, "liquidatable": 2, "unknown": 1},
    debt_base="1000",
    debt_unknown_base="250",
    unknown_reasons={"no price": 1},
    prices_missing=(),
    owed_within={"0.0": "300000000", "0.1": "500000000"},
    risk=RiskPicture(
        model="volatility",
        accounts={"warning": 2, "call": 1, "breached": 2, "unknown": 1},
        prices=(
            PriceStatus(
                asset="0x" + "04" * 20,
                verdict="fresh",
                reason="median",
                age_seconds=12,
                move_ppm=31_000,
                samples=40,
                vol_annual_ppm=750_000,
                stress_ppm=20_000,
            ),
            PriceStatus(
                asset="0x" + "05" * 20,
                verdict="missing",
                reason="none",
                age_seconds=None,
                move_ppm=500_000,
                samples=0,
                vol_annual_ppm=800_000,
                stress_ppm=None,
            ),
        ),
    ),
)
JOURNAL = JournalStatus(last_sequence=90, durable_sequence=90, queued_records=0, fault=None)
WELL = Status(
    run_id="0x" + "01" * 32,
    code_version="0.1.0",
    live=False,
    started_unix_ms=1_700_000_000_000,
    unix_ms=1_700_000_001_000,
    progress_age_seconds=0.5,
    kill_switch_armed=False,
    draining=False,
    journal=JOURNAL,
    chains=(CHAIN,),
    venues=(VENUE,),
    signers=(
        SignerStatus(
            name="main", chain="local", address="0x" + "05" * 20, balance_wei="1000", next_nonce=3, halted=None
        ),
    ),
    intents=(),
    last_decisions=(),
)


def changed(**fields: Any) -> Status:  # noqa: ANN401 - any field of a status
    """Return the picture with other fields."""
    return msgspec.structs.replace(WELL, **fields)


def with_chain(**fields: Any) -> Status:  # noqa: ANN401 - any field of a chain
    """Return the picture with another chain."""
    return changed(chains=(msgspec.structs.replace(CHAIN, **fields),))


def with_venue(**fields: Any) -> Status:  # noqa: ANN401 - any field of a venue
    """Return the picture with another venue."""
    return changed(venues=(msgspec.structs.replace(VENUE, **fields),))


def with_journal(**fields: Any) -> Status:  # noqa: ANN401 - any field of a journal
    """Return the picture with another journal."""
    return changed(journal=msgspec.structs.replace(JOURNAL, **fields))
