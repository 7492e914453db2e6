"""Configurations without a model of the results: the full grid, and independent random draws."""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from flyp_sweep.search_spaces.distributions import Distribution, Scalar

Config = dict[str, Scalar]

DRAWS_PER_CONFIG = 20
"""Draws for each configuration wanted, before the rest is taken from the grid."""


def grid(distributions: Mapping[str, Distribution], first: Sequence[Mapping[str, Scalar]] = ()) -> list[Config]:
    """Every combination of values; the hyper-parameters are in order of name and the last one varies fastest.

    Before these stand the values of `first`, completed by those of the first combinations; no configuration comes
    twice. Raises InputError when a hyper-parameter is continuous.
    """
    names = sorted(distributions)
    combinations = itertools.product(*(distributions[name].values() for name in names))
    plain = [dict(zip(names, values, strict=True)) for values in combinations]
    given = [{**plain[at % len(plain)], **values} for at, values in enumerate(first)]
    return list({tuple(config.values()): config for config in [*given, *plain]}.values())


def count(distributions: Mapping[str, Distribution], first: Sequence[Mapping[str, Scalar]] = ()) -> int | None:
    """How many configurations there are, with those of `first`; None where one hyper-parameter is continuous."""
    counts = [distribution.count for distribution in distributions.values()]
    if None in counts:
        return None
    given = ({**random_config(distributions, index), **values} for index, values in enumerate(first))
    beside = {tuple(one.values()) for one in given if not holds(distributions, one)}
    return math.prod(one for one in counts if one is not None) + len(beside)


def holds(distributions: Mapping[str, Distribution], config: Mapping[str, Any]) -> bool:
    """Whether all values of `config` may be drawn."""
    return all(distributions[name].holds(value) for name, value in config.items())


def random_configs(
    distributions: Mapping[str, Distribution], wanted: int, first: Sequence[Mapping[str, Scalar]] = ()
) -> list[Config]:
    """The first `wanted` different random configurations, or all there are.

    The values of `first` stand in the place of those that the first draws hold; the other draws are as without them.
    Where draws find the last of a few only slowly, these come in the order of the grid.
    """
    there_are = count(distributions, first)
    wanted = wanted if there_are is None else min(wanted, there_are)
    drawn: dict[tuple[Scalar, ...], Config] = {}
    for index in range(DRAWS_PER_CONFIG * wanted):
        if len(drawn) == wanted:
            break
        config = {**random_config(distributions, index), **(first[index] if index < len(first) else {})}
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
