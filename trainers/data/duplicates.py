"""Images that look the same to a model, in two roles or under two labels, even if their files differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.trainers.data.content import Hashes
from flyp_sweep.trainers.data.identity import content_of
from flyp_sweep.trainers.datasets.base import Dataset, Split, Subset
from flyp_sweep.trainers.datasets.encoded import EncodedImages

if TYPE_CHECKING:  # imports torch
    from flyp_sweep.trainers.data.images import Preprocess

SMALL_GROUP = 20
"""Groups of at most this many equal images are reported with all pairs."""

Pixels = Mapping[str, np.ndarray]
"""Split -> a hash of the model's view of each image, bytes [N]; empty for images that are not compared."""


@dataclass(frozen=True)
class Place:
    """An image: its split and role, its row in the split, and the names of its class and file."""

    split: str
    role: str
    row: int
    label: str
    file: str


@dataclass(frozen=True)
class Pair:
    """Two images that a model cannot distinguish, in two roles or of two classes.

    Their pixels are equal at the model's size (width, height). `equal_bytes`: their files are equal, too.
    """

    first: Place
    second: Place
    size: tuple[int, int]
    equal_bytes: bool

    @property
    def between(self) -> str:
        """The two roles, or the split with two labels for the image."""
        one, other = self.first.role, self.second.role
        return f"{one} and {other}" if one != other else f"classes of {self.second.split}"

    def __str__(self) -> str:
        places = (f"{one.split} {one.file} ({one.label})" for one in (self.first, self.second))
        same = "bytes" if self.equal_bytes else f"pixels at {self.size[0]} x {self.size[1]}"
        return f"{' = '.join(places)}: equal {same}"


def pairs(dataset: Dataset, seen: Iterable[tuple[Preprocess, Pixels]], hashes: Hashes) -> list[Pair]:
    """All pairs of images that look the same and differ in role or class, in the order of the data set.

    `seen` holds the hashes of each preprocessing's views. Raises InputError for a file that cannot be read.
    """
    wrong: dict[tuple[Place, Place], tuple[int, int]] = {}
    for view, pixels in seen:
        height, width = view.size
        for group in _groups(pixels):
            for one, other in _wrong(dataset, group):
                wrong.setdefault((one, other), (width, height))
    contents = _contents(dataset, {place for pair in wrong for place in pair}, hashes)
    return [Pair(one, other, size, contents[one] == contents[other]) for (one, other), size in wrong.items()]


def _wrong(dataset: Dataset, group: Sequence[tuple[str, int]]) -> Iterator[tuple[Place, Place]]:
    """Pairs from a group of equal images, (split, row), that differ in role or class.

    A small group yields all pairs. A large group, such as a placeholder for thousands of lost images, yields one pair
    per image.
    """
    splits = {name: dataset.split(name) for name, _ in group}
    kinds = [(splits[name].role, splits[name].class_of(dataset, int(splits[name].labels[row]))) for name, row in group]
    if len(set(kinds)) == 1:
        return
    if len(group) <= SMALL_GROUP:
        numbers = [pair for pair in combinations(range(len(group)), 2) if kinds[pair[0]] != kinds[pair[1]]]
    else:
        other = next(at for at, kind in enumerate(kinds) if kind != kinds[0])
        numbers = [(0, at) if kind != kinds[0] else (at, other) for at, kind in enumerate(kinds)]
    places = [_place(splits[name], row, label) for (name, row), (_, label) in zip(group, kinds, strict=True)]
    yield from ((places[first], places[second]) for first, second in dict.fromkeys(numbers))


def near(found: Iterable[Pair], *, equal_bytes: bool = False) -> dict[str, int]:
    """`Pair.between` -> the number of images in such pairs whose files have other bytes, or `equal_bytes`."""
    shared: dict[str, set[Place]] = {}
    for pair in found:
        if pair.equal_bytes == equal_bytes:
            shared.setdefault(pair.between, set()).add(pair.second)
    return {between: len(places) for between, places in shared.items()}


def remarks(found: Sequence[Pair], *, equal_bytes: bool = False) -> list[str]:
    """A remark for each two roles that share images, and for each split with images under two labels. Their files have
    other bytes, or `equal_bytes`."""
    lines = []
    for between, count in near(found, equal_bytes=equal_bytes).items():
        pair = next(pair for pair in found if pair.equal_bytes == equal_bytes and pair.between == between)
        (width, height), more = pair.size, ", ..." if count > 1 else ""
        same = "equal bytes" if equal_bytes else f"other bytes and equal pixels at {width} x {height}"
        lines.append(
            f"{between}: {counted(count, 'image')} in two files of {same} "
            f"({pair.first.file} = {pair.second.file}{more}); `data check --duplicates` lists all"
        )
    return lines


def _groups(pixels: Pixels) -> Iterator[list[tuple[str, int]]]:
    """Groups of two or more images with equal hashes, (split, row)."""
    names = [name for name, hashes in pixels.items() if len(hashes)]
    if not names:
        return
    joined = np.concatenate([pixels[name] for name in names])
    starts = np.cumsum([0, *(len(pixels[name]) for name in names)])
    order = np.argsort(joined, kind="stable")
    ordered = joined[order]
    edges = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1], True])
    several = np.flatnonzero(np.diff(edges) > 1)
    groups = [order[edges[at] : edges[at + 1]] for at in several if ordered[edges[at]]]
    for group in sorted(groups, key=lambda one: int(one[0])):
        splits = np.searchsorted(starts, group, side="right") - 1
        rows = group - starts[splits]
        yield [(names[split], row) for split, row in zip(splits.tolist(), rows.tolist(), strict=True)]


def _place(split: Split, row: int, label: str) -> Place:
    images = split.images
    file = images.taken(np.array([row])).names()[0] if isinstance(images, EncodedImages) else f"image {row}"
    return Place(split.name, split.role, row, label, file)


def _contents(dataset: Dataset, places: Iterable[Place], hashes: Hashes) -> dict[Place, bytes]:
    """Place -> the content hash of its image."""
    contents: dict[Place, bytes] = {}
    by_split: dict[str, list[Place]] = {}
    for place in places:
        by_split.setdefault(place.split, []).append(place)
    for name, some in by_split.items():
        images, rows = dataset.split(name).images, np.array([place.row for place in some])
        part = images.taken(rows) if isinstance(images, EncodedImages) else Subset(images, rows)
        contents |= zip(some, content_of(part, hashes).tolist(), strict=True)
    return contents
