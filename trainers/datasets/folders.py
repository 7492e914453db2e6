"""Your own data: image folders, one subfolder per class, described in the YAML."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.own_data import FolderDataset
from flyp_sweep.trainers.datasets.base import Missing, Split, file_identity
from flyp_sweep.trainers.datasets.own import OwnData, listed

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

    def identity(self) -> Iterator[bytes]:
        return map(file_identity, self.paths)

    def files(self) -> list[str]:
        return list(map(str, self.paths))

    def taken(self, indices: np.ndarray) -> ImageFiles:
        """Those of the images at `indices`, int64 [N]."""
        return replace(self, paths=[self.paths[index] for index in indices])


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


class ImageFolders(OwnData):
    """A folder per split, in it a folder per class."""

    summary = "image folders, one per split"

    def __init__(self, entry: FolderDataset, root: Path) -> None:
        super().__init__(entry, entry.folders, root)

    def missing(self) -> list[Missing]:
        source = f"dataset.folders of {self.name!r} in the search space"
        return [Missing(path, source) for path in dict.fromkeys(self.paths.values()) if not path.is_dir()]

    def found_classes(self) -> list[str]:
        """Names of the class folders, in alphabetical order."""
        return [path.name for path in subfolders(self.paths["train"])]

    def read(self, split: str) -> Split:
        folder = self.paths[split]
        labels = {name: label for label, name in enumerate(self.classes)}
        found = subfolders(folder)
        unknown = [path.name for path in found if path.name not in labels]
        if unknown:
            raise InputError(
                f"{folder}: folder {unknown[0]!r} is no class of the training split; expected {listed(self.classes)}"
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
