"""Images that are kept as encoded files (JPEG, PNG, ...): files of their own, or parts of larger ones.

Every reader gives its images in one of these forms, so that decoding, identity and checks are the same for all.
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
    """A sequence of encoded images, decoded when indexed. It pickles without their bytes: workers get it whole."""

    shown_as: ShownAs
    """How pixels are made of the bytes."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def files(self) -> list[str]:
        """The file that holds each image: its own, or one that holds others too."""

    @abstractmethod
    def names(self) -> list[str]:
        """What each image is called in messages, each once: a path, or a path and a place within that file."""

    @abstractmethod
    def keys(self) -> list[str]:
        """What each image is called within its data set, wherever that lies: held-out splits are drawn by it."""

    @abstractmethod
    def taken(self, indices: np.ndarray) -> Self:
        """Those of the images at `indices`, int64 [N]."""

    @abstractmethod
    def identity(self) -> Iterator[bytes]:
        """See `base.Identified`."""

    @abstractmethod
    def __getitem__(self, index: int, /) -> Image.Image:
        """Image `index` in RGB. Raises InputError, naming it, when it cannot be decoded, and OSError of the disk."""

    @property
    def decoding(self) -> str:
        """How pixels are made of the bytes, where it is not as by torchvision."""
        return self.shown_as if self.shown_as != "torchvision" else ""


class Packed(EncodedImages):
    """Encoded images within larger files: members of tar archives, cells of tables."""

    @abstractmethod
    def encoded(self, index: int) -> bytes:
        """The bytes of image `index`. Raises InputError, naming the file, when they cannot be read."""

    @abstractmethod
    def name(self, index: int) -> str:
        """What image `index` is called in messages."""

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
    """What each of `images` is called: its name, or its file where each has one; empty where it is its row alone."""
    if isinstance(images, EncodedImages):
        return images.names()
    files = list(map(os.fspath, images.files())) if isinstance(images, FromFiles) else []
    return files if len(files) == len(images) else []


def below(folder: Path, file: str) -> str:
    """The path of `file` from `folder`, where it lies in there, else the whole path."""
    return file.removeprefix(f"{folder}{os.sep}")
