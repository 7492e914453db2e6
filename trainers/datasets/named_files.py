"""Images stored as files of a folder: kept as names, because a million `Path` objects take half a gigabyte."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.datasets.base import file_identity
from flyp_sweep.trainers.datasets.folders import IMAGE_FILES, read_image

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class NamedFiles:
    """Image files, decoded when indexed: `names`, bytes [N], are relative to `folder`.

    `border` pixels are cut off on each side.
    """

    folder: Path
    names: np.ndarray
    border: int = 0

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int, /) -> Image.Image:
        image = read_image(self.folder / os.fsdecode(self.names[index]))
        if not self.border:
            return image
        width, height = image.size
        return image.crop((self.border, self.border, width - self.border, height - self.border))

    @property
    def decoding(self) -> str:
        return f"border {self.border}" if self.border else ""

    def files(self) -> list[str]:
        return [os.path.join(self.folder, os.fsdecode(name)) for name in self.names]

    def taken(self, indices: np.ndarray) -> NamedFiles:
        """Those of the images at `indices`, int64 [N]."""
        return replace(self, names=self.names[indices])

    def identity(self) -> Iterator[bytes]:
        yield f"border {self.border}\n".encode()
        for name in self.names:
            yield file_identity(os.path.join(self.folder, os.fsdecode(name)))


def as_names(names: Iterable[str]) -> np.ndarray:
    """File names as bytes [N]."""
    return np.array([os.fsencode(name) for name in names], dtype=np.bytes_)


def image_names(folder: Path) -> list[str]:
    """Sorted names of the image files that lie in `folder` itself; hidden ones do not count.

    Raises InputError when the folder cannot be read.
    """
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except OSError as error:
        raise InputError(f"{folder}: could not be read ({error.strerror}); expected a folder of images") from error
    return sorted(name for name in names if name.lower().endswith(IMAGE_FILES) and not name.startswith("."))


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """These columns of the CSV file `path`, every value as text. Raises InputError when they cannot be read."""
    import pandas as pd

    try:
        return pd.read_csv(path, usecols=columns, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: could not be read ({reason}); expected a CSV file with the columns {', '.join(columns)}; "
            "get it again from the publisher"
        ) from error
