"""Finds classes by name: in our packages, in other packages by entry points, and anywhere as `module:Class`."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, TypeVar

from flyp_sweep.search_spaces.errors import InputError, nearest

METHODS, ENSEMBLES, DATASETS = "flyp_sweep.methods", "flyp_sweep.ensembles", "flyp_sweep.datasets"
"""The entry-point groups. An entry point's name is the `name` of its class."""

T = TypeVar("T")


class Labelled:
    """A class with a label for tables, figures and reports."""

    label: str
    """The label as the paper prints it. Default: the class's `name` with spaces for underscores."""
    summary: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "label" not in vars(cls):  # do not inherit the label of the base class
            cls.label = str(vars(cls).get("name", cls.__name__)).replace("_", " ")


def instances(package: str, base: type[T], group: str) -> dict[str, T]:
    """Name -> an instance, sorted by name: all classes in the modules of `package`, and all entry points of `group`.

    Raises InputError as `loaded` does.
    """
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")
    own = {found.name: found for found in _concrete(base, package)}
    others: dict[str, Any] = loaded(group, base, own)
    return {name: found() for name, found in sorted({**own, **others}.items())}


def known(name: str, registry: Mapping[str, T], key: str) -> T:
    """The registry's entry for `name`. Raises InputError for an unknown name; `key` is its place in the search
    space."""
    if name not in registry:
        expected = f"expected one of {', '.join(registry)}, or 'module:Class'"
        raise InputError(f"{key}: found {name!r}; {expected}{nearest(name, registry)}")
    return registry[name]


def imported(name: str, base: type[T], key: str) -> T:
    """An instance of the class that `module.path:ClassName` names.

    Raises InputError if the class cannot be imported, is not a subclass of `base` or has abstract methods.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{key}: {name!r} cannot be imported ({error}); expected 'module.path:ClassName'") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise InputError(f"{key}: {name!r} is not a subclass of flyp_sweep.{base.__name__}")
    if inspect.isabstract(found):
        lacking = ", ".join(sorted(vars(found)["__abstractmethods__"]))
        raise InputError(f"{key}: {name!r} lacks {lacking}; define all of these")
    return found()


def _concrete(base: Any, package: str) -> set[Any]:
    """Subclasses of `base`, at any depth, that are defined in `package`, have a name and no abstract methods."""
    found = set[Any]()
    for subclass in base.__subclasses__():
        found |= _concrete(subclass, package)
        ours = subclass.__module__.startswith(package)
        if ours and not inspect.isabstract(subclass) and hasattr(subclass, "name"):
            found.add(subclass)
    return found


def loaded(group: str, base: type[T], own: Mapping[str, object]) -> dict[str, type[T]]:
    """Name -> subclass of `base`, for every entry point of `group`.

    Raises InputError for an entry point that cannot be loaded or is no such class. Also raises it for a name that two
    packages define, or that is in `own`, the names of this package.
    """
    points: dict[str, EntryPoint] = {}
    for point in _points(group):
        if point.name in own or point.name in points:
            first = package(points[point.name]) if point.name in points else "flyp-sweep itself"
            raise InputError(
                f"{group}: found {point.name!r} in {first} and in {package(point)}; expected every name once: "
                "rename or uninstall one of them"
            )
        points[point.name] = point
    return {name: _class(point, base) for name, point in points.items()}


def origins(group: str) -> dict[str, str]:
    """Name -> the package that defines it, for every entry point of `group`; imports nothing."""
    return {point.name: package(point) for point in _points(group)}


def package(point: EntryPoint) -> str:
    """Name and version of the package that an entry point comes from."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed package"


def _points(group: str) -> list[EntryPoint]:
    return sorted(entry_points(group=group), key=lambda point: (point.name, package(point)))


def _class(point: EntryPoint, base: type[T]) -> type[T]:
    told = f"{point.group}: {point.name!r} of {package(point)}"
    try:
        found = point.load()
    except Exception as error:  # importing another package may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(
            f"{told}: {point.value} cannot be imported ({reason}); repair or uninstall the package"
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)) or inspect.isabstract(found):
        raise InputError(
            f"{told}: found {point.value}; expected a subclass of {base.__name__} without abstract methods"
        )
    name = getattr(found, "name", None)
    if name != point.name:
        raise InputError(f"{told}: its class has the name {name!r}; expected that of the entry point")
    return found
