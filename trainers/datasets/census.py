"""The classes of a data set, their display names, and the number of images per split."""

from __future__ import annotations

import numpy as np

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.roles import REPORTED
from flyp_sweep.trainers.datasets.base import Dataset, Split
from flyp_sweep.trainers.datasets.class_labels import listed
from flyp_sweep.trainers.datasets.own import OwnData

MOST_LISTED = 20
"""The most classes to list; of further ones, the extremes of each split are listed."""


def census(dataset: Dataset) -> list[str]:
    """A header and a line per class, `class = name` if these differ, for at most MOST_LISTED classes."""
    names = list(dataset.class_names)
    labels = dataset.classes if isinstance(dataset, OwnData) else names
    told = [name if label == name else f"{label} = {name}" for label, name in zip(labels, names, strict=True)]
    splits = {
        split.name: images_per_class(split, len(names))
        for split in map(dataset.split, dataset.splits)
        if split.class_names is None
    }
    width = max(map(len, [*told[:MOST_LISTED], "class = name"]))
    lines = [_line("class = name", width, splits, list(splits))]
    for label, name in enumerate(told[:MOST_LISTED]):
        lines.append(_line(name, width, splits, [str(counts[label]) for counts in splits.values()]))
    if len(names) > MOST_LISTED:
        extremes = ", ".join(f"{name} {_range(counts)}" for name, counts in splits.items())
        lines.append(f"further classes: {len(names) - MOST_LISTED}; images in a class: {extremes}")
    for split in map(dataset.split, dataset.splits):
        if split.class_names is not None:
            counts = np.bincount(split.labels, minlength=len(split.class_names))
            own = f"{len(counts):,} classes of its own, images in a class: {_range(counts)}"
            lines.append(f"{split.name}: {own}: {listed(split.class_names)}")
    return lines + groups_and_captions(dataset)


def groups_and_captions(dataset: Dataset) -> list[str]:
    """Further properties of the images: a line for the groups of each reported split, and a line for captions."""
    splits = [dataset.split(name) for name in dataset.splits]
    lines = []
    for split in splits:
        if split.groups is not None and split.role in REPORTED:
            counts = np.bincount(split.groups[split.groups >= 0], minlength=len(split.group_names))
            least = f" ({split.group_names[counts.argmin()]})" if counts.min() < counts.max() else ""
            held = f"{counted(len(counts), 'group')}, images in a group: {counts.min():,}{least}"
            lines.append(f"{split.name}: {held}" + (f" to {counts.max():,}" if least else ""))
    if captioned := [split.name for split in splits if split.captions is not None]:
        lines.append(f"captions: {', '.join(captioned)}")
    return lines


def images_per_class(split: Split, classes: int) -> np.ndarray:
    """int64 [classes]: the number of images of each class in a split."""
    if split.class_map is None:
        return np.bincount(split.labels, minlength=classes)
    counts = np.bincount(split.labels, minlength=int(split.class_map.max()) + 1)
    return np.where(split.class_map < 0, 0, counts[split.class_map])


def _range(counts: np.ndarray) -> str:
    """`8`, or `7 to 9`."""
    least, most = counts.min(), counts.max()
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _line(first: str, width: int, splits: dict[str, np.ndarray], cells: list[str]) -> str:
    columns = [cell.rjust(max(6, len(name))) for cell, name in zip(cells, splits, strict=True)]
    return "  ".join([first.ljust(width), *columns])
