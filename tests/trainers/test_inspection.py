"""The look at every image before a sweep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusal import refused
from spaces import space_with

from flyp_sweep.search_spaces import SearchSpace
from flyp_sweep.trainers import datasets, preflight
from flyp_sweep.trainers.data import inspection
from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.data.inspection import look_through, skip_unreadable
from flyp_sweep.trainers.datasets.base import Dataset

PER_CLASS = {"train": 6, "val": 3, "test": 3, "ood": 3}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Noise of two brightnesses in folders, and a table of the test images."""
    rng = np.random.default_rng(0)
    for split, count in PER_CLASS.items():
        for name, shade in (("dark", 60), ("light", 200)):
            (tmp_path / split / name).mkdir(parents=True)
            for index in range(count):
                grey = rng.integers(shade - 40, shade + 40, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(grey).save(tmp_path / split / name / f"{index}.png")
    return tmp_path


def space(**images: str) -> SearchSpace:
    folders = {"train": "train", "id_val": "val", "id_test": "test", "ood": {"shifted": "ood"}}
    return space_with(dataset={"name": "tiny", "folders": folders}, images=images)


def make(tree: Path) -> Dataset:
    return datasets.make(space().datasets[0], tree)


def damage(tree: Path) -> list[Path]:
    """Damage files of three splits in three ways; returns them."""
    truncated, empty, page = (tree / name for name in ("train/dark/1.png", "ood/light/0.png", "test/dark/2.png"))
    truncated.write_bytes(truncated.read_bytes()[:900])
    empty.write_bytes(b"")
    page.write_bytes(b"<html>404 Not Found</html>")
    return [truncated, page, empty]


def test_all_unreadable_files_of_all_splits_are_told_at_once(tree: Path) -> None:
    bad = damage(tree)
    preflight.check(space(), tree)
    told = f"3 of 30 images cannot be decoded: {', '.join(map(str, bad))} (the first: "
    refused(lambda: preflight.check(space(), tree, decode=True), told, "truncated", "unreadable: skip")


def test_unreadable_files_can_be_skipped_and_are_counted(tree: Path) -> None:
    damage(tree)
    whole = preflight.check(space(), tree)
    checked = preflight.check(space(unreadable="skip"), tree)
    assert checked.data["tiny"].images == {"train": 11, "id_val": 6, "id_test": 5, "ood": 5}
    assert checked.data["tiny"].identity != whole.data["tiny"].identity
    assert checked.data["tiny"].incomplete["train"] == {"found": 11, "unreadable": 1}
    assert [line.partition(" (")[0] for line in checked.data["tiny"].remarks] == [
        "train: 1 of 12 images left out as unreadable",
        "id_test: 1 of 6 images left out as unreadable",
        "shifted: 1 of 6 images left out as unreadable",
    ]


def test_what_is_skipped_does_not_depend_on_the_cache(tree: Path, tmp_path: Path) -> None:
    damage(tree)
    for cache in (None, Cache(tmp_path / "cache", 10**9)):
        dataset = make(tree)
        skip_unreadable(dataset, cache)
        train = dataset.split("train")
        assert train.labels.tolist() == [0] * 5 + [1] * 6
        assert {train.images[i].mode for i in range(11)} == {"RGB"}
        assert train.images.identity() is not None  # type: ignore[attr-defined]


def test_images_are_decoded_once_per_machine_and_again_when_they_change(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache", 10**9)
    monkeypatch.setattr(inspection, "MANY", 0)
    told: list[str] = []
    assert look_through(make(tree), cache, told.append).bad == []
    assert [line.split()[2] for line in told] == ["12", "6", "6", "6"]
    assert look_through(make(tree), cache, told.append).bad == []
    assert len(told) == 4
    (tree / "ood/light/0.png").write_bytes(b"")
    assert look_through(make(tree), cache, told.append).bad == [str(tree / "ood/light/0.png")]
    assert len(told) == 5, "of the other splits nothing has changed"


def test_a_class_that_is_empty_without_its_unreadable_files_is_refused(tree: Path) -> None:
    for path in (tree / "train/light").iterdir():
        path.write_bytes(b"")
    refused(lambda: preflight.check(space(unreadable="skip"), tree, decode=True), "found no image of class 'light'")


def test_images_of_one_colour_are_counted(tree: Path) -> None:
    for index in range(2):
        Image.new("RGB", (9, 9), (9, 99, 200)).save(tree / f"ood/light/{index}.png")
    checked = preflight.check(space(), tree, decode=True)
    assert checked.data["tiny"].remarks == [f"shifted: 2 of 6 images of one colour ({tree}/ood/light/0.png, ...)"]


def test_images_that_are_nearly_black_are_counted(tree: Path) -> None:
    twelve_bits = np.arange(4096, dtype=np.uint16).reshape(64, 64)  # in a file of 16
    Image.fromarray(twelve_bits).save(tree / "ood/light/0.png")
    checked = preflight.check(space(), tree, decode=True)
    told = f"shifted: 1 of 6 images nearly black, no pixel above 31 of 255 ({tree}/ood/light/0.png)"
    assert checked.data["tiny"].remarks == [told]


def test_a_link_to_nothing_is_among_the_unreadable_files(tree: Path, tmp_path: Path) -> None:
    (tree / "val/dark/9.png").symlink_to("nowhere")
    assert look_through(make(tree), Cache(tmp_path / "cache", 10**9)).bad == [str(tree / "val/dark/9.png")]


def test_many_files_are_counted_beyond_the_first(tree: Path) -> None:
    for path in tree.rglob("*.png"):
        path.write_bytes(b"")
    found = look_through(make(tree), None)
    refused(lambda: found.check("tiny"), "30 of 30 images", "and 10 more (data check --deep lists all)")
