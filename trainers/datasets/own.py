"""Your own data, described in the search space: what image folders and tables have in common."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.own_data import SPLITS, OwnDataset, Splits
from flyp_sweep.trainers.datasets.base import Dataset

MOST_LISTED = 10
"""Classes that an error message lists."""


class OwnData(Dataset):
    """A data set described by `search_spaces.own_data.OwnDataset`; `sources` says where each split is.

    Relative paths are looked for under `root`. The classes are those of the training split; every other split may
    hold a subset of them. A subclass says which classes there are, and how a split is loaded.
    """

    name = ""

    def __init__(self, entry: OwnDataset, sources: Splits, root: Path) -> None:
        super().__init__(root)
        self.name = entry.name  # type: ignore[misc]
        self.given_names = entry.class_names
        self.templates = entry.templates
        self.metric = entry.metric
        own = {split: path for split in SPLITS if (path := getattr(sources, split)) is not None}
        self.paths = {split: self.resolve(path) for split, path in {**own, **sources.ood}.items()}
        self.splits = {split: split if split in own else "ood" for split in self.paths}

    def resolve(self, path: str) -> Path:
        """Where a path of the search space leads."""
        return self.root / os.path.expanduser(path)

    def told(self, split: str, kind: str) -> str:
        """Which key in `dataset.<kind>` says where a split is, and what lies there by a like name."""
        key = split if split in SPLITS else f"ood.{split}"
        around = self.paths[split].parent
        like = nearest(self.paths[split].name, [one.name for one in around.iterdir()]) if around.is_dir() else ""
        return f"dataset.{kind}.{key} of {self.name!r} in the search space{like}"

    @abstractmethod
    def found_classes(self) -> list[str]:
        """The classes of the training split, sorted. Raises InputError when it cannot be read."""

    @cached_property
    def classes(self) -> list[str]:
        """The classes in label order: as in the YAML's mapping, else sorted.

        Raises InputError when the YAML names another number of classes, or one that is not there.
        """
        given, found = self.given_names, self.found_classes()
        if isinstance(given, dict):
            absent = [name for name in given if name not in found]
            if absent:
                raise InputError(
                    f"dataset.class_names: found {absent[0]!r}; expected classes of {self.paths['train']}: "
                    f"{listed(found)}"
                )
            return list(given)
        if given is not None and len(given) != len(found):
            raise InputError(
                f"dataset.class_names: found {len(given)} names; expected {len(found)}, "
                f"one for each class of {self.paths['train']} in sorted order: {listed(found)}"
            )
        return found

    @property
    def class_names(self) -> list[str]:  # type: ignore[override]
        """Display names in label order."""
        given, classes = self.given_names, self.classes
        if given is None:
            return [name.replace("_", " ") for name in classes]
        return [given[name] for name in classes] if isinstance(given, dict) else list(given)


def listed(names: Sequence[str]) -> str:
    """The names for an error message, at most `MOST_LISTED` of them."""
    more = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
