"""The same images in the forms that people keep them in; each function returns what the YAML says of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hub_folders
import pytest
from shards import write_shards

from flyp_sweep.trainers.testing.reader_contract import Example, in_table


def in_folders(folder: Path, images: Sequence[Example]) -> dict[str, Any]:
    for one in images:
        path = folder / one.split / one.label / one.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one.content)
    return {
        "folders": {"train": "train", "id_val": "id_val", "id_test": "id_test", "ood": {"sketch": "sketch"}},
    }


def on_the_hub(folder: Path, images: Sequence[Example]) -> dict[str, Any]:
    """Parquet files as on the hub."""
    pytest.importorskip("datasets")
    for split, rows in hub_folders.by_split(images).items():
        hub_folders.write_parquet(folder / f"birds/data/{split}-00000-of-00001.parquet", rows)
    return {"hub": "birds", "splits": hub_folders.SPLITS}


def in_shards(folder: Path, images: Sequence[Example]) -> dict[str, Any]:
    trained = sorted({one.label for one in images if one.split == "train"})
    names = [*trained, *sorted({one.label for one in images} - {*trained})]
    (folder / "classnames.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    for split in dict.fromkeys(one.split for one in images):
        own = [one for one in images if one.split == split]
        write_shards(folder / split, [(one.name, one.content, str(names.index(one.label))) for one in own])
    splits = {"train": "train", "id_val": "id_val", "id_test": "id_test", "ood": {"sketch": "sketch"}}
    return {"webdataset": ".", "splits": splits}


def as_coop(folder: Path, images: Sequence[Example]) -> dict[str, Any]:
    names = sorted({one.label for one in images})
    rows: dict[str, list[tuple[str, int, str]]] = {}
    (folder / "pictures").mkdir()
    for one in images:
        (folder / "pictures" / one.name).write_bytes(one.content)
        rows.setdefault(one.split, []).append((one.name, names.index(one.label), one.label))
    (folder / "split_zhou_Insects.json").write_text(json.dumps(rows), encoding="utf-8")
    splits = {"id_val": "id_val", "id_test": "id_test", "ood": {"sketch": "sketch"}}
    return {"coop": "split_zhou_Insects.json", "images": "pictures", "splits": splits}


Form = Callable[[Path, Sequence[Example]], dict[str, Any]]
FORMS: dict[str, Form] = {
    "folders": in_folders,
    "tables": in_table,
    "hub": on_the_hub,
    "webdataset": in_shards,
    "coop": as_coop,
}
"""Reader -> how images get into its form."""
