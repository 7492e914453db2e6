"""The data sets. Each is one small file of this package, discovered automatically, or another package's entry point."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.trainers import plugins
from flyp_sweep.trainers.datasets.base import Dataset, Missing, Split

if TYPE_CHECKING:
    from flyp_sweep.search_spaces.model import SearchSpace
    from flyp_sweep.search_spaces.own_data import OwnDataset
    from flyp_sweep.search_spaces.sections import ShownAs
    from flyp_sweep.trainers.datasets.own import OwnData

__all__ = ["Dataset", "Missing", "Split", "evaluated", "make", "registry"]


@cache
def registry() -> dict[str, type[Dataset]]:
    """Name -> class, sorted by name: all named data sets of this package's modules, and those of other packages."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    named = [found for found in Dataset.__subclasses__() if found.__module__.startswith(__name__)]
    own = {found.name: found for found in named if found.name}
    others = plugins.loaded(plugins.DATASETS, Dataset, own)  # type: ignore[type-abstract]
    return dict(sorted({**own, **others}.items()))


def make(entry: str | OwnDataset, root: Path, shown_as: ShownAs = "viewer") -> Dataset:
    """The data set that the YAML's `dataset` names or describes, with files under `root`.

    The user's own images are decoded as `shown_as` says, published ones as by torchvision. Raises InputError for an
    unknown name.
    """
    if not isinstance(entry, str):
        return _own(entry, root, shown_as)
    if entry not in registry():
        known = ", ".join(registry())
        raise InputError(
            f"dataset: found {entry!r}; expected one of {known}, or a mapping for your own images"
            f"{nearest(entry, registry())}"
        )
    return registry()[entry](root)


def evaluated(space: SearchSpace, root: Path) -> list[Dataset]:
    """The additional data sets that the models of `space` are evaluated on."""
    return [make(entry, root, space.images.shown_as) for entry in space.evaluate or ()]


@cache
def by_entry() -> dict[type[OwnDataset], type[OwnData]]:
    """YAML section -> the reader that reads it, for every module of `readers`."""
    from flyp_sweep.trainers.datasets import readers
    from flyp_sweep.trainers.datasets.own import OwnData

    for module in pkgutil.iter_modules(readers.__path__):
        importlib.import_module(f"{readers.__name__}.{module.name}")
    found: list[type[OwnData]] = [*OwnData.__subclasses__()]
    for reader in found:
        found += reader.__subclasses__()
    return {reader.entry_type: reader for reader in found if "entry_type" in vars(reader)}


def _own(entry: OwnDataset, root: Path, shown_as: ShownAs) -> Dataset:
    return by_entry()[type(entry)](entry, root, shown_as)
