"""Stanford Cars on trees with .mat files as the publisher writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from refusal import refused
from scipy.io import savemat
from sklearn.model_selection import train_test_split
from trees import shade_of, write_image

from flyp_sweep.trainers.datasets.named_files import NamedFiles
from flyp_sweep.trainers.datasets.stanford_cars import StanfordCars

pytestmark = pytest.mark.slow

COLUMNS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")


def annotations(path: Path, classes: list[int], columns: tuple[str, ...] = COLUMNS) -> None:
    """A 1xN struct array of boxes, 1-based classes and file names 00001.jpg, 00002.jpg, ..."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.zeros((1, len(classes)), dtype=[(column, object) for column in columns])
    for number, label in enumerate(classes):
        values = {"class": np.uint8(label), "fname": f"{number + 1:05d}.jpg"}
        for column in columns:
            rows[0, number][column] = values.get(column, np.uint16(9))
    savemat(path, {"annotations": rows})


def tree(root: Path, train: list[int], test: list[int]) -> StanfordCars:
    """Images whose shade is their number."""
    base = root / "stanford_cars"
    annotations(base / "devkit" / "cars_train_annos.mat", train)
    annotations(base / "cars_test_annos_withlabels.mat", test)
    for folder, classes in (("cars_train", train), ("cars_test", test)):
        for number in range(1, len(classes) + 1):
            write_image(base / folder / f"{number:05d}.jpg", number)
    return StanfordCars(root)


def test_names_are_196_in_the_publisher_s_order() -> None:
    names = StanfordCars.class_names
    assert len(set(names)) == 196
    assert names[0] == "AM General Hummer SUV 2000"
    assert names[5] == "Acura Integra Type R 2001", "after the TSX: the order is the publisher's, not the alphabet's"
    assert names[13] == "Audi TTS Coupe 2012"
    assert names[195] == "smart fortwo Convertible 2012"


def test_labels_count_from_one_in_the_file_and_follow_their_images(tmp_path: Path) -> None:
    train, test = [196] * 20 + [1] * 20 + [14] * 10, [14, 1, 196]
    dataset = tree(tmp_path, train, test)
    assert dataset.missing() == []
    split = dataset.load("id_test")
    assert split.labels.tolist() == [13, 0, 195]
    assert split.labels.dtype == np.int64
    assert [shade_of(split.images[i]) for i in range(3)] == [1, 2, 3]
    seen = []
    for name in ("train", "id_val"):
        split = dataset.load(name)
        shades = [shade_of(split.images[i]) for i in range(len(split))]
        assert [train[shade - 1] - 1 for shade in shades] == split.labels.tolist()
        seen += shades
    assert sorted(seen) == list(range(1, 51))
    assert len(dataset.load("id_val")) == 10


def test_the_split_of_8144_images_is_that_of_flyp_s_authors(tmp_path: Path) -> None:
    base = tmp_path / "stanford_cars"
    annotations(base / "devkit" / "cars_train_annos.mat", [number % 196 + 1 for number in range(8144)])
    (base / "cars_train").mkdir()
    for number in range(8144):
        (base / "cars_train" / f"{number + 1:05d}.jpg").touch()
    dataset = StanfordCars(tmp_path)
    for name in ("train", "id_val"):
        assert len(dataset.load(name)) == dataset.published[name]
    names = [f"{number + 1:05d}.jpg" for number in range(8144)]
    for name, expected in zip(
        ("train", "id_val"), train_test_split(names, test_size=0.2, random_state=10), strict=True
    ):
        images = dataset.load(name).images
        assert isinstance(images, NamedFiles)
        assert images.keys() == sorted(expected)


def test_images_that_are_absent_are_not_counted_and_move_no_other(tmp_path: Path) -> None:
    dataset = tree(tmp_path, [1] * 30, [1])
    before = dataset.load("id_val").images
    held_out = {shade_of(before[i]) for i in range(len(before))}
    gone = next(number for number in range(1, 31) if number not in held_out)
    (tmp_path / "stanford_cars" / "cars_train" / f"{gone:05d}.jpg").unlink()
    after = dataset.load("id_val").images
    assert {shade_of(after[i]) for i in range(len(after))} == held_out
    assert len(dataset.load("train")) == 23


def test_the_test_file_without_labels_is_refused(tmp_path: Path) -> None:
    dataset = tree(tmp_path, [1] * 10, [1])
    annotations(tmp_path / "stanford_cars" / "cars_test_annos_withlabels.mat", [1], columns=(*COLUMNS[:4], "fname"))
    refused(lambda: dataset.load("id_test"), "cars_test_annos_withlabels")


@pytest.mark.parametrize("label", [0, 197])
def test_labels_out_of_range_are_refused(tmp_path: Path, label: int) -> None:
    refused(lambda: tree(tmp_path, [1], [label]).load("id_test"), "expected 1 to 196")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    dataset = tree(tmp_path, [1] * 10, [1])
    path = tmp_path / "stanford_cars" / "cars_test_annos_withlabels.mat"
    path.write_bytes(path.read_bytes()[:150])
    refused(lambda: dataset.load("id_test"), "cars_test_annos_withlabels.mat: not a readable MATLAB file")
