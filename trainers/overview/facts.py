"""The contents of an overview as plain values: `overview.make` computes them, pages and terminals show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Example:
    """An image as the model gets it, with the text that it is paired with.

    `view` is the PNG of the evaluation view, `training` that of a training view, for training images. Without a view,
    `problem` is the decoding error.
    """

    label: str
    text: str
    file: str
    view: bytes | None = None
    training: bytes | None = None
    problem: str = ""


@dataclass(frozen=True)
class Sizes:
    """Stored image sizes, ordered by area, of the `seen` images that were opened."""

    smallest: Size
    median: Size
    largest: Size
    seen: int


@dataclass(frozen=True)
class SplitOverview:
    """One split. `counts` holds the number of images per class, in label order; `looked` is the number of decoded
    images.

    An unreadable split has no images, and `problem` is the reason.
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
        """The classes with images."""
        return [(name, count) for name, count in self.counts if count]


@dataclass(frozen=True)
class DatasetOverview:
    """A data set: its splits, and lists of lines. `rules`: how splits were made and are scored. `wrong`: problems that
    a run refuses. `suspicious`: other possible problems."""

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
        """Whether every image was decoded."""
        return all(split.looked == split.images and not split.problem for split in self.splits)
