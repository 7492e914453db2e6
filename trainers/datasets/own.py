"""Your own data, described in the search space: what image folders and tables have in common."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.own_data import SPLITS, HeldOut, OwnDataset, Splits
from flyp_sweep.trainers.datasets.base import Dataset, FromFiles, Images, Split
from flyp_sweep.trainers.datasets.listing import fixed_order

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
        held_out = own["id_val"]
        self.held_out = held_out.fraction if isinstance(held_out, HeldOut) else None
        """The share of the training images that validate; None where id_val has a place of its own."""
        places = {**own, **({"id_val": own["train"]} if self.held_out else {}), **sources.ood}
        self.paths = {split: self.resolve(path) for split, path in places.items()}
        self.splits = {split: split if split in own else "ood" for split in self.paths}

    def resolve(self, path: str) -> Path:
        """Where a path of the search space leads."""
        return self.root / os.path.expanduser(path)

    @abstractmethod
    def read(self, split: str) -> Split:
        """The split that lies in `paths[split]`, whole. Raises InputError when it cannot be read."""

    def load(self, split: str) -> Split:
        """As `read`; where id_val is held out of the training images, these are cut in two."""
        whole = self.read(split)
        if self.held_out is None or split not in ("train", "id_val"):
            return whole
        validates = held_out_rows(whole, self.paths["train"], self.held_out, self.classes)
        rows = np.flatnonzero(validates == (split == "id_val"))
        assert isinstance(whole.images, Divisible)
        return replace(whole, images=whole.images.taken(rows), labels=whole.labels[rows])

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


@runtime_checkable
class Divisible(FromFiles, Protocol):
    """Images of which a part can be had."""

    def taken(self, indices: np.ndarray) -> Images:
        """Those of the images at `indices`, int64 [N]."""
        ...


def held_out_rows(split: Split, base: Path, fraction: float, classes: Sequence[str]) -> np.ndarray:
    """Which images of a split are held out: bool [N], `fraction` of each class and one at least.

    An image is drawn by its own path from `base`, so more images in one class change nothing in another. Raises
    InputError for a class of fewer than two images.
    """
    assert isinstance(split.images, FromFiles)
    names = [file.removeprefix(f"{base}{os.sep}") for file in split.images.files()]
    chosen = np.zeros(len(split), dtype=bool)
    for label in np.unique(split.labels):
        own = np.flatnonzero(split.labels == label)
        if len(own) < 2:
            raise InputError(
                f"{base}: found 1 image of class {classes[label]!r}; expected 2 or more in each class, "
                "to hold out a part for id_val; add images, or leave out the class"
            )
        count = min(max(1, round(fraction * len(own))), len(own) - 1)
        order = fixed_order([names[row] for row in own], "id_val")
        chosen[own[order[:count]]] = True
    return chosen


def listed(names: Sequence[str]) -> str:
    """The names for an error message, at most `MOST_LISTED` of them."""
    more = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
