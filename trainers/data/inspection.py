"""A look at every image before a sweep: which cannot be decoded, and which show nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import PIL

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.datasets.base import Dataset, Split, digest_of
from flyp_sweep.trainers.datasets.encoded import EncodedImages

FINE, CONSTANT, UNREADABLE, DARK = range(4)
DARKEST = 32
"""The brightest channel of an image that shows nothing, of 255: 12-bit pixels in a 16-bit file have 16 at most."""

AT_ONCE = 1024
MOST_LISTED = 20
"""Files that an error message lists."""
MANY = 5_000
"""Images that take some time to decode."""

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

    @property
    def bad(self) -> list[str]:
        """The unreadable files of all splits."""
        return [path for paths in self.unreadable.values() for path in paths]

    def remarks(self) -> list[str]:
        """A line for each split with images that show nothing, and with unreadable ones, which are left out."""
        kinds = {"left out as unreadable": self.unreadable, "of one colour": self.constant}
        kinds[f"nearly black, no pixel above {DARKEST - 1} of 255"] = self.dark
        lines = []
        for told, found in kinds.items():
            for split, paths in found.items():
                more = ", ..." if len(paths) > 1 else ""
                of = counted(self.images[split], "image")
                lines.append(f"{split}: {len(paths)} of {of} {told} ({paths[0]}{more})")
        return lines

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


def look_through(dataset: Dataset, cache: Cache | None, say: Say = lambda line: None) -> Found:
    """Decode all images that `dataset` has in files, unless the cache knows what that will show.

    Raises InputError when a disk or network fails.
    """
    found = Found()
    for name in dataset.splits:
        images = dataset.split(name).images
        if not isinstance(images, EncodedImages):
            continue
        verdicts = judged(images, name, cache, say)
        found.images[name] = len(verdicts)
        for verdict, kept in ((UNREADABLE, found.unreadable), (CONSTANT, found.constant), (DARK, found.dark)):
            if (verdicts == verdict).any():
                kept[name] = images.taken(np.flatnonzero(verdicts == verdict)).names()
        if name in found.unreadable:
            found.reason = found.reason or _reason(images, int(np.argmax(verdicts == UNREADABLE)))
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


def judged(images: EncodedImages, name: str, cache: Cache | None, say: Say = lambda line: None) -> np.ndarray:
    """uint8 [N]: what each image of split `name` is found to be. Raises InputError as `look_through` does."""
    count = len(images)

    def batches() -> Iterator[np.ndarray]:
        if count > MANY:
            say(f"decoding the {count:,} images of split {name} once, to find unreadable ones")
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for at in range(0, count, AT_ONCE):
                indices = range(at, min(at + AT_ONCE, count))
                yield np.fromiter(pool.map(partial(_verdict, images), indices), np.uint8, len(indices))

    try:
        digest = digest_of(images)
        if cache is not None and digest is not None:
            facts = {"kind": "inspection", "of": f"{name}, {count} images", "images": digest}
            kept = cache.rows(
                facts | {"code": f"pillow {PIL.__version__}, darkest {DARKEST}"}, (count,), "uint8", batches
            )
            if kept is not None:
                return kept
        return np.concatenate([np.empty(0, np.uint8), *batches()])
    except OSError as error:
        where = error.filename or f"split {name}"
        raise InputError(f"{where}: cannot be read ({error.strerror}); mend the disk or the network") from error


def _reason(images: EncodedImages, index: int) -> str:
    """Why an image cannot be decoded, in the decoder's words."""
    try:
        images[index]
    except InputError as error:
        return " ".join(str(error.__cause__).split())
    return ""


def _verdict(images: EncodedImages, index: int) -> int:
    try:
        image = images[index]
    except InputError:
        return UNREADABLE
    if image.getcolors(maxcolors=1) is not None:
        return CONSTANT
    return DARK if np.asarray(image).max() < DARKEST else FINE
