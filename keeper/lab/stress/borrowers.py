"""Who borrows: how much, against which coins, how close to the line, and whether they defend themselves."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from keeper.lab.stress.paths import stream
from keeper.risk.inputs import Bools, Floats, number


class Borrowers(msgspec.Struct, frozen=True, kw_only=True):
    """Their distribution.

    Attributes:
        count: How many.
        debt_usd: What all owe together.
        size_sigma: Of the logarithm of a debt: how unequal they are.
        health_least: Nobody starts closer to the line.
        health_shape: With ``health_scale``, of the gamma distribution of what a health is above that.
        health_scale: As above.
        defending: The share of borrowers who repay from elsewhere when they see their health fall.
        defence_health: At which health they do.
        defended_health: What health they restore, once.
    """

    count: int = 80
    debt_usd: float = 200e6
    size_sigma: float = 1.2
    health_least: float = 1.04
    health_shape: float = 1.6
    health_scale: float = 0.30
    defending: float = 0.25
    defence_health: float = 1.06
    defended_health: float = 1.25


class Population(NamedTuple):
    """Borrowers at the start, largest spread as they were drawn."""

    held: Floats
    """(B, 2) coins."""
    owed_usd: Floats
    """(B,)."""
    defends: Bools
    """(B,)."""


def populate(model: Borrowers, seed: int, prices_usd: Floats, threshold: float) -> Population:
    """Return borrowers whose healths at these prices and threshold follow the distribution.

    Raises:
        RiskInputError: a parameter is out of its range.
    """
    count = int(number("count", model.count, least=1))
    number("health_least", model.health_least, above=1)
    number("defending", model.defending, least=0, most=1)
    chance = stream(seed, "borrowers")
    sizes = np.exp(number("size_sigma", model.size_sigma, least=0) * chance.standard_normal(count))
    owed = number("debt_usd", model.debt_usd, above=0) * sizes / float(sizes.sum())
    shape, scale = (
        number("health_shape", model.health_shape, above=0),
        number("health_scale", model.health_scale, above=0),
    )
    health = model.health_least + chance.gamma(shape, scale, count)
    in_ether = chance.beta(1.0, 0.6, count)
    value = owed * health / threshold
    held = value[:, None] * np.stack([1 - in_ether, in_ether], axis=1) / prices_usd
    return Population(held, owed, np.asarray(chance.random(count) < model.defending))


def split(population: Population, prices_usd: Floats) -> Population:
    """Return the same borrowers with each coin securing a debt of its own, at the same health: two accounts each."""
    values = population.held * prices_usd
    shares = values / values.sum(axis=1, keepdims=True)
    coins = population.held.shape[1]
    held = np.zeros((len(population.held), coins, coins))
    held[:, range(coins), range(coins)] = population.held
    owed = population.owed_usd[:, None] * shares
    return Population(held.reshape(-1, coins), owed.reshape(-1), np.repeat(population.defends, coins))
