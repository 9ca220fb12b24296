"""The section of a venue's second opinion: ``[venues.NAME.risk]``."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import PlainValidator

from keeper.settings import values
from keeper.settings.section import Count, Section, key


class RiskSettings(Section):
    """The model behind the second opinion."""

    model: Literal["static", "volatility", "portfolio"] = key(
        'how far prices are reckoned to move ("static": move_percent; "volatility": each by its own, all added up; '
        '"portfolio": jointly, by their correlation)',
        "name",
        '"volatility"',
        "volatility",
    )
    horizon_seconds: Count = key("from seeing a breach to having closed it", "seconds", "900", 900)
    confidence_percent: Annotated[Decimal, PlainValidator(values.exact(4, above=50, most=Decimal("99.99")))] = key(
        "how often the moves are not exceeded", "percent", "99", Decimal(99)
    )
    tail_freedom: Annotated[Decimal, PlainValidator(values.exact(2, above=2, most=1000))] = key(
        "degrees of freedom of Student's t that moves follow; normal tails are too thin for coins",
        "number",
        "4",
        Decimal(4),
    )
    safety_factor: Annotated[Decimal, PlainValidator(values.exact(4, above=0, most=10))] = key(
        "every move is multiplied by it", "factor", "1.25", Decimal("1.25")
    )
    warning_factor: Annotated[Decimal, PlainValidator(values.exact(4, above=1, most=10))] = key(
        "who would not survive so many times the moves is warned", "factor", "1.5", Decimal("1.5")
    )
    move_percent: Annotated[Decimal, PlainValidator(values.exact(4, above=0, most=90))] = key(
        "how far every price moves in the static model", "percent", "5", Decimal(5)
    )
    move_percent_min: Annotated[Decimal, PlainValidator(values.exact(4, most=90))] = key(
        "the least move that is reckoned with", "percent", "0.5", Decimal("0.5")
    )
    move_percent_max: Annotated[Decimal, PlainValidator(values.exact(4, above=0, most=90))] = key(
        "the greatest", "percent", "50", Decimal(50)
    )
    vol_percent: Annotated[Decimal, PlainValidator(values.exact(4, above=0, most=2000))] = key(
        "an asset's volatility in a year until there are samples enough", "percent", "80", Decimal(80)
    )
    vol_percents: Annotated[dict[str, Decimal], PlainValidator(values.percents)] = key(
        "the same of single assets, by address; it is the least of theirs ever after",
        "percent",
        "{ 0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48 = 2 }",
        {},
    )
    decay: Annotated[Decimal, PlainValidator(values.exact(6, above=0, most=Decimal("0.999999")))] = key(
        "weight of the past in the average of squared moves, at each sample", "ratio", "0.97", Decimal("0.97")
    )
    sample_seconds: Count = key("time between two samples of prices", "seconds", "300", 300)
    samples_min: Count = key("fewer samples are not enough", "samples", "12", 12)
    half_life_seconds: Count = key("how slowly moves come down again", "seconds", "21600", 21_600)
    heartbeat_seconds: Count = key("a price unknown for longer makes accounts unknown", "seconds", "3600", 3_600)
    step_percent_max: Annotated[Decimal, PlainValidator(values.exact(4, above=0, most=99))] = key(
        "a price that jumps further between two heads is not believed at once", "percent", "20", Decimal(20)
    )
    confirmations: Annotated[int, PlainValidator(values.whole(2, 100))] = key(
        "heads in a row that must say alike before it is", "heads", "3", 3
    )
    garch_alpha: Annotated[Decimal | None, PlainValidator(values.exact(6, above=0, most=Decimal("0.999999")))] = key(
        "what the last squared return weighs in the GARCH forecast of variance, which counts where it is the greater",
        "ratio",
        "0.08",
        None,
    )
    garch_beta: Annotated[Decimal | None, PlainValidator(values.exact(6, most=Decimal("0.999999")))] = key(
        "what the last variance weighs in it; together less than 1", "ratio", "0.9", None
    )
    regime_vol_factor: Annotated[Decimal | None, PlainValidator(values.exact(4, above=1, most=100))] = key(
        "volatility of a stressed market as a multiple of that of a calm one", "factor", "3", None
    )
    regime_calm_samples: Annotated[int | None, PlainValidator(values.whole(2))] = key(
        "how long calm is expected to last", "samples", "4032", None
    )
    regime_stress_samples: Annotated[int | None, PlainValidator(values.whole(2))] = key(
        "how long stress is", "samples", "144", None
    )
    regime_move_factor: Annotated[Decimal | None, PlainValidator(values.exact(4, least=1, most=10))] = key(
        "what every move is multiplied by in certain stress; in proportion while it is less likely",
        "factor",
        "1.5",
        None,
    )

    @property
    def garch(self) -> dict[str, Decimal | int | None]:
        """The keys of the GARCH forecast: all of them are given, or none."""
        return {"garch_alpha": self.garch_alpha, "garch_beta": self.garch_beta}

    @property
    def regimes(self) -> dict[str, Decimal | int | None]:
        """The keys of the regimes: all of them are given, or none."""
        return {
            "regime_vol_factor": self.regime_vol_factor,
            "regime_calm_samples": self.regime_calm_samples,
            "regime_stress_samples": self.regime_stress_samples,
            "regime_move_factor": self.regime_move_factor,
        }
