"""Search algorithms: every module in this folder is one, by the name that a search space gives, and holds `ALGORITHM`.

Each is a pure function of the plan, the generation's number and the results so far. Nothing is carried in memory, so a
resumed search asks what an undisturbed one would have asked.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.search_spaces import sampling
from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import nearest
from flyp_sweep.search_spaces.model import SearchSpace

Config = dict[str, Any]


@dataclass(frozen=True)
class Tried:
    """A configuration of an earlier generation and its score, None where it failed."""

    config: Config
    score: float | None


@dataclass(frozen=True)
class Algorithm:
    """`ask`: (plan, generation from 0, results of the generations before) -> configurations; none ends the search.

    `at_most`: how many configurations the search of a plan tries.
    """

    ask: Callable[[CellPlan, int, Sequence[Tried]], list[Config]]
    at_most: Callable[[CellPlan], int]


def algorithm_of(space: SearchSpace) -> Algorithm:
    """The algorithm that `space` names. Raises InputError where there is none of that name."""
    name = space.search.algorithm
    if name not in algorithm_names():
        expected = f"one of {', '.join(algorithm_names())}"
        raise space.error("search.algorithm", name, expected, nearest(name, algorithm_names()))
    algorithm = import_module(f"{__name__}.{name}").ALGORITHM
    assert isinstance(algorithm, Algorithm)
    return algorithm


@cache
def algorithm_names() -> tuple[str, ...]:
    """The names of all algorithms."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def planned_configs(plan: CellPlan) -> int:
    """How many configurations the cell's search will try at most."""
    return algorithm_of(plan.space).at_most(plan) if plan.fixed is None else 0


def planned_searches(plan: CellPlan) -> int:
    """How many trials the cell's search will take at most."""
    return planned_configs(plan) * len(plan.search_seeds)


def planned_trials(plan: CellPlan) -> int:
    """How many trials the cell will take at most, in both stages."""
    return planned_searches(plan) + len(plan.repeat_seeds)


def num_samples(plan: CellPlan) -> int:
    """How many configurations an algorithm tries that samples: the space's `search.num_samples`, or all there are.

    Those of `search.first` are among them.
    """
    samples = plan.space.search.num_samples
    assert samples is not None, "the search space demands num_samples"
    there_are = sampling.count(plan.searched, plan.first)
    return samples if there_are is None else min(samples, there_are)


def fewer_configs(plans: Sequence[CellPlan]) -> list[str]:
    """A line for each method that has fewer configurations than the space asks for, and why."""
    lines = []
    for plan in plans:
        asked = plan.space.search.num_samples
        is_file = plan.cell.method in plan.space.checkpoint_files  # of which there is one, whatever was asked for
        if plan.searched and not is_file and asked and (count := num_samples(plan)) < asked:
            lines.append(
                f"{plan.cell.method}: there can be {counted(count, 'configuration')} ({_values(plan)}), fewer than the "
                f"{asked} of search.num_samples"
            )
    return list(dict.fromkeys(lines))


def _values(plan: CellPlan) -> str:
    """E.g. `lr: 3 x weight_decay: 2 values`, and how many `search.first` adds."""
    values = " x ".join(f"{name}: {found.count}" for name, found in plan.searched.items()) + " values"
    added = (sampling.count(plan.searched, plan.first) or 0) - (sampling.count(plan.searched) or 0)
    return values + (f", and {added} of search.first" if added else "")
