"""Grids of corruptions and severities: ImageNet-C's folders and CIFAR-10-C's arrays."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.search_spaces.own_data import OwnDataset
from flyp_sweep.search_spaces.readers.corruptions import CorruptionDataset
from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.base import Missing, Split
from flyp_sweep.trainers.datasets.class_labels import listed
from flyp_sweep.trainers.datasets.corruption_grids import LABELS, Arrays, Cell, Folders, Grid
from flyp_sweep.trainers.datasets.imagenet_classes import wordnet_ids
from flyp_sweep.trainers.datasets.own import OwnData

ALEXNET = {
    "gaussian_noise": 0.886428, "shot_noise": 0.894468, "impulse_noise": 0.922640,
    "defocus_blur": 0.819880, "glass_blur": 0.826268, "motion_blur": 0.785948, "zoom_blur": 0.798360,
    "snow": 0.866816, "frost": 0.826572, "fog": 0.819324, "brightness": 0.564592,
    "contrast": 0.853204, "elastic_transform": 0.646056, "pixelate": 0.717840, "jpeg_compression": 0.606500,
}  # fmt: skip
"""AlexNet's error on ImageNet-C, averaged over severities, by its 15 corruptions in their usual order.

They are those of https://github.com/hendrycks/robustness, the code of Hendrycks and Dietterich, ICLR 2019.
"""
SEVERITIES = (1, 2, 3, 4, 5)
SOURCES = "ImageNet-C: https://zenodo.org/records/2235448; CIFAR-10-C: https://zenodo.org/records/2535967; unpacked"


class CorruptionGrid(OwnData):
    """A folder of corruptions as one OOD split, with groups named `corruption/severity`.

    If ImageNet-C's 15 test corruptions are present, others are left out: the authors reserve those for validation.
    """

    entry_type: ClassVar[type[OwnDataset]] = CorruptionDataset
    summary = "grids of corruptions (ImageNet-C, CIFAR-10-C)"

    def __init__(self, entry: OwnDataset, root: Path, shown_as: ShownAs = "viewer") -> None:
        super().__init__(entry, root, shown_as)
        assert isinstance(entry, CorruptionDataset)
        self.folder = self.resolve(entry.corruptions)
        self.only, self.severities = entry.only, entry.severities

    def missing(self) -> list[Missing]:
        told = f"evaluate.corruptions of {self.name!r} in the search space ({SOURCES})"
        return [] if self.folder.is_dir() else [Missing(self.folder, told)]

    @cached_property
    def grid(self) -> Grid:
        """The grid. Raises InputError for a folder without corruptions, or with missing files."""
        found = Arrays(self.folder) if (self.folder / LABELS).is_file() else Folders(self.folder, self.shown_as)
        if not found.corruptions:
            raise InputError(
                f"{self.folder}: found no corruption; expected corruption/severity/class/image files, or arrays "
                f"corruption.npy beside {LABELS}"
            )
        return found

    @cached_property
    def corruptions(self) -> list[str]:
        """The corruptions to evaluate, the 15 of ImageNet-C first."""
        found = self.grid.corruptions
        usual = [name for name in ALEXNET if name in found]
        if self.only is None:
            return usual if len(usual) == len(ALEXNET) else [*usual, *sorted(set(found) - set(usual))]
        for name in self.only:
            if name not in found:
                raise InputError(
                    f"{self.folder}: found no corruption {name!r}, which evaluate.only of {self.name!r} names; "
                    f"expected some of {listed(sorted(found))}{nearest(name, found)}"
                )
        return [*(name for name in usual if name in self.only), *(name for name in self.only if name not in usual)]

    @cached_property
    def taken(self) -> list[int]:
        """The severities to evaluate. Raises InputError if a corruption lacks one that others have."""
        held = {name: self.grid.severities(name) for name in self.corruptions}
        wanted = sorted(self.severities or {severity for found in held.values() for severity in found})
        for name, found in held.items():
            if absent := [severity for severity in wanted if severity not in found]:
                raise InputError(
                    f"{self.folder}: found {name} without severity {absent[0]}; expected severities "
                    f"{', '.join(map(str, wanted))} of every corruption; complete the copy, or take fewer by "
                    f"evaluate.severities or evaluate.only of {self.name!r}"
                )
        return wanted

    @property
    def cells(self) -> list[Cell]:
        return [(name, severity) for name in self.corruptions for severity in self.taken]

    def labels_of(self, split: str) -> list[str]:
        return self.grid.labels(self.cells)

    def read(self, split: str) -> Split:
        images, labels, counts = self.grid.read(self.cells, self.classes)
        names = tuple(f"{name}/{severity}" for name, severity in self.cells)
        groups = np.repeat(np.arange(len(names)), counts)
        return Split(
            split, "ood", images, labels, self.metric, groups=groups, group_names=names, reference_errors=self.reference
        )

    @property
    def reference(self) -> dict[str, float]:
        """AlexNet's errors, if the folder holds all of ImageNet-C."""
        whole = self.corruptions == list(ALEXNET) and self.taken == list(SEVERITIES)
        return ALEXNET if whole and set(self.classes) == set(wordnet_ids()) else {}

    def left_out(self, split: str) -> str:
        self.split(split)
        others = sorted(set(self.grid.corruptions) - set(self.corruptions)) if self.only is None else []
        told = (
            f"{counted(len(others), 'further corruption')} ({', '.join(others)}; `only` takes them)" if others else ""
        )
        return ", ".join(filter(None, (told, self.grid.left_out.told(self.folder))))

    def particulars(self) -> list[str]:
        groups = self.split(self.name).groups
        counts = np.bincount([] if groups is None else groups)
        uneven = f"images per corruption and severity: {counts.min():,} to {counts.max():,}; is the copy whole?"
        return [uneven] if counts.min() < counts.max() else []
