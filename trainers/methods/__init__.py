"""The methods. Each is one small file of this package, discovered automatically, or another package's entry point."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers import plugins
from flyp_sweep.trainers.methods.base import GradientMethod, Method
from flyp_sweep.trainers.methods.finetuned import FineTuned

if TYPE_CHECKING:
    from flyp_sweep.search_spaces.model import SearchSpace

__all__ = ["FineTuned", "GradientMethod", "Method", "get", "named", "registry"]


def named(space: SearchSpace, name: str) -> Method:
    """The method of this name in `space`: one that `get` knows, or a checkpoint with this label.

    Raises InputError as `get` does, and for a label that is the name of a method.
    """
    if name not in space.checkpoint_files:
        return get(name)
    if name in registry():
        raise InputError(f"methods: found the label {name!r}; expected one that is no method's name")
    return FineTuned(name, Path(space.checkpoint_files[name]).expanduser())


@cache
def registry() -> dict[str, Method]:
    """Name -> method, sorted by name, of this package and of other packages (see `trainers.plugins`)."""
    return plugins.instances(__name__, Method, plugins.METHODS)  # type: ignore[type-abstract]


@cache
def get(name: str) -> Method:
    """The method of this name, or the class that `module.path:ClassName` names.

    Raises InputError for an unknown name, and for a class that cannot be imported, is no `Method` or is abstract.
    """
    if ":" in name:
        return plugins.imported(name, Method, "methods")  # type: ignore[type-abstract]
    return plugins.known(name, registry(), "methods")
