"""The ensembles of trials: one small file each, found by their place in this package; those of others by entry points.

An ensemble is a trial like any other: its specification names what it is made of, and so determines its result.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from flyp_sweep.trainers import plugins
from flyp_sweep.trainers.ensembles.alpha_curve import AlphaCurve
from flyp_sweep.trainers.ensembles.base import Ensemble, Members, Mixture, Soup
from flyp_sweep.trainers.methods.base import Method
from flyp_sweep.trainers.spec import Epoch
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.fit import found, keep

if TYPE_CHECKING:
    from flyp_sweep.search_spaces.model import SearchSpace

__all__ = ["Ensemble", "Members", "Mixture", "Soup", "curve", "get", "registry", "soups"]


@cache
def registry() -> dict[str, Ensemble]:
    """Name -> ensemble, by name: of every module of this package, and of other packages (see `trainers.plugins`)."""
    return plugins.instances(__name__, Ensemble, plugins.ENSEMBLES)  # type: ignore[type-abstract]


@cache
def get(name: str) -> Ensemble:
    """The ensemble of this name, or the class that `module.path:ClassName` names.

    Raises InputError for an unknown name, or when the class cannot be imported, is no `Ensemble` or lacks a part.
    """
    if ":" in name:
        return plugins.imported(name, Ensemble, "ensembles")  # type: ignore[type-abstract]
    return plugins.known(name, registry(), "ensembles")


def soups(space: SearchSpace) -> frozenset[str]:
    """The ensembles of `space` that are made of its searches. Raises InputError as `get` does."""
    return frozenset(name for name in space.ensembles or () if isinstance(get(name), Soup))


def curve(ensemble: Ensemble, method: Method, task: Task) -> Generator[Epoch, None, AlphaCurve]:
    """The models between zero-shot and the ensemble of the task. Raises TrialFailed where a member cannot be trained.

    `members` of the specification come best first: hyper-parameters that a model is made with, or predicts with, are
    those of the best.
    """
    best = replace(task, spec=replace(task.spec, hparams=task.spec.members[0].hparams))
    fitted, _ = found(method, best, task.spec)
    if fitted is None:
        made = yield from ensemble.combine(Members(method, best, method.zero_shot(best)))
        fitted = keep(made, method, best, task.spec)
    return ensemble.curve(method, best, fitted)
