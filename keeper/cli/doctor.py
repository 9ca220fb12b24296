"""``keeper doctor``: everything a run depends on, looked at before the run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from keeper.cli.options import ConfigOption, JsonOption
from keeper.cli.terminal import emit, emit_json, flush, styled

if TYPE_CHECKING:
    from keeper.cli.findings import Finding, Findings
    from keeper.settings import Settings


def command(*, config: ConfigOption, as_json: JsonOption = False) -> None:
    """Check configuration, nodes, contracts, feeds, signers, clock, disk and journal; one line each."""
    import asyncio

    from keeper.cli.findings import Finding, Findings
    from keeper.settings import load_settings

    settings = load_settings(config, os.environ)
    findings = Findings(_ignore if as_json else _show)
    if not as_json:
        _show(
            Finding("configuration", ok=True, detail=f"{config} is valid, mode {settings.mode}", remedy="", exit_code=0)
        )
    asyncio.run(examine(settings, findings))
    if as_json:
        emit_json({"ok": findings.exit_code == 0, "mode": settings.mode, "checks": findings.all})
    raise typer.Exit(findings.exit_code)


async def examine(settings: Settings, findings: Findings) -> None:
    """Make every check, in an order in which each failure explains the ones after it."""
    from keeper.cli.doctor_chain import examine_chain
    from keeper.cli.doctor_host import examine_host
    from keeper.cli.doctor_own import examine_own

    examine_host(settings, findings)
    examine_own(settings, findings)
    for name in settings.chains:
        await examine_chain(settings, name, findings)


def _ignore(_finding: Finding) -> None:
    """Say nothing until the document is printed."""


def _show(finding: Finding) -> None:
    verdict = styled("ok  ", "green") if finding.ok else styled("FAIL", "bold red")
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    emit(f"{verdict}  {finding.check}: {finding.detail}{remedy}")
    flush()
