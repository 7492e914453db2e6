"""Configurations without a model of the results: the full grid, and independent random draws."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Mapping

from flyp_sweep.search_spaces.distributions import Distribution, Scalar

Config = dict[str, Scalar]


def grid(distributions: Mapping[str, Distribution]) -> list[Config]:
    """Every combination of values; the hyper-parameters are in order of name and the last one varies fastest.

    Raises InputError when one of them is continuous.
    """
    names = sorted(distributions)
    combinations = itertools.product(*(distributions[name].values() for name in names))
    return [dict(zip(names, values, strict=True)) for values in combinations]


def random_config(distributions: Mapping[str, Distribution], index: int) -> Config:
    """The `index`-th random configuration.

    Each hyper-parameter has its own stream, set by its name and `index` alone: adding one leaves the draws of the
    others as they were, and the seed of a trial plays no part.
    """
    return {name: distributions[name].draw(_stream(name, index)) for name in sorted(distributions)}


def _stream(name: str, index: int) -> random.Random:
    digest = hashlib.sha256(f"{name}\0{index}".encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))  # noqa: S311 - no secrets are drawn
