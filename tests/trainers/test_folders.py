"""Data sets by name, and image folders of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from refusal import refused
from spaces import space_with

from flyp_sweep.trainers import datasets
from flyp_sweep.trainers.datasets.base import Dataset, Split
from flyp_sweep.trainers.datasets.folders import read_image

COLOURS = {"ant": (200, 0, 0), "big_bee": (0, 200, 0), "cat": (0, 0, 200)}
SPLITS = {"train": 3, "val": 2, "test": 2, "sketch": 1}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """`<split>/<class>/<n>.png`, every class in a colour of its own."""
    for split, count in SPLITS.items():
        for name, colour in COLOURS.items():
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (8 + number, 6), colour).save(tmp_path / split / name / f"{number}.png")
    return tmp_path


def make(root: Path, folders: dict[str, Any] | None = None, **more: Any) -> Dataset:
    every = {"train": "train", "id_val": "val", "id_test": "test", "ood": {"sketch": "sketch"}}
    own = {"name": "insects", "folders": folders or every, **more}
    return datasets.make(space_with(dataset=own).datasets[0], root)


def colours(split: Split) -> list[tuple[int, ...]]:
    return [split.images[i].getpixel((0, 0)) for i in range(len(split))]  # type: ignore[misc]


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    refused(
        lambda: datasets.make("digit", Path()), "found 'digit'; expected one of", "mnist", "(did you mean 'digits'?)"
    )


def test_labels_follow_the_sorted_class_folders(tree: Path) -> None:
    dataset = make(tree)
    assert dataset.class_names == ["ant", "big bee", "cat"]
    assert dataset.splits == {"train": "train", "id_val": "id_val", "id_test": "id_test", "sketch": "ood"}
    assert dataset.missing() == []
    for split, count in zip(dataset.splits, SPLITS.values(), strict=True):
        loaded = dataset.load(split)
        assert (loaded.name, loaded.role, loaded.metric) == (split, dataset.splits[split], "accuracy")
        assert loaded.labels.dtype == np.int64
        assert loaded.labels.tolist() == sorted([0, 1, 2] * count)
        assert colours(loaded) == [list(COLOURS.values())[label] for label in loaded.labels]


def test_a_mapping_of_names_sets_the_order_and_what_is_displayed(tree: Path) -> None:
    dataset = make(tree, class_names={"cat": "house cat", "ant": "red ant", "big_bee": "bumblebee"})
    assert dataset.class_names == ["house cat", "red ant", "bumblebee"]
    order = [COLOURS["cat"], COLOURS["ant"], COLOURS["big_bee"]]
    for split in dataset.splits:
        loaded = dataset.load(split)
        assert colours(loaded) == [order[label] for label in loaded.labels]
        assert set(loaded.labels) == {0, 1, 2}


def test_a_list_of_names_is_in_the_order_of_the_sorted_folders(tree: Path) -> None:
    dataset = make(tree, class_names=["first", "second", "third"], templates=["a {}."], metric="macro_f1")
    assert dataset.class_names == ["first", "second", "third"]
    assert list(dataset.templates) == ["a {}."]
    assert dataset.load("train").metric == "macro_f1"


def test_absolute_folders_need_no_root(tree: Path) -> None:
    folders = {"train": str(tree / "train"), "id_val": str(tree / "val")}
    dataset = make(Path("elsewhere"), folders)
    assert dataset.splits == {"train": "train", "id_val": "id_val"}
    assert len(dataset.load("id_val")) == 6


def test_a_split_may_hold_a_part_of_the_classes_and_other_files(tree: Path) -> None:
    for file in (tree / "sketch" / "big_bee").iterdir():
        file.unlink()
    (tree / "sketch" / "big_bee").rmdir()
    (tree / "sketch" / "cat" / "notes.txt").write_text("no image")
    (tree / "sketch" / "cat" / "deeper").mkdir()
    Image.new("RGB", (4, 4), COLOURS["cat"]).save(tree / "sketch" / "cat" / "deeper" / "x.JPG")
    assert make(tree).load("sketch").labels.tolist() == [0, 2, 2]


def test_images_come_in_rgb(tree: Path) -> None:
    Image.new("L", (5, 5), 77).save(tree / "train" / "ant" / "0.png")
    Image.new("RGBA", (5, 5), (1, 2, 3, 128)).save(tree / "train" / "ant" / "1.png")
    images = make(tree).load("train").images
    assert (images[0].mode, images[0].getpixel((0, 0))) == ("RGB", (77, 77, 77))
    assert (images[1].mode, images[1].getpixel((0, 0))) == ("RGB", (1, 2, 3))


def test_absent_folders_are_listed_with_where_they_are_named(tree: Path) -> None:
    (tree / "sketch").rename(tree / "gone")
    (missing,) = make(tree).missing()
    assert missing.path == tree / "sketch"
    assert "insects" in missing.source


def test_a_class_folder_that_training_lacks_is_refused(tree: Path) -> None:
    (tree / "test" / "dog").mkdir()
    refused(lambda: make(tree).load("id_test"), str(tree / "test"), "'dog'", "ant, big_bee, cat")


def test_a_split_without_images_is_refused(tree: Path) -> None:
    for file in (tree / "val").rglob("*.png"):
        file.unlink()
    refused(lambda: make(tree).load("id_val"), str(tree / "val"), "no image", ".png")


def test_names_that_do_not_match_the_folders_are_refused(tree: Path) -> None:
    refused(lambda: make(tree, class_names=["one", "two"]).class_names, "found 2 names", "expected 3")
    refused(lambda: make(tree, class_names={"ant": "a", "dog": "d"}).class_names, "'dog'", "ant, big_bee, cat")


def test_a_corrupt_or_absent_image_is_refused_by_its_path(tree: Path) -> None:
    corrupt, truncated = (tree / "train" / "ant" / name for name in ("0.png", "1.png"))
    Image.fromarray(np.random.default_rng(0).integers(256, size=(40, 40, 3), dtype=np.uint8)).save(truncated)
    truncated.write_bytes(truncated.read_bytes()[:2000])
    corrupt.write_bytes(b"this is no image")
    images = make(tree).load("train").images
    (tree / "train" / "ant" / "2.png").unlink()
    refused(lambda: images[0], str(corrupt), "not a readable image")
    refused(lambda: images[1], str(truncated), "not a readable image")
    refused(lambda: images[2], "2.png", "gone")
    refused(lambda: read_image(tree / "train"), str(tree / "train"))


def test_a_split_refuses_an_unknown_role_and_labels_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"role 'test'; roles are train, id_val"):
        Split("x", "test", [], np.array([], dtype=np.int64))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="0 images but 1 labels"):
        Split("x", "ood", [], np.array([0]))  # type: ignore[arg-type]
