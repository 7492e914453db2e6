"""DomainBed's folders, and folds of any data: which images are in which split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trees import shade_of, write_image

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import from_mapping
from flyp_sweep.trainers.data_checks import check_files
from flyp_sweep.trainers.datasets import make
from flyp_sweep.trainers.datasets.base import Dataset
from flyp_sweep.trainers.datasets.encoded import EncodedImages

COUNTS = {"art": {"cup": 10, "pen": 5}, "clipart": {"cup": 6, "pen": 1}, "real": {"cup": 4, "pen": 4}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images of the shades 0, 1, ... in the order of their domain, class and number."""
    shade = 0
    for domain, classes in COUNTS.items():
        for name, count in classes.items():
            for number in range(count):
                write_image(tmp_path / "office" / domain / name / f"{number}.png", shade)
                shade += 1
    return tmp_path


def made(root: Path, entry: dict[str, Any], at: int = 0) -> Dataset:
    space = from_mapping(
        {
            "name": "own",
            "dataset": {"name": "office", "domains": "office"} | entry if "folders" not in entry else entry,
            "model": {"arch": "digits-clip", "pretrained": "bundled"},
            "methods": ["zeroshot"],
            "search": "none",
        }
    )
    return make(space.datasets[at], root)


def names(dataset: Dataset, split: str) -> list[str]:
    images = dataset.split(split).images
    assert isinstance(images, EncodedImages)
    return images.keys()


def test_id_domains_are_train_with_a_fifth_of_each_domain_and_class_held_out(root: Path) -> None:
    dataset = made(root, {"leave_one_out": ["art", "clipart", "real"]}, at=2)
    assert dataset.splits == {"train": "train", "id_val": "id_val", "real": "ood"}
    held = Counter(name.rpartition("/")[0] for name in names(dataset, "id_val"))
    assert held == {"art/cup": 2, "art/pen": 1, "clipart/cup": 1}
    train = names(dataset, "train")
    assert Counter(name.rpartition("/")[0] for name in train) == {
        "art/cup": 8, "art/pen": 4, "clipart/cup": 5, "clipart/pen": 1,
    }  # fmt: skip
    assert not set(train) & set(names(dataset, "id_val"))
    assert [shade_of(dataset.split("real").images[at]) for at in range(8)] == list(range(22, 30))
    assert dataset.split("real").labels.tolist() == [0] * 4 + [1] * 4
    assert dataset.class_names == ["cup", "pen"]
    assert dataset.rules() == ["id_val: 20% of each domain and class, held out of train, drawn with seed 0"]


def test_the_same_images_of_a_domain_are_held_out_whichever_is_ood(root: Path) -> None:
    entry = {"leave_one_out": ["art", "clipart", "real"]}
    held = [{name for name in names(made(root, entry, at), "id_val") if name.startswith("art/")} for at in (1, 2)]
    assert held[0] == held[1]
    assert len(held[0]) == 3


def test_an_id_test_split_can_be_held_out_too(root: Path) -> None:
    more = {"id_test": {"from": "train", "fraction": 0.2}}
    dataset = made(root, {"id_domains": ["art"], "ood_domains": ["real"], **more})
    parts = {split: set(names(dataset, split)) for split in ("train", "id_val", "id_test")}
    assert {split: len(found) for split, found in parts.items()} == {"train": 9, "id_val": 3, "id_test": 3}
    assert len(set.union(*parts.values())) == 15


def test_an_absent_domain_is_named_with_what_is_there(root: Path) -> None:
    dataset = made(root, {"id_domains": ["art"], "ood_domains": ["clip_art"]})
    with pytest.raises(
        InputError, match=r"found no .*clip_art \(dataset.domains of 'office'.*; did you mean 'clipart'\?\)"
    ):
        check_files(dataset)
    assert not made(root, {"id_domains": ["art"], "ood_domains": ["real"]}).missing()


def test_a_class_that_the_id_domains_lack_is_one_line(root: Path) -> None:
    write_image(root / "office" / "real" / "fork" / "0.png")
    dataset = made(root, {"id_domains": ["art"], "ood_domains": ["real"]})
    with pytest.raises(InputError, match=r"real: folder 'fork' is no class of the training split"):
        dataset.split("real")


def test_a_held_out_part_without_an_image_is_one_line(tmp_path: Path) -> None:
    for domain in ("art", "clipart", "real"):
        for name in ("cup", "pen"):
            write_image(tmp_path / "office" / domain / name / "0.png")
    dataset = made(tmp_path, {"id_domains": ["art", "clipart"], "ood_domains": ["real"]})
    with pytest.raises(InputError, match=r"found no image to hold out for id_val; expected some of each domain and"):
        dataset.split("train")


def test_domains_that_no_split_has_are_said(root: Path) -> None:
    assert "not used: the domains clipart" in made(root, {"id_domains": ["art"], "ood_domains": ["real"]}).remarks()


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    for name, count in {"robin": 8, "wren": 7, "owl": 5}.items():
        for number in range(count):
            write_image(tmp_path / "train" / name / f"{number}.png")
            write_image(tmp_path / "test" / name / f"{number}.png")
    return tmp_path


def folds(root: Path, **held: Any) -> list[Dataset]:
    id_val = {"from": "train", "folds": 3, **held}
    entry = {"name": "birds", "folders": {"train": "train", "id_val": id_val, "id_test": "test"}}
    return [made(root, entry, at) for at in range(1 if "fold" in held else 3)]


def test_folds_part_the_training_images_evenly_by_class(birds: Path) -> None:
    held = [set(names(dataset, "id_val")) for dataset in folds(birds)]
    assert sorted(map(len, held)) == [6, 7, 7]
    assert len(set.union(*held)) == 20
    for dataset, own in zip(folds(birds), held, strict=True):
        assert set(names(dataset, "train")) | own == set.union(*held)
        assert not set(names(dataset, "train")) & own
        counts = np.bincount(dataset.split("id_val").labels)
        assert all(abs(held - whole / 3) < 1 for held, whole in zip(counts, (5, 8, 7), strict=True))


def test_a_single_fold_is_that_of_all_and_another_seed_draws_others(birds: Path) -> None:
    (alone,) = folds(birds, fold=2)
    assert names(alone, "id_val") == names(folds(birds)[1], "id_val")
    assert names(alone, "id_val") != names(folds(birds, seed=1)[1], "id_val")
    assert alone.rules() == ["id_val: fold 2 of 3 of each class, held out of train, drawn with seed 0"]


def test_folds_without_strata_are_even_in_size_alone(birds: Path) -> None:
    held = [set(names(dataset, "id_val")) for dataset in folds(birds, stratified=False)]
    assert sorted(map(len, held)) == [6, 7, 7]
    assert len(set.union(*held)) == 20
