"""Checks every image before a sweep: undecodable images, blank images, and images that look the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
from PIL import Image

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.data import duplicates
from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.data.content import Hashes
from flyp_sweep.trainers.data.duplicates import Pair
from flyp_sweep.trainers.datasets.base import Dataset, Identified, Images, Split, Subset, digest_of
from flyp_sweep.trainers.datasets.encoded import EncodedImages

if TYPE_CHECKING:  # imports torch, which takes seconds: check absent files first
    from flyp_sweep.trainers.data.images import Preprocess

FINE, CONSTANT, UNREADABLE, DARK = range(4)
DARKEST = 32
"""An image whose brightest channel value is below this, of 255, is dark: 12-bit pixels in a 16-bit file reach 16."""

AT_ONCE = 1024
MOST_LISTED = 20
"""Files that an error message lists."""
MANY = 1_000
"""Decoding more images than this takes long enough to announce it."""
HASH = 16
"""Bytes kept of the hash of an image's pixels."""

Say = Callable[[str], None]


@dataclass
class Found:
    """Results for all images of a data set: split -> images decoded, and the names of undecodable, constant and dark
    images."""

    images: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, list[str]] = field(default_factory=dict)
    constant: dict[str, list[str]] = field(default_factory=dict)
    dark: dict[str, list[str]] = field(default_factory=dict)
    reason: str = ""
    """The decoding error of the first unreadable file."""
    alike: list[Pair] = field(default_factory=list)
    """Images of two roles, or two classes, that a model cannot distinguish."""

    @property
    def bad(self) -> list[str]:
        """The unreadable files of all splits."""
        return [path for paths in self.unreadable.values() for path in paths]

    def take(self, split: str, look: Look) -> None:
        """Add the results of a split."""
        verdicts = look.verdicts
        self.images[split] = len(verdicts)
        for verdict, kept in ((UNREADABLE, self.unreadable), (CONSTANT, self.constant), (DARK, self.dark)):
            if (verdicts == verdict).any():
                kept[split] = _names(look.images, np.flatnonzero(verdicts == verdict))
        if split in self.unreadable:
            self.reason = self.reason or _reason(look.images, int(np.argmax(verdicts == UNREADABLE)))

    def remarks(self, *, skipped: bool = True) -> list[str]:
        """A remark for each split with blank images, for splits that share images, and for each split with unreadable
        images that are `skipped`."""
        kinds = {"left out as unreadable": self.unreadable if skipped else {}, "of one colour": self.constant}
        kinds[f"nearly black, no pixel above {DARKEST - 1} of 255"] = self.dark
        lines = []
        for told, found in kinds.items():
            for split, paths in found.items():
                more = ", ..." if len(paths) > 1 else ""
                of = counted(self.images[split], "image")
                lines.append(f"{split}: {len(paths)} of {of} {told} ({paths[0]}{more})")
        return lines + duplicates.remarks(self.alike)

    def check(self, name: str) -> None:
        """Raise InputError that lists the unreadable files, if there are any."""
        bad = self.bad
        if not bad:
            return
        listed = ", ".join(bad[:MOST_LISTED])
        more = f" and {len(bad) - MOST_LISTED} more (data check --deep lists all)" if len(bad) > MOST_LISTED else ""
        reason = self.reason if len(bad) == 1 else f"the first: {self.reason}"
        of = counted(sum(self.images.values()), "image")
        raise InputError(
            f"data set {name!r}: {len(bad)} of {of} cannot be decoded: {listed}{more} "
            f"({reason}); repair, replace or delete them, or leave them out with images: {{unreadable: skip}}"
        )


def look_through(
    dataset: Dataset, cache: Cache | None, say: Say = lambda line: None, views: Sequence[Preprocess] = ()
) -> Found:
    """Decode all images that `dataset` has in files, unless the cache holds the results.

    `views` are the distinct preprocessings that images are compared by. Raises InputError if a disk or network fails.
    """
    found = Found()
    pixels: list[dict[str, np.ndarray]] = [{} for _ in views]
    for name in dataset.splits:
        images = dataset.split(name).images
        if not isinstance(images, EncodedImages):
            continue
        look = Look(images, name, cache, say, views)
        found.take(name, look)
        for view, hashes in zip(views, pixels, strict=True):
            hashes[name] = look.pixels(view)
    seen = zip(views, pixels, strict=True)
    found.alike = duplicates.pairs(dataset, seen, Hashes(cache.folder if cache else None))
    return found


def skip_unreadable(dataset: Dataset, cache: Cache | None) -> None:
    """From now on, drop undecodable images from every split of `dataset`."""
    dataset.sift(partial(_readable, cache=cache))


def _readable(split: Split, cache: Cache | None) -> Split:
    images = split.images
    if not isinstance(images, EncodedImages):
        return split
    kept = np.flatnonzero(judged(images, split.name, cache) != UNREADABLE)
    if len(kept) == len(split):
        return split
    return split.taken(kept, images.taken(kept))


def judged(images: EncodedImages, name: str, cache: Cache | None) -> np.ndarray:
    """uint8 [N]: the verdict on each image of split `name`. Raises InputError as `look_through` does."""
    return Look(images, name, cache).verdicts


class Look:
    """Verdicts and pixel hashes of all images of split `name`. The first result that `cache` lacks triggers the
    decoding.

    `views` are the preprocessings for `pixels`. Raises InputError if a disk or network fails.
    """

    def __init__(
        self,
        images: Images,
        name: str,
        cache: Cache | None,
        say: Say = lambda line: None,
        views: Sequence[Preprocess] = (),
    ) -> None:
        self.images = images
        self.name = name
        self.cache = cache
        self.say = say
        self.views = views

    @cached_property
    def verdicts(self) -> np.ndarray:
        """uint8 [N]: the verdict on each image."""
        return self._kept(self._of_verdicts, (), lambda: self._decoded[:, 0])

    def pixels(self, view: Preprocess) -> np.ndarray:
        """bytes [N] of HASH each: a hash of each image as `view`, one of `views`, prepares it for evaluation.

        Empty for an image that cannot be decoded, or is of one colour.
        """
        first = 1 + HASH * next(at for at, one in enumerate(self.views) if one is view)
        rows = self._kept(_of_pixels(view), (HASH,), lambda: self._decoded[:, first : first + HASH])
        return np.ascontiguousarray(rows).view(f"S{HASH}").reshape(len(self.images))

    @property
    def is_known(self) -> bool:
        """Whether the cache holds all results, so that no image will be decoded."""
        if self.cache is None or self._digest is None:
            return False
        asked = [(self._of_verdicts, ()), *((_of_pixels(view), (HASH,)) for view in self.views)]
        count = len(self.images)
        return all(self.cache.found(self._facts(of), (count, *shape), "uint8") is not None for of, shape in asked)

    _of_verdicts = {"code": f"pillow {PIL.__version__}, darkest {DARKEST}"}

    def _facts(self, of: Mapping[str, Any]) -> dict[str, Any]:
        told = f"{self.name}, {len(self.images)} images"
        return {"kind": "inspection", "of": told, "images": self._digest, **of}

    def _kept(self, of: Mapping[str, Any], shape: tuple[int, ...], decoded: Callable[[], np.ndarray]) -> np.ndarray:
        """The result of `decoded`, cached."""
        try:
            if self.cache is not None and self._digest is not None:
                shape = len(self.images), *shape
                kept = self.cache.rows(self._facts(of), shape, "uint8", lambda: [decoded()])
                if kept is not None:
                    return kept
            return decoded()
        except OSError as error:
            where = error.filename or f"split {self.name}"
            raise InputError(f"{where}: cannot be read ({error.strerror}); repair the disk or the network") from error

    @cached_property
    def _digest(self) -> str | None:
        return digest_of(self.images) if isinstance(self.images, Identified) else None

    @cached_property
    def _decoded(self) -> np.ndarray:
        """uint8 [N, 1 + HASH * views]: the verdict on each image and its hashes, in the order of the views."""
        count = len(self.images)
        if count > MANY:
            self.say(f"decoding the {count:,} images of split {self.name} once, to find unreadable ones")
        found = bytearray()
        width = 1 + HASH * len(self.views)
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for at in range(0, count, AT_ONCE):
                for row in pool.map(self._look_at, range(at, min(at + AT_ONCE, count))):
                    found += row
        return np.frombuffer(bytes(found), np.uint8).reshape(count, width)

    def _look_at(self, index: int) -> bytes:
        """The verdict on an image, and its hashes."""
        try:
            image = self.images[index]
        except InputError:
            verdict = UNREADABLE
        else:
            verdict = _verdict(image)
        if verdict in (UNREADABLE, CONSTANT):
            return bytes([verdict]) + bytes(HASH * len(self.views))
        return bytes([verdict]) + b"".join(_hash(view.resize(image)) for view in self.views)


def _of_pixels(view: Preprocess) -> dict[str, Any]:
    """The facts, besides the images, that determine the hashes of a view."""
    from flyp_sweep.trainers.data.images import pixel_code

    return {"resized": view.geometry, "code": pixel_code()}


def _hash(image: Image.Image) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()[:HASH]


def _names(images: Images, indices: np.ndarray) -> list[str]:
    """The names of the images at `indices`, for messages."""
    if isinstance(images, EncodedImages):
        return images.taken(indices).names()
    rows = images.indices[indices] if isinstance(images, Subset) else indices
    return [f"image {row}" for row in rows.tolist()]


def _reason(images: Images, index: int) -> str:
    """The decoder's error for an undecodable image."""
    try:
        images[index]
    except InputError as error:
        return " ".join(str(error.__cause__).split())
    return ""


def _verdict(image: Image.Image) -> int:
    if image.getcolors(maxcolors=1) is not None:
        return CONSTANT
    return DARK if np.asarray(image).max() < DARKEST else FINE
