"""Search spaces: the YAML files that describe sweeps, and the typed, validated model of one.

    space = search_spaces.load("quickstart", ["train.epochs=3"])
    space.cells()                # every (data set, model, shots, method)
    space.for_method("flyp")     # hyper-parameter -> Distribution
    search_spaces.dump(space)    # canonical YAML, which loads as an equal search space

Everything a user can put right is raised as `InputError`, in one line. Names are imported when they are first used, so
that `Cell` and `InputError` cost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flyp_sweep.search_spaces.cell import Cell
    from flyp_sweep.search_spaces.complaints import show, space_error
    from flyp_sweep.search_spaces.distributions import Choice, Constant, Distribution, IntRange, LogUniform, Uniform
    from flyp_sweep.search_spaces.errors import InputError, nearest
    from flyp_sweep.search_spaces.loading import bundled, dump, from_mapping, load
    from flyp_sweep.search_spaces.model import (
        EarlyStopping,
        FolderDataset,
        Model,
        OwnDataset,
        Repeats,
        Resources,
        Scheduler,
        Search,
        SearchSpace,
        Splits,
        TableDataset,
        Tables,
        Train,
        WiseFT,
    )
    from flyp_sweep.search_spaces.sampling import grid, random_config

_HOMES = {
    "cell": ("Cell",),
    "complaints": ("show", "space_error"),
    "distributions": ("Choice", "Constant", "Distribution", "IntRange", "LogUniform", "Uniform"),
    "errors": ("InputError", "nearest"),
    "loading": ("bundled", "dump", "from_mapping", "load"),
    "model": (
        "EarlyStopping",
        "FolderDataset",
        "Model",
        "OwnDataset",
        "Repeats",
        "Resources",
        "Scheduler",
        "Search",
        "SearchSpace",
        "Splits",
        "TableDataset",
        "Tables",
        "Train",
        "WiseFT",
    ),
    "sampling": ("grid", "random_config"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Cell",
    "Choice",
    "Constant",
    "Distribution",
    "EarlyStopping",
    "FolderDataset",
    "InputError",
    "IntRange",
    "LogUniform",
    "Model",
    "OwnDataset",
    "Repeats",
    "Resources",
    "Scheduler",
    "Search",
    "SearchSpace",
    "Splits",
    "TableDataset",
    "Tables",
    "Train",
    "Uniform",
    "WiseFT",
    "bundled",
    "dump",
    "from_mapping",
    "grid",
    "load",
    "nearest",
    "random_config",
    "show",
    "space_error",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
