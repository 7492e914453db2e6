"""The ensembles of trials. Each is one small file of this package, or an entry point of another package.

An ensemble is a trial like any other: its specification names its ingredients, and so determines its result.
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
    """Name -> ensemble, sorted by name, of this package and of other packages (see `trainers.plugins`)."""
    return plugins.instances(__name__, Ensemble, plugins.ENSEMBLES)  # type: ignore[type-abstract]


@cache
def get(name: str) -> Ensemble:
    """The ensemble of this name, or the class that `module.path:ClassName` names.

    Raises InputError for an unknown name, and for a class that cannot be imported, is no `Ensemble` or is abstract.
    """
    if ":" in name:
        return plugins.imported(name, Ensemble, "ensembles")  # type: ignore[type-abstract]
    return plugins.known(name, registry(), "ensembles")


def soups(space: SearchSpace) -> frozenset[str]:
    """The ensembles of `space` that combine trials of a search. Raises InputError as `get` does."""
    return frozenset(name for name in space.ensembles or () if isinstance(get(name), Soup))


def curve(ensemble: Ensemble, method: Method, task: Task) -> Generator[Epoch, None, AlphaCurve]:
    """The models between zero-shot and the task's ensemble. Raises TrialFailed if a member cannot be trained.

    `members` of the specification come best first. Hyper-parameters for building the model and for prediction are those
    of the best member.
    """
    best = replace(task, spec=replace(task.spec, hparams=task.spec.members[0].hparams))
    fitted, _ = found(method, best, task.spec)
    if fitted is None:
        made = yield from ensemble.combine(Members(method, best, method.zero_shot(best)))
        fitted = keep(made, method, best, task.spec)
    return ensemble.curve(method, best, fitted)
