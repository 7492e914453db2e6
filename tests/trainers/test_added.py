"""Splits of other data sets as OOD splits: which fit, what they are called, and what of a data set they leave alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flyp_sweep.search_spaces import from_mapping
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import dump
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.search_spaces.yaml_text import read
from flyp_sweep.trainers import preflight
from flyp_sweep.trainers.data.content import Hashes
from flyp_sweep.trainers.data.identity import identify
from flyp_sweep.trainers.datasets import added
from flyp_sweep.trainers.datasets.base import Dataset, Split
from flyp_sweep.trainers.datasets.digits import Digits

OWN: dict[str, Any] = {"name": "insects", "folders": {"train": "train", "id_val": "val", "ood": {"sketch": "sketch"}}}
NIGHT: dict[str, Any] = {"name": "night", "folders": {"id_test": "night", "ood": {"fog": "fog"}}}
CLASSES = {"train": ("Ant", "bee", "wasp"), "val": ("Ant", "bee", "wasp"), "sketch": ("bee",)}
LATER = {"night": ("wasp", "ant"), "fog": ("ant",)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """`<split>/<class>/<n>.png`, no image like another."""
    shade = 0
    for split, classes in {**CLASSES, **LATER}.items():
        for number, name in enumerate(classes):
            (tmp_path / split / name).mkdir(parents=True)
            for image in range(number + 2):
                shade += 1
                Image.new("RGB", (4, 4), (shade, 0, 70)).save(tmp_path / split / name / f"{image}.png")
    return tmp_path


def space(*evaluate: Any, dataset: Any = OWN) -> SearchSpace:
    return from_mapping(
        {
            "name": "own",
            "dataset": dataset,
            "model": {"arch": "digits-clip", "pretrained": "bundled"},
            "methods": ["zeroshot"],
            "search": {"num_samples": 1},
            **({"evaluate": list(evaluate)} if evaluate else {}),
        }
    )


def made(root: Path, *evaluate: Any, dataset: Any = OWN) -> Dataset:
    (found,) = preflight.check_data(space(*evaluate, dataset=dataset), root).values()
    return found


def images(split: Split) -> list[tuple[int, int]]:
    """The shade of each image, and its label."""
    return [(np.asarray(split.images[at])[0, 0, 0], int(split.labels[at])) for at in range(len(split))]


def test_the_splits_of_another_data_set_are_ood_splits_with_the_labels_of_the_base(root: Path) -> None:
    found = made(root, NIGHT)
    assert list(found.splits) == ["train", "id_val", "sketch", "night", "night-fog"]
    assert found.named("ood") == ["sketch", "night", "night-fog"]
    night, fog = found.split("night"), found.split("night-fog")
    assert (night.name, night.role, night.metric) == ("night", "ood", "accuracy")
    shades = {path: np.asarray(Image.open(path))[0, 0, 0] for path in (root / "night").rglob("*.png")}
    expected = [(shade, {"ant": 0, "wasp": 2}[path.parent.name]) for path, shade in shades.items()]
    assert sorted(images(night)) == sorted(expected)
    assert fog.labels.tolist() == [0, 0]
    assert "night-fog: predictions among all 3 classes, also those without an image: bee, wasp" in found.rules()


def test_the_training_is_the_same_and_only_the_new_splits_are_more(root: Path) -> None:
    before, after = (identify(made(root, *more), Hashes(None)) for more in ((), (NIGHT,)))
    assert (before.training, before.fitted) == (after.training, after.fitted)
    assert {**after.evaluated, **before.evaluated} == dict(after.evaluated)
    assert after.evaluated.keys() - before.evaluated.keys() == {"night", "night-fog"}
    as_own = {**OWN, "folders": {**OWN["folders"], "ood": {"sketch": "sketch", "night": "night2"}}}
    shutil.copytree(root / "night", root / "night2")
    (root / "night2" / "ant").rename(root / "night2" / "Ant")
    own = identify(made(root, dataset=as_own), Hashes(None))
    assert own.evaluated["night"] == after.evaluated["night"], "as an OOD set of the data set itself"


def test_own_data_without_names_may_call_classes_as_the_folders_of_the_base(root: Path) -> None:
    names = {"Ant": "a red ant", "bee": "a bumblebee", "wasp": "a hornet"}
    found = made(root, NIGHT, dataset=OWN | {"class_names": names})
    assert sorted(set(found.split("night").labels.tolist())) == [0, 2]
    with pytest.raises(InputError, match="found 2 classes of data set 'night' that 'insects' does not have: 'n-ant'"):
        made(root, NIGHT | {"class_names": {"ant": "n-ant", "wasp": "n-wasp"}}, dataset=OWN | {"class_names": names})


@pytest.mark.parametrize("metric", [None, "mean_per_class_accuracy"])
def test_the_metric_goes_along_and_own_data_without_one_have_that_of_the_base(root: Path, metric: str | None) -> None:
    other = NIGHT | ({"metric": metric} if metric else {})
    found = made(root, other, dataset=OWN | {"metric": "macro_f1"})
    assert found.split("night").metric == (metric or "macro_f1")


def test_a_data_set_with_labels_and_groups_of_its_own_keeps_them(root: Path) -> None:
    class Shifted(Digits):
        class_names = tuple(reversed(Digits.class_names))  # type: ignore[assignment]
        name = "shifted"
        splits = {"id_test": "id_test", "even": "ood"}
        published = {"even": 5}

        def load(self, split: str) -> Split:
            of = Digits(self.root).load("id_test")
            if split == "id_test":
                return Split(split, "id_test", of.images, 9 - of.labels)
            even = np.array([-1, 0] * 5)  # of the reversed classes: nine is none
            return Split("even", "ood", of.images, 0 * of.labels, class_map=even, groups=of.labels)

    base = Digits(root)
    assert added.extend(base, Shifted(root)) == []
    assert (base.split("shifted").labels == base.split("id_test").labels).all()
    even = base.split("shifted-even")
    assert even.class_map is not None
    assert even.class_map.tolist() == [0, -1] * 5
    assert (even.groups == base.split("id_test").labels).all()
    assert base.published["shifted-even"] == 5


def test_of_several_data_sets_those_take_the_splits_that_know_the_classes(root: Path) -> None:
    found = preflight.check_data(space(NIGHT, dataset=["digits", OWN, OWN | {"name": "again"}]), root)
    assert {name: [split for split in data.splits if split in data.added] for name, data in found.items()} == {
        "digits": [],
        "insects": ["night", "night-fog"],
        "again": ["night", "night-fog"],
    }


def copied(root: Path) -> None:
    shutil.copy(root / "train" / "bee" / "0.png", root / "fog" / "ant" / "9.png")


def renamed(*path: str) -> Any:
    return lambda root: (root / "night" / path[0]).rename(root / "night" / path[1])


@pytest.mark.parametrize(
    ("evaluate", "change", "said"),
    [
        (NIGHT, renamed("wasp", "moth"), "found 1 class of data set 'night' that 'insects' does not have: 'moth'; exp"),
        ("digits", None, "found 10 classes of data set 'digits' that 'insects' does not have: 'zero', 'one', 'two'"),
        (NIGHT | {"name": "sketch"}, None, "found a split 'sketch' of data set 'insects' already; expected none of"),
        (
            NIGHT,
            renamed("wasp", "Ant"),
            "found the classes 'Ant', 'ant' in data set 'night', which are",
        ),
        (
            {"name": "none", "folders": {"train": "train"}},
            None,
            "found neither id_test nor ood nor ood_val in data set 'none'",
        ),
        (NIGHT, lambda root: shutil.rmtree(root / "fog"), "dataset 'night': found no "),
        ("mnist", None, "dataset 'mnist': found no "),
    ],
    ids=["an unknown class", "all unknown", "a taken name", "two classes in one", "no splits", "no folder", "no files"],
)
def test_what_does_not_fit_is_refused(root: Path, evaluate: Any, change: Any, said: str) -> None:
    if change:
        change(root)
    with pytest.raises(InputError) as refused:
        made(root, evaluate)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_images_that_were_trained_on_are_found_in_added_splits(root: Path) -> None:
    copied(root)
    found = made(root, NIGHT)
    with pytest.raises(InputError, match=r"1 image that train and ood share .* have equal bytes"):
        identify(found, Hashes(None))
    assert identify(found, Hashes(None), allow_overlap=True).overlaps == {"train and ood": 1}


def test_so_they_are_in_a_publishers_data_set_whose_own_splits_are_taken_as_published(root: Path) -> None:
    class Leaking(Digits):
        name = "leaking"
        splits = {"seen": "ood"}

        def load(self, split: str) -> Split:
            seen = Digits(self.root).load("train")
            return Split("seen", "ood", seen.images, seen.labels)

    base = Digits(root)
    assert identify(base, Hashes(None)).overlaps == {}
    added.extend(base, Leaking(root))
    with pytest.raises(
        InputError, match=r"800 images that train and ood share \(image \d+ of train and image \d+ of lea"
    ):
        identify(base, Hashes(None))


@pytest.mark.parametrize("dataset", [OWN, "digits", ["digits", OWN]])
def test_a_space_with_evaluated_data_sets_comes_back_from_its_yaml(dataset: Any) -> None:
    found = space(NIGHT, "mnist", dataset=dataset)
    assert from_mapping(read(dump(found), "")) == found
    assert "evaluate" not in dump(space())


@pytest.mark.parametrize(
    ("evaluate", "said"),
    [
        (["digits"], "evaluate[0]: found 'digits'; expected the name of no data set in `dataset`"),
        (["mnist", "mnist"], "evaluate: found two data sets named 'mnist'"),
        ([], "evaluate: found []; expected a list of data sets to evaluate on too"),
        ([{"name": "x", "folders": {"ood": {"train": "y"}}}], "evaluate[0].folders.ood: found 'train'; expected a lab"),
        ([{"name": "x", "tables": {"id_test": "y.txt"}}], "evaluate[0].tables.id_test: found 'y.txt'; expected the p"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(evaluate: Any, said: str) -> None:
    with pytest.raises(InputError) as refused:
        from_mapping(space(dataset="digits").model_dump(mode="json", exclude_none=True) | {"evaluate": evaluate})
    assert said in str(refused.value)
