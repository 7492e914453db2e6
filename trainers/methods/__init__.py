"""The methods: one small file each, found by their place in this package; those of others by their entry points."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.trainers import plugins
from flyp_sweep.trainers.methods.base import GradientMethod, Method
from flyp_sweep.trainers.methods.finetuned import FineTuned

if TYPE_CHECKING:
    from flyp_sweep.search_spaces.model import SearchSpace

__all__ = ["FineTuned", "GradientMethod", "Method", "get", "named", "registry"]


def named(space: SearchSpace, name: str) -> Method:
    """The method of this name in `space`: one that `get` knows, or a checkpoint under its label.

    Raises InputError as `get` does, and for a label that is the name of a method.
    """
    if name not in space.checkpoint_files:
        return get(name)
    if name in registry():
        raise InputError(f"methods: found the label {name!r}; expected one that is no method's name")
    return FineTuned(name, Path(space.checkpoint_files[name]).expanduser())


@cache
def registry() -> dict[str, Method]:
    """Name -> method, by name: of every module of this package, and of other packages (see `trainers.plugins`)."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    own = {method.name: method for method in _concrete(Method)}
    others = plugins.loaded(plugins.METHODS, Method, own)  # type: ignore[type-abstract]
    return {name: method() for name, method in sorted({**own, **others}.items())}


@cache
def get(name: str) -> Method:
    """The method of this name, or the class that `module.path:ClassName` names.

    Raises InputError for an unknown name, or when the class cannot be imported, is no `Method` or lacks a part.
    """
    if ":" in name:
        return _imported(name)
    if name not in registry():
        known = ", ".join(registry())
        raise InputError(
            f"methods: found {name!r}; expected one of {known}, or 'module:Class'{nearest(name, registry())}"
        )
    return registry()[name]


def _imported(name: str) -> Method:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"methods: {name!r} cannot be imported ({error}); expected 'module.path:ClassName'") from error
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise InputError(f"methods: {name!r} is not a subclass of flyp_sweep.trainers.methods.Method")
    if inspect.isabstract(found):
        raise InputError(f"methods: {name!r} lacks {', '.join(sorted(found.__abstractmethods__))}; define all of these")
    return found()


def _concrete(base: Any) -> set[type[Method]]:
    """Subclasses, at any depth, that live in this package, lack nothing and have a name."""
    found = set[type[Method]]()
    for subclass in base.__subclasses__():
        found |= _concrete(subclass)
        ours = subclass.__module__.startswith(__name__)
        if ours and not inspect.isabstract(subclass) and hasattr(subclass, "name"):
            found.add(subclass)
    return found
