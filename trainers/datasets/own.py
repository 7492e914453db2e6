"""The common part of all readers of your own data, which the search space describes."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.own_data import SPLITS, HeldOut, OwnDataset
from flyp_sweep.search_spaces.roles import FITTED, REPORTED
from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.base import Dataset, Divisible, Split
from flyp_sweep.trainers.datasets.class_labels import alike, are_numbers, in_order, listed, spelt
from flyp_sweep.trainers.datasets.listing import fixed_order

WORST_GROUP = "worst_group_accuracy"
MOST_GROUPS = 1000
"""The largest number of groups in a split: the ledger records each group's accuracy at every alpha."""


class OwnData(Dataset):
    """A data set that the search space describes. Each subclass reads one form of data.

    Relative paths start from `root`. The classes are those of the training split; other splits may lack some. Without a
    training split, which is allowed for evaluation only, they are the classes of all splits. A reader lists the classes
    and loads the splits.
    """

    name = ""
    is_own: ClassVar[bool] = True
    entry_type: ClassVar[type[OwnDataset]]
    """The YAML section that this reader reads."""
    stratum: ClassVar[str] = "each class"
    """The unit that a stratified held-out part is drawn from."""

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
        """The splits that are held out of the training images, and how."""
        self.held_out = "id_val" in self.held
        places = own | dict.fromkeys(self.held, own.get("train", "")) | entry.sources.shifted
        self.sources: dict[str, str] = places
        """The location of each split, as in the YAML; that of a held-out split is the training images' location."""
        self.splits = entry.sources.roles
        self.among = entry.predict_among
        """Split -> the classes that predictions on it choose from, if the YAML says so."""

    @cached_property
    def paths(self) -> dict[str, Path]:
        """The path of each split, for readers whose locations are paths."""
        return {split: self.resolve(place) for split, place in self.sources.items()}

    def resolve(self, path: str) -> Path:
        """The absolute path of a path in the search space."""
        return self.root / os.path.expanduser(path)

    def where(self, split: str) -> str:
        """The location of a split, for messages."""
        return str(self.paths[split])

    def if_new(self, split: str) -> str:
        """Advice, for messages, if a reported split has classes that training lacks."""
        told = f"; if {split} has classes of its own, write predict_among: {{{split}: own}}"
        return told if self.splits[split] in REPORTED else ""

    @abstractmethod
    def read(self, split: str) -> Split:
        """The whole split at `sources[split]`. Raises InputError if it cannot be read."""

    def groups_of(self, split: str) -> Sequence[str] | None:
        """The group name of each image, in the order of `read`; None if the images have no groups."""
        return None

    def load(self, split: str) -> Split:
        """As `read`, with groups and scoring rule. If splits are held out of the training images, selects the split's
        images."""
        whole = self._in_groups(self.read(split))
        if self.held and split in ("train", *self.held):
            assert isinstance(whole.images, Divisible)
            rows = np.flatnonzero(self._parts(whole) == split)
            whole = whole.taken(rows, whole.images.taken(rows))
        if self.among.get(split) == "present":
            labels = np.arange(len(self.classes))
            return replace(whole, class_map=np.where(np.isin(labels, whole.labels), labels, -1))
        if self.among.get(split) == "own":
            names = self._displayed(self.classes_of(split)) if split in self.apart else self.class_names
            return replace(whole, class_names=names, templates=self.templates)
        return whole

    def _in_groups(self, split: Split) -> Split:
        """The split with its groups, in natural order. Raises InputError for too many groups, and for none if the
        metric needs them.

        In train and id_val, groups are kept only if selection uses them. Otherwise they would change the ids of trials
        that do not depend on them.
        """
        if split.groups is not None:  # the reader has set them
            return split
        needed = self.metric == WORST_GROUP
        names = self.groups_of(split.name) if needed or split.role in REPORTED else None
        if names is None:
            if needed:
                raise InputError(
                    f"dataset.metric: found {WORST_GROUP}, and no groups in {split.name} of {self.name!r} "
                    f"({self.where(split.name)}); expected a table whose columns.group names some, or another metric"
                )
            return split
        distinct = in_order(dict.fromkeys(names))
        if len(distinct) > MOST_GROUPS:
            raise InputError(
                f"{self.where(split.name)}: found {len(distinct):,} groups in {split.name}; expected {MOST_GROUPS:,} "
                "at most, as the accuracy of each is recorded; name another column as dataset.columns.group"
            )
        numbers = {name: number for number, name in enumerate(distinct)}
        return replace(split, groups=np.array([numbers[name] for name in names]), group_names=tuple(distinct))

    def rules(self) -> list[str]:
        """The rules of all data sets, plus: which splits are held out and how, and which texts training reads."""
        captioned = "train" in self.splits and self.split("train").captions is not None
        texts = ["train: contrastive losses pair each image with its caption, not with a prompt"] if captioned else []
        return [*(self._held_out_rule(split, held) for split, held in self.held.items()), *texts, *super().rules()]

    def _held_out_rule(self, split: str, held: HeldOut) -> str:
        """A held-out split's rule, in words."""
        of = self.stratum if held.stratified else "all images"
        share = f"fold {held.fold} of {held.folds}" if held.fraction is None else f"{100 * held.fraction:g}%"
        return f"{split}: {share} of {of}, held out of train, drawn with seed {held.seed}"

    def _parts(self, whole: Split) -> np.ndarray:
        """The split of each training image, texts [N]. All folds share one id_test."""
        parts = np.full(len(whole), "train", dtype=object)
        for split in sorted(self.held):
            held = self.held[split]
            if held.folds is None or held.fold is not None:
                parts[self._held_out(whole, split, held, parts == "train")] = split
        return parts

    def strata(self, whole: Split) -> np.ndarray:
        """int64 [N]: the stratum of each training image. A part of every stratum is held out."""
        return whole.labels

    def _held_out(self, whole: Split, split: str, held: HeldOut, free: np.ndarray) -> np.ndarray:
        """The rows of the training images that are held out as `split`, int64 [n], chosen from `free`, bool [N].

        They are a fraction of each stratum, at least one image, or, without strata, of all images. With folds, the
        sizes differ by at most one. The draw depends on each image's own name: images added to another class, or
        another location of the data, do not change it. Folds are dealt continuously over the classes. Raises InputError
        for a class, or a whole, of fewer than two images.
        """
        assert isinstance(whole.images, Divisible)
        keys, salt = whole.images.keys(), f"{split} {held.seed}" if held.seed else split
        one = np.zeros(len(whole), dtype=np.int64)
        self._check_two(whole, split, whole.labels if held.stratified else one, free)
        strata = self.strata(whole) if held.stratified else one
        chosen, dealt = [], 0
        for stratum in np.unique(strata):
            own, every = np.flatnonzero((strata == stratum) & free), int((strata == stratum).sum())
            drawn = own[fixed_order([keys[row] for row in own], salt)]
            if held.fraction is not None:
                chosen.append(drawn[: min(max(1, round(held.fraction * every)), max(len(own) - 1, 0))])
            elif held.folds and held.fold:
                chosen.append(drawn[(dealt + np.arange(len(own))) % held.folds == held.fold - 1])
                dealt += len(own)
        rows = np.concatenate(chosen)
        if not len(rows):
            rule = (
                f"{held.folds} images, one for each fold; take fewer folds"
                if held.folds
                else (f"some of {self.stratum} with 2 or more; add images, or set stratified: false")
            )
            raise InputError(f"{self.where('train')}: found no image to hold out for {split}; expected {rule}")
        return rows

    def _check_two(self, whole: Split, split: str, classes: np.ndarray, free: np.ndarray) -> None:
        """Raise InputError if one of the `classes`, int64 [N], has fewer than two free images."""
        counts = np.bincount(classes[free], minlength=int(classes.max()) + 1)
        for label in np.unique(classes):
            if counts[label] < 2:
                of = f" of class {self.classes[label]!r}" if classes is whole.labels else ""
                raise InputError(
                    f"{self.where('train')}: found {counted(counts[label], 'image')}{of}; expected 2 or more in each "
                    f"class, to hold out a part for {split}; add images, or leave out the class"
                )

    def places(self) -> dict[Path, str]:
        """Each path, and the first split at that path. A held-out split is at the path of the training images."""
        found: dict[Path, str] = {}
        for split, path in self.paths.items():
            found.setdefault(path, split)
        return found

    def told(self, split: str) -> str:
        """The YAML key of a split's location, and similar names found there, for messages."""
        key = split if split in SPLITS else f"{self.splits[split]}.{split}"
        around = self.paths[split].parent
        like = nearest(self.paths[split].name, [one.name for one in around.iterdir()]) if around.is_dir() else ""
        key_of_split = f"dataset.{self.splits_key}.{key} of {self.name!r} in the search space"
        return with_hint(key_of_split, like)

    @property
    def fitted(self) -> list[str]:
        """The splits that determine the classes."""
        return ["train"] if "train" in self.sources else list(self.sources)

    @property
    def whole(self) -> str:
        """The origin of the classes, for messages."""
        return ", ".join(map(self.where, self.fitted))

    def found_labels(self) -> list[str]:
        """The classes of the training split, else of all splits. Raises InputError if it cannot be read."""
        return list(dict.fromkeys(label for split in self.fitted for label in self.labels_of(split)))

    @abstractmethod
    def labels_of(self, split: str) -> list[str]:
        """The distinct labels of a split. Raises InputError if it cannot be read."""

    def ordered(self, labels: Sequence[str]) -> list[str]:
        """`labels` in label order. Default: natural order."""
        return in_order(labels)

    @abstractmethod
    def left_out(self, split: str) -> str:
        """What the reader leaves out of a split, and why; empty if nothing."""

    @cached_property
    def classes(self) -> list[str]:
        """The classes in label order: that of the YAML's mapping, else that of `ordered`.

        Raises InputError if the YAML names another number of classes, or an unknown one.
        """
        given, found = self.given_names, self.ordered(self.found_labels())
        if isinstance(given, dict):
            new = {label for split in self.apart for label in self.labels_of(split)} - {*found}
            given = {name: shown for name, shown in given.items() if name not in new}
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
        """The templates in the YAML."""
        return self.given_templates

    @property
    def class_ids(self) -> list[str]:  # type: ignore[override]
        """The names of the classes in the data."""
        return self.classes

    @property
    def class_names(self) -> list[str]:  # type: ignore[override]
        """Display names in label order."""
        given, classes = self.given_names, self.classes
        return list(given) if isinstance(given, tuple) else self._displayed(classes)

    def _displayed(self, classes: Sequence[str]) -> list[str]:
        """The display names of the classes, if the YAML does not list them in order."""
        given = self.given_names if isinstance(self.given_names, dict) else {}
        return [given.get(name, name.replace("_", " ")) for name in classes]

    @property
    def apart(self) -> list[str]:
        """The splits with classes of their own, other than those of training."""
        return [split for split, among in self.among.items() if among == "own" and "train" in self.sources]

    def classes_of(self, split: str) -> list[str]:
        """The classes that the labels of a split index: those of training, or the split's own in natural order.

        Raises InputError for fewer than two own classes.
        """
        if split not in self.apart:
            return self.classes
        found = self.ordered(self.labels_of(split))
        if len(found) < 2:
            raise InputError(f"{self.where(split)}: found {self._only(found)}; expected at least 2 classes of its own")
        return found

    def check_classes(self) -> None:
        """Raise InputError for fewer than two classes, an empty class, or labels that look like one class.

        Labels with a display name in `class_names` may look alike.
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
        """The only class of the training split, or its absence, in words."""
        return f"the one class {spelt(found[0])}" if found else "no class"

    def remarks(self) -> list[str]:
        """See `Dataset.remarks`."""
        lines = [f"{split}: left out {found}" for split in self.sources if (found := self.left_out(split))]
        if set(self.splits) <= {*FITTED}:
            lines.append("has neither id_test nor ood: tables will hold no numbers")
        if self.given_names is None and are_numbers(self.classes):
            prompt = self.templates[0].format(self.classes[0])
            lines.append(f"classes are numbers: prompts read {prompt!r}; dataset.class_names can give them names")
        if "id_val" in self.sources:
            absent = np.bincount(self.split("id_val").labels, minlength=len(self.classes)) == 0
            if absent.any():
                names = listed([self.classes[label] for label in np.flatnonzero(absent)])
                has = f"has images of {np.count_nonzero(~absent)} of {len(absent)} classes"
                lines.append(f"id_val: {has}; selection sees none of {names}")
        return lines + self.particulars()

    def particulars(self) -> list[str]:
        """Those remarks that still apply if the splits are added to another data set, one line each."""
        return []


def with_hint(told: str, hint: str) -> str:
    """`told`, and a hint in parentheses, or none: a text that stands in parentheses itself."""
    return "; ".join(filter(None, (told, hint.strip(" ()"))))
