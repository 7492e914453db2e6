"""All readers of own data pass one contract."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hub_folders
import pytest
from shards import write_shards

from flyp_sweep.trainers.testing.reader_contract import Example, ReaderContract, in_table


class TestFolders(ReaderContract):
    def write(self, folder: Path, images: Sequence[Example]) -> dict[str, Any]:
        for one in images:
            path = folder / one.split / one.label / one.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(one.content)
        return {
            "folders": {"train": "train", "id_val": "id_val", "id_test": "id_test", "ood": {"sketch": "sketch"}},
        }


class TestHub(ReaderContract):
    """Parquet files as on the hub."""

    def write(self, folder: Path, images: Sequence[Example]) -> dict[str, Any]:
        pytest.importorskip("datasets")
        for split, rows in hub_folders.by_split(images).items():
            hub_folders.write_parquet(folder / f"birds/data/{split}-00000-of-00001.parquet", rows)
        return {"hub": "birds", "splits": hub_folders.SPLITS}


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
        names = sorted({one.label for one in images if one.split == "train"})
        (folder / "classnames.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        for split in dict.fromkeys(one.split for one in images):
            own = [one for one in images if one.split == split]
            numbers = [str(names.index(one.label)) if one.label in names else one.label for one in own]
            write_shards(folder / split, [(one.name, one.content, n) for one, n in zip(own, numbers, strict=True)])
        splits = {"train": "train", "id_val": "id_val", "id_test": "id_test", "ood": {"sketch": "sketch"}}
        return {"webdataset": ".", "splits": splits}


class TestCoop(ReaderContract):
    def write(self, folder: Path, images: Sequence[Example]) -> dict[str, Any]:
        names = sorted({one.label for one in images})
        rows: dict[str, list[tuple[str, int, str]]] = {}
        (folder / "pictures").mkdir()
        for one in images:
            (folder / "pictures" / one.name).write_bytes(one.content)
            rows.setdefault(one.split, []).append((one.name, names.index(one.label), one.label))
        (folder / "split_zhou_Insects.json").write_text(json.dumps(rows), encoding="utf-8")
        splits = {"id_val": "id_val", "id_test": "id_test", "ood": {"sketch": "sketch"}}
        return {"coop": "split_zhou_Insects.json", "images": "pictures", "splits": splits}


class TestDomains(ReaderContract):
    """A domain for each split; that parts are held out of the ID domains has tests of its own."""

    def write(self, folder: Path, images: Sequence[Example]) -> dict[str, Any]:
        for one in images:
            path = folder / "office" / one.split / one.label / one.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(one.content)
        roles = {"id_domains": ["train"], "id_val": ["id_val"], "id_test": ["id_test"], "ood_domains": ["sketch"]}
        return {"domains": "office", **roles}
