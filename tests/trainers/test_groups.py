"""Groups, OOD validation, subsets of classes and splits in columns, on tables in their publishers' formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from refusal import refused
from spaces import space_with
from trees import shade_of, write_image

from flyp_sweep.search_spaces.loading import dump, from_mapping
from flyp_sweep.search_spaces.yaml_text import read
from flyp_sweep.trainers import datasets, preflight
from flyp_sweep.trainers.data.content import Hashes
from flyp_sweep.trainers.data.identity import Identity, identify
from flyp_sweep.trainers.datasets.base import Dataset
from flyp_sweep.trainers.datasets.census import census
from flyp_sweep.trainers.evaluation.metrics import score

WATERBIRDS = """img_id,img_filename,y,split,place,place_filename
1,001.Gull/a.jpg,1,0,1,/o/ocean/1.jpg
2,001.Gull/b.jpg,1,0,0,/b/bamboo_forest/2.jpg
3,002.Wren/c.jpg,0,0,0,/b/bamboo_forest/3.jpg
4,001.Gull/d.jpg,1,1,0,/b/bamboo_forest/4.jpg
5,002.Wren/e.jpg,0,1,1,/o/ocean/5.jpg
6,001.Gull/f.jpg,1,2,1,/o/ocean/6.jpg
7,001.Gull/g.jpg,1,2,0,/b/bamboo_forest/7.jpg
8,002.Wren/h.jpg,0,2,1,/l/lake/natural/8.jpg
9,002.Wren/i.jpg,0,2,1,/o/ocean/9.jpg
"""
BIRDS: dict[str, Any] = {
    "tables": {"train": "metadata.csv", "id_val": "metadata.csv", "id_test": "metadata.csv"},
    "columns": {
        "path": "img_filename",
        "label": "y",
        "group": ["y", "place"],
        "split": {"train": {"split": 0}, "id_val": {"split": 1}, "id_test": {"split": 2}},
    },
    "class_names": {"0": "landbird", "1": "waterbird"},
}
CAMELYON17 = """,patient,node,x_coord,y_coord,tumor,slide,center,split
0,004,4,3328,21792,1,0,0,0
1,004,4,3200,22272,0,0,0,0
2,017,1,1000,2000,1,2,0,1
3,017,1,1000,2001,0,2,0,1
4,060,3,77,78,0,31,3,0
5,020,4,5,6,1,10,1,0
6,020,4,5,7,0,10,1,1
7,042,3,9,8,1,23,2,0
8,042,3,9,9,0,24,2,1
9,099,4,1,1,1,49,4,0
"""
HOSPITALS: dict[str, Any] = {
    "tables": {
        "train": "metadata.csv",
        "id_val": "metadata.csv",
        "ood_val": {"hospital_1": "metadata.csv"},
        "ood": {"hospital_2": "metadata.csv"},
    },
    "columns": {
        "path": "patches/patient_{patient}_node_{node}/patch_patient_{patient}_node_{node}_x_{x_coord}_y_{y_coord}.png",
        "label": "tumor",
        "group": "slide",
        "split": {
            "train": {"split": 0, "center": [0, 3, 4]},
            "id_val": {"split": 1, "center": [0, 3, 4]},
            "hospital_1": {"center": 1},
            "hospital_2": {"center": 2},
        },
    },
}


def write(root: Path, table: str, file: Callable[[pd.Series[Any]], str], name: str = "metadata.csv") -> None:
    """The table, and an image for each of its rows, of the grey 10 x row."""
    (root / name).write_text(table)
    for row, cells in pd.read_csv(root / name, dtype=str).iterrows():
        write_image(root / file(cells), 10 * int(str(row)))


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    write(tmp_path, WATERBIRDS, lambda cells: str(cells["img_filename"]))
    return tmp_path


@pytest.fixture
def hospitals(tmp_path: Path) -> Path:
    def file(cells: pd.Series[Any]) -> str:
        of = f"patient_{cells['patient']}_node_{cells['node']}"
        return f"patches/{of}/patch_{of}_x_{cells['x_coord']}_y_{cells['y_coord']}.png"

    write(tmp_path, CAMELYON17, file)
    return tmp_path


def make(root: Path, told: dict[str, Any], **more: Any) -> Dataset:
    return datasets.make(space_with(dataset={"name": "own", **told, **more}).datasets[0], root)


def rows(dataset: Dataset) -> dict[str, list[int]]:
    """Split -> the rows of the table that it has."""
    return {
        name: [shade_of(dataset.split(name).images[at]) // 10 for at in range(len(dataset.split(name)))]
        for name in dataset.splits
    }


def identity(root: Path, told: dict[str, Any], **more: Any) -> Identity:
    return identify(make(root, told, **more), Hashes(None))


def test_waterbirds_has_its_numbered_splits_and_the_groups_of_bird_and_place(birds: Path) -> None:
    found = make(birds, BIRDS, metric="worst_group_accuracy")
    assert found.missing() == []
    assert rows(found) == {"train": [0, 1, 2], "id_val": [3, 4], "id_test": [5, 6, 7, 8]}
    test = found.split("id_test")
    assert test.groups is not None
    assert [test.group_names[group] for group in test.groups] == [
        *("y=1,place=1", "y=1,place=0", "y=0,place=1", "y=0,place=1")
    ]
    logits = torch.nn.functional.one_hot(torch.tensor([1, 1, 1, 0]), 2).float()
    scores = score(logits, test)
    assert (scores.primary, scores.score, scores.metrics["accuracy"]) == ("worst_group_accuracy", 0.5, 0.75)
    assert scores.metrics["group_accuracy/y=0,place=1"] == 0.5
    assert scores.metrics["group_accuracy/y=1,place=1"] == 1.0


def test_camelyon17_has_the_hospitals_of_wilds_and_paths_made_of_its_columns(hospitals: Path) -> None:
    found = make(hospitals, HOSPITALS)
    assert found.missing() == []
    assert rows(found) == {"train": [0, 1, 4, 9], "id_val": [2, 3], "hospital_1": [5, 6], "hospital_2": [7, 8]}
    assert [found.splits[name] for name in ("hospital_1", "hospital_2")] == ["ood_val", "ood"]
    assert found.split("hospital_2").group_names == ("23", "24")
    assert found.remarks() == [
        "classes are numbers: prompts read 'a photo of a 0.'; dataset.class_names can give them names"
    ]
    assert sum(found.counts().values()) == 10


@pytest.mark.parametrize("kind", ["parquet", "tsv"])
def test_numbers_of_a_parquet_file_meet_the_same_conditions(birds: Path, kind: str) -> None:
    table = pd.read_csv(birds / "metadata.csv")
    if kind == "parquet":
        table.to_parquet(birds / "metadata.parquet")
    else:
        table.to_csv(birds / "metadata.tsv", sep="\t", index=False)
    tables = dict.fromkeys(BIRDS["tables"], f"metadata.{kind}")
    assert identity(birds, BIRDS | {"tables": tables}) == identity(birds, BIRDS)


def test_a_space_with_all_of_it_is_written_as_it_was_read() -> None:
    told = HOSPITALS | {"predict_among": {"hospital_2": "present"}, "metric": "worst_group_accuracy"}
    space = space_with(dataset={"name": "own", **told})
    assert from_mapping(read(dump(space), "space.yaml"), "space.yaml") == space


def changed(**columns: Any) -> dict[str, Any]:
    return {"columns": BIRDS["columns"] | columns}


def split_by(**splits: Any) -> dict[str, Any]:
    return changed(split=BIRDS["columns"]["split"] | splits)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (split_by(id_val={"split": 7}), ("no row of id_val, with split 7", "its values are split: 0, 1, 2")),
        (
            split_by(id_val={"split": [0, 1], "place": 5}),
            ("no row of id_val, with split 0 or 1 and place 5", "place: 0, 1"),
        ),
        (
            changed(split={"train": {"split": 0}}),
            ("found nothing of id_val, which shares the table",),
        ),
        (changed(split={"train": {"slpit": 0}}), ("no column 'slpit'", "did you mean 'split'?")),
        (changed(group=["y", "plaec"]), ("no column 'plaec'", "did you mean 'place'?")),
        (changed(path="{img_filname}.jpg"), ("no column 'img_filname'",)),
        (
            {"metric": "worst_group_accuracy", **changed(group=None)},
            ("dataset.metric: found worst_group_accuracy, and no groups in train of 'own'", "columns.group"),
        ),
    ],
)
def test_columns_that_do_not_serve_are_one_line(birds: Path, told: dict[str, Any], words: tuple[str, ...]) -> None:
    found = make(birds, BIRDS | told)
    refused(lambda: [found.split(name) for name in found.splits], *words)


def test_folders_have_no_worst_group(tmp_path: Path) -> None:
    for name in ("train/a/0.png", "train/b/1.png"):
        write_image(tmp_path / name, 7)
    found = make(tmp_path, {"folders": {"train": "train", "id_val": "train"}}, metric="worst_group_accuracy")
    refused(lambda: found.split("id_val"), "found worst_group_accuracy, and no groups in id_val of 'own'")


def test_more_groups_than_can_be_recorded_are_refused(birds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyp_sweep.trainers.datasets.own.MOST_GROUPS", 2)
    found = make(birds, BIRDS)
    refused(lambda: found.split("id_test"), "found 3 groups in id_test; expected 2 at most", "dataset.columns.group")


def test_an_ood_table_without_the_column_of_groups_is_told_and_has_none(birds: Path) -> None:
    (birds / "night.csv").write_text("img_filename,y\n001.Gull/a.jpg,1\n")
    split = BIRDS["columns"]["split"]
    told = BIRDS | {"tables": BIRDS["tables"] | {"ood": {"night": "night.csv"}}}
    found = make(birds, told)
    assert found.split("night").groups is None
    assert found.split("id_test").groups is not None
    assert f"night: {birds / 'night.csv'} has no column y or place: its images have no groups" in found.remarks()
    assert "night" not in split
    by_group = make(birds, told, metric="worst_group_accuracy")
    refused(lambda: by_group.split("night"), "night.csv", "no column 'place'")


def test_rows_of_no_split_are_counted(birds: Path) -> None:
    found = make(birds, BIRDS | split_by(id_test={"split": 2, "place": 0}))
    assert rows(found)["id_test"] == [6]
    assert f"{birds / 'metadata.csv'}: not used: 3 rows that dataset.columns.split gives to no split" in found.remarks()


def test_a_part_that_is_held_out_is_drawn_from_the_rows_of_train_with_their_groups(birds: Path) -> None:
    text = WATERBIRDS + "".join(f"{n},003.Tit/{n}.jpg,{n % 2},0,{n % 2},x\n" for n in range(10, 26))
    write(birds, text, lambda cells: str(cells["img_filename"]))
    held = {"from": "train", "fraction": 0.25, "seed": 3}
    told = BIRDS | {"tables": BIRDS["tables"] | {"id_val": held}}
    split = {name: rule for name, rule in BIRDS["columns"]["split"].items() if name != "id_val"}
    found = make(birds, told | changed(split=split), metric="worst_group_accuracy")
    train, id_val = found.split("train"), found.split("id_val")
    assert len(train) + len(id_val) == 19
    assert set(rows(found)["train"]) | set(rows(found)["id_val"]) == {0, 1, 2, *range(9, 25)}
    assert id_val.groups is not None
    assert {id_val.group_names[group] for group in id_val.groups} == {"y=0,place=0", "y=1,place=1"}
    assert "id_val: 25% of each class, held out of train, drawn with seed 3" in found.rules()


def test_the_census_counts_the_images_of_groups(birds: Path) -> None:
    assert census(make(birds, BIRDS))[-1] == "id_test: 3 groups, images in a group: 1 (y=1,place=0) to 2"


def test_groups_cost_no_training_unless_a_training_is_selected_by_them(birds: Path) -> None:
    plain = identity(birds, BIRDS | changed(group=None))
    grouped = identity(birds, BIRDS)
    other = identity(birds, BIRDS | changed(group="place"))
    assert (plain.training, plain.fitted) == (grouped.training, grouped.fitted) == (other.training, other.fitted)
    assert len({one.evaluated["id_test"] for one in (plain, grouped, other)}) == 3
    selected = identity(birds, BIRDS, metric="worst_group_accuracy")
    other = identity(birds, BIRDS | changed(group="place"), metric="worst_group_accuracy")
    assert len({one.training for one in (plain, selected, other)}) == 3


def test_few_shot_draws_that_may_lack_groups_are_told(birds: Path) -> None:
    space = space_with(dataset={"name": "own", **BIRDS, "metric": "worst_group_accuracy"}, shots=1)
    (found,) = preflight.check(space, birds, rehearses=False).data.values()
    assert any(line.startswith("shots: 1 image of each class") and "the 2 groups" in line for line in found.remarks)
    plain = space_with(dataset={"name": "own", **BIRDS}, shots=1)
    (found,) = preflight.check(plain, birds, rehearses=False).data.values()
    assert not any("shots" in line for line in found.remarks)


def test_a_renamed_group_is_another_evaluation(birds: Path) -> None:
    before = identity(birds, BIRDS | changed(group="place"))
    (birds / "metadata.csv").write_text(WATERBIRDS.replace("2,1,/", "2,sea,/").replace("2,0,/", "2,land,/"))
    after = identity(birds, BIRDS | changed(group="place"))
    assert after.training == before.training
    assert after.evaluated["id_test"] != before.evaluated["id_test"]


def test_data_that_come_later_need_the_groups_that_models_are_scored_by(birds: Path) -> None:
    told = {"name": "own", **BIRDS, "metric": "worst_group_accuracy"}
    other = {"name": "later", "tables": {"id_test": "later.csv"}, "class_names": {"0": "landbird", "1": "waterbird"}}
    (birds / "later.csv").write_text("path,label,place\n001.Gull/a.jpg,1,0\n002.Wren/c.jpg,0,1\n")
    for columns, groups in ({}, None), ({"columns": {"group": "place"}}, ("0", "1")):
        space = space_with(dataset=told, evaluate=[other | columns])
        (found,) = preflight.check_data(space, birds).values()
        if groups is None:
            refused(
                lambda found=found: found.split("later"), "no groups in id_test of data set 'later'", "columns.group"
            )
        else:
            assert (found.split("later").group_names, found.split("later").role) == (groups, "ood")


@pytest.mark.parametrize("among", ["all", "present"])
def test_predictions_on_an_ood_set_are_among_the_classes_that_its_rule_says(tmp_path: Path, among: str) -> None:
    for split, names in {"train": "abc", "val": "abc", "art": "ac"}.items():
        for number, name in enumerate(names):
            write_image(tmp_path / split / name / "0.png", 40 * number + 7 * len(split) + len(names))
    folders = {"train": "train", "id_val": "val", "ood": {"art": "art"}}
    found = make(tmp_path, {"folders": folders}, predict_among={"art": among})
    logits = torch.tensor([[1.0, 3.0, 0.0], [1.0, 3.0, 2.0]])
    scores = score(logits, found.split("art"))
    right = among == "present"
    assert scores.score == right
    if right:
        chances = torch.tensor([[1.0, 0.0], [1.0, 2.0]]).softmax(dim=1)
        assert scores.loss == pytest.approx(-(chances[0, 0].log() + chances[1, 1].log()).item() / 2)
    assert found.rules() == [
        "art: predictions among "
        + ("the 2 of 3 classes that it has labels of" if right else "all 3 classes, also those without an image: b")
    ]
    everywhere = identify(make(tmp_path, {"folders": folders}), Hashes(None))
    own = identify(found, Hashes(None))
    assert (own.training, own.evaluated == everywhere.evaluated) == (everywhere.training, not right)


def test_the_rule_holds_for_the_same_data_under_another_data_set(tmp_path: Path) -> None:
    for split, names in {"train": "abc", "val": "abc", "art": "ca"}.items():
        for number, name in enumerate(sorted(names)):
            write_image(tmp_path / split / name / "0.png", 40 * number + 7 * len(split) + len(names))
    own = {"name": "own", "folders": {"train": "train", "id_val": "val"}}
    later = {"name": "later", "folders": {"id_test": "art"}, "predict_among": {"id_test": "present"}}
    (found,) = preflight.check_data(space_with(dataset=own, evaluate=[later]), tmp_path).values()
    split = found.split("later")
    assert split.class_map is not None
    predicted = score(torch.tensor([[0.0, 9.0, 1.0], [1.0, 9.0, 0.0]]), split).metrics["accuracy"]
    assert predicted == 0.0
    assert np.count_nonzero(split.class_map >= 0) == 2
    assert found.rules() == ["later: predictions among the 2 of 3 classes that it has labels of"]
