"""Whatever happened, it can be explained, and what is said of a setting is what the engine does with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.units import BaseAmount, Wei
from keeper.report.why_not import HEALTHY, LIQUIDATABLE, UNKNOWN
from tests.engine.history import ALICE, BOB, GWEI, UNIT, History, admitted, config_with
from tests.engine.test_recall import TRANSACTIONS
from tests.engine.test_replay import eventful
from tests.report.told import explained

CONFIGS = st.builds(
    config_with,
    live=st.booleans(),
    gas_price_wei_max=st.sampled_from([Wei(11 * GWEI), Wei(200 * GWEI)]),
    profit_base_min=st.sampled_from([BaseAmount(0), BaseAmount(400 * UNIT)]),
    spend_base_per_hour_max=st.sampled_from([BaseAmount(100 * UNIT), BaseAmount(10**6 * UNIT)]),
)
BLOCKS = st.lists(st.tuples(TRANSACTIONS, st.booleans(), st.booleans()), max_size=5)


@pytest.mark.slow
@given(CONFIGS, BLOCKS)
def test_every_account_of_any_history_is_explained(
    config: object, blocks: list[tuple[list[list[tuple[object, ...]]], bool, bool]]
) -> None:
    """An explanation names one thing in the way that agrees with the account's status, and its changes are no guess."""
    history = History(config)  # type: ignore[arg-type]  # what the strategy builds is a configuration
    history.market()
    for nonce, (transactions, behind, acting) in enumerate(blocks):
        made = history.block(*[log for logs in transactions for log in logs], behind=int(behind))
        for intent in admitted(made)[:1] if acting and nonce == len(blocks) - 1 else ():
            history.send(history.prepare(intent, 0))
    for account in (ALICE, BOB):
        found = explained(history, account)
        gate, status = found.why_not.gate.name, found.margin.health.status.value
        assert gate != LIQUIDATABLE
        assert gate not in (HEALTHY, UNKNOWN) or status == gate or found.liquidations
        told = found.counterfactual
        assert told is None or (told.outcome == "admitted") == (told.intent_id is not None)
        assert told is None or all(change.least is not False for change in told.changes)


def test_an_eventful_history_is_explained() -> None:
    """Reorgs, a stale head, a restart and the operator's switch are told in the order they came."""
    found = explained(eventful())
    moments = [each.since.sequence for each in found.why_not.earlier if each.since is not None]

    assert moments == sorted(moments)
    assert [one.number for one in found.intents[0].attempts] == [1, 2]
    assert found.intents[0].state == "mined"
    assert [one.intent_id for one in found.liquidations] == [found.intents[0].intent.intent_id] * 2
