"""The given configurations and the whole product of the values of all hyper-parameters, at once."""

from __future__ import annotations

from collections.abc import Sequence

from flyp_sweep.orchestrator.protocol.algorithms import Algorithm, Config, Tried
from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.search_spaces import sampling


def ask(plan: CellPlan, generation: int, tried: Sequence[Tried]) -> list[Config]:
    """All of them in generation 0."""
    return sampling.grid(plan.searched, plan.first) if generation == 0 else []


ALGORITHM = Algorithm(ask, at_most=lambda plan: len(sampling.grid(plan.searched, plan.first)))
