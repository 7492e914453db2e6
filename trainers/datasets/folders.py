"""Your own data: image folders, one subfolder per class, described in the YAML."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from search_spaces.errors import InputError
from trainers.datasets.base import Dataset, Missing, Split

if TYPE_CHECKING:
    from search_spaces.model import OwnDataset

IMAGE_FILES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors of a disk, a network or a machine that say nothing of the file."""


@dataclass(frozen=True)
class ImageFiles:
    """Image files, decoded when indexed."""

    paths: list[Path]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> Image.Image:
        return read_image(self.paths[index])


def read_image(path: Path) -> Image.Image:
    """The RGB image in `path`.

    Raises InputError, naming the file, when it cannot be decoded, and OSError when the disk or network fails.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError as error:
        raise InputError(f"{path}: the image is gone; put it back, or remove the data set from the space") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno in PASSING:
            raise
        raise InputError(f"{path}: not a readable image ({error}); repair, replace or delete the file") from error


def subfolders(folder: Path) -> list[Path]:
    """The folders in `folder`, sorted; hidden ones, which editors and notebooks leave behind, do not count."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


class ImageFolders(Dataset):
    """A data set described by `search_spaces.model.OwnDataset`: a folder per split, in it a folder per class.

    Relative folders are looked for under `root`. The classes are those of the training folder; every other split may
    hold a subset of them.
    """

    name = ""
    summary = "image folders, one per split"

    def __init__(self, entry: OwnDataset, root: Path) -> None:
        super().__init__(root)
        self.name = entry.name  # type: ignore[misc]
        self.entry = entry
        self.templates = entry.templates
        self.metric = entry.metric
        folders = entry.folders
        named = [("train", folders.train, "train"), ("id_val", folders.id_val, "id_val")]
        named += [("id_test", folders.id_test, "id_test")] if folders.id_test else []
        named += [(label, path, "ood") for label, path in folders.ood.items()]
        self.folders = {label: root / Path(path).expanduser() for label, path, _ in named}
        self.splits = {label: role for label, _, role in named}

    def missing(self) -> list[Missing]:
        source = f"dataset.folders of {self.name!r} in the search space"
        return [Missing(path, source) for path in self.folders.values() if not path.is_dir()]

    @property
    def class_folders(self) -> list[str]:
        """Names of the class folders in label order: as in the YAML's mapping, else sorted."""
        found = [path.name for path in subfolders(self.folders["train"])]
        if not isinstance(self.entry.class_names, dict):
            return found
        absent = [name for name in self.entry.class_names if name not in found]
        if absent:
            raise InputError(f"{self.folders['train']}: no folder for class {absent[0]!r}; found {', '.join(found)}")
        return list(self.entry.class_names)

    @property
    def class_names(self) -> list[str]:  # type: ignore[override]
        """Display names in label order."""
        given, folders = self.entry.class_names, self.class_folders
        if given is None:
            return [name.replace("_", " ") for name in folders]
        if isinstance(given, dict):
            return [given[name] for name in folders]
        if len(given) != len(folders):
            raise InputError(
                f"dataset.class_names: found {len(given)} names; expected {len(folders)}, "
                f"one for each folder of {self.folders['train']} in sorted order"
            )
        return list(given)

    def load(self, split: str) -> Split:
        folder = self.folders[split]
        labels = {name: label for label, name in enumerate(self.class_folders)}
        found = subfolders(folder)
        unknown = [path.name for path in found if path.name not in labels]
        if unknown:
            raise InputError(
                f"{folder}: folder {unknown[0]!r} is no class of the training split; expected {', '.join(labels)}"
            )
        pairs = [
            (path, labels[one.name])
            for one in found
            for path in sorted(one.rglob("*"))
            if path.suffix.lower() in IMAGE_FILES
        ]
        if not pairs:
            raise InputError(f"{folder}: no image found; expected <class>/<image> files ({', '.join(IMAGE_FILES)})")
        paths, numbers = zip(*pairs, strict=True)
        return Split(split, self.splits[split], ImageFiles(list(paths)), np.array(numbers, dtype=np.int64), self.metric)
