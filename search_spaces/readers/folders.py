"""Image folders: a folder for each split, in it one sub-folder per class."""

from __future__ import annotations

from typing import ClassVar

from flyp_sweep.search_spaces.own_data import OwnDataset, Splits


class FolderDataset(OwnDataset):
    """Image folders. The classes are the sub-folders of the training split."""

    key: ClassVar[str] = "folders"
    splits_key: ClassVar[str] = "folders"

    folders: Splits
    """Split -> its folder, with one folder of images per class. Paths start from `--data-root`."""

    @property
    def sources(self) -> Splits:
        return self.folders
