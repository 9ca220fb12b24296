"""Whatever a simulated keeper went through can be cut out, redacted, and decided again."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.cli.journal_bundle import cut_out
from keeper.cli.verify import verify_journal
from keeper.core.decisions import IntentAdmitted
from keeper.journal.bundle import pack, unpack, write_journal
from keeper.journal.reader import JournalReader
from keeper.lab.simulator.ledger import SimulatedLedger
from keeper.lab.simulator.run import journal_of
from keeper.venues import PROTOCOLS
from tests.cli.history_file import write_history
from tests.engine.history import CHAIN


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 4])
def test_a_simulated_incident_is_decided_again(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Crashes, liars and allowances under other names lead to the recorded decisions, and the chain to the head."""
    monkeypatch.setitem(PROTOCOLS, "simulated", SimulatedLedger)
    records = journal_of(seed)
    journal = write_history(tmp_path / "journal.db", records, chain_ids=[CHAIN])
    end = len(records)
    for number, (first, last) in enumerate([(1, end), (end // 3, end // 2), (end // 2, end)]):
        with JournalReader(journal.path) as reader:
            bundle = unpack(pack(cut_out(reader, str(first), str(last), redact=True)), "bundle")
        path = tmp_path / f"{number}.db"
        write_journal(bundle, path)

        assert (verify_journal(f"sqlite://{path}").fault, bundle.is_linked) == (None, True)
        assert bundle.redacted["providers"] > 0

    with JournalReader(tmp_path / "0.db") as reader:
        renamed = {record.body.intent.signer for record in reader.read() if isinstance(record.body, IntentAdmitted)}
    assert renamed == {"signer_1"}
