"""Data sets that torchvision reads, described in the YAML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.own_data import OwnDataset
from flyp_sweep.search_spaces.readers.torchvision import TorchvisionDataset
from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.base import Images, Missing, Split
from flyp_sweep.trainers.datasets.class_labels import listed, resembling, spelt
from flyp_sweep.trainers.datasets.copies import with_copies
from flyp_sweep.trainers.datasets.named_files import below_folder
from flyp_sweep.trainers.datasets.own import OwnData
from flyp_sweep.trainers.datasets.torchvision_sets import (
    Indexed,
    Listing,
    NotThere,
    Source,
    class_named,
    listing,
    opened,
    parameters,
)


class TorchvisionData(OwnData):
    """A torchvision data set class, built once per split. Image files are decoded here, like all of the user's own
    data.

    Classes have torchvision's order. A class without a name is called by its number.
    """

    entry_type: ClassVar[type[OwnDataset]] = TorchvisionDataset
    summary = "data sets of torchvision"

    def __init__(self, entry: TorchvisionDataset, root: Path, shown_as: ShownAs = "viewer") -> None:
        super().__init__(entry, root, shown_as)
        self.kind = entry.torchvision
        self.folder = root if entry.root is None else self.resolve(entry.root)
        self.options = tuple(sorted(entry.options.items()))

    def source(self, split: str) -> Source:
        """The arguments that torchvision gets for a split."""
        return Source(self.kind, self.folder, self.sources[split], self.options)

    def where(self, split: str) -> str:
        return f"{self.folder}, {self.source(split)}"

    def missing(self) -> list[Missing]:
        """The folder, for each torchvision split that is not found in it."""
        fetched = "; `flyp-sweep data prepare SPACE.yaml` has torchvision fetch it" if self._can_be_fetched() else ""
        absent = []
        for source in dict.fromkeys(map(self.source, self.sources)):
            try:
                opened(source)
            except NotThere as error:
                absent.append(Missing(self.folder, with_copies(f"{source}: {error}{fetched}", self.kind)))
        return absent

    def fetch(self, say: Callable[[str], None]) -> bool:
        if not self._can_be_fetched():
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        for source in dict.fromkeys(map(self.source, self.sources)):
            say(f"fetching {source} into {self.folder}")
            source.made(download=True)
        return True

    def labels_of(self, split: str) -> list[str]:
        found = listing(self.source(split))
        return [found.classes[label] for label in np.unique(found.labels)]

    def ordered(self, labels: Sequence[str]) -> list[str]:
        places = self.fitted if set(labels) <= self._known(self.fitted).keys() else [*self.sources]
        return sorted(labels, key=self._known(places).__getitem__)

    def _known(self, splits: Sequence[str]) -> dict[str, int]:
        """The classes that torchvision lists in some splits, with or without images -> their order."""
        names = dict.fromkeys(name for split in splits for name in listing(self.source(split)).classes)
        return {name: place for place, name in enumerate(names)}

    def read(self, split: str) -> Split:
        found = listing(self.source(split))
        numbers = {name: label for label, name in enumerate(self.classes_of(split))}
        for label in np.unique(found.labels):
            if (name := found.classes[label]) not in numbers:
                raise InputError(
                    f"{self.where(split)}: found label {spelt(name)}; expected one of those in {self.whole}: "
                    f"{listed(self.classes)}{resembling(name, self.classes) or self.if_new(split)}"
                )
        labels = np.array([numbers.get(name, -1) for name in found.classes], dtype=np.int64)[found.labels]
        return Split(split, self.splits[split], self._images(split, found), labels, self.metric)

    def left_out(self, split: str) -> str:
        """Nothing: torchvision decides which images count."""
        return ""

    def _images(self, split: str, found: Listing) -> Images:
        if found.files is None:
            return Indexed(self.source(split), np.arange(len(found.labels)))
        return below_folder(self.folder, map(Path, found.files), self.shown_as)

    def _can_be_fetched(self) -> bool:
        return "download" in parameters(class_named(self.kind))
