"""Optuna's tree-structured Parzen estimator, `batch` questions at a time after the given and some random ones."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flyp_sweep.orchestrator.protocol.algorithms import Algorithm, Config, Tried, num_samples
from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.search_spaces import sampling
from flyp_sweep.search_spaces.distributions import Choice, Constant, Distribution, IntRange, LogUniform, Uniform

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

ASKS_PER_CONFIG = 5
"""Questions to Optuna per configuration wanted: over a few choices it repeats configurations that are known, and
random ones take their place."""


def ask(plan: CellPlan, generation: int, tried: Sequence[Tried]) -> list[Config]:
    """The next `batch` configurations, of `num_samples` in all; more at the start, if more are given.

    The sampler of a generation is seeded by (cell, generation) and sees exactly the generations before it, but for
    configurations beyond the searched ranges, which Optuna can neither hold nor propose.
    """
    batch = plan.space.search.batch if generation else max(plan.space.search.batch, len(plan.first))
    count = min(batch, num_samples(plan) - len(tried))
    if generation == 0:
        return sampling.random_configs(plan.searched, count, plan.first)
    return _ask_optuna(plan, generation, tried, count) if count > 0 else []


def _ask_optuna(plan: CellPlan, generation: int, tried: Sequence[Tried], count: int) -> list[Config]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _optuna_distribution(found) for name, found in plan.searched.items()}
    free = {name: found for name, found in distributions.items() if found is not None}
    fixed = {name: found.values()[0] for name, found in plan.searched.items() if distributions[name] is None}
    sampler = optuna.samplers.TPESampler(seed=_seed(plan.cell.key, generation), n_startup_trials=1)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for one in tried:
        if one.score is not None and sampling.holds(plan.searched, one.config):
            params = {name: one.config[name] for name in free}
            study.add_trial(optuna.trial.create_trial(params=params, distributions=free, value=one.score))
    asked: list[Config] = []
    for _ in range(count * ASKS_PER_CONFIG):
        if len(asked) == count:
            break
        params = fixed | study.ask(fixed_distributions=free).params
        config = {name: params[name] for name in plan.searched}
        if config not in asked and all(config != one.config for one in tried):
            asked.append(config)
    if len(asked) == count:
        return asked
    known = [one.config for one in tried] + asked
    fresh = (one for one in sampling.random_configs(plan.searched, len(known) + count) if one not in known)
    return asked + list(itertools.islice(fresh, count - len(asked)))


def _seed(*names: str | int) -> int:
    return int.from_bytes(hashlib.sha256(repr(names).encode()).digest()[:4], "little")


def _optuna_distribution(distribution: Distribution) -> BaseDistribution | None:
    """Optuna's word for `distribution`; None for a constant."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match distribution:
        case LogUniform():
            return FloatDistribution(distribution.low, distribution.high, log=True)
        case Uniform():
            return FloatDistribution(distribution.low, distribution.high)
        case IntRange():
            return IntDistribution(distribution.low, distribution.high)
        case Choice():
            return CategoricalDistribution(distribution.values())
        case Constant():
            return None
    raise TypeError(f"no Optuna distribution for {distribution!r}")


ALGORITHM = Algorithm(ask, at_most=num_samples)
