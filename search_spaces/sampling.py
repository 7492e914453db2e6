"""Configurations without a model of the results: the full grid, and independent random draws."""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Mapping

from flyp_sweep.search_spaces.distributions import Distribution, Scalar

Config = dict[str, Scalar]

DRAWS_PER_CONFIG = 20
"""Draws for each configuration wanted, before the rest is taken from the grid."""


def grid(distributions: Mapping[str, Distribution]) -> list[Config]:
    """Every combination of values; the hyper-parameters are in order of name and the last one varies fastest.

    Raises InputError when one of them is continuous.
    """
    names = sorted(distributions)
    combinations = itertools.product(*(distributions[name].values() for name in names))
    return [dict(zip(names, values, strict=True)) for values in combinations]


def count(distributions: Mapping[str, Distribution]) -> int | None:
    """How many configurations there are; None where one hyper-parameter is continuous."""
    counts = [distribution.count for distribution in distributions.values()]
    return None if None in counts else math.prod(one for one in counts if one is not None)


def random_configs(distributions: Mapping[str, Distribution], wanted: int) -> list[Config]:
    """The first `wanted` different random configurations, or all there are.

    Where draws find the last of a few only slowly, these come in the order of the grid.
    """
    there_are = count(distributions)
    wanted = wanted if there_are is None else min(wanted, there_are)
    drawn: dict[tuple[Scalar, ...], Config] = {}
    for index in range(DRAWS_PER_CONFIG * wanted):
        if len(drawn) == wanted:
            break
        config = random_config(distributions, index)
        drawn.setdefault(tuple(config.values()), config)
    if len(drawn) < wanted and there_are is not None:
        for config in grid(distributions):
            drawn.setdefault(tuple(config.values()), config)
    return list(drawn.values())[:wanted]


def random_config(distributions: Mapping[str, Distribution], index: int) -> Config:
    """The `index`-th random configuration.

    Each hyper-parameter has its own stream, set by its name and `index` alone: adding one leaves the draws of the
    others as they were, and the seed of a trial plays no part.
    """
    return {name: distributions[name].draw(_stream(name, index)) for name in sorted(distributions)}


def _stream(name: str, index: int) -> random.Random:
    digest = hashlib.sha256(f"{name}\0{index}".encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))  # noqa: S311 - no secrets are drawn
