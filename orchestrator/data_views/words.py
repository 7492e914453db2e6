"""What terminal and page both say of a split: its balance, its sizes, and how much of it was looked at."""

from __future__ import annotations

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.roles import TITLES
from flyp_sweep.trainers.overview.facts import DatasetOverview, Size, SplitOverview

MOST_BARS = 20
"""Classes that have a bar each; of more, as many of the largest and the smallest."""
EXTREMES = 5


def head(found: DatasetOverview) -> str:
    """How many classes and templates a data set has, and what it is judged by."""
    classes = f"{found.classes:,} class{'' if found.classes == 1 else 'es'}"
    return f"{classes}, {counted(found.templates, 'template')}, scored by {found.metric}"


def role(split: SplitOverview) -> str:
    """The role of a split, where its name does not say it already."""
    return "" if split.name == split.role else TITLES[split.role]


def balance(split: SplitOverview) -> tuple[list[tuple[str, int]], int]:
    """The classes to draw, with their images, and how many lie between the largest and the smallest of these.

    All in label order; of many the largest first.
    """
    if len(split.counts) <= MOST_BARS:
        return list(split.counts), 0
    ordered = sorted(split.counts, key=lambda one: -one[1])
    return [*ordered[:EXTREMES], *ordered[-EXTREMES:]], len(ordered) - 2 * EXTREMES


def sizes(split: SplitOverview) -> str:
    """The range of sizes, and of how many images."""
    found = split.sizes
    if found is None:
        return "no image can be opened"
    of = "" if found.seen == split.images else f" (of {found.seen:,} of them)"
    if found.smallest == found.largest:
        return f"{_told(found.smallest)}{of}"
    return f"{_told(found.smallest)} to {_told(found.largest)}, median {_told(found.median)}{of}"


def looked(split: SplitOverview) -> str:
    """How many images were decoded to find what is suspicious."""
    if split.looked == split.images:
        return "all images"
    return f"a sample of {split.looked:,} of {counted(split.images, 'image')}; --deep looks at all"


def _told(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
