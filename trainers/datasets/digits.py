"""Handwriting that is installed already: scikit-learn's UCI digits, and style shifts of its held-out part.

Every image is dark ink on light paper, as in a photo of handwriting. It has 8x8 ink counts and a margin of one pixel,
so that rotations and crops keep the digit whole, and is resized to 32x32. All images are in memory; no data folder is
used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from zlib import crc32

import numpy as np
from PIL import Image, ImageFilter

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.datasets.base import Dataset, Split

SIZE = 32
CLASS_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = (
    "a photo of a handwritten {}.",
    "a photo of the handwritten digit {}.",
    "a scan of a handwritten {}.",
    "a drawing of the number {}.",
    "an image of the digit {}.",
    'the digit "{}".',
    "the number {} in handwriting.",
    "a handwritten {}.",
)
SEED = 2023
TRAIN, ID_VAL = 800, 400
STYLED = 300
"""Number of ID test images in every style: about half, because a frontier evaluates all styles at every alpha."""

Style = Callable[[np.ndarray, np.random.RandomState], np.ndarray]


@dataclass(frozen=True)
class GreyImages:
    """Images held in memory: `pixels` is uint8 [N, H, W]; indexing gives RGB `PIL.Image`s."""

    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int, /) -> Image.Image:
        return Image.fromarray(self.pixels[index]).convert("RGB")

    def identity(self) -> Iterator[bytes]:
        yield str(self.pixels.shape).encode()
        yield self.pixels.tobytes()


def inverted(image: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Light ink on dark paper."""
    return 255 - image


def rotated(image: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Rotated by 30 to 40 degrees in either direction."""
    angle = rng.uniform(30, 40) * rng.choice((-1, 1))
    return np.asarray(Image.fromarray(image).rotate(angle, Image.Resampling.BICUBIC, fillcolor=255))


def noisy(image: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Gaussian noise of standard deviation 0.3 of the full range on every pixel."""
    return _grey(image + rng.normal(0, 0.3 * 255, image.shape))


def faint(image: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Contrast reduced to 15 to 25%: pale grey ink on white paper."""
    return _grey(255 - rng.uniform(0.15, 0.25) * (255.0 - image))


def thick(image: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Strokes widened by two pixels on each side, as with a broad marker."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.MinFilter(5)))


def occluded(image: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """A grey patch of 12x12 pixels hides a part of the digit."""
    top, left = rng.randint(4, SIZE - 16, size=2)
    covered = image.copy()
    covered[top : top + 12, left : left + 12] = 128
    return covered


STYLES: Mapping[str, Style] = MappingProxyType(
    {style.__name__: style for style in (inverted, rotated, noisy, faint, thick, occluded)}
)


def restyle(pixels: np.ndarray, style: str) -> np.ndarray:
    """Shift images [N, 32, 32] (uint8, dark on light) to one of `STYLES`; the same on every call.

    It uses RandomState, because numpy guarantees that its stream never changes (NEP 19), and the splits must not
    change.
    """
    rng = np.random.RandomState(crc32(style.encode()))
    return np.stack([STYLES[style](image, rng) for image in pixels])


@cache
def uci_digits() -> tuple[np.ndarray, np.ndarray]:
    """All 1797 UCI digits: images uint8 [1797, 32, 32], dark on light, and labels int64 [1797]; both read-only."""
    table = _installed_table()
    ink = table[:, :64].reshape(-1, 8, 8)
    small = _grey(255 - np.pad(ink, ((0, 0), (1, 1), (1, 1))) * (255 / 16))
    pixels = np.stack([_upscale(image) for image in small])
    labels = table[:, 64].astype(np.int64)
    pixels.setflags(write=False)
    labels.setflags(write=False)
    return pixels, labels


def _installed_table() -> np.ndarray:
    """[1797, 65]: 64 ink counts (0 to 16) and the label, read from scikit-learn's file without importing it."""
    spec = find_spec("sklearn")
    assert spec is not None
    assert spec.origin is not None
    return np.loadtxt(Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")


def stratified_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """A permutation of range(N) in which every stretch holds the classes in about their overall proportions."""
    rng = np.random.RandomState(seed)
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        position[members] = (np.arange(len(members)) + rng.uniform(size=len(members))) / len(members)
    return np.argsort(position, kind="stable")


class Digits(Dataset):
    """UCI handwritten digits: 800 for training, 400 for ID validation, 597 for ID test, 300 of those in six styles."""

    name = "digits"
    summary = "UCI handwritten digits (installed with scikit-learn), 10 classes, OOD: six styles of the held-out digits"

    class_names = CLASS_NAMES
    templates = TEMPLATES
    splits = {"train": "train", "id_val": "id_val", "id_test": "id_test"} | dict.fromkeys(STYLES, "ood")

    def load(self, split: str) -> Split:
        """Return one split; raises InputError for a name that is not in `splits`."""
        if split not in self.splits:
            raise InputError(f"data set 'digits' has no split {split!r}; it has {', '.join(self.splits)}")
        pixels, labels = uci_digits()
        part = _parts()["id_test"][:STYLED] if split in STYLES else _parts()[split]
        chosen = restyle(pixels[part], split) if split in STYLES else pixels[part]
        return Split(split, self.splits[split], GreyImages(chosen), labels[part])


@cache
def _parts() -> dict[str, np.ndarray]:
    """Indices of the three disjoint ID splits in the UCI digits."""
    order = stratified_order(uci_digits()[1], SEED)
    train, id_val, id_test = np.split(order, (TRAIN, TRAIN + ID_VAL))
    return {"train": train, "id_val": id_val, "id_test": id_test}


def _grey(values: np.ndarray) -> np.ndarray:
    """Float values between 0 and 255 as uint8."""
    clipped: np.ndarray = np.clip(np.rint(values), 0, 255)
    return clipped.astype(np.uint8)


def _upscale(image: np.ndarray) -> np.ndarray:
    """A small uint8 image resized to [32, 32], bicubic."""
    return np.asarray(Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
