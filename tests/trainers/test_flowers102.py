"""Oxford's flowers on trees with .mat files as the publisher writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from refusal import refused
from scipy.io import savemat
from torchvision import datasets as torchvision_datasets
from trees import shade_of, write_image

from flyp_sweep.trainers.datasets.flowers102 import Flowers102

LABELS = [77, 1, 102, 94, 77, 1]
"""Of images 1 to 6, counting from 1 as in the file."""


def tree(root: Path) -> Flowers102:
    base = root / "flowers-102"
    for number in range(1, 7):
        write_image(base / "jpg" / f"image_{number:05d}.jpg", number)
    savemat(base / "imagelabels.mat", {"labels": np.array([LABELS], dtype=np.uint8)})
    parts = {"trnid": [[2, 1]], "valid": [[4]], "tstid": [[6, 5, 3]]}
    savemat(base / "setid.mat", {name: np.array(part, dtype=np.uint16) for name, part in parts.items()})
    return Flowers102(root)


def test_names_are_clip_s_in_the_publisher_s_order() -> None:
    names = Flowers102.class_names
    assert len(set(names)) == 102
    ours = {"globe flower", "pink and yellow dahlia", "air plant"}
    theirs = torchvision_datasets.Flowers102.classes
    assert {name for name, other in zip(names, theirs, strict=True) if name != other} == ours
    assert names[15] == "globe flower"
    assert names[72] == "water lily"


def test_labels_and_numbers_count_from_one_in_the_files(tmp_path: Path) -> None:
    dataset = tree(tmp_path)
    assert dataset.missing() == []
    found = {}
    for name in dataset.splits:
        split = dataset.load(name)
        assert split.labels.dtype == np.int64
        found[name] = [(shade_of(split.images[i]), int(split.labels[i])) for i in range(len(split))]
    assert found == {"train": [(2, 0), (1, 76)], "id_val": [(4, 93)], "id_test": [(6, 0), (5, 76), (3, 101)]}
    assert dataset.class_names[76] == "passion flower"


def test_absent_images_are_not_counted(tmp_path: Path) -> None:
    dataset = tree(tmp_path)
    (tmp_path / "flowers-102" / "jpg" / "image_00005.jpg").unlink()
    assert dataset.counts() == {"train": 2, "id_val": 1, "id_test": 2}
    assert dataset.load("id_test").labels.tolist() == [0, 101]


def test_a_damaged_list_is_named(tmp_path: Path) -> None:
    dataset = tree(tmp_path)
    (tmp_path / "flowers-102" / "setid.mat").write_bytes(b"<html>not found</html>")
    refused(lambda: dataset.load("train"), "setid.mat: not a readable MATLAB file")
    savemat(tmp_path / "flowers-102" / "setid.mat", {"trnid": [1]})
    refused(lambda: dataset.load("train"), "found no variable 'valid'")
