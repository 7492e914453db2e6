"""Caltech 101 on trees in the publisher's layout."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from trees import shade_of, write_image

from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.datasets.caltech101 import FOLDERS, Caltech101

LABELS = {"Faces": 0, "Faces_easy": 1, "Leopards": 2, "Motorbikes": 3, "accordion": 4, "airplanes": 5, "yin_yang": 100}
"""Positions in CLIP's list, less one for its background class."""


def tree(root: Path, counts: dict[str, int]) -> Caltech101:
    """All class folders, with so many images in some; the shade of an image is its number."""
    base = root / "caltech101" / "101_ObjectCategories"
    for folder in [*FOLDERS, "BACKGROUND_Google"]:
        (base / folder).mkdir(parents=True)
    for folder, count in counts.items():
        for number in range(1, count + 1):
            write_image(base / folder / f"image_{number:04d}.jpg", number)
    return Caltech101(root)


def shades(split: Split, label: int) -> set[int]:
    return {shade_of(split.images[i]) for i in range(len(split)) if split.labels[i] == label}


def test_classes_are_101_in_the_order_of_clip_s_prompts() -> None:
    names = Caltech101.class_names
    assert len(set(names)) == len(FOLDERS) == 101
    assert {folder: FOLDERS.index(folder) for folder in LABELS} == LABELS
    assert names[:6] == ("off-center face", "centered face", "leopard", "motorbike", "accordion", "airplane")
    assert names[19] == "side of a car"
    assert names[83] == "snoopy (cartoon beagle)"
    assert names[-1] == "yin and yang symbol"
    assert "background" not in names
    assert list(FOLDERS) == sorted(FOLDERS), "torchvision's order"


def test_every_image_is_in_one_split_under_its_folder_s_label(tmp_path: Path) -> None:
    dataset = tree(tmp_path, {"Faces": 40, "inline_skate": 31, "yin_yang": 33, "BACKGROUND_Google": 50})
    splits = {name: dataset.load(name) for name in dataset.splits}
    assert {name: Counter(split.labels.tolist()) for name, split in splits.items()} == {
        "train": {0: 24, 52: 18, 100: 20},
        "id_val": {0: 8, 52: 7, 100: 6},
        "id_test": {0: 8, 52: 6, 100: 7},
    }
    for label, count in {0: 40, 100: 33}.items():
        seen = [shade for split in splits.values() for shade in shades(split, label)]
        assert sorted(seen) == list(range(1, count + 1))


def test_an_absent_image_moves_others_by_one_place_at_most(tmp_path: Path) -> None:
    dataset = tree(tmp_path, {"Faces": 40})
    before = shades(dataset.load("id_val"), 0)
    (dataset.folder / "Faces" / f"image_{min(shades(dataset.load('train'), 0)):04d}.jpg").unlink()
    assert len(before & shades(dataset.load("id_val"), 0)) == len(before) == 8


def test_grey_images_become_rgb(tmp_path: Path) -> None:
    dataset = tree(tmp_path, {})
    write_image(dataset.folder / "car_side" / "image_0001.jpg", 77, mode="L")
    split = dataset.load("train")  # round(0.6)
    assert split.labels.tolist() == [19]
    assert shade_of(split.images[0]) == 77


def test_a_missing_folder_of_a_class_is_listed(tmp_path: Path) -> None:
    dataset = tree(tmp_path, {})
    assert dataset.missing() == []
    (dataset.folder / "wrench").rmdir()
    assert [one.path.name for one in dataset.missing()] == ["wrench"]
