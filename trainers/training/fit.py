"""A fit of any method on a task: by the loop over epochs, or at once."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from flyp_sweep.trainers.methods.base import GradientMethod, Method, SolvedMethod
from flyp_sweep.trainers.spec import Epoch
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training import loop
from flyp_sweep.trainers.training.fitted import Fitted, point, report


def fit(method: Method, task: Task) -> Generator[Epoch, None, Fitted]:
    """Fit `method`: yields a report per epoch and returns the best one, with the weights that the method exports.

    Raises TrialFailed as the loop and the method do.
    """
    if isinstance(method, GradientMethod):
        fitted = yield from loop.train(method, task)
    elif isinstance(method, SolvedMethod):
        fitted = yield from solved(method, task)
    else:
        raise TypeError(f"{type(method).__name__} is neither a GradientMethod nor a SolvedMethod")
    told = replace(fitted.report, notes=fitted.report.notes + method.notes(task))
    return replace(fitted, state=method.export(fitted.state, task), report=told)


def solved(method: SolvedMethod, task: Task) -> Generator[Epoch, None, Fitted]:
    """The fit of a method without epochs: one report."""
    model = method.solve(task)
    scores = method.scores(model, task, task.id_val)
    fitted = Fitted(dict(model.state_dict()), scores, report(1, scores, 1, [point(1, scores)]))
    yield fitted.report
    return fitted
