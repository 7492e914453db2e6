"""Images that look the same to a model, in two roles or under two labels, in files of other bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from spaces import space_with
from trees import Counted, write_noise

from flyp_sweep.search_spaces import SearchSpace
from flyp_sweep.trainers import datasets, preflight
from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.data.inspection import CONSTANT, FINE, Look, look_through
from flyp_sweep.trainers.datasets.base import Dataset
from flyp_sweep.trainers.models.preparation import preparation, usual

FOLDERS = {"train": "train", "id_val": "val", "id_test": "test", "ood": {"sketch": "sketch"}}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Five different images of robins and of wrens in every split."""
    return write_noise(tmp_path, "train", "val", "test", "sketch")


def space() -> SearchSpace:
    return space_with(dataset={"name": "birds", "folders": FOLDERS})


def birds(tree: Path) -> Dataset:
    return datasets.make(space().datasets[0], tree)


def encoded_anew(source: Path, target: Path) -> None:
    """The same pixels in a file of other bytes, which hold the name of the file."""
    named = PngInfo()
    named.add_text("Title", str(target))
    Image.open(source).save(target, pnginfo=named)
    assert source.read_bytes() != target.read_bytes()


def of_the_models_size(source: Path, target: Path) -> None:
    """The image as the bundled model sees it."""
    view = preparation(space().models[0])
    assert view
    view.resize(Image.open(source)).save(target)


def told(tree: Path) -> list[str]:
    """What the models of the space cannot tell apart, as `--duplicates` lists it, without the folder."""
    view = preparation(space().models[0])
    assert view
    return [str(pair).replace(f"{tree}/", "") for pair in look_through(birds(tree), None, views=[view]).alike]


def test_different_images_are_no_duplicates(tree: Path) -> None:
    assert told(tree) == []
    assert preflight.check(space(), tree, decode=True).data["birds"].remarks == []


@pytest.mark.parametrize(
    ("make", "same"),
    [
        (encoded_anew, "pixels at 32 x 32"),
        (of_the_models_size, "pixels at 32 x 32"),
        (shutil.copyfile, "bytes"),
    ],
)
def test_an_image_in_two_roles_is_found(tree: Path, make: Callable[[Path, Path], object], same: str) -> None:
    make(tree / "train/wren/1.png", tree / "test/wren/copy.png")
    assert told(tree) == [f"train train/wren/1.png (wren) = id_test test/wren/copy.png (wren): equal {same}"]


def test_within_a_role_only_those_of_two_labels_are_found(tree: Path) -> None:
    encoded_anew(tree / "train/wren/1.png", tree / "train/wren/copy.png")
    encoded_anew(tree / "val/wren/1.png", tree / "val/robin/copy.png")
    assert told(tree) == ["id_val val/robin/copy.png (robin) = id_val val/wren/1.png (wren): equal pixels at 32 x 32"]


def test_of_a_placeholder_for_many_images_each_copy_is_told(tree: Path) -> None:
    for label, copies in (("robin", 15), ("wren", 10)):
        for number in range(copies):
            shutil.copyfile(tree / "train/wren/1.png", tree / f"train/{label}/copy{number}.png")
    lines = told(tree)
    assert len(lines) == 14 + 11, "of 15 x 11 pairs"
    copies = [*(tree / "train").rglob("copy*"), tree / "train/wren/1.png"]
    assert all(any(str(path.relative_to(tree)) in line for line in lines) for path in copies)


def test_a_check_before_a_sweep_remarks_on_near_duplicates_and_refuses_none(tree: Path) -> None:
    for number in (1, 2):
        encoded_anew(tree / f"train/wren/{number}.png", tree / f"sketch/wren/copy{number}.png")
    encoded_anew(tree / "train/wren/1.png", tree / "train/robin/copy.png")
    facts = preflight.check(space(), tree, decode=True).data["birds"]
    assert facts.near_duplicates == {"classes of train": 1, "train and ood": 2}
    other, both = "files of other bytes and equal pixels at 32 x 32", "`data check --duplicates` lists all"
    pair = f"{tree}/train/robin/copy.png = {tree}/train/wren/1.png"
    assert f"classes of train: 1 image in two {other} ({pair}); {both}" in facts.remarks
    pair = f"{tree}/train/robin/copy.png = {tree}/sketch/wren/copy1.png"
    assert f"train and ood: 2 images in two {other} ({pair}, ...); {both}" in facts.remarks


def test_images_of_one_colour_and_unreadable_ones_are_not_compared(tree: Path) -> None:
    for split in ("train", "test"):
        Image.new("RGB", (40, 40), (9, 99, 9)).save(tree / split / "wren/flat.png", compress_level=len(split))
        (tree / split / "wren/torn.png").write_bytes(b"")
    assert told(tree) == []


def test_rows_are_those_of_the_whole_split_where_unreadable_images_are_skipped(tree: Path) -> None:
    encoded_anew(tree / "train/wren/3.png", tree / "test/wren/copy.png")
    (tree / "train/robin/0.png").write_bytes(b"")
    skipping = space_with(dataset={"name": "birds", "folders": FOLDERS}, images={"unreadable": "skip"})
    remarks = preflight.check(skipping, tree, decode=True).data["birds"].remarks
    assert any(f"{tree}/train/wren/3.png = {tree}/test/wren/copy.png" in line for line in remarks), remarks


def test_verdicts_and_all_views_come_of_one_decoding_and_are_kept(tree: Path, tmp_path: Path) -> None:
    views = [usual(), preparation(space().models[0]) or usual()]
    images = birds(tree).split("train").images
    counted = Counted(images)
    look = Look(counted, "train", None, views=views)
    hashes = [look.pixels(view) for view in views]
    assert set(look.verdicts) == {FINE}
    assert sorted(counted.decoded) == list(range(10))
    assert all(len(set(one.tolist())) == 10 for one in hashes)
    assert not set(hashes[0].tolist()) & set(hashes[1].tolist())

    cache = Cache(tmp_path / "cache", 10**9)
    assert not Look(images, "train", cache, views=views).is_known
    for _ in range(2):
        again = Look(images, "train", cache, views=views)
        assert [again.pixels(view).tolist() for view in views] == [one.tolist() for one in hashes]
    again.verdicts  # noqa: B018
    assert Look(images, "train", cache, views=views).is_known
    Image.new("RGB", (9, 9)).save(tree / "train/wren/0.png")
    changed = Look(birds(tree).split("train").images, "train", cache, views=views)
    assert not changed.is_known
    assert changed.pixels(views[0])[5] == b""
    assert np.flatnonzero(changed.verdicts == CONSTANT).tolist() == [5]
