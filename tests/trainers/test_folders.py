"""Data sets by name, and image folders of the user's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from refusal import refused
from spaces import space_with

from flyp_sweep.search_spaces.sections import ShownAs
from flyp_sweep.trainers import datasets
from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.datasets.census import census
from flyp_sweep.trainers.datasets.decoding import read_image
from flyp_sweep.trainers.datasets.readers.folders import ImageFolders

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


def make(root: Path, folders: dict[str, Any] | None = None, shown_as: ShownAs = "viewer", **more: Any) -> ImageFolders:
    every = {"train": "train", "id_val": "val", "id_test": "test", "ood": {"sketch": "sketch"}}
    own = {"name": "insects", "folders": folders or every, **more}
    made = datasets.make(space_with(dataset=own).datasets[0], root, shown_as)
    assert isinstance(made, ImageFolders)
    return made


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
    assert (images[1].mode, images[1].getpixel((0, 0))) == ("RGB", (128, 128, 129)), "on white"
    assert make(tree, shown_as="torchvision").load("train").images[1].getpixel((0, 0)) == (1, 2, 3)  # type: ignore[attr-defined]


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
    refused(lambda: make(tree).load("id_val"), str(tree / "val"), "no image", "that Pillow can open")


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


def images(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (9, 9, 9)).save(folder / name)


def one_level_too_high(tree: Path) -> None:
    (tree / "train").rename(tree / "moved")
    (tree / "train").mkdir()
    (tree / "moved").rename(tree / "train/images")


def link_into_two_classes(tree: Path) -> None:
    (tree / "val/cat/linked.png").symlink_to(tree / "val/ant/0.png")


CLASSES_OF_NOBODY: dict[str, tuple[Any, tuple[str, ...]]] = {
    "one level too high": (one_level_too_high, ("the one class 'images'", "at least 2", "ant, big_bee, cat")),
    "no class": (lambda tree: [shutil.rmtree(path) for path in (tree / "train").iterdir()], ("found no class",)),
    "an empty class": (lambda tree: (tree / "train/dog").mkdir(), ("no image of class 'dog'",)),
    "a class of other files": (
        lambda tree: ((tree / "train/dog").mkdir(), (tree / "train/dog/a.heic").write_bytes(b"heic")),
        ("no image of class 'dog'", "left out: 1 not opened by Pillow (dog/a.heic)"),
    ),
    "case": (lambda tree: images(tree / "train", "Cat/0.png"), ("'Cat' and 'cat'", "only in case", "class_names")),
    "a space": (lambda tree: images(tree / "train", "cat /0.png"), ("'cat' and 'cat '",)),
    "a zero-width space": (lambda tree: images(tree / "train", "c\u200bat/0.png"), ("'c\\u200bat'",)),
    "an image in two classes": (link_into_two_classes, ("val/cat/linked.png", "val/ant/0.png", "one class alone")),
}


@pytest.mark.parametrize("case", CLASSES_OF_NOBODY)
def test_classes_that_nobody_has_are_refused(tree: Path, case: str) -> None:
    change, words = CLASSES_OF_NOBODY[case]
    make(tree).check_classes()
    change(tree)
    refused(lambda: make(tree).check_classes(), *words)


def test_what_unpacking_and_notebooks_leave_behind_is_no_class(tree: Path) -> None:
    images(tree / "train", "__MACOSX/0.png", ".ipynb_checkpoints/0.png", "cat/.ipynb_checkpoints/0-checkpoint.png")
    dataset = make(tree)
    dataset.check_classes()
    assert dataset.classes == ["ant", "big_bee", "cat"]
    assert len(dataset.split("train")) == 9
    (line,) = dataset.remarks()
    assert line.startswith("train: left out ")
    assert "2 hidden (" in line
    assert "1 in __MACOSX (__MACOSX)" in line


def test_a_mapping_of_names_confirms_labels_that_are_alike(tree: Path) -> None:
    images(tree / "train", "Cat/0.png")
    names = {"ant": "ant", "big_bee": "bee", "cat": "domestic cat", "Cat": "Caterpillar"}
    make(tree, class_names=names).check_classes()


def test_a_class_in_another_unicode_form_is_told_as_such(tree: Path) -> None:
    for split, name in (("train", "caf\u00e9"), ("val", "cafe\u0301")):
        images(tree / split, f"{name}/0.png")
    refused(
        lambda: make(tree).load("id_val"), r"folder 'cafe\u0301'", "differs from 'caf\u00e9' only in", "Unicode form"
    )


def test_folders_are_labelled_in_natural_order(tree: Path) -> None:
    for split in ("train", "val"):
        shutil.rmtree(tree / split)
        images(tree / split, *(f"{number}/0.png" for number in range(1, 12)))
    dataset = make(tree, {"train": "train", "id_val": "val"}, class_names=[f"name {n}" for n in range(1, 12)])
    assert dataset.classes == [str(number) for number in range(1, 12)]
    assert census(dataset)[11].split() == ["11", "=", "name", "11", "1", "1"]
    numbered = make(tree, {"train": "train", "id_val": "val", "id_test": "val"})
    assert numbered.remarks() == [
        "classes are numbers: prompts read 'a photo of a 1.'; dataset.class_names can give them names"
    ]


def test_a_census_shows_names_and_images_of_each_split(tree: Path) -> None:
    shutil.rmtree(tree / "sketch/cat")
    dataset = make(tree)
    assert [line.split() for line in census(dataset)] == [
        ["class", "=", "name", "train", "id_val", "id_test", "sketch"],
        ["ant", "3", "2", "2", "1"],
        ["big_bee", "=", "big", "bee", "3", "2", "2", "1"],
        ["cat", "3", "2", "2", "0"],
    ]
    assert dataset.remarks() == []
    assert dataset.rules() == ["sketch: predictions among all 3 classes, also those without an image: cat"]


def test_a_long_census_ends_in_the_extremes(tmp_path: Path) -> None:
    for split in ("train", "val"):
        images(tmp_path / split, *(f"c{number}/0.png" for number in range(30)))
    images(tmp_path / "train", "c29/1.png")
    lines = census(make(tmp_path, {"train": "train", "id_val": "val"}))
    assert len(lines) == 22
    assert lines[-1] == "further classes: 10; images in a class: train 1 to 2, id_val 1"


def test_a_split_refuses_an_unknown_role_and_labels_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"role 'test'; roles are train, id_val"):
        Split("x", "test", [], np.array([], dtype=np.int64))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"0 images but 1 label$"):
        Split("x", "ood", [], np.array([0]))  # type: ignore[arg-type]
