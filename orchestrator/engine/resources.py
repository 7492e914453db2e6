"""What a trial is given of a node: as the YAML says, else one GPU with its share of the cores, else one core."""

from __future__ import annotations

import os
from collections.abc import Sequence

from flyp_sweep.orchestrator.engine.nodes import Node, nodes
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import Resources, SearchSpace


def this_machine() -> Node:
    """This machine, as far as can be told without Ray."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Node("", "", float(cores), float(torch.cuda.device_count()))


def share_of(space: SearchSpace, there: Sequence[Node]) -> Resources:
    """The CPUs and GPUs of every trial, whether or not a node has so much."""
    shares = [node.cpus // node.gpus for node in there if node.gpus]
    return space.resources or Resources(cpu=max(1, min(shares, default=1)), gpu=1.0 if shares else 0.0)


def resources_per_trial(space: SearchSpace) -> Resources:
    """The CPUs and GPUs of every trial. Ray must be connected. Raises InputError when no node has so much."""
    there = nodes()
    wanted = share_of(space, there)
    if not any(node.has(wanted) for node in there):
        has = "; ".join(sorted({f"{node.cpus:g} CPUs and {node.gpus:g} GPUs" for node in there}))
        raise InputError(
            f"{space.where('resources')}: resources: found cpu {wanted.cpu:g}, gpu {wanted.gpu:g} per trial; "
            f"expected what one node has: {has}"
        )
    return wanted


def trials_at_once(wanted: Resources, there: Sequence[Node] | None = None) -> int:
    """How many trials run at once on nodes (None: on those of Ray), as far as cores and GPUs go."""
    return sum(
        int(min(node.cpus // wanted.cpu, node.gpus // wanted.gpu if wanted.gpu else node.cpus // wanted.cpu))
        for node in (nodes() if there is None else there)
    )
