"""What is seen of a data set, as plain values: made by `overview.make`, shown by whoever has a page or a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Example:
    """An image as the model gets it, with the text that it is paired with.

    `view` is the PNG of the evaluation view, `training` that of a training view of a training image. Without a view,
    `problem` says why the image cannot be decoded.
    """

    label: str
    text: str
    file: str
    view: bytes | None = None
    training: bytes | None = None
    problem: str = ""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the images as they are stored, by area, of the `seen` images that were opened."""

    smallest: Size
    median: Size
    largest: Size
    seen: int


@dataclass(frozen=True)
class SplitOverview:
    """One split. `counts` holds the images of each class, in label order, `looked` how many images were decoded.

    A split that cannot be read has no images, and `problem` says why.
    """

    name: str
    role: str
    images: int = 0
    published: int | None = None
    counts: Sequence[tuple[str, int]] = ()
    sizes: Sizes | None = None
    looked: int = 0
    examples: Sequence[Example] = ()
    problem: str = ""

    @property
    def held(self) -> list[tuple[str, int]]:
        """The classes of which there are images."""
        return [(name, count) for name, count in self.counts if count]


@dataclass(frozen=True)
class DatasetOverview:
    """A data set: its splits and, a line each, the `rules` by which these were made and are scored, what is `wrong`, so
    that a run refuses it, and what is `suspicious`."""

    name: str
    classes: int
    templates: int
    metric: str
    splits: Sequence[SplitOverview]
    rules: Sequence[str] = ()
    wrong: Sequence[str] = ()
    suspicious: Sequence[str] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every image was looked at."""
        return all(split.looked == split.images and not split.problem for split in self.splits)
