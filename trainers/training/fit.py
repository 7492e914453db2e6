"""Fits a method on a task: reuses a kept fit, or trains by epochs, or solves at once."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from flyp_sweep.trainers.methods.base import GradientMethod, Method, SolvedMethod
from flyp_sweep.trainers.spec import Epoch, TrialSpec
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training import loop
from flyp_sweep.trainers.training.fitted import Fitted, point, report
from flyp_sweep.trainers.training.kept import exported, packed, unpacked


def found_or_fitted(method: Method, task: Task) -> Generator[Epoch, None, Fitted]:
    """The kept fit of the trial, if any, else a new `fit`. A note says why a kept fit is unusable."""
    kept, trouble = found(method, task)
    if kept is not None:
        return kept
    fitted = yield from fit(method, task)
    return fitted.noting([f"no kept weights are used: {trouble}"] if trouble else [])


def found(method: Method, task: Task, trial: TrialSpec | None = None) -> tuple[Fitted | None, str | None]:
    """The kept fit of the task's own trial, or of the ensemble `trial`, and a reason if a kept fit is unusable.

    Both are None if no fit was kept.
    """
    trial = trial or task.spec
    saved, trouble = task.kept.read(trial) if task.kept and task.kept.wanted(trial) else (None, None)
    fitted = None if saved is None else unpacked(saved, method, task)
    if saved is not None and fitted is None:
        trouble = "they are of another version, or belong to other pretrained weights"
    return (None, trouble) if task.ranks.any(fitted is None) else (fitted, None)


def fit(method: Method, task: Task) -> Generator[Epoch, None, Fitted]:
    """Fit `method`: yields a report per epoch and returns the best epoch with the exported weights.

    Saves the fit if later trials may need it. Raises TrialFailed as the loop and the method do.
    """
    if isinstance(method, GradientMethod):
        fitted = yield from loop.train(method, task)
    elif isinstance(method, SolvedMethod):
        fitted = yield from solved(method, task)
    else:
        raise TypeError(f"{type(method).__name__} is neither a GradientMethod nor a SolvedMethod")
    fitted = replace(fitted, state=exported(fitted.trained, method, task)).noting(method.notes(task))
    return keep(fitted, method, task)


def keep(fitted: Fitted, method: Method, task: Task, trial: TrialSpec | None = None) -> Fitted:
    """Save a fit that later trials may need; a note says if saving failed."""
    trial = trial or task.spec
    if task.kept is None or task.ranks.rank != 0 or not task.kept.wanted(trial):
        return fitted
    trouble = task.kept.write(trial, packed(fitted, method, task))
    return fitted.noting([trouble]) if trouble else fitted


def solved(method: SolvedMethod, task: Task) -> Generator[Epoch, None, Fitted]:
    """Fit a method without epochs, with a single report."""
    model = method.solve(task)
    scores = method.scores(model, task, task.id_val)
    state = dict(model.state_dict())
    fitted = Fitted(state, scores, report(1, scores, 1, [point(1, scores)]), state)
    yield fitted.report
    return fitted
