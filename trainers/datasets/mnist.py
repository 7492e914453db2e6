"""MNIST's handwritten digits from the publisher's IDX files, with the UCI digits as a real distribution shift."""

from __future__ import annotations

import gzip
import math
import zlib
from functools import cached_property
from pathlib import Path

import numpy as np

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.datasets.base import Dataset, Missing, Split
from flyp_sweep.trainers.datasets.digits import (
    CLASS_NAMES,
    SIZE,
    TEMPLATES,
    GreyImages,
    restyle,
    stratified_order,
    uci_digits,
)

IMAGES = "t10k-images-idx3-ubyte"
LABELS = "t10k-labels-idx1-ubyte"
SOURCE = "https://ossci-datasets.s3.amazonaws.com/mnist/{file}.gz (publisher: http://yann.lecun.com/exdb/mnist/)"
SHIFTS = {"uci_digits": None, "uci_inverted": "inverted", "uci_noisy": "noisy"}
SEED = 2023
SHARES = {"train": 0.6, "id_val": 0.2, "id_test": 0.2}
UNSIGNED_BYTE = 0x08


class MNIST(Dataset):
    """The 10,000 images of MNIST's test file, split by one fixed permutation into 6,000, 2,000 and 2,000.

    All ID splits come from the t10k files, even if the larger training file exists. 1.6 MB are enough for few-shot and
    laptop-sized trials, and the splits do not depend on which files a user has. The numbers are therefore not
    comparable with accuracies on MNIST's own test set.

    The files are in ROOT/mnist or in ROOT itself, gzipped or not. MNIST stores light ink on dark paper. The images are
    inverted to dark on light and padded from 28 to 32 pixels, like the UCI digits in the OOD splits.
    """

    name = "mnist"
    summary = "MNIST's t10k files cut in three, 10 classes, OOD: the UCI digits, plain and in two styles"

    class_names = CLASS_NAMES
    templates = TEMPLATES
    splits = {name: name for name in SHARES} | dict.fromkeys(SHIFTS, "ood")

    def missing(self) -> list[Missing]:
        """The t10k files that are absent from both ROOT/mnist and ROOT."""
        return [
            Missing(self.root / "mnist" / f"{name}.gz", SOURCE.format(file=name))
            for name in (IMAGES, LABELS)
            if self._find(name) is None
        ]

    def load(self, split: str) -> Split:
        """Return one split; raises InputError for an unknown one and for a file that is absent or damaged."""
        if split not in self.splits:
            raise InputError(f"data set 'mnist' has no split {split!r}; it has {', '.join(self.splits)}")
        if split in SHIFTS:
            return _uci(split)
        pixels, labels = self._t10k
        part = self._parts[split]
        return Split(split, self.splits[split], GreyImages(pixels[part]), labels[part])

    @cached_property
    def _t10k(self) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 [N, 32, 32], dark on light, and labels int64 [N]."""
        image_file, label_file = self._existing(IMAGES), self._existing(LABELS)
        images, labels = read_idx(image_file, dims=3), read_idx(label_file, dims=1)
        _check(images, labels, image_file, label_file)
        margins = [(0, 0)] + [((SIZE - side) // 2, (SIZE - side + 1) // 2) for side in images.shape[1:]]
        return 255 - np.pad(images, margins), labels.astype(np.int64)

    @cached_property
    def _parts(self) -> dict[str, np.ndarray]:
        """Indices of the three disjoint ID splits in the t10k files."""
        labels = self._t10k[1]
        shares = np.cumsum(list(SHARES.values()))[:-1]
        cuts = np.rint(shares * len(labels)).astype(int)
        return dict(zip(SHARES, np.split(stratified_order(labels, SEED), cuts), strict=True))

    def _find(self, name: str) -> Path | None:
        candidates = (folder / f"{name}{end}" for folder in (self.root / "mnist", self.root) for end in (".gz", ""))
        return next((path for path in candidates if path.is_file()), None)

    def _existing(self, name: str) -> Path:
        path = self._find(name)
        if path is None:
            raise InputError(
                f"data set 'mnist': found no {name}.gz (nor {name}) in {self.root / 'mnist'} or {self.root}; "
                f"get it from {SOURCE.format(file=name)}"
            )
        return path


def read_idx(path: Path, dims: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes, gzipped if its name ends in .gz: uint8 with `dims` axes, read-only.

    The format: two zero bytes, the type code 0x08, the number of axes, each axis as a big-endian uint32, the bytes.
    Raises InputError, with the file's name, if it cannot be read or has another format.
    """
    content = _content(path)
    magic, expected = content[:4], bytes((0, 0, UNSIGNED_BYTE, dims))
    if magic != expected:
        raise InputError(
            f"{path}: found the magic bytes {magic.hex(' ') or 'of an empty file'}; expected {expected.hex(' ')} "
            f"(an IDX file of unsigned bytes with {dims} axes); download it again"
        )
    header = 4 + 4 * dims
    if len(content) < header:
        raise InputError(f"{path}: found {len(content)} bytes; expected a header of {header}; download it again")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dims, offset=4))
    found, wanted = len(content) - header, math.prod(shape)
    if found != wanted:
        raise InputError(
            f"{path}: found {found} bytes of data; expected {wanted} for the axes {shape} in its header; "
            "download it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: could not be read ({error}); download it again") from error


def _check(images: np.ndarray, labels: np.ndarray, image_file: Path, label_file: Path) -> None:
    """Raise InputError unless the two files match and hold digits."""
    if images.shape[1:] != (28, 28):
        raise InputError(f"{image_file}: found images of {images.shape[1]}x{images.shape[2]} pixels; expected 28x28")
    if len(images) != len(labels):
        raise InputError(
            f"{label_file}: found {counted(len(labels), 'label')}; expected {len(images):,}, one per image of "
            f"{image_file}"
        )
    if len(labels) and labels.max() > 9:
        raise InputError(f"{label_file}: found the label {labels.max()}; expected labels from 0 to 9")


def _uci(split: str) -> Split:
    """All 1797 UCI digits, unchanged or in the style of `split`."""
    pixels, labels = uci_digits()
    style = SHIFTS[split]
    return Split(split, "ood", GreyImages(restyle(pixels, style) if style else pixels), labels)
