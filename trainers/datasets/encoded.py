"""Images in encoded form (JPEG, PNG, ...): as files, or as parts of larger files.

Every reader returns one of these forms, so decoding, identity and checks are common to all.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.base import FromFiles, Images, file_identity
from flyp_sweep.trainers.datasets.decoding import read_image


class EncodedImages(ABC):
    """A sequence of encoded images, decoded when indexed. It pickles without their bytes, for workers."""

    shown_as: ShownAs
    """How bytes are decoded to pixels."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def files(self) -> list[str]:
        """The file that holds each image: its own, or one with several images."""

    @abstractmethod
    def names(self) -> list[str]:
        """A unique name of each image for messages: a path, or a path and a place within that file."""

    @abstractmethod
    def keys(self) -> list[str]:
        """A name of each image within its data set, independent of the data set's location. Held-out splits are drawn
        by it."""

    @abstractmethod
    def taken(self, indices: np.ndarray) -> Self:
        """The images at `indices`, int64 [N]."""

    @abstractmethod
    def identity(self) -> Iterator[bytes]:
        """See `base.Identified`."""

    @abstractmethod
    def __getitem__(self, index: int, /) -> Image.Image:
        """Image `index` in RGB. Raises InputError, with its name, if it cannot be decoded, and OSError of the disk."""

    @property
    def decoding(self) -> str:
        """The method of decoding, if it differs from torchvision's."""
        return self.shown_as if self.shown_as != "torchvision" else ""


class Packed(EncodedImages):
    """Encoded images within larger files: members of tar archives, cells of tables."""

    @abstractmethod
    def encoded(self, index: int) -> bytes:
        """The bytes of image `index`. Raises InputError, with the file's name, if they cannot be read."""

    @abstractmethod
    def name(self, index: int) -> str:
        """The name of image `index`, for messages."""

    def names(self) -> list[str]:
        return [self.name(index) for index in range(len(self))]

    def __getitem__(self, index: int, /) -> Image.Image:
        index = int(index)
        return read_image(self.encoded(index), self.shown_as, lambda: self.name(index))

    def identity(self) -> Iterator[bytes]:
        yield f"{self.shown_as}\n".encode()
        for file in dict.fromkeys(self.files()):
            yield file_identity(file)
        yield from (os.fsencode(f"{name}\n") for name in self.names())


def called(images: Images) -> list[str]:
    """The names of `images`, or their files if each has one; empty if only rows identify them."""
    if isinstance(images, EncodedImages):
        return images.names()
    files = list(map(os.fspath, images.files())) if isinstance(images, FromFiles) else []
    return files if len(files) == len(images) else []


def below(folder: Path, file: str) -> str:
    """The path of `file` relative to `folder`, if it is in that folder, else the whole path."""
    return file.removeprefix(f"{folder}{os.sep}")
