"""The base class of data sets: named splits with roles, class names, prompt templates and a primary metric."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from PIL import Image

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.roles import REPORTED, ROLES
from flyp_sweep.trainers.datasets.class_labels import listed


class Images(Protocol):
    """A sequence of images: `len()`, and `[i]` decodes image i to an RGB `PIL.Image`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Image.Image: ...


@runtime_checkable
class Identified(Protocol):
    """Images that can be compared with others without decoding."""

    def identity(self) -> Iterable[bytes]:
        """Bytes that determine the pixels of all images: of a file, its path, size and times of change. May raise
        OSError."""
        ...


@runtime_checkable
class FromFiles(Protocol):
    """Images that are read from files. The contents of the files identify them; other images are identified by pixels.

    JPEG, PNG and similar images are `encoded.EncodedImages`. A class that changes the pixels of its files, e.g. crops a
    border, describes the change in a text attribute `decoding`.
    """

    def files(self) -> Sequence[str]:
        """The file of each image, or the one file that holds all images."""
        ...


@runtime_checkable
class Divisible(Images, Protocol):
    """Images with keys, of which subsets can be taken. Held-out splits are drawn by the keys."""

    def keys(self) -> list[str]:
        """A name for each image within its data set, independent of the data set's location."""
        ...

    def taken(self, indices: np.ndarray) -> Self:
        """The images at `indices`, int64 [N]."""
        ...


def file_identity(path: str | Path) -> bytes:
    """The current state of a file: its path, size in bytes, times of change and inode. Raises OSError if it is absent.

    Archives and copies preserve the time of a content change, but not the time of a change to the file.
    """
    stat = os.stat(path)
    return os.fsencode(f"{os.path.abspath(path)} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}\n")


def digest_of(images: Identified) -> str | None:
    """A digest of the images' current state, in hex; None if a file is absent, which decoding will report."""
    digest = hashlib.sha256()
    try:
        for part in images.identity():
            digest.update(part)
    except OSError:
        return None
    return digest.hexdigest()


@dataclass(frozen=True)
class Split:
    """Images and labels of one split.

    - `labels`: int64 [N]. `metric`: the split's primary metric, a name in `evaluation.metrics`.
    - `class_map`, int64 [classes]: for splits whose labels are not the data set's classes, such as a subset of 200 of
      ImageNet's 1000. It maps each class to a label, or to -1 for none. Predictions are then made among the classes
      with a label.
    - `groups`, int64 [N]: each image's group for metrics over groups, -1 for none. `group_names`: the names by number;
      the accuracy of each group is recorded under its name.
    - `reference_errors`: marks the groups as a grid of corruptions, named `corruption/severity`. It holds a reference
      model's errors by corruption, or is empty.
    - `captions`: N texts, one per image.
    - `class_names` and `templates`: for splits with classes of their own, not those of the data set: display names in
      label order, and prompt templates. Predictions are then made among these classes only.

    Raises ValueError for an unknown role, or if images, labels, groups and captions differ in number.
    """

    name: str
    role: str
    images: Images
    labels: np.ndarray
    metric: str = "accuracy"
    class_map: np.ndarray | None = None
    groups: np.ndarray | None = None
    group_names: tuple[str, ...] = ()
    reference_errors: Mapping[str, float] | None = None
    captions: Sequence[str] | None = None
    class_names: Sequence[str] | None = None
    templates: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"split {self.name!r} has role {self.role!r}; roles are {', '.join(ROLES)}")
        if len(self.images) != len(self.labels):
            raise ValueError(
                f"split {self.name!r} has {counted(len(self.images), 'image')} but {counted(len(self.labels), 'label')}"
            )
        for one, each in (("group", self.groups), ("caption", self.captions)):
            if each is not None and len(each) != len(self.labels):
                raise ValueError(
                    f"split {self.name!r} has {counted(len(self.labels), 'label')} but {counted(len(each), one)}"
                )

    def __len__(self) -> int:
        return len(self.labels)

    def taken(self, rows: np.ndarray, images: Images) -> Split:
        """The part of the split at `rows`, int64 [N], whose images are `images`."""
        groups = None if self.groups is None else self.groups[rows]
        captions = None if self.captions is None else [self.captions[row] for row in rows.tolist()]
        return replace(self, images=images, labels=self.labels[rows], groups=groups, captions=captions)

    def names(self, dataset: Dataset) -> Sequence[str]:
        """The names of the classes that the labels index: the split's own, or those of its data set."""
        return dataset.class_names if self.class_names is None else self.class_names

    def class_of(self, dataset: Dataset, label: int) -> str:
        """The display name of the class that `label` stands for."""
        if self.class_map is not None:
            label = int(np.flatnonzero(self.class_map == label)[0])
        return self.names(dataset)[label]


@dataclass(frozen=True)
class Subset:
    """A view of some images of a split, in the order of `indices`, int64 [N]."""

    images: Images
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Image.Image:
        return self.images[int(self.indices[index])]


@dataclass(frozen=True)
class Missing:
    """A file or folder that a data set needs and cannot find, and its source."""

    path: Path
    source: str


@dataclass(frozen=True)
class Added:
    """A split from another data set: the `split` of `origin`, named `name` in the receiving data set.

    `labels`, int64 [classes of origin], maps classes of the origin to labels of the receiver; it is empty if they do
    not correspond. `metric` is the primary metric (None: that of the origin). `role` is `ood`, or `ood_val` if the
    split is one in its origin.
    """

    name: str
    origin: Dataset
    split: str
    labels: np.ndarray
    classes: int
    """The receiver's number of classes."""
    metric: str | None = None
    role: str = "ood"

    def load(self) -> Split:
        """The split with the receiver's name, role and labels. Raises InputError if its metric needs groups and it has
        none."""
        found = self.origin.split(self.split)
        changed: dict[str, Any] = {"name": self.name, "role": self.role, "metric": self.metric or found.metric}
        if changed["metric"] == "worst_group_accuracy" and found.groups is None:
            raise InputError(
                f"evaluate: found no groups in {self.split} of data set {self.origin.name!r}, which is scored by the "
                "worst_group_accuracy of the model's data set; expected columns.group, or a metric of its own"
            )
        if found.class_names is not None:
            return replace(found, **changed)
        if found.class_map is None:
            return replace(found, labels=self.labels[found.labels], **changed)
        class_map = np.full(self.classes, -1, dtype=np.int64)
        class_map[self.labels] = found.class_map
        return replace(found, class_map=class_map, **changed)


def _among(split: Split, classes: Sequence[str], is_own: bool) -> str:
    """The classes that predictions on a split choose from, in words; empty if they are all classes and all have images.

    Published splits without some classes are not reported.
    """
    if split.class_names is not None:
        return f"the {len(split.class_names):,} classes of its own, which training does not have"
    if split.class_map is not None:
        return f"the {np.count_nonzero(split.class_map >= 0):,} of {len(classes):,} classes that it has labels of"
    absent = np.flatnonzero(np.bincount(split.labels, minlength=len(classes)) == 0).tolist()
    if not is_own or not absent:
        return ""
    return f"all {len(classes):,} classes, also those without an image: {listed([classes[at] for at in absent])}"


class Dataset(ABC):
    """One data set in its publisher's own layout.

    A subclass sets `name`, `class_names`, `templates` (each with one `{}` for the class name) and `splits` (split name
    -> role, in the column order of tables), and implements `load`. It must not read anything before `missing` or `load`
    is called, and must not download outside `fetch`.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""

    class_names: Sequence[str]
    class_ids: Sequence[str] = ()
    """Identifiers of the classes, such as WordNet ids: other data sets may use them as class names."""
    templates: Sequence[str]
    splits: dict[str, str]
    metric: str = "accuracy"
    is_own: ClassVar[bool] = False
    """Whether the splits come from the user, not from a publisher."""
    held_out: bool = False
    """Whether id_val is cut from the training images. Few-shot cells then draw validation images from `train`."""
    draws: str = ""
    """The source of published few-shot draws, if `few_shot_draw` returns them; it is part of a trial's identity."""
    published: Mapping[str, int] = {}
    """Published number of images per split. A copy with another number is refused as incomplete."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sieve: Callable[[Split], Split] | None = None
        self._loaded: dict[str, Split] = {}
        self.added: dict[str, Added] = {}
        """OOD splits from other data sets, by their name in this one."""

    def missing(self) -> list[Missing]:
        """The needed files that are absent; empty if the data set can be loaded."""
        return []

    def fetch(self, say: Callable[[str], None]) -> bool:
        """Download the files that `missing` lists to where `missing` looks; False if the data set has no download.

        Only `flyp-sweep data prepare` calls this. `say` prints a line of progress. Progress bars of libraries are
        welcome, as they show only on terminals. `datasets.fetch.cause` turns any error into one line for the user;
        raise InputError for a better message.
        """
        return False

    @abstractmethod
    def load(self, split: str) -> Split:
        """Return the split `split`, whose images are decoded only when indexed.

        Raises `search_spaces.errors.InputError` for a file that cannot be read.
        """

    def split(self, name: str) -> Split:
        """As `load`, but cached: later calls return the same listing."""
        if name not in self._loaded:
            loaded = self.added[name].load() if name in self.added else self.load(name)
            self._loaded[name] = self._sieve(loaded) if self._sieve else loaded
        return self._loaded[name]

    def add(self, added: Added) -> None:
        """Add an OOD or OOD validation split from another data set."""
        self.splits = {**self.splits, added.name: added.role}
        self.added[added.name] = added
        if added.split in added.origin.published:
            self.published = {**self.published, added.name: added.origin.published[added.split]}

    def sift(self, sieve: Callable[[Split], Split]) -> None:
        """Apply `sieve` to each split that `split` returns, e.g. to drop unreadable images."""
        self._sieve = sieve
        self._loaded = {name: sieve(split) for name, split in self._loaded.items()}

    def remarks(self) -> list[str]:
        """Remarks about the data for the user, one line each, before a sweep."""
        return []

    def few_shot_draw(self, shots: int, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The publisher's draw of `shots` images per class for a trial's `seed`: rows of train and of id_val.

        None if there is no published draw: the trial then draws its own.
        """
        return None

    def rules(self) -> list[str]:
        """One line per choice in how splits were made and are scored. They are printed below every table."""
        reported = [self.split(name) for name, role in self.splits.items() if role in REPORTED]
        return [
            f"{split.name}: predictions among {told}"
            for split in reported
            if (told := _among(split, self.class_names, split.name in self.added or self.is_own))
        ]

    def counts(self) -> dict[str, int]:
        """Number of images per split in this copy, to compare with `published`."""
        return {split: len(self.split(split)) for split in self.splits}

    @property
    def one_pool(self) -> bool:
        """Whether few-shot cells draw both training and validation images, disjoint, from the training images."""
        return self.held_out or not self.named("id_val")

    def named(self, role: str) -> list[str]:
        """Names of the splits with this role."""
        return [name for name, its_role in self.splits.items() if its_role == role]


class OtherClasses(Dataset):
    """A data set with the classes of one of its splits, instead of its own."""

    name = ""

    def __init__(self, dataset: Dataset, split: Split) -> None:
        super().__init__(dataset.root)
        self.name = dataset.name  # type: ignore[misc]
        self.class_names = split.names(dataset)
        self.templates = split.templates or dataset.templates
        self.splits = dataset.splits
        self.dataset = dataset

    def load(self, split: str) -> Split:
        return self.dataset.split(split)
