"""Trials that are broken off after some epochs, and taken up again in a worker that knows nothing of them."""

from __future__ import annotations

import itertools

from flyp_sweep.trainers import methods
from flyp_sweep.trainers.checkpoints.checkpoint import Checkpoint
from flyp_sweep.trainers.spec import Epoch, TrialSpec
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench
from flyp_sweep.trainers.training.fit import fit
from flyp_sweep.trainers.training.fitted import Fitted


def cut(bench: Bench, spec: TrialSpec, checkpoint: Checkpoint, epochs: int) -> None:
    """Fit `spec` in a worker of its own, which is gone after `epochs`."""
    running = fit(methods.get(spec.cell.method), Task(bench.worker(), spec, checkpoint))
    for _ in itertools.islice(running, epochs):
        pass


def go_on(bench: Bench, spec: TrialSpec, checkpoint: Checkpoint | None) -> tuple[list[Epoch], Fitted]:
    """The reports and the result of `spec` in a fresh worker."""
    running = fit(methods.get(spec.cell.method), Task(bench.worker(), spec, checkpoint))
    reports = []
    while True:
        try:
            reports.append(next(running))
        except StopIteration as end:
            return reports, end.value
