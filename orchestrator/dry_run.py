"""What a sweep would run, and what it costs in image passes."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.algorithms import planned_configs
from orchestrator.plan import CellPlan
from search_spaces.model import SearchSpace


def describe(space: SearchSpace, plans: Sequence[CellPlan]) -> str:
    """Cells, configurations and trials of a sweep, a line each."""
    lines = [f"{space.name}: {len(plans)} cells"]
    total = 0
    for plan in plans:
        searched = planned_configs(plan) * len(plan.search_seeds)
        total += searched + len(plan.repeat_seeds)
        lines.append(
            f"  {plan.cell.key}: {planned_configs(plan)} configurations x {len(plan.search_seeds)} seeds searched, "
            f"{len(plan.repeat_seeds)} repeats"
        )
    return "\n".join([*lines, f"{total} trials at most"])
