"""A look at every image before a sweep: which cannot be decoded, which show nothing, and which look the same."""

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

if TYPE_CHECKING:  # it brings torch along, which absent files are not kept waiting for
    from flyp_sweep.trainers.data.images import Preprocess

FINE, CONSTANT, UNREADABLE, DARK = range(4)
DARKEST = 32
"""The brightest channel of an image that shows nothing, of 255: 12-bit pixels in a 16-bit file have 16 at most."""

AT_ONCE = 1024
MOST_LISTED = 20
"""Files that an error message lists."""
MANY = 1_000
"""Images that take some time to decode."""
HASH = 16
"""Bytes that are kept of the hash of an image's pixels."""

Say = Callable[[str], None]


@dataclass
class Found:
    """What a look at all images of a data set found: split -> images decoded, and the names of those that cannot be, of
    constant images, and of images without a bright pixel."""

    images: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, list[str]] = field(default_factory=dict)
    constant: dict[str, list[str]] = field(default_factory=dict)
    dark: dict[str, list[str]] = field(default_factory=dict)
    reason: str = ""
    """Why the first unreadable file cannot be decoded."""
    alike: list[Pair] = field(default_factory=list)
    """Images of two roles, or two classes, that a model cannot tell apart."""

    @property
    def bad(self) -> list[str]:
        """The unreadable files of all splits."""
        return [path for paths in self.unreadable.values() for path in paths]

    def take(self, split: str, look: Look) -> None:
        """Note what a look at a split finds."""
        verdicts = look.verdicts
        self.images[split] = len(verdicts)
        for verdict, kept in ((UNREADABLE, self.unreadable), (CONSTANT, self.constant), (DARK, self.dark)):
            if (verdicts == verdict).any():
                kept[split] = _names(look.images, np.flatnonzero(verdicts == verdict))
        if split in self.unreadable:
            self.reason = self.reason or _reason(look.images, int(np.argmax(verdicts == UNREADABLE)))

    def remarks(self, *, skipped: bool = True) -> list[str]:
        """A line for each split with images that show nothing, for splits that share images, and for each split whose
        unreadable images are `skipped`."""
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
        """Raise InputError that lists the unreadable files, if any."""
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
    """Decode all images that `dataset` has in files, unless the cache knows what that will show.

    `views` are the preprocessings by which images are compared, none of them twice.
    Raises InputError when a disk or network fails.
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
    """Leave images that cannot be decoded out of every split of `dataset`, from now on."""
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
    """uint8 [N]: what each image of split `name` is found to be. Raises InputError as `look_through` does."""
    return Look(images, name, cache).verdicts


class Look:
    """A look at all images of split `name`: they are decoded once, when the first result is asked for that `cache`
    does not know. `views` are the preprocessings of which it tells `pixels`.

    Raises InputError when a disk or network fails.
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
        """uint8 [N]: what each image is found to be."""
        return self._kept(self._of_verdicts, (), lambda: self._decoded[:, 0])

    def pixels(self, view: Preprocess) -> np.ndarray:
        """bytes [N] of HASH each: a hash of what `view`, one of `views`, makes of each image for the evaluation.

        Empty for an image that cannot be decoded, or is of one colour.
        """
        first = 1 + HASH * next(at for at, one in enumerate(self.views) if one is view)
        rows = self._kept(_of_pixels(view), (HASH,), lambda: self._decoded[:, first : first + HASH])
        return np.ascontiguousarray(rows).view(f"S{HASH}").reshape(len(self.images))

    @property
    def is_known(self) -> bool:
        """Whether the cache has all results, so that no image will be decoded."""
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
        """What `decoded` gives: from the cache where it has that."""
        try:
            if self.cache is not None and self._digest is not None:
                shape = len(self.images), *shape
                kept = self.cache.rows(self._facts(of), shape, "uint8", lambda: [decoded()])
                if kept is not None:
                    return kept
            return decoded()
        except OSError as error:
            where = error.filename or f"split {self.name}"
            raise InputError(f"{where}: cannot be read ({error.strerror}); mend the disk or the network") from error

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
    """What determines the hashes of a view, beside the images."""
    from flyp_sweep.trainers.data.images import pixel_code

    return {"resized": view.geometry, "code": pixel_code()}


def _hash(image: Image.Image) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()[:HASH]


def _names(images: Images, indices: np.ndarray) -> list[str]:
    """What the images at `indices` are called in messages."""
    if isinstance(images, EncodedImages):
        return images.taken(indices).names()
    rows = images.indices[indices] if isinstance(images, Subset) else indices
    return [f"image {row}" for row in rows.tolist()]


def _reason(images: Images, index: int) -> str:
    """Why an image cannot be decoded, in the decoder's words."""
    try:
        images[index]
    except InputError as error:
        return " ".join(str(error.__cause__).split())
    return ""


def _verdict(image: Image.Image) -> int:
    if image.getcolors(maxcolors=1) is not None:
        return CONSTANT
    return DARK if np.asarray(image).max() < DARKEST else FINE
