"""The ensembles of trials: one small file each, found by their place in this package.

An ensemble is a trial like any other: its specification names what it is made of, and so determines its result.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Generator
from dataclasses import replace
from functools import cache

from flyp_sweep.trainers.ensembles.alpha_curve import AlphaCurve
from flyp_sweep.trainers.ensembles.base import Ensemble, Members
from flyp_sweep.trainers.methods.base import Method
from flyp_sweep.trainers.spec import Epoch
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.fit import found, keep

__all__ = ["Ensemble", "curve", "registry"]


@cache
def registry() -> dict[str, Ensemble]:
    """Name -> ensemble, of every module of this package."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    kinds = {kind for module in modules for kind in vars(module).values() if inspect.isclass(kind)}
    own = [kind for kind in kinds if issubclass(kind, Ensemble) and not inspect.isabstract(kind)]
    return {kind.name: kind() for kind in own}


def curve(method: Method, task: Task) -> Generator[Epoch, None, AlphaCurve]:
    """The models between zero-shot and the ensemble of the task. Raises TrialFailed where a member cannot be trained.

    `members` of the specification come best first: hyper-parameters that a model is made with, or predicts with, are
    those of the best.
    """
    best = replace(task, spec=replace(task.spec, hparams=task.spec.members[0].hparams))
    ensemble = registry()[task.spec.cell.ensemble]
    fitted, _ = found(method, best, task.spec)
    if fitted is None:
        made = yield from ensemble.combine(Members(method, best, method.zero_shot(best)))
        fitted = keep(made, method, best, task.spec)
    return ensemble.curve(method, best, fitted)
