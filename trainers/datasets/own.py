"""Your own data, described in the search space: what all readers have in common."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.own_data import SPLITS, HeldOut, OwnDataset
from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.base import Dataset, Split
from flyp_sweep.trainers.datasets.class_labels import alike, are_numbers, in_order, listed, spelt
from flyp_sweep.trainers.datasets.encoded import EncodedImages
from flyp_sweep.trainers.datasets.listing import fixed_order


class OwnData(Dataset):
    """A data set that the search space describes. A subclass is a reader: of one form in which people keep data.

    Relative paths are looked for under `root`. The classes are those of the training split; every other split may
    hold a subset of them. Without a training split, which only evaluation allows, they are those of all splits. A
    reader says which classes there are, and how a split is loaded.
    """

    name = ""
    entry_type: ClassVar[type[OwnDataset]]
    """The part of the YAML that this reader reads."""

    def __init__(self, entry: OwnDataset, root: Path, shown_as: ShownAs = "viewer") -> None:
        super().__init__(root)
        self.shown_as = shown_as
        self.name = entry.name  # type: ignore[misc]
        self.splits_key = entry.splits_key
        self.given_names = entry.class_names
        self.given_templates = entry.templates
        self.given_metric = entry.metric
        self.metric = entry.metric or "accuracy"
        own = {split: place for split in SPLITS if (place := getattr(entry.sources, split)) is not None}
        self.held = {split: place for split, place in own.items() if isinstance(place, HeldOut)}
        """The splits that are cut from the training images, and how."""
        self.held_out = "id_val" in self.held
        places = own | dict.fromkeys(self.held, own.get("train", "")) | entry.sources.ood
        self.sources: dict[str, str] = places
        """Where each split lies, in the words of the YAML; one that is held out lies with the training images."""
        self.splits = {split: split if split in own else "ood" for split in self.sources}

    @cached_property
    def paths(self) -> dict[str, Path]:
        """Where each split lies, of readers whose places are paths."""
        return {split: self.resolve(place) for split, place in self.sources.items()}

    def resolve(self, path: str) -> Path:
        """Where a path of the search space leads."""
        return self.root / os.path.expanduser(path)

    def where(self, split: str) -> str:
        """Where a split lies, for messages."""
        return str(self.paths[split])

    @abstractmethod
    def read(self, split: str) -> Split:
        """The split that lies in `sources[split]`, whole. Raises InputError when it cannot be read."""

    def load(self, split: str) -> Split:
        """As `read`; where splits are held out of the training images, these are cut."""
        whole = self.read(split)
        if not self.held or split not in ("train", *self.held):
            return whole
        assert isinstance(whole.images, EncodedImages)
        rows = np.flatnonzero(self._parts(whole) == split)
        return whole.taken(rows, whole.images.taken(rows))

    def _parts(self, whole: Split) -> np.ndarray:
        """The split that each of the training images belongs to, texts [N]."""
        parts = np.full(len(whole), "train", dtype=object)
        for split, held in self.held.items():
            parts[self._held_out(whole, split, held, parts == "train")] = split
        return parts

    def _held_out(self, whole: Split, split: str, held: HeldOut, free: np.ndarray) -> np.ndarray:
        """The rows of the training images that are held out as `split`, int64 [n], of those that are `free`, bool [N].

        They are a fraction of each class and one at least, or, without strata, of all. An image is drawn by its own
        name, so neither more images in another class nor the place of the data change the draw. Raises InputError for a
        class, or a whole, of fewer than two images.
        """
        assert isinstance(whole.images, EncodedImages)
        keys, salt = whole.images.keys(), f"{split} {held.seed}" if held.seed else split
        strata = np.unique(whole.labels) if held.stratified else [whole.labels]
        chosen = []
        for stratum in (whole.labels == one for one in strata):
            own, every = np.flatnonzero(stratum & free), int(stratum.sum())
            if len(own) < 2:
                of = f" of class {self.classes[whole.labels[stratum][0]]!r}" if held.stratified else ""
                raise InputError(
                    f"{self.where('train')}: found {counted(len(own), 'image')}{of}; expected 2 or more in each class, "
                    f"to hold out a part for {split}; add images, or leave out the class"
                )
            count = min(max(1, round(held.fraction * every)), len(own) - 1)
            chosen.append(own[fixed_order([keys[row] for row in own], salt)[:count]])
        return np.concatenate(chosen)

    def places(self) -> dict[Path, str]:
        """Each path with the first split that lies there: a held-out one lies with the training images."""
        found: dict[Path, str] = {}
        for split, path in self.paths.items():
            found.setdefault(path, split)
        return found

    def told(self, split: str) -> str:
        """Which key of the YAML says where a split is, and what lies there by a like name."""
        key = split if split in SPLITS else f"ood.{split}"
        around = self.paths[split].parent
        like = nearest(self.paths[split].name, [one.name for one in around.iterdir()]) if around.is_dir() else ""
        return f"dataset.{self.splits_key}.{key} of {self.name!r} in the search space{like}"

    @property
    def fitted(self) -> list[str]:
        """The splits whose labels are the classes."""
        return ["train"] if "train" in self.sources else list(self.sources)

    @property
    def whole(self) -> str:
        """Where the classes come from, for messages."""
        return ", ".join(map(self.where, self.fitted))

    def found_labels(self) -> list[str]:
        """The classes, of the training split where there is one. Raises InputError when it cannot be read."""
        return list(dict.fromkeys(label for split in self.fitted for label in self.labels_of(split)))

    @abstractmethod
    def labels_of(self, split: str) -> list[str]:
        """The labels of a split, each once. Raises InputError when it cannot be read."""

    def ordered(self, labels: Sequence[str]) -> list[str]:
        """`labels` in the order in which they are numbered: their natural one."""
        return in_order(labels)

    @abstractmethod
    def left_out(self, split: str) -> str:
        """What of a split does not count, and why; empty when all does."""

    @cached_property
    def classes(self) -> list[str]:
        """The classes in label order: as in the YAML's mapping, else as `ordered` says.

        Raises InputError when the YAML names another number of classes, or one that is not there.
        """
        given, found = self.given_names, self.ordered(self.found_labels())
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
                f"one for each class of {self.whole}, in this order: {listed(found)}"
            )
        return found

    @property
    def templates(self) -> Sequence[str]:  # type: ignore[override]
        """Those of the YAML."""
        return self.given_templates

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
        train, found = self.where("train"), in_order(self.found_labels())
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
        lines = [f"{split}: left out {found}" for split in self.sources if (found := self.left_out(split))]
        if set(self.splits) <= {"train", "id_val"}:
            lines.append("has neither id_test nor ood: tables will hold no numbers")
        if self.given_names is None and are_numbers(self.classes):
            prompt = self.templates[0].format(self.classes[0])
            lines.append(f"classes are numbers: prompts read {prompt!r}; dataset.class_names can give them names")
        for split in self.sources:
            counts = np.bincount(self.split(split).labels, minlength=len(self.classes))
            if not counts.all():
                lines.append(partial(split, self.splits[split], self.classes, counts))
        return lines


def partial(split: str, role: str, classes: Sequence[str], counts: np.ndarray) -> str:
    """What it means that a split has no image of some classes; `counts` are its images per class."""
    absent = [classes[label] for label in np.flatnonzero(counts == 0).tolist()]
    means = "selection sees none of" if role == "id_val" else "predictions are among all classes, also"
    return f"{split}: has images of {np.count_nonzero(counts)} of {len(counts)} classes; {means} {listed(absent)}"
