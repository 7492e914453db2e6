"""What a data set is: named splits with roles, class names, prompt templates and a primary metric."""

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
    """Images that can tell, without decoding one, whether they are the same as others."""

    def identity(self) -> Iterable[bytes]:
        """What determines the pixels of all images: of files, path, size and times of change. May raise OSError."""
        ...


@runtime_checkable
class FromFiles(Protocol):
    """Images that are read from files: these are known by the content of the files, others by their pixels.

    Those that are encoded as JPEG, PNG and the like are `encoded.EncodedImages`. A class that changes the pixels of its
    files, e.g. cuts off a border, says how in an attribute `decoding`, a text.
    """

    def files(self) -> Sequence[str]:
        """The file of each image, or the one that holds all of them."""
        ...


@runtime_checkable
class Divisible(Images, Protocol):
    """Images of which some can be taken, and each of which has a key: held-out splits are drawn by the keys."""

    def keys(self) -> list[str]:
        """What each image is called within its data set, wherever that lies."""
        ...

    def taken(self, indices: np.ndarray) -> Self:
        """Those of the images at `indices`, int64 [N]."""
        ...


def file_identity(path: str | Path) -> bytes:
    """A file as it now is: its path, size in bytes, times of change and inode. Raises OSError when it is gone.

    Archives and copies carry the time of a change to the content along; that of a change to the file they cannot.
    """
    stat = os.stat(path)
    return os.fsencode(f"{os.path.abspath(path)} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}\n")


def digest_of(images: Identified) -> str | None:
    """What identifies images as they now are, in hex digits; None when a file is gone, which decoding will say."""
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

    `labels` is int64 [N]; `metric` names the split's primary metric (`evaluation.metrics`). A split whose labels are
    not the data set's classes, such as a set of 200 of ImageNet's 1000, says in `class_map`, int64 [classes], which
    label each class stands for, -1 for none: a prediction is then made among the classes that stand for one.
    `groups`, int64 [N], numbers each image's group for metrics over groups, -1 for none; `group_names` are their names
    by number, under which the accuracy of each group is recorded. `reference_errors` say that the groups are a grid of
    corruptions, called `corruption/severity`: they hold the errors of a model to compare with, by corruption, or none.
    `captions` are N texts, one for each image. A split with classes of its own, which are not the data set's, has their
    display names, in label order, in `class_names` and the templates of their prompts in `templates`: predictions are
    made among these classes alone.
    Raises ValueError for an unknown role or when images, labels, groups and captions differ in number.
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
        """The classes that the labels of the split are numbers of: its own, or those of its data set."""
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
    """A file or folder that a data set needs and does not find, and where it comes from."""

    path: Path
    source: str


@dataclass(frozen=True)
class Added:
    """A split that a data set has from another one: the `split` of `origin`, which is called `name` here.

    `labels`, int64 [classes of origin], are the labels that the classes have here, empty where they have none. `metric`
    is the primary one here; None: the one that the split has there. `role` is `ood`, or `ood_val` for what is so there
    too.
    """

    name: str
    origin: Dataset
    split: str
    labels: np.ndarray
    classes: int
    """The number of classes here."""
    metric: str | None = None
    role: str = "ood"

    def load(self) -> Split:
        """The split with the name, role and labels that it has here. Raises InputError where its metric needs groups
        that it does not have."""
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
    """Among which classes predictions on a split are; empty where these are all, and it has images of all.

    A publisher's split that lacks classes is as published.
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

    A subclass sets `name`, `class_names`, `templates` (each with one `{}` for the class name), `splits` (split name ->
    role, in the order of the table's columns) and implements `load`. Nothing is read before `missing` or `load` is
    called, and nothing is downloaded but by `fetch`.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""

    class_names: Sequence[str]
    class_ids: Sequence[str] = ()
    """What other data sets may call the classes that are to be taken for these, such as WordNet ids."""
    templates: Sequence[str]
    splits: dict[str, str]
    metric: str = "accuracy"
    is_own: ClassVar[bool] = False
    """The splits are the user's, not a publisher's."""
    held_out: bool = False
    """There is no id_val as such: it is cut from the training images. Few-shot cells then draw theirs from `train`."""
    draws: str = ""
    """Whose few-shot draws there are, where `few_shot_draw` makes them: part of what a trial's identity covers."""
    published: Mapping[str, int] = {}
    """Images that each split holds as published; a copy that holds another number is refused as incomplete."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._sieve: Callable[[Split], Split] | None = None
        self._loaded: dict[str, Split] = {}
        self.added: dict[str, Added] = {}
        """The OOD splits that come from other data sets, by the name that they have here."""

    def missing(self) -> list[Missing]:
        """The files that are needed and absent; empty when the data set can be loaded."""
        return []

    def fetch(self, say: Callable[[str], None]) -> bool:
        """Download what `missing` names to where it looks for it; False for a data set that has no download.

        `flyp-sweep data prepare` alone calls this. `say` is told what is under way, in lines; a library's own progress
        bar is welcome, as it shows on terminals only. Errors of any type become one line for the user, by
        `datasets.fetch.cause`; raise InputError to say it better.
        """
        return False

    @abstractmethod
    def load(self, split: str) -> Split:
        """Return the split `split`; its images are decoded only when indexed.

        Raises `search_spaces.errors.InputError` when a file cannot be read.
        """

    def split(self, name: str) -> Split:
        """As `load`, but read once: what was listed stays listed."""
        if name not in self._loaded:
            loaded = self.added[name].load() if name in self.added else self.load(name)
            self._loaded[name] = self._sieve(loaded) if self._sieve else loaded
        return self._loaded[name]

    def add(self, added: Added) -> None:
        """Have an OOD or OOD validation split more, which comes from another data set."""
        self.splits = {**self.splits, added.name: added.role}
        self.added[added.name] = added
        if added.split in added.origin.published:
            self.published = {**self.published, added.name: added.origin.published[added.split]}

    def sift(self, sieve: Callable[[Split], Split]) -> None:
        """Have `split` return what `sieve` makes of each split, e.g. without unreadable images."""
        self._sieve = sieve
        self._loaded = {name: sieve(split) for name, split in self._loaded.items()}

    def remarks(self) -> list[str]:
        """What a user should know of the data before a sweep, a line each."""
        return []

    def few_shot_draw(self, shots: int, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
        """The publisher's own draw of `shots` images per class, for a trial's `seed`: rows of train and of id_val.

        None: there is none, and the protocol draws.
        """
        return None

    def rules(self) -> list[str]:
        """How splits were made and are scored, where that is a choice: a line each, which stands below every table."""
        reported = [self.split(name) for name, role in self.splits.items() if role in REPORTED]
        return [
            f"{split.name}: predictions among {told}"
            for split in reported
            if (told := _among(split, self.class_names, split.name in self.added or self.is_own))
        ]

    def counts(self) -> dict[str, int]:
        """Images that each split holds here, to compare with `published`."""
        return {split: len(self.split(split)) for split in self.splits}

    @property
    def one_pool(self) -> bool:
        """Whether few-shot cells draw training and validation images, disjoint, from the training images."""
        return self.held_out or not self.named("id_val")

    def named(self, role: str) -> list[str]:
        """Names of the splits with this role."""
        return [name for name, its_role in self.splits.items() if its_role == role]


class OtherClasses(Dataset):
    """A data set with the classes of one of its splits, which are not its own, in place of its own."""

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
