"""Images in files of a folder, stored as names, because a million `Path` objects take half a gigabyte."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from PIL import Image

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.base import file_identity
from flyp_sweep.trainers.datasets.decoding import read_image
from flyp_sweep.trainers.datasets.encoded import EncodedImages, below
from flyp_sweep.trainers.datasets.image_listing import is_named_as_image

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class NamedFiles(EncodedImages):
    """Image files, decoded when indexed: `relative`, bytes [N], are their paths relative to `folder`.

    `border` pixels are cut off each side.
    """

    folder: Path
    relative: np.ndarray
    border: int = 0
    shown_as: ShownAs = "torchvision"

    def __len__(self) -> int:
        return len(self.relative)

    def __getitem__(self, index: int, /) -> Image.Image:
        image = read_image(os.path.join(self.folder, os.fsdecode(self.relative[index])), self.shown_as)
        if not self.border:
            return image
        width, height = image.size
        return image.crop((self.border, self.border, width - self.border, height - self.border))

    @property
    def decoding(self) -> str:
        """The method of decoding, if it differs from torchvision's, and the border."""
        told = [f"border {self.border}"] if self.border else []
        return " ".join(told + ([self.shown_as] if self.shown_as != "torchvision" else []))

    def files(self) -> list[str]:
        return [os.path.join(self.folder, os.fsdecode(name)) for name in self.relative]

    names = files

    def keys(self) -> list[str]:
        """The paths below the folder."""
        return [below(self.folder, file) for file in self.files()]

    def taken(self, indices: np.ndarray) -> Self:
        return replace(self, relative=self.relative[indices])

    def identity(self) -> Iterator[bytes]:
        yield f"border {self.border} {self.shown_as}\n".encode()
        yield from map(file_identity, self.files())


def below_folder(folder: Path, paths: Iterable[Path], shown_as: ShownAs = "torchvision") -> NamedFiles:
    """The image files `paths`, which are in `folder` or its subfolders."""
    return NamedFiles(folder, as_names(below(folder, os.fspath(path)) for path in paths), shown_as=shown_as)


def as_names(names: Iterable[str]) -> np.ndarray:
    """File names as bytes [N]."""
    return np.array([os.fsencode(name) for name in names], dtype=np.bytes_)


def image_names(folder: Path) -> list[str]:
    """Sorted names of the image files directly in `folder`, without hidden files.

    Raises InputError if the folder cannot be read.
    """
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except OSError as error:
        raise InputError(f"{folder}: could not be read ({error.strerror}); expected a folder of images") from error
    return sorted(filter(is_named_as_image, names))


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """These columns of the CSV file `path`, all values as text. Raises InputError if they cannot be read."""
    import pandas as pd

    try:
        return pd.read_csv(path, usecols=columns, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: could not be read ({reason}); expected a CSV file with the columns {', '.join(columns)}; "
            "get it again from the publisher"
        ) from error
