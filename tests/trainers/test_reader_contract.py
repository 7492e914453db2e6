"""All readers of own data pass one contract."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hub_folders
import pytest
from forms import as_coop, in_folders, in_shards, on_the_hub

from flyp_sweep.trainers.testing.reader_contract import Example, ReaderContract, in_table


class TestFolders(ReaderContract):
    def write(self, folder: Path, images: Sequence[Example]) -> dict[str, Any]:
        return in_folders(folder, images)


class TestHub(ReaderContract):
    def write(self, folder: Path, images: Sequence[Example]) -> dict[str, Any]:
        return on_the_hub(folder, images)


class TestSaved(ReaderContract):
    """Folders that `save_to_disk` has written."""

    def write(self, folder: Path, images: Sequence[Example]) -> dict[str, Any]:
        datasets = pytest.importorskip("datasets")
        parts = {split: hub_folders.as_dataset(rows) for split, rows in hub_folders.by_split(images).items()}
        datasets.DatasetDict(parts).save_to_disk(folder / "saved")
        return {"hub": "saved", "splits": hub_folders.SPLITS}


class TestTables(ReaderContract):
    def write(self, folder: Path, images: Sequence[Example]) -> dict[str, Any]:
        return in_table(folder, images)


class TestWebDataset(ReaderContract):
    def write(self, folder: Path, images: Sequence[Example]) -> dict[str, Any]:
        return in_shards(folder, images)


class TestCoop(ReaderContract):
    def write(self, folder: Path, images: Sequence[Example]) -> dict[str, Any]:
        return as_coop(folder, images)


class TestDomains(ReaderContract):
    """A domain for each split; that parts are held out of the ID domains has tests of its own."""

    def write(self, folder: Path, images: Sequence[Example]) -> dict[str, Any]:
        for one in images:
            path = folder / "office" / one.split / one.label / one.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(one.content)
        roles = {"id_domains": ["train"], "id_val": ["id_val"], "id_test": ["id_test"], "ood_domains": ["sketch"]}
        return {"domains": "office", **roles}
