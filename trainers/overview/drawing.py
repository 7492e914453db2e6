"""Draws the images of a split to look at, with a fixed seed, and reads their sizes."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from flyp_sweep.trainers.datasets.base import Images
from flyp_sweep.trainers.datasets.encoded import EncodedImages, Packed
from flyp_sweep.trainers.overview.facts import Size, Sizes

SEED = 0
OPENED = 2000
"""Images per split whose size is read."""
DECODED_PIXELS, MOST_DECODED = 10**9, 20_000
"""Pixels and images that are decoded per data set; its splits share them."""
FEWEST_DECODED = 100
"""Images per split that are always decoded."""


def spread(labels: np.ndarray, count: int) -> np.ndarray:
    """`count` rows of a split with these `labels`, or all, ordered by label.

    Takes one image of each class before a second image of any class.
    """
    order = np.random.default_rng(SEED).permutation(len(labels))
    shuffled = labels[order]
    by_class = np.argsort(shuffled, kind="stable")
    ordered = shuffled[by_class]
    firsts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.empty(0, np.int64)
    turn = np.empty(len(labels), dtype=np.int64)
    turn[by_class] = np.arange(len(labels)) - np.repeat(firsts, np.diff(np.r_[firsts, len(labels)]))
    chosen = order[np.argsort(turn, kind="stable")[:count]]
    return chosen[np.argsort(labels[chosen], kind="stable")]


def sample(images: int, count: int) -> np.ndarray:
    """`count` rows of a split, or all, in order: int64 [N]."""
    if count >= images:
        return np.arange(images)
    return np.sort(np.random.default_rng(SEED).choice(images, count, replace=False))


def to_decode(images: int, sizes: Sizes | None, splits: int) -> int:
    """The number of images of a split, one of `splits`, that can be decoded while a user waits."""
    area = sizes.median[0] * sizes.median[1] if sizes else 1
    return min(images, max(FEWEST_DECODED, min(MOST_DECODED, DECODED_PIXELS // area) // splits))


def sizes_of(images: Images) -> Sizes | None:
    """The sizes of at most OPENED images; None if none can be opened."""
    found = [size for row in sample(len(images), OPENED).tolist() if (size := _size(images, row))]
    if not found:
        return None
    found.sort(key=lambda size: (size[0] * size[1], size))
    return Sizes(found[0], found[len(found) // 2], found[-1], len(found))


def _size(images: Images, row: int) -> Size | None:
    """The size of an image, for encoded ones from the header; None if it is absent or no image."""
    try:
        if not isinstance(images, EncodedImages):
            return images[row].size
        source = BytesIO(images.encoded(row)) if isinstance(images, Packed) else one(images, row).files()[0]
        with Image.open(source) as image:
            return image.size
    except Exception:  # Pillow's plug-ins raise many types for a damaged header
        return None


def one(images: EncodedImages, row: int) -> EncodedImages:
    """Image `row` only."""
    return images.taken(np.array([row]))
