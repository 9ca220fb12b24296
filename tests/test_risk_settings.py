"""The second opinion's section: what it says is what the engine reckons by, and half of a model is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from keeper.app.runconfig import run_config
from keeper.core.errors import ConfigError
from keeper.core.ids import Address
from keeper.core.runconfig import GarchSpec, RegimeSpec, RiskSpec
from keeper.settings import load_settings
from tests.test_settings import MINIMAL

GARCH = "garch_alpha = 0.08\ngarch_beta = 0.9\n"
REGIMES = """
regime_vol_factor = 3
regime_calm_samples = 4_032
regime_stress_samples = 144
regime_move_factor = 1.5
"""


def spec(folder: Path, keys: str) -> RiskSpec:
    """Return what the engine gets of a section with these keys."""
    path = folder / "keeper.toml"
    path.write_text(f"{MINIMAL}\n[venues.aave.risk]\n{keys}\n", encoding="utf-8")
    config = run_config(load_settings(path, {}), live=False, signers={"main": Address(b"\xaa" * 20)})
    assert not isinstance(config.risk, msgspec.UnsetType)
    return config.risk[0]


def refusal(folder: Path, keys: str) -> str:
    """Return why these keys are refused, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        spec(folder, keys)
    message = str(caught.value)
    assert "\n" not in message
    return message.partition(": venues.aave.risk.")[2]


def test_forecasts_are_off_by_default(tmp_path: Path) -> None:
    """An empty section has neither GARCH nor regimes."""
    found = spec(tmp_path, "")

    assert (found.garch, found.regimes) == (msgspec.UNSET, msgspec.UNSET)


def test_forecasts_are_what_was_written(tmp_path: Path) -> None:
    """Each figure arrives, and either model may be had without the other."""
    garch = GarchSpec(alpha=0.08, beta=0.9)
    regimes = RegimeSpec(stress_vol_factor=3.0, calm_samples=4_032, stress_samples=144, move_factor_max=1.5)

    assert (spec(tmp_path, GARCH).garch, spec(tmp_path, GARCH).regimes) == (garch, msgspec.UNSET)
    assert (spec(tmp_path, REGIMES).garch, spec(tmp_path, REGIMES).regimes) == (msgspec.UNSET, regimes)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("garch_alpha = 0.08", "garch_beta: is missing; garch_alpha needs it; write for example garch_beta = 0.9"),
        ("garch_beta = 0.9", "garch_alpha: is missing; garch_beta needs it; write for example garch_alpha = 0.08"),
        (
            "garch_alpha = 0.1\ngarch_beta = 0.9",
            "garch_beta = 0.9: adds up with garch_alpha to 1.0; give two that add up to less than 1",
        ),
        ("garch_alpha = 0\ngarch_beta = 0.9", "garch_alpha = 0: must be greater than 0"),
        ("garch_alpha = 0.1\ngarch_beta = 1", "garch_beta = 1: must be at most 0.999999"),
        ("garch_alpha = 0.1\ngarch_beta = -0.1", "garch_beta = -0.1: must not be negative"),
        (REGIMES.replace("= 3", "= 1"), "regime_vol_factor = 1: must be greater than 1"),
        (REGIMES.replace("= 4_032", "= 1"), "regime_calm_samples = 1: must be 2 or more"),
        (REGIMES.replace("= 144", "= 1.5"), "regime_stress_samples = 1.5: must be a whole number"),
        (REGIMES.replace("= 1.5", "= 0.9999"), "regime_move_factor = 0.9999: must be at least 1"),
        (
            REGIMES.replace("regime_vol_factor = 3", ""),
            "regime_vol_factor: is missing; regime_calm_samples needs it; write for example regime_vol_factor = 3",
        ),
        (
            "regime_move_factor = 2",
            (
                "regime_vol_factor: is missing; regime_move_factor needs it; write for example regime_vol_factor = 3 "
                "(factor: volatility of a stressed market as a multiple of that of a calm one) (and 2 more)"
            ),
        ),
    ],
)
def test_a_forecast_that_cannot_be_made_is_refused(tmp_path: Path, keys: str, told: str) -> None:
    """One line names the key and says why."""
    assert refusal(tmp_path, keys).startswith(told)


def test_a_factor_of_one_watches(tmp_path: Path) -> None:
    """Moves may be left alone while the probability is told."""
    found = spec(tmp_path, REGIMES.replace("= 1.5", "= 1")).regimes

    assert isinstance(found, RegimeSpec)
    assert found.move_factor_max == 1
