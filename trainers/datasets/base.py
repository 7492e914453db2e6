"""What a data set is: named splits with roles, class names, prompt templates and a primary metric."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from PIL import Image

ROLES = ("train", "id_val", "id_test", "ood")


class Images(Protocol):
    """A sequence of images: `len()`, and `[i]` decodes image i to an RGB `PIL.Image`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Image.Image: ...


@dataclass(frozen=True)
class Split:
    """Images and labels of one split.

    `labels` is int64 [N]; `metric` names the split's primary metric (see `trainers.metrics`).
    Raises ValueError for an unknown role or when images and labels differ in number.
    """

    name: str
    role: str
    images: Images
    labels: np.ndarray
    metric: str = "accuracy"

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"split {self.name!r} has role {self.role!r}; roles are {', '.join(ROLES)}")
        if len(self.images) != len(self.labels):
            raise ValueError(f"split {self.name!r} has {len(self.images)} images but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)


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


class Dataset(ABC):
    """One data set in its publisher's own layout.

    A subclass sets `name`, `class_names`, `templates` (each with one `{}` for the class name), `splits` (split name ->
    role, in the order of the table's columns) and implements `load`. Nothing is read before `missing`, `load` or
    `fingerprint` is called, and nothing is ever downloaded.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""

    class_names: Sequence[str]
    templates: Sequence[str]
    splits: dict[str, str]
    metric: str = "accuracy"

    def __init__(self, root: Path) -> None:
        self.root = root

    def missing(self) -> list[Missing]:
        """The files that are needed and absent; empty when the data set can be loaded."""
        return []

    @abstractmethod
    def load(self, split: str) -> Split:
        """Return the split `split`; its images are decoded only when indexed.

        Raises `search_spaces.errors.InputError` when a file cannot be read.
        """

    def fingerprint(self) -> str:
        """Hex digest of what determines results besides the pixels: classes, templates, labels of every split.

        It goes into every trial id. The folder the data lies in does not: the same data elsewhere is the same trial.
        """
        digest = hashlib.sha256(
            json.dumps([self.name, list(self.class_names), list(self.templates), self.splits, self.metric]).encode()
        )
        for split in self.splits:
            digest.update(self.load(split).labels.tobytes())
        return digest.hexdigest()[:16]

    def named(self, role: str) -> list[str]:
        """Names of the splits with this role."""
        return [name for name, its_role in self.splits.items() if its_role == role]
