"""`num_samples` different configurations, at once: the given ones, then independent draws."""

from __future__ import annotations

from collections.abc import Sequence

from flyp_sweep.orchestrator.protocol.algorithms import Algorithm, Config, Tried, num_samples
from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.search_spaces import sampling


def ask(plan: CellPlan, generation: int, tried: Sequence[Tried]) -> list[Config]:
    """All of them in generation 0."""
    if generation > 0:
        return []
    return sampling.random_configs(plan.searched, num_samples(plan), plan.first)


ALGORITHM = Algorithm(ask, at_most=num_samples)
