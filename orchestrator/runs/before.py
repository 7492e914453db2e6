"""What a user is told before the trials of a sweep start: their steps, what is there already, how long it may take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from flyp_sweep.orchestrator.protocol.plan import CellPlan
from flyp_sweep.orchestrator.runs.options import RunOptions
from flyp_sweep.orchestrator.runs.prepared import Prepared
from flyp_sweep.orchestrator.runs.time_estimate import estimate
from flyp_sweep.search_spaces.complaints import counted

MOST_NAMED = 4
"""Data sets and shots whose steps are told."""


def before_lines(ready: Prepared, run: Path, options: RunOptions) -> Iterator[str]:
    """What of the run folder `run` counts, and how long the rest may take, a line each."""
    if ready.counting:
        yield ready.counting
    if options.address and not ready.protocol.done:
        yield "no estimate of time: trials run on the nodes of a cluster"
    elif found := estimate(ready.protocol, run):
        yield str(found)


def steps_line(plans: Iterable[CellPlan]) -> str | None:
    """The steps of a trial, of each data set and shots where they differ; None where nothing is trained by steps."""
    counts: dict[str, int] = {}
    for plan in plans:
        if plan.method.trained and plan.base is None:
            shots = "" if plan.cell.shots is None else f", {plan.cell.shots}-shot"
            counts[f"{plan.cell.dataset}{shots}"] = plan.steps
    if len(set(counts.values())) < 2:
        return f"{counted(next(iter(counts.values())), 'step')} per trial" if counts else None
    told = [f"{steps:,} ({name})" for name, steps in counts.items()]
    more = f" and {len(told) - MOST_NAMED} more" if len(told) > MOST_NAMED else ""
    return f"steps per trial: {'; '.join(told[:MOST_NAMED])}{more}"
