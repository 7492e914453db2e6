"""The images of a grid of corruptions and severities, in folders or in pixel arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from flyp_sweep.search_spaces.complaints import one_line
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.base import file_identity
from flyp_sweep.trainers.datasets.class_labels import listed, resembling, spelt
from flyp_sweep.trainers.datasets.encoded import EncodedImages, Packed, below
from flyp_sweep.trainers.datasets.image_listing import LeftOut, images_below, subfolders
from flyp_sweep.trainers.datasets.named_files import NamedFiles, as_names

LABELS = "labels.npy"
BLOCKS = 5
"""Severities of an array with consecutive labels for all severities, as in CIFAR-10-C."""

Cell = tuple[str, int]
"""A corruption and a severity."""


class Grid(ABC):
    """The corruptions in `folder`; nothing is read before it is needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.left_out = LeftOut()

    @property
    @abstractmethod
    def corruptions(self) -> Collection[str]:
        """The names of all corruptions."""

    @abstractmethod
    def severities(self, corruption: str) -> list[int]:
        """The severities of a corruption, in ascending order."""

    @abstractmethod
    def labels(self, cells: Sequence[Cell]) -> list[str]:
        """The distinct classes of the images in `cells`."""

    @abstractmethod
    def read(self, cells: Sequence[Cell], classes: Sequence[str]) -> tuple[EncodedImages, np.ndarray, list[int]]:
        """The images of `cells`, cell by cell; their labels, int64 [N]; the number of images per cell."""


class Folders(Grid):
    """`corruption/severity/class/image`, as in ImageNet-C, optionally with a folder around several corruptions."""

    def __init__(self, folder: Path, shown_as: ShownAs) -> None:
        super().__init__(folder)
        self.shown_as = shown_as

    @cached_property
    def found(self) -> dict[str, Path]:
        """Corruption -> its folder. Raises InputError for a corruption in two places."""
        places: dict[str, Path] = {}
        for path in subfolders(self.folder):
            for one in [path] if _severities(path) else [one for one in subfolders(path) if _severities(one)]:
                other = places.setdefault(one.name, one)
                if other != one:
                    raise InputError(f"{one}: found this corruption in {other} too; expected it once; remove one")
        return places

    @property
    def corruptions(self) -> Collection[str]:
        return self.found

    def severities(self, corruption: str) -> list[int]:
        return _severities(self.found[corruption])

    def labels(self, cells: Sequence[Cell]) -> list[str]:
        return list(dict.fromkeys(path.name for cell in cells for path in subfolders(self._place(cell))))

    def read(self, cells: Sequence[Cell], classes: Sequence[str]) -> tuple[EncodedImages, np.ndarray, list[int]]:
        self.left_out = LeftOut()
        numbers = {name: label for label, name in enumerate(classes)}
        names: list[str] = []
        labels: list[np.ndarray] = []
        counts = []
        for cell in cells:
            before = len(names)
            for folder in subfolders(self._place(cell), self.left_out):
                if folder.name not in numbers:
                    raise _unknown(folder, folder.name, classes)
                own = [below(self.folder, path) for path in images_below(str(folder), self.left_out)]
                names += own
                labels.append(np.full(len(own), numbers[folder.name], dtype=np.int64))
            counts.append(len(names) - before)
            if not counts[-1]:
                raise InputError(f"{self._place(cell)}: no image found; expected <class>/<image> files")
        return NamedFiles(self.folder, as_names(names), shown_as=self.shown_as), np.concatenate(labels), counts

    def _place(self, cell: Cell) -> Path:
        corruption, severity = cell
        folder = self.found[corruption]
        return next(path for path in subfolders(folder) if path.name.isdecimal() and int(path.name) == severity)


def _severities(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in subfolders(folder) if path.name.isdecimal())


class Arrays(Grid):
    """`corruption.npy`, uint8 [severities * n, H, W, 3], and `labels.npy`, as in CIFAR-10-C."""

    @property
    def corruptions(self) -> Collection[str]:
        return sorted(path.stem for path in self.folder.glob("*.npy") if path.name != LABELS)

    @cached_property
    def own_labels(self) -> np.ndarray:
        """int64 [n]: the labels of the images of one severity, common to all severities.

        Raises InputError if severities differ in labels.
        """
        path = self.folder / LABELS
        found = _opened(path)
        if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer) or not len(found) or int(found.min()) < 0:
            raise InputError(f"{path}: found {_told(found)}; expected whole numbers from 0, one for each image")
        blocks = found.reshape(BLOCKS, -1) if len(found) % BLOCKS == 0 else found[None]
        repeats = (blocks == blocks[0]).all()
        return np.array(blocks[0] if repeats else found, dtype=np.int64)

    def severities(self, corruption: str) -> list[int]:
        rows, per_severity = len(self._pixels(corruption)), len(self.own_labels)
        if rows % per_severity:
            raise InputError(
                f"{self.folder / corruption}.npy: found {rows:,} images; expected {per_severity:,} of each severity, "
                f"as {LABELS} has labels; download it again"
            )
        return list(range(1, rows // per_severity + 1))

    def labels(self, cells: Sequence[Cell]) -> list[str]:
        return [str(label) for label in np.unique(self.own_labels)]

    def read(self, cells: Sequence[Cell], classes: Sequence[str]) -> tuple[EncodedImages, np.ndarray, list[int]]:
        numbers = {int(name): label for label, name in enumerate(classes)}
        if unknown := next((label for label in self.own_labels.tolist() if label not in numbers), None):
            raise _unknown(self.folder / LABELS, str(unknown), classes)
        own = np.array([numbers[label] for label in self.own_labels.tolist()], dtype=np.int64)
        count = len(own)
        arrays = tuple(dict.fromkeys(corruption for corruption, _ in cells))
        places = [(arrays.index(corruption), (severity - 1) * count) for corruption, severity in cells]
        of = np.repeat(np.array([array for array, _ in places], dtype=np.int32), count)
        rows = np.concatenate([np.arange(start, start + count, dtype=np.int32) for _, start in places])
        return ArrayImages(self.folder, arrays, of, rows), np.tile(own, len(cells)), [count] * len(cells)

    def _pixels(self, corruption: str) -> np.ndarray:
        path = self.folder / f"{corruption}.npy"
        found = _opened(path)
        if found.ndim != 4 or found.shape[-1] != 3 or found.dtype != np.uint8:
            raise InputError(f"{path}: found {_told(found)}; expected uint8 [N, height, width, 3]; download it again")
        return found


@dataclass(frozen=True)
class ArrayImages(Packed):
    """RGB images in the arrays `folder/NAME.npy`: image i is row `rows[i]` of array `of[i]`, both int32 [N]."""

    folder: Path
    arrays: tuple[str, ...]
    of: np.ndarray
    rows: np.ndarray
    shown_as: ShownAs = "torchvision"

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> Image.Image:
        return Image.fromarray(self._row(index))

    def encoded(self, index: int) -> bytes:
        return self._row(index).tobytes()

    def files(self) -> list[str]:
        files = [str(self._file(array)) for array in range(len(self.arrays))]
        return [files[array] for array in self.of.tolist()]

    def name(self, index: int) -> str:
        return f"{self._file(self.of[index])} image {self.rows[index]}"

    def keys(self) -> list[str]:
        pairs = zip(self.of.tolist(), self.rows.tolist(), strict=True)
        return [f"{self.arrays[array]}.npy image {row}" for array, row in pairs]

    def taken(self, indices: np.ndarray) -> Self:
        return replace(self, of=self.of[indices], rows=self.rows[indices])

    def identity(self) -> Iterator[bytes]:
        for array in range(len(self.arrays)):
            yield file_identity(self._file(array))
        yield from (self.of.tobytes(), self.rows.tobytes())

    def _file(self, array: int) -> Path:
        return self.folder / f"{self.arrays[array]}.npy"

    def _row(self, index: int) -> np.ndarray:
        path = self._file(self.of[index])
        try:
            return np.array(_opened(path)[self.rows[index]])
        except (OSError, IndexError, ValueError) as error:
            raise InputError(f"{self.name(index)}: cannot be read ({error}); download the file again") from error


def _unknown(place: Path, label: str, classes: Sequence[str]) -> InputError:
    return InputError(
        f"{place}: found class {spelt(label)}; expected one of evaluate.class_names: {listed(classes)}"
        f"{resembling(label, classes)}"
    )


@lru_cache(maxsize=64)
def _opened(path: Path) -> np.ndarray:
    """The array in a file, memory-mapped. Raises InputError if it is no array."""
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        reason = one_line(str(error)) or type(error).__name__
        raise InputError(f"{path}: not a readable array ({reason}); download it again") from error


def _told(found: np.ndarray) -> str:
    return f"{found.dtype} {list(found.shape)}"
