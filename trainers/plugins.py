"""Methods and data sets from other packages: entry points, read when a registry is first asked for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from flyp_sweep.search_spaces.errors import InputError

METHODS, DATASETS = "flyp_sweep.methods", "flyp_sweep.datasets"
"""The groups; an entry point's name is its class's `name`."""

T = TypeVar("T")


def loaded(group: str, base: type[T], own: Mapping[str, object]) -> dict[str, type[T]]:
    """Name -> subclass of `base`, for every entry point of `group`.

    Raises InputError for one that cannot be loaded or is no such class, and for a name that is one of `own`, those of
    this package, or is given twice.
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
    """Name -> the package that gives it, for every entry point of `group`; nothing is imported."""
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
    except Exception as error:  # whatever a module of somebody else's does when it is imported
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(
            f"{told}: {point.value} cannot be imported ({reason}); repair or uninstall the package"
        ) from error
    if not (isinstance(found, type) and issubclass(found, base)) or inspect.isabstract(found):
        raise InputError(f"{told}: found {point.value}; expected a subclass of {base.__name__} that lacks nothing")
    name = getattr(found, "name", None)
    if name != point.name:
        raise InputError(f"{told}: its class has the name {name!r}; expected that of the entry point")
    return found
