"""PatchCamelyon: patches of lymph node scans, in the publisher's HDF5 files."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.datasets import fetch
from flyp_sweep.trainers.datasets.base import Dataset, Missing, Split, file_identity
from flyp_sweep.trainers.datasets.copies import with_copies

FILE = "camelyonpatch_level_2_split_{part}_{kind}.h5"
PARTS = {"train": "train", "id_val": "valid", "id_test": "test"}
SOURCE = "https://zenodo.org/records/2546921, unpacked (or `flyp-sweep data prepare pcam`)"


class Patches:
    """Images of an HDF5 file, read when indexed.

    Every thread of every process opens the file separately; a pickle holds only the path.
    """

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self.count = count
        self._own = threading.local()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> Image.Image:
        try:
            pixels = self._pixels()[index]
        except (OSError, KeyError, ValueError) as error:
            raise InputError(f"{self.path}: image {index} cannot be read ({error}); download the file again") from error
        return Image.fromarray(pixels).convert("RGB")

    def identity(self) -> Iterator[bytes]:
        yield file_identity(self.path)

    def files(self) -> list[str]:
        return [str(self.path)]

    def __reduce__(self) -> tuple[Any, ...]:
        return Patches, (self.path, self.count)

    def _pixels(self) -> Any:
        if getattr(self._own, "process", None) != os.getpid():
            import h5py

            self._own.pixels = h5py.File(self.path, "r")["x"]
            self._own.process = os.getpid()
        return self._own.pixels


class PCam(Dataset):
    """262,144 patches for training, 32,768 for validation and 32,768 for testing, 96x96, half of them with tumor
    tissue.

    The files are in ROOT/pcam under the publisher's names, unpacked. A patch is positive if its central 32x32 pixels
    hold tumor tissue. Class names and template are CLIP's. torchvision only downloads the files: its class reopens the
    file for each image, and cannot be pickled.
    """

    name = "pcam"
    summary = "PatchCamelyon, tumor tissue in lymph node scans, 2 classes"

    class_names = ("lymph node", "lymph node containing metastatic tumor tissue")
    templates = ("this is a photo of {}",)
    splits = {name: name for name in PARTS}
    published = {"train": 262_144, "id_val": 32_768, "id_test": 32_768}

    def missing(self) -> list[Missing]:
        paths = [self._path(split, kind) for split in PARTS for kind in ("x", "y")]
        return [Missing(path, with_copies(SOURCE, self.name)) for path in paths if not path.is_file()]

    def fetch(self, say: fetch.Say) -> bool:
        fetch.by_torchvision("PCAM", self.root, {"split": "train"}, {"split": "val"}, {"split": "test"})
        return True

    def load(self, split: str) -> Split:
        if split not in self.splits:
            raise InputError(f"data set 'pcam' has no split {split!r}; it has {', '.join(self.splits)}")
        images, labels = self._path(split, "x"), self._path(split, "y")
        shape = _read(images, "x", pixels=False)
        if len(shape) != 4 or shape[3] != 3:
            raise InputError(f"{images}: found images of shape {tuple(shape)}; expected (N, 96, 96, 3)")
        numbers = _read(labels, "y", pixels=True)
        if numbers.size != shape[0] or len(numbers) != shape[0]:
            raise InputError(
                f"{labels}: found labels of shape {numbers.shape}; expected ({shape[0]}, 1, 1, 1), "
                f"one for each image of {images.name}"
            )
        flat = numbers.reshape(-1).astype(np.int64)
        if not np.isin(flat, (0, 1)).all():
            raise InputError(f"{labels}: found labels {np.unique(flat)[:5].tolist()}; expected 0 and 1")
        return Split(split, self.splits[split], Patches(images, int(shape[0])), flat, self.metric)

    def _path(self, split: str, kind: str) -> Path:
        return self.root / "pcam" / FILE.format(part=PARTS[split], kind=kind)


def _read(path: Path, key: str, *, pixels: bool) -> Any:
    """The array `key` of an HDF5 file, or only its shape. Raises InputError, with the file's name, if there is none."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return np.asarray(file[key]) if pixels else file[key].shape
    except (OSError, KeyError) as error:
        raise InputError(
            f"{path}: not a readable HDF5 file with an array {key!r} ({error}); download it again"
        ) from error
