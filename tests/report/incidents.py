"""Histories told as a postmortem without a file: both passes over the records, an engine beside the second."""

from __future__ import annotations

from msgspec.structs import replace

from keeper.core.decisions import Decision
from keeper.engine.step import Engine
from keeper.report.chronicle import Chronicle
from keeper.report.incident import Incident, Proof
from keeper.report.narrative import narrative
from keeper.report.survey import Survey
from tests.engine.history import History, new_engine

PROOF = Proof(
    holds=True,
    divergence=None,
    replayed_from=1,
    replayed_to=1,
    facts=1,
    decisions=1,
    hash_before="0x00",
    hash_after="0x01",
    tip_sequence=1,
    tip_hash="0x01",
    first_sequence=1,
    engine_version=1,
    keeper_version="1",
    run_versions=(),
)


def incident(history: History, first: int = 1, last: int | None = None, *, opened: Engine | None = None) -> Incident:
    """Tell a window of a history."""
    end = last or len(history.records)
    survey, engine = Survey(), opened or new_engine()
    for record in history.records[first - 1 : end]:
        survey.take(record)
    chronicle = Chronicle(first, end, survey)
    for record in history.records[:end]:
        if not isinstance(record.body, Decision):
            engine.step(record.body, record.sequence)
        chronicle.take(record, engine)
    told = chronicle.incident("sqlite://journal.db", PROOF, engine)
    return replace(told, narrative=narrative(told))
