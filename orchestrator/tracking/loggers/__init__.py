"""Loggers beside MLflow: every module in this folder that holds a `Logger` is one, by the name in the search space.

Other packages offer loggers by entry points of the group `flyp_sweep.loggers`; `module.path:ClassName` names any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from flyp_sweep.orchestrator.tracking.loggers.base import Logger
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.search_spaces.plugin_path import search_last
from flyp_sweep.trainers.plugins import imported, instances

GROUP = "flyp_sweep.loggers"


@cache
def registry() -> dict[str, Logger]:
    """Name -> logger, of this package and of others. Raises InputError for one of others that cannot be loaded."""
    return instances(__name__, Logger, GROUP)  # type: ignore[type-abstract]


def loggers_of(space: SearchSpace) -> list[Logger]:
    """The loggers that `space` names, each checked: what it needs is installed. Raises InputError where it is not."""
    loggers = [_named(name, space) for name in space.loggers or ()]
    for logger in loggers:
        logger.check(space)
    return loggers


def _named(name: str, space: SearchSpace) -> Logger:
    key = f"{space.where('loggers')}: loggers"
    if ":" in name:
        search_last(space.plugin_folders)
        return imported(name, Logger, key)  # type: ignore[type-abstract]
    if name not in registry():
        expected = f"{', '.join(registry())}, or 'module:Class'"
        raise InputError(f"{key}: found {name!r}; expected one of {expected}{nearest(name, list(registry()))}")
    return type(registry()[name])()


def names() -> Sequence[str]:
    """The names of all loggers that need no module path."""
    return tuple(registry())
