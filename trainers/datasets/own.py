"""Your own data, described in the search space: what image folders and tables have in common."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.own_data import SPLITS, EvaluatedDataset, HeldOut, Splits
from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.base import Dataset, FromFiles, Images, Split
from flyp_sweep.trainers.datasets.class_labels import alike, are_numbers, in_order, listed, spelt
from flyp_sweep.trainers.datasets.listing import fixed_order


class OwnData(Dataset):
    """A data set described by `search_spaces.own_data.EvaluatedDataset`; `sources` says where each split is.

    Relative paths are looked for under `root`. The classes are those of the training split; every other split may
    hold a subset of them. Without a training split, which only evaluation allows, they are those of all splits. A
    subclass says which classes there are, and how a split is loaded.
    """

    name = ""

    def __init__(self, entry: EvaluatedDataset, sources: Splits, root: Path, shown_as: ShownAs) -> None:
        super().__init__(root)
        self.shown_as = shown_as
        self.name = entry.name  # type: ignore[misc]
        self.given_names = entry.class_names
        self.templates = entry.templates
        self.given_metric = entry.metric
        self.metric = entry.metric or "accuracy"
        own = {split: path for split in SPLITS if (path := getattr(sources, split)) is not None}
        id_val = own.get("id_val")
        self.fraction = id_val.fraction if isinstance(id_val, HeldOut) else None
        """The share of the training images that validate; None where id_val has a place of its own."""
        self.held_out = self.fraction is not None
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
        if self.fraction is None or split not in ("train", "id_val"):
            return whole
        assert isinstance(whole.images, Divisible)
        rows = np.flatnonzero(self._held_out(whole, self.fraction) == (split == "id_val"))
        return whole.taken(rows, whole.images.taken(rows))

    def base(self, split: str) -> Path:
        """The folder that the names of a split's images start from."""
        return self.paths[split]

    def _held_out(self, whole: Split, fraction: float) -> np.ndarray:
        """Which of the training images validate: bool [N], `fraction` of each class and one at least.

        An image is drawn by its own name, so neither more images in another class nor the place of the data change the
        draw. Raises InputError for a class of fewer than two images.
        """
        assert isinstance(whole.images, FromFiles)
        base = f"{self.base('train')}{os.sep}"
        names = [file.removeprefix(base) for file in whole.images.files()]
        chosen = np.zeros(len(whole), dtype=bool)
        for label in np.unique(whole.labels):
            own = np.flatnonzero(whole.labels == label)
            if len(own) < 2:
                raise InputError(
                    f"{self.paths['train']}: found 1 image of class {self.classes[label]!r}; expected 2 or more in "
                    "each class, to hold out a part for id_val; add images, or leave out the class"
                )
            count = min(max(1, round(fraction * len(own))), len(own) - 1)
            order = fixed_order([names[row] for row in own], "id_val")
            chosen[own[order[:count]]] = True
        return chosen

    def places(self) -> dict[Path, str]:
        """Each path with the first split that lies there: a held-out id_val lies with the training images."""
        found: dict[Path, str] = {}
        for split, path in self.paths.items():
            found.setdefault(path, split)
        return found

    def told(self, split: str, kind: str) -> str:
        """Which key in `dataset.<kind>` says where a split is, and what lies there by a like name."""
        key = split if split in SPLITS else f"ood.{split}"
        around = self.paths[split].parent
        like = nearest(self.paths[split].name, [one.name for one in around.iterdir()]) if around.is_dir() else ""
        return f"dataset.{kind}.{key} of {self.name!r} in the search space{like}"

    @property
    def fitted(self) -> list[str]:
        """The splits whose labels are the classes."""
        return ["train"] if "train" in self.paths else list(self.paths)

    @property
    def whole(self) -> str:
        """Where the classes come from, for messages."""
        return ", ".join(str(self.paths[split]) for split in self.fitted)

    def found_labels(self) -> list[str]:
        """The classes, of the training split where there is one. Raises InputError when it cannot be read."""
        return list(dict.fromkeys(label for split in self.fitted for label in self.labels_of(split)))

    @abstractmethod
    def labels_of(self, split: str) -> list[str]:
        """The labels of a split, each once. Raises InputError when it cannot be read."""

    @abstractmethod
    def left_out(self, split: str) -> str:
        """What of a split does not count, and why; empty when all does."""

    @cached_property
    def classes(self) -> list[str]:
        """The classes in label order: as in the YAML's mapping, else in natural order.

        Raises InputError when the YAML names another number of classes, or one that is not there.
        """
        given, found = self.given_names, in_order(self.found_labels())
        if isinstance(given, dict):
            absent = [name for name in given if name not in found]
            if absent:
                raise InputError(
                    f"dataset.class_names: found {absent[0]!r}; expected classes of {self.whole}: "
                    f"{listed(found)}{nearest(absent[0], found)}"
                )
            return list(given)
        if given is not None and len(given) != len(found):
            raise InputError(
                f"dataset.class_names: found {counted(len(given), 'name')}; expected {len(found)}, "
                f"one for each class of {self.whole} in natural order: {listed(found)}"
            )
        return found

    @property
    def class_names(self) -> list[str]:  # type: ignore[override]
        """Display names in label order."""
        given, classes = self.given_names, self.classes
        if given is None:
            return [name.replace("_", " ") for name in classes]
        return [given[name] for name in classes] if isinstance(given, dict) else list(given)

    def check_classes(self) -> None:
        """Raise InputError for training data without two classes, an empty class, or one class under two labels.

        Labels that `class_names` maps to names are taken as they are.
        """
        train, found = self.paths["train"], in_order(self.found_labels())
        if len(found) < 2:
            raise InputError(f"{train}: found {self._only(found)}; expected at least 2 classes")
        if not isinstance(self.given_names, dict) and (pair := alike(found)):
            raise InputError(
                f"{train}: found the classes {spelt(pair[0])} and {spelt(pair[1])}, which differ only in case, spaces, "
                "zeros or Unicode form; make them one, or name both in a mapping dataset.class_names"
            )
        counts = np.bincount(self.split("train").labels, minlength=len(self.classes))
        if not counts.all():
            empty = self.classes[int(counts.argmin())]
            left_out = self.left_out("train")
            raise InputError(
                f"{train}: found no image of class {spelt(empty)}{f' (left out: {left_out})' if left_out else ''}; "
                "expected at least one; add images, or remove the class"
            )

    def _only(self, found: list[str]) -> str:
        """The one class, or none, of the training split in words."""
        return f"the one class {spelt(found[0])}" if found else "no class"

    def remarks(self) -> list[str]:
        """See `Dataset.remarks`."""
        lines = [f"{split}: left out {found}" for split in self.paths if (found := self.left_out(split))]
        if set(self.splits) <= {"train", "id_val"}:
            lines.append("has neither id_test nor ood: tables will hold no numbers")
        if self.given_names is None and are_numbers(self.classes):
            prompt = self.templates[0].format(self.classes[0])
            lines.append(f"classes are numbers: prompts read {prompt!r}; dataset.class_names can give them names")
        for split in self.paths:
            counts = np.bincount(self.split(split).labels, minlength=len(self.classes))
            if not counts.all():
                lines.append(partial(split, self.splits[split], self.classes, counts))
        return lines


def partial(split: str, role: str, classes: Sequence[str], counts: np.ndarray) -> str:
    """What it means that a split has no image of some classes; `counts` are its images per class."""
    absent = [classes[label] for label in np.flatnonzero(counts == 0).tolist()]
    means = "selection sees none of" if role == "id_val" else "predictions are among all classes, also"
    return f"{split}: has images of {np.count_nonzero(counts)} of {len(counts)} classes; {means} {listed(absent)}"


@runtime_checkable
class Divisible(FromFiles, Protocol):
    """Images of which a part can be had."""

    def taken(self, indices: np.ndarray) -> Images:
        """Those of the images at `indices`, int64 [N]."""
        ...
