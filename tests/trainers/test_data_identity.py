"""What a data set's identities cover: the content of images, split by split, and nothing of where they lie."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flyp_sweep.search_spaces import from_mapping
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import dump, load
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers import datasets, preflight
from flyp_sweep.trainers.data.content import Hashes
from flyp_sweep.trainers.data.identity import Identity, identify, outline
from flyp_sweep.trainers.datasets.base import FromFiles

CLASSES = ("ant", "bee")
COUNTS = {"train": 20, "val": 3, "test": 3, "sketch": 3}
FOLDERS: dict[str, Any] = {"train": "train", "id_val": "val", "id_test": "test", "ood": {"sketch": "sketch"}}
TABLES: dict[str, Any] = {
    "train": "train.csv",
    "id_val": "val.csv",
    "id_test": "test.csv",
    "ood": {"sketch": "sketch.csv"},
}
HELD_OUT = {"from": "train", "fraction": 0.1}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """`<split>/<class>/<n>.png`, no image like another, and a table per split of the same images."""
    root = tmp_path / "tree"
    shade = 0
    for split, count in COUNTS.items():
        rows = ["path,label"]
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                shade += 1
                Image.new("RGB", (4, 4), (shade, 0, 7)).save(root / split / name / f"{number}.png")
                rows.append(f"{split}/{name}/{number}.png,{name}")
        (root / f"{split}.csv").write_text("\n".join(rows))
    return root


def space(own: dict[str, Any], *evaluate: Any) -> SearchSpace:
    return from_mapping(
        {
            "name": "own",
            "dataset": {"name": "insects", **own},
            "model": {"arch": "digits-clip", "pretrained": "bundled"},
            "methods": ["zeroshot"],
            "search": {"num_samples": 1},
            **({"evaluate": list(evaluate)} if evaluate else {}),
        }
    )


def identity(root: Path, allow_overlap: bool = False, **own: Any) -> Identity:
    own = own or {"folders": FOLDERS}
    return identify(datasets.make(space(own).datasets[0], root), Hashes(None), allow_overlap)


def differences(first: Identity, second: Identity) -> set[str]:
    """`training`, and the splits whose own identities differ or are in one alone."""
    pairs = {**first.fitted, **first.evaluated}, {**second.fitted, **second.evaluated}
    splits = {name for name in pairs[0].keys() | pairs[1].keys() if pairs[0].get(name) != pairs[1].get(name)}
    return splits | ({"training"} if first.training != second.training else set())


def blackened(*path: str) -> Callable[[Path], object]:
    """Another picture in the place of this one, under its name."""
    return lambda root: Image.new("RGB", (4, 4)).save(root.joinpath(*path))


def moved(was: str, now: str) -> Callable[[Path], object]:
    return lambda root: (root / was).rename(root / now)


def deleted(*path: str) -> Callable[[Path], object]:
    return lambda root: root.joinpath(*path).unlink()


@pytest.mark.parametrize(
    ("change", "differ"),
    [
        (blackened("sketch", "ant", "0.png"), {"sketch"}),
        (deleted("sketch", "ant", "0.png"), {"sketch"}),
        (blackened("test", "bee", "2.png"), {"id_test"}),
        (blackened("val", "ant", "0.png"), {"id_val", "training"}),
        (blackened("train", "ant", "0.png"), {"train", "training"}),
        (moved("train/ant/9.png", "train/bee/99.png"), {"train", "training"}),
        (moved("train/ant/9.png", "train/ant/99.png"), set()),
    ],
    ids=["ood image", "ood image gone", "test image", "val image", "train image", "relabelled", "only renamed"],
)
def test_a_change_of_images_changes_the_identities_of_what_they_are_in(
    tree: Path, change: Callable[[Path], object], differ: set[str]
) -> None:
    before = identity(tree)
    change(tree)
    assert differences(before, identity(tree)) == differ


@pytest.mark.parametrize(
    "own",
    [
        {"folders": FOLDERS},
        {"tables": TABLES},
        {"folders": FOLDERS | {"id_val": HELD_OUT}},
        {"tables": TABLES | {"id_val": HELD_OUT}},
    ],
    ids=["folders", "tables", "folders, held out", "tables, held out"],
)
def test_the_place_of_images_is_no_part_of_them(tree: Path, own: dict[str, Any]) -> None:
    elsewhere = tree.parent / "elsewhere"
    shutil.copytree(tree, elsewhere)
    assert differences(identity(tree, **own), identity(elsewhere, **own)) == set()


@pytest.mark.parametrize(
    ("own", "differ"),
    [
        ({"templates": ["a {}."]}, {"training"}),
        ({"class_names": ["an ant", "a bee"]}, {"training"}),
        ({"metric": "macro_f1"}, {"training", "train", "id_val", "id_test", "sketch"}),
        ({"folders": FOLDERS | {"ood": {"sketch": "sketch", "night": "sketch"}}}, {"night"}),
        ({"folders": FOLDERS | {"ood": {}}}, {"sketch"}),
        ({"name": "bugs"}, {"training"}),
    ],
    ids=["templates", "class names", "metric", "ood added", "ood removed", "name"],
)
def test_settings_are_part_of_what_they_change(tree: Path, own: dict[str, Any], differ: set[str]) -> None:
    assert differences(identity(tree), identity(tree, **{"folders": FOLDERS, **own})) == differ


def test_rows_of_a_table_are_known_by_the_images_they_name(tree: Path) -> None:
    before = identity(tree, tables=TABLES)
    (tree / "train.csv").write_text((tree / "train.csv").read_text().replace("ant/0.png,ant", "ant/1.png,ant"))
    assert differences(before, identity(tree, tables=TABLES)) == {"train", "training"}


def test_images_that_come_from_no_file_are_known_by_their_pixels(bench: Any) -> None:
    first, second, poisoned = bench.dataset(), bench.dataset(), bench.dataset(poisoned=("inverted",))
    assert identify(first, Hashes(None)) == identify(second, Hashes(None))
    assert differences(identify(first, Hashes(None)), identify(poisoned, Hashes(None))) == {"inverted"}


def copied(was: str, now: str) -> Callable[[Path], object]:
    return lambda root: shutil.copyfile(root / was, root / now)


def nothing(root: Path) -> None:
    """The settings alone make the overlap."""


@pytest.mark.parametrize(
    ("change", "folders", "roles", "said"),
    [
        (nothing, {"id_val": "test"}, {"id_val and id_test": 6}, "test/ant/0.png is in both"),
        (nothing, {"id_val": "train"}, {"train and id_val": 40}, "train/ant/0.png is in both"),
        (nothing, {"ood": {"sketch": "test"}}, {"id_test and ood": 6}, "is in both"),
        (copied("test/ant/1.png", "train/bee/new.png"), {}, {"train and id_test": 1}, "new.png and "),
        (copied("sketch/ant/1.png", "val/ant/new.png"), {}, {"id_val and ood": 1}, "have equal bytes"),
    ],
    ids=["val is test", "val is train", "ood is test", "a copy of a test image in train", "a copy of an ood image"],
)
def test_images_of_two_roles_are_refused_unless_allowed(
    tree: Path, change: Callable[[Path], object], folders: dict[str, Any], roles: dict[str, int], said: str
) -> None:
    change(tree)
    with pytest.raises(InputError) as no:
        identity(tree, folders=FOLDERS | folders)
    message = str(no.value)
    assert "\n" not in message
    assert "dataset 'insects'" in message
    assert said in message
    assert "--allow-overlap" in message
    assert identity(tree, allow_overlap=True, folders=FOLDERS | folders).overlaps == roles


@pytest.mark.parametrize("split", ["train", "sketch"])
def test_a_copy_of_an_image_in_another_class_is_refused(tree: Path, split: str) -> None:
    copied(f"{split}/ant/1.png", f"{split}/bee/new.png")(tree)
    with pytest.raises(InputError, match=f"1 image of {split} under two labels .*/1.png of 'ant' and .*/new"):
        identity(tree)
    assert identity(tree, allow_overlap=True).overlaps == {f"classes of {split}": 1}


def test_images_of_two_classes_in_added_splits_are_named_by_their_own(tree: Path) -> None:
    copied("sketch/ant/1.png", "sketch/bee/new.png")(tree)
    later = {
        "name": "later",
        "folders": {"id_test": "sketch"},
        "class_names": {"bee": "bee", "ant": "ant"},
        "predict_among": {"id_test": "present"},
    }
    found = preflight.check_data(space({"folders": {"train": "train", "id_val": "val"}}, later), tree)["insects"]
    with pytest.raises(InputError) as error:
        identify(found, Hashes(None))
    assert re.search(r"ant/1.png of 'ant'", str(error.value))
    assert re.search(r"bee/new.png of 'bee'", str(error.value))


def test_one_table_for_all_splits_is_refused(tree: Path) -> None:
    with pytest.raises(InputError, match="found 40 images that train and id_val share"):
        identity(tree, tables={"train": "train.csv", "id_val": "train.csv", "id_test": "train.csv"})


def test_two_ood_sets_may_share_images_and_a_split_may_hold_one_twice(tree: Path) -> None:
    copied("train/ant/0.png", "train/ant/copy.png")(tree)
    assert identity(tree, folders=FOLDERS | {"ood": {"sketch": "sketch", "again": "sketch"}}).overlaps == {}


@pytest.mark.parametrize("own", [{"folders": FOLDERS}, {"tables": TABLES}], ids=["folders", "tables"])
def test_a_part_of_each_class_is_held_out_where_there_is_no_validation_split(
    tree: Path, tmp_path: Path, own: dict[str, Any]
) -> None:
    ((kind, sources),) = own.items()
    entry = space({kind: sources | {"id_val": HELD_OUT}}).datasets[0]
    made, whole = datasets.make(entry, tree), datasets.make(space(own).datasets[0], tree).split("train")
    assert preflight.check_data(space({kind: sources | {"id_val": HELD_OUT}}), tree)
    train, id_val = made.split("train"), made.split("id_val")
    assert list(made.splits) == ["train", "id_val", "id_test", "sketch"]
    assert (train.role, id_val.role) == ("train", "id_val")
    assert np.bincount(train.labels).tolist() == [18, 18]
    assert np.bincount(id_val.labels).tolist() == [2, 2]
    assert isinstance(train.images, FromFiles)
    assert isinstance(id_val.images, FromFiles)
    assert isinstance(whole.images, FromFiles)
    assert sorted([*train.images.files(), *id_val.images.files()]) == sorted(whole.images.files())
    assert id_val.images[0].getpixel((0, 0))
    held_out = set(id_val.images.files())
    (tree / "train/bee/new.png").write_bytes((tree / "test/bee/0.png").read_bytes())
    again = datasets.make(entry, tree).split("id_val").images
    assert isinstance(again, FromFiles)
    assert {name for name in again.files() if "ant" in name} == {name for name in held_out if "ant" in name}
    shutil.copytree(tree, tmp_path / "moved")
    moved = datasets.make(entry, tmp_path / "moved").split("id_val").images
    assert isinstance(moved, FromFiles)
    assert [Path(name).relative_to(tmp_path / "moved") for name in moved.files()] == [
        Path(name).relative_to(tree) for name in again.files()
    ]


def test_copies_that_a_held_out_part_would_share_are_to_be_deleted(tree: Path) -> None:
    for number in range(20):
        copied(f"train/ant/{number}.png", f"train/ant/copy{number}.png")(tree)
    with pytest.raises(InputError, match="delete all but one of each, as id_val is held out of train"):
        identity(tree, folders=FOLDERS | {"id_val": HELD_OUT})


def test_a_class_of_one_image_cannot_be_cut_in_two(tree: Path) -> None:
    for number in range(1, 20):
        (tree / f"train/bee/{number}.png").unlink()
    with pytest.raises(InputError, match=r"found 1 image of class 'bee'; expected 2 or more"):
        identity(tree, folders=FOLDERS | {"id_val": HELD_OUT})


@pytest.mark.parametrize(
    ("id_val", "said"),
    [
        ({"from": "test", "fraction": 0.1}, "dataset.folders.id_val.from: found 'test'; expected train"),
        ({"from": "train", "fraction": 1.0}, "id_val.fraction: found 1.0; expected a number between 0 and 1"),
        ({"from": "train"}, "id_val: found neither fraction nor folds; expected one of them"),
        ({"from": "train", "share": 0.1}, "unknown key 'share' in dataset.folders.id_val; allowed: from, fraction"),
        (None, "{from: train, fraction: 0.1} to hold out a tenth of train"),
    ],
)
def test_how_a_part_is_held_out_is_checked(id_val: Any, said: str) -> None:
    with pytest.raises(InputError) as no:
        space({"folders": FOLDERS | {"id_val": id_val}})
    assert said in str(no.value)


def test_what_is_held_out_is_written_as_it_was_read(tmp_path: Path) -> None:
    own = space({"folders": FOLDERS | {"id_val": HELD_OUT}})
    (tmp_path / "space.yaml").write_text(dump(own))
    assert load(tmp_path / "space.yaml") == own
    assert "from: train" in dump(own)


def test_an_outline_tells_files_of_other_sizes_apart_without_reading_them(tree: Path) -> None:
    dataset = space({"folders": FOLDERS}).datasets[0]
    before = outline(datasets.make(dataset, tree))
    assert outline(datasets.make(dataset, tree)) == before
    Image.new("RGB", (64, 64), (1, 2, 3)).save(tree / "sketch/ant/0.png")
    assert outline(datasets.make(dataset, tree)) != before


def test_an_outline_tells_other_classes_of_a_split_apart(tree: Path) -> None:
    dataset = space({"folders": FOLDERS, "predict_among": {"sketch": "own"}}).datasets[0]
    before = outline(datasets.make(dataset, tree))
    (tree / "sketch/ant").rename(tree / "sketch/ape")
    assert outline(datasets.make(dataset, tree)) != before
