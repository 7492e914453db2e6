"""Your own data: image folders, one subfolder per class, described in the YAML."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.own_data import OwnDataset
from flyp_sweep.search_spaces.readers.folders import FolderDataset
from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.base import Missing, Split
from flyp_sweep.trainers.datasets.class_labels import listed, resembling, spelt
from flyp_sweep.trainers.datasets.image_listing import LeftOut, images_below, subfolders
from flyp_sweep.trainers.datasets.named_files import NamedFiles, below_folder
from flyp_sweep.trainers.datasets.own import OwnData


class ImageFolders(OwnData):
    """A folder per split, with a folder per class; `image_listing` decides which files count."""

    entry_type: ClassVar[type[OwnDataset]] = FolderDataset
    summary = "image folders, one per split"

    def __init__(self, entry: OwnDataset, root: Path, shown_as: ShownAs = "viewer") -> None:
        super().__init__(entry, root, shown_as)
        self._left_out: dict[str, LeftOut] = {}

    def missing(self) -> list[Missing]:
        found = self.places().items()
        return [Missing(path, self.told(split)) for path, split in found if not path.is_dir()]

    def base(self, split: str) -> Path:
        """The folder that image paths are relative to."""
        return self.paths[split]

    def folders_of(self, split: str) -> list[Path]:
        """The folders that contain the class folders of a split."""
        return [self.paths[split]]

    def labels_of(self, split: str) -> list[str]:
        """Names of the class folders."""
        return list(dict.fromkeys(path.name for folder in self.folders_of(split) for path in subfolders(folder)))

    def read(self, split: str) -> Split:
        left_out = self._left_out[split] = LeftOut()
        pairs = [pair for folder in self.folders_of(split) for pair in self._labelled(split, folder, left_out)]
        paths, numbers = zip(*pairs, strict=True)
        images = below_folder(self.base(split), paths, self.shown_as)
        return Split(split, self.splits[split], images, np.array(numbers, dtype=np.int64), self.metric)

    def _labelled(self, split: str, folder: Path, left_out: LeftOut) -> list[tuple[Path, int]]:
        """The images of a folder of classes, with labels. Raises InputError for an unknown class, and for no images."""
        classes = self.classes_of(split)
        labels = {name: label for label, name in enumerate(classes)}
        found = subfolders(folder, left_out)
        unknown = [path.name for path in found if path.name not in labels]
        if unknown:
            raise InputError(
                f"{folder}: folder {spelt(unknown[0])} is no class of the training split; "
                f"expected {listed(classes)}{resembling(unknown[0], classes) or self.if_new(split)}"
            )
        pairs = [(Path(path), labels[one.name]) for one in found for path in images_below(str(one), left_out)]
        if not pairs:
            told = f" (left out: {told})" if (told := left_out.told(folder)) else ""
            raise InputError(f"{folder}: no image found{told}; expected <class>/<image> files that Pillow can open")
        return pairs

    def left_out(self, split: str) -> str:
        self.split(split)
        return self._left_out[split].told(self.base(split))

    def check_classes(self) -> None:
        """As for all own data; also refuses files that are linked into two classes."""
        super().check_classes()
        for split in self.sources:
            loaded = self.split(split)
            if self._left_out[split].linked and isinstance(loaded.images, NamedFiles):
                _check_links(map(Path, loaded.images.files()), loaded.labels, self.classes_of(split))

    def _only(self, found: list[str]) -> str:
        folder = self.folders_of("train")[0]
        inside = subfolders(folder / found[0]) if found else []
        told = super()._only(found)
        if not inside:
            return told
        return (
            f"{told}, which contains the folders {listed([path.name for path in inside])} (name {found[0]!r} instead?)"
        )


def _check_links(paths: Iterable[Path], labels: np.ndarray, classes: Sequence[str]) -> None:
    """Raise InputError if links from two classes lead to one file."""
    real_folder = cache(os.path.realpath)
    seen: dict[str, tuple[Path, int]] = {}
    for path, label in zip(paths, labels.tolist(), strict=True):
        real = os.path.realpath(path) if path.is_symlink() else os.path.join(real_folder(path.parent), path.name)
        other, its_label = seen.setdefault(real, (path, label))
        if its_label != label:
            raise InputError(
                f"{path}: found the same file as {other}, which lies in class {spelt(classes[its_label])}; "
                "expected an image in one class alone; remove one of the links"
            )
