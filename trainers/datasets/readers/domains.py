"""Image folders in domains, as DomainBed keeps them: `domain/class/image`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import numpy as np

from flyp_sweep.search_spaces.errors import nearest
from flyp_sweep.search_spaces.own_data import OwnDataset
from flyp_sweep.search_spaces.readers.domains import DomainDataset
from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers.datasets.base import Missing, Split
from flyp_sweep.trainers.datasets.encoded import EncodedImages
from flyp_sweep.trainers.datasets.image_listing import subfolders
from flyp_sweep.trainers.datasets.own import with_hint
from flyp_sweep.trainers.datasets.readers.folders import ImageFolders


class DomainFolders(ImageFolders):
    """A folder per domain, with a folder per class: the ID domains form the training split, each OOD domain is a split.

    A held-out part takes a share of each domain and class. The draw uses an image's path below the folder of domains,
    so a domain's held-out images do not depend on which domain is OOD.
    """

    entry_type: ClassVar[type[OwnDataset]] = DomainDataset
    stratum: ClassVar[str] = "each domain and class"
    summary = "domains of image folders (DomainBed)"

    def __init__(self, entry: OwnDataset, root: Path, shown_as: ShownAs = "viewer") -> None:
        super().__init__(entry, root, shown_as)
        assert isinstance(entry, DomainDataset)
        self.folder = self.resolve(entry.domains)
        self.domains_of = entry.domains_of

    def base(self, split: str) -> Path:
        return self.folder

    def folders_of(self, split: str) -> list[Path]:
        return [self.folder / domain for domain in self.domains_of(split)]

    def where(self, split: str) -> str:
        return ", ".join(map(str, self.folders_of(split)))

    def missing(self) -> list[Missing]:
        """The absent folder of domains, or the absent domains."""
        told = f"dataset.domains of {self.name!r} in the search space"
        if not self.folder.is_dir():
            return [Missing(self.folder, told)]
        found = [path.name for path in subfolders(self.folder)]
        wanted = dict.fromkeys(folder for split in self.sources for folder in self.folders_of(split))
        return [Missing(path, with_hint(told, nearest(path.name, found))) for path in wanted if path.name not in found]

    def strata(self, whole: Split) -> np.ndarray:
        """One stratum per domain and class."""
        assert isinstance(whole.images, EncodedImages)
        keys = whole.images.keys()
        domains = [key.partition(os.sep)[0] for key in keys]
        _, numbers = np.unique(domains, return_inverse=True)
        return numbers * len(self.classes) + whole.labels

    def remarks(self) -> list[str]:
        used = {folder.name for split in self.sources for folder in self.folders_of(split)}
        unused = [path.name for path in subfolders(self.folder) if path.name not in used]
        return [*super().remarks(), *([f"not used: the domains {', '.join(unused)}"] if unused else [])]
