"""Tables of paths and labels of the user's own: what they mean, and what is refused."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from refusal import refused
from spaces import space_with
from trees import shade_of, write_image

from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers import datasets, preflight
from flyp_sweep.trainers.datasets.base import Dataset
from flyp_sweep.trainers.datasets.readers.tables import ImageTables
from flyp_sweep.trainers.runner import TrialRunner
from flyp_sweep.trainers.testing.bench import Bench

SHADES = {"2": 20, "10": 120, "1": 220}
"""Label -> the shade of its images, in the order in which the training table first has them."""
TABLES = {
    "train": "train.csv",
    "id_val": "lists/val.parquet",
    "id_test": "test.tsv",
    "ood": {"night": "lists/night.csv"},
}


def write_table(path: Path, rows: list[tuple[Any, Any]], columns: tuple[str, str] = ("path", "label")) -> None:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".parquet":
        pd.DataFrame(rows, columns=columns).to_parquet(path)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",").writerows([columns, *rows])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three images of each of three labels that are whole numbers, and four tables of them."""
    for label, shade in SHADES.items():
        for number in range(3):
            write_image(tmp_path / "photos" / label / f"{number}.png", shade + number)
    every = [(f"photos/{label}/{number}.png", label) for label in SHADES for number in range(3)]
    write_table(tmp_path / "train.csv", every)
    write_table(tmp_path / "lists/val.parquet", [(f"../{path}", int(label)) for path, label in every[::-1]])
    write_table(tmp_path / "test.tsv", every[1::3])
    write_table(tmp_path / "lists/night.csv", [("../photos/1/2.png", 1), ("../photos/2/2.png", 2)])
    return tmp_path


def space(tables: dict[str, Any], **more: Any) -> SearchSpace:
    search = {"num_samples": 1, "space": {"l2": 1e-3}}
    return space_with(dataset={"name": "birds", "tables": tables, **more}, methods=["lp"], search=search)


def make(root: Path, tables: dict[str, Any] | None = None, **more: Any) -> ImageTables:
    made = datasets.make(space(tables or TABLES, **more).datasets[0], root)
    assert isinstance(made, ImageTables)
    return made


def shades(dataset: Dataset, split: str) -> list[int]:
    images = dataset.load(split).images
    return [shade_of(images[i]) for i in range(len(images))]


def one_table(root: Path, name: str, content: str | bytes, **more: Any) -> ImageTables:
    """A data set whose every split is one table with this content."""
    (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return make(root, {"train": name, "id_val": name}, **more)


def test_whole_numbers_are_sorted_as_numbers_whatever_the_kind_of_file(root: Path) -> None:
    dataset = make(root)
    assert dataset.missing() == []
    assert dataset.class_names == ["1", "2", "10"]
    assert dataset.splits == {"train": "train", "id_val": "id_val", "id_test": "id_test", "night": "ood"}
    train, val = dataset.load("train"), dataset.load("id_val")
    assert train.labels.dtype == np.int64
    assert train.labels.tolist() == [1, 1, 1, 2, 2, 2, 0, 0, 0]
    assert shades(dataset, "train") == [20, 21, 22, 120, 121, 122, 220, 221, 222]
    assert val.labels.tolist() == [0, 0, 0, 2, 2, 2, 1, 1, 1]
    assert shades(dataset, "id_val") == [222, 221, 220, 122, 121, 120, 22, 21, 20]
    assert dataset.load("id_test").labels.tolist() == [1, 2, 0]
    assert dataset.load("night").labels.tolist() == [0, 1]
    assert shades(dataset, "night") == [222, 22]


def test_other_labels_are_sorted_naturally_and_kept_as_they_are_written(tmp_path: Path) -> None:
    labels = ["b_2", "NA", "10", "null", "a,b", "1.0", "2"]
    write_table(tmp_path / "t.csv", [("x.png", label) for label in labels])
    dataset = make(tmp_path, {"train": "t.csv", "id_val": "t.csv"})
    assert dataset.class_names == ["1.0", "2", "10", "NA", "a,b", "b 2", "null"]
    assert dataset.load("train").labels.tolist() == [5, 3, 2, 6, 4, 0, 1]


def test_names_are_given_in_the_sorted_order_or_by_label(root: Path) -> None:
    assert make(root, class_names=["one", "two", "ten"]).class_names == ["one", "two", "ten"]
    dataset = make(root, class_names={"10": "ten", "1": "one", "2": "two"}, metric="macro_f1")
    assert dataset.class_names == ["ten", "one", "two"]
    assert dataset.load("train").labels.tolist() == [2, 2, 2, 0, 0, 0, 1, 1, 1]
    assert dataset.load("train").metric == "macro_f1"
    refused(lambda: make(root, class_names=["a", "b"]).load("train"), "found 2 names", "expected 3", "1, 2, 10")
    refused(lambda: make(root, class_names={"1": "a", "3": "b"}).load("train"), "'3'", "train.csv", "1, 2, 10")
    few = make(root, class_names={"1": "a", "2": "b"})
    refused(lambda: few.load("train"), "train.csv: row 4 below", "label '10'", "dataset.class_names", "1, 2")


def test_columns_and_the_folder_of_images_are_as_named(root: Path) -> None:
    write_table(root / "lists/t.csv", [("1/0.png", "x"), (root / "photos/2/0.png", "y")], ("file", "species"))
    tables = {"train": "lists/t.csv", "id_val": "lists/t.csv"}
    dataset = make(root, tables, columns={"path": "file", "label": "species"}, images="photos")
    assert dataset.missing() == []
    assert shades(dataset, "train") == [220, 20]
    (absent,) = make(root, tables, images="photso").missing()
    assert absent.path == root / "photso"
    assert "dataset.images" in absent.source


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (pa.array([2, 10]), ["2", "10"]),
        (pa.array([2.0, 10.0]), ["2", "10"]),
        (pa.array(["b", "a"]).dictionary_encode(), ["a", "b"]),
        (pa.array([True, False]), ["false", "true"]),
        (pa.array([b"b", b"a"]), ["a", "b"]),
    ],
)
def test_labels_of_parquet_files_become_text(tmp_path: Path, labels: pa.Array, names: list[str]) -> None:
    paths = pa.array(["0.png", "1.png"])
    pq.write_table(pa.table({"more": labels, "path": paths, "label": labels}), tmp_path / "t.parquet")
    assert make(tmp_path, {"train": "t.parquet", "id_val": "t.parquet"}).class_names == names


def test_byte_order_marks_windows_lines_and_quotes_do_no_harm(tmp_path: Path) -> None:
    dataset = one_table(tmp_path, "t.CSV", b'\xef\xbb\xbfid,path,label\r\n7,"a, b.png",\xc3\xbc\r\n8,c.png,v\r\n')
    assert dataset.class_names == ["v", "\u00fc"]
    (absent,) = dataset.missing()
    assert absent.path == tmp_path / "a, b.png"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("path,species\na.png,x\n", ("no column 'label' among [path, species]", "dataset.columns")),
        ("path,labels\na.png,x\n", ("no column 'label'", "did you mean 'labels'?")),
        ("path;label\na.png;x\n", ("no column 'path' among ['path;label']", "separated by semicolons: write commas")),
        ("id\tlabel\tpath\n1\tx\ta.png\n", ("no column 'path'", "separated by tabs: name the file .tsv")),
        ("path,label,label\na.png,x,y\n", ("the column 'label' 2 times", "expected it once")),
        ("path,label\n", ("found no row", "one for each image")),
        ("", ("could not be read", "No columns", "first row names its columns")),
        ("path,label\na.png,x,y\n", ("could not be read", "line 2")),
        ("path,label\na.png,x\nb.png,y\nc.png\n", ("row 3 below the header: found no label",)),
        ("path,label\n,x\n", ("row 1 below the header: found no path",)),
        ("path,label\na.png, \n", ("row 1 below the header: found no label",)),
        ("path,label\n,\n ,\n", ("found no row",)),
        ("path,label,more\na.png,x,\n,,\n,,y\n", ("row 3 below the header: found no path",)),
        ('path,label\n"a\nb.png",x\n', ("row 1 below the header", "'a\\nb.png' as path", "on one line")),
        ("path,label\na\0.png,x\n", ("row 1 below the header", "'a\\x00.png' as path")),
        ('path,label\n"a.png,x\n', ("could not be read",)),
        (b"\xff\xfep\0a\0t\0h\0", ("could not be read", "UTF-8")),
        ("path,label\n\u00fc.png,x\n".encode("latin-1"), ("could not be read", "UTF-8")),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, content: str | bytes, words: tuple[str, ...]) -> None:
    dataset = one_table(tmp_path, "t.csv", content)
    refused(lambda: dataset.load("train"), str(tmp_path / "t.csv"), *words)
    refused(lambda: dataset.missing(), *words)


IDS = "path,label\n" + "".join(f"{number}.png,id-{number}\n" for number in range(12))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("path,label\na.png,x\nb.png,x\n", ("the one class 'x'", "at least 2")),
        ("path,label\na.png,x\nb.png, x\n", ("' x' and 'x'", "differ only in case, spaces")),
        ("path,label\na.png,001\nb.png,1\n", ("'001' and '1'",)),
        ("path,label\na.png,1.0\nb.png,1\nc.png,2\n", ("'1' and '1.0'",)),
        ("path,label\na.png,caf\u00e9\nb.png,cafe\u0301\n", (r"'cafe\u0301' and 'caf",)),
        ("path,label\na.png,x\nb.png,y\nc.png,nan\n", ("row 3", "found label 'nan'", "missing value")),
        ("path,label\na.png,x\nb.png,x|y\nc.png,y\n", ("row 2", "found label 'x|y'", "'x' is a class too")),
        ("path,label\na.png,x\nb.png,y\n./a.png,y\n", ("row 3", "found label 'y'", "label 'x' in row 1")),
        (IDS, ("another label in each of the 12 rows", "dataset.columns.label")),
    ],
)
def test_classes_that_nobody_has_are_refused(tmp_path: Path, content: str, words: tuple[str, ...]) -> None:
    dataset = one_table(tmp_path, "t.csv", content)
    refused(dataset.check_classes, str(tmp_path / "t.csv"), *words)


def test_names_confirm_unusual_classes(tmp_path: Path) -> None:
    one_table(tmp_path, "t.csv", IDS, class_names=[f"name {number}" for number in range(12)]).check_classes()
    bread = one_table(tmp_path, "u.csv", "path,label\na.png,nan\nb.png,x\n", class_names={"nan": "nan bread", "x": "x"})
    bread.check_classes()


def test_what_is_repeated_and_empty_is_told(tmp_path: Path) -> None:
    dataset = one_table(tmp_path, "t.csv", "path,label\na.png,x\n,\nb.png,y\n./b.png,y\n,\n")
    assert len(dataset.load("train")) == 3
    assert dataset.remarks() == [
        "train: left out 2 empty rows",
        "id_val: left out 2 empty rows",
        "has neither id_test nor ood: tables will hold no numbers",
        "train: found 1 row of 3 with an image that the table lists already",
        "id_val: found 1 row of 3 with an image that the table lists already",
    ]
    (absent,) = dataset.missing()
    assert absent.source.startswith("row 1 of")


@pytest.mark.parametrize(
    ("listed", "there", "words"),
    [
        ("caf\u00e9.png", "cafe\u0301.png", (r"there is 'cafe\u0301.png'", r"Unicode form from 'caf\xe9.png'")),
        ("A.PNG", "a.png", ("there is 'a.png'", "in case from 'A.PNG'")),
        ("a\\b.png", "b.png", (r"write / in place of \ in paths",)),
        ("file:///data/b.png", "b.png", ("write a path in place of an address",)),
    ],
)
def test_a_file_whose_name_is_spelt_otherwise_is_pointed_to(
    tmp_path: Path, listed: str, there: str, words: tuple[str, ...]
) -> None:
    write_image(tmp_path / there, 9)
    (absent,) = one_table(tmp_path, "t.csv", f"path,label\n{listed},x\n").missing()
    assert all(word in absent.source for word in words), absent.source


def test_a_label_spelt_otherwise_in_another_table_is_told_as_such(root: Path) -> None:
    write_table(root / "test.tsv", [("photos/1/0.png", "001")])
    refused(lambda: make(root).load("id_test"), "found label '001'", "'001' differs from '1' only in")


def test_a_parquet_file_that_is_none_is_refused(tmp_path: Path) -> None:
    refused(lambda: one_table(tmp_path, "t.parquet", b"garbage\n" * 9).load("train"), "t.parquet", "could not be read")
    for columns, words in (
        ({"path": ["a"], "species": ["x"]}, ("no column 'label' among [path, species]",)),
        ({"path": ["a"], "label": [None]}, ("row 1", "found no label")),
        ({"path": ["a"], "label": [["x"]]}, ("could not be read", "texts or numbers")),
        ({"path": [], "label": []}, ("found no row",)),
    ):
        pq.write_table(pa.table(columns), tmp_path / "u.parquet")
        dataset = make(tmp_path, {"train": "u.parquet", "id_val": "u.parquet"})
        refused(lambda dataset=dataset: dataset.load("train"), str(tmp_path / "u.parquet"), *words)


def test_a_label_that_training_lacks_is_refused_by_its_row(root: Path) -> None:
    write_table(root / "test.tsv", [("photos/1/0.png", "1"), ("photos/1/1.png", "11"), ("photos/1/2.png", "12")])
    words = (f"{root / 'test.tsv'}: row 2 below the header", "found label '11'", str(root / "train.csv"), "1, 2, 10")
    refused(lambda: make(root).load("id_test"), *words)
    refused(lambda: preflight.check(space(TABLES), root), *words)


def test_absent_tables_and_images_are_told_before_the_start(root: Path) -> None:
    (root / "test.tsv").rename(root / "moved")
    (missing,) = make(root).missing()
    assert missing.path == root / "test.tsv"
    assert "dataset.tables.id_test of 'birds'" in missing.source
    (root / "moved").rename(root / "test.tsv")

    shutil.rmtree(root / "photos" / "10")
    (missing,) = make(root).missing()
    assert missing.path == root / "photos/10/0.png"
    count = "7 of the 23 images listed are absent"  # three in each of train and id_val, one in id_test
    assert missing.source == f"row 4 of {root / 'train.csv'} ({count})"
    refused(lambda: preflight.check(space(TABLES), root), str(missing.path), count)


def test_links_to_images_are_images_and_folders_are_none(root: Path) -> None:
    (root / "photos/1/1.png").unlink()
    (root / "photos/1/1.png").symlink_to(root / "photos/1/0.png")
    assert make(root).missing() == []
    (root / "photos/1/1.png").unlink()
    (root / "photos/1/1.png").mkdir()
    assert [one.path for one in make(root).missing()] == [root / "photos/1/1.png"]


ONE = """path,label,part
a.png,x,train
b.png,y,train
c.png,y,Train
d.png,x, VAL
e.png,y,test
f.png,x,Night
g.png,z,extra
h.png,x,train
"""
IN_ONE = {"train": "one.csv", "id_val": "one.csv", "id_test": "one.csv", "ood": {"night": "one.csv"}}


def test_one_table_serves_several_splits_by_a_column_of_theirs(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(ONE)
    dataset = make(tmp_path, IN_ONE, columns={"split": "part"})
    files = {split: dataset.load(split).images.relative.tolist() for split in dataset.splits}  # type: ignore[attr-defined]
    named = {"train": "abch", "id_val": "d", "id_test": "e", "night": "f"}
    assert files == {split: [f"{name}.png".encode() for name in names] for split, names in named.items()}
    assert dataset.class_names == ["x", "y"]
    assert f"{tmp_path / 'one.csv'}: not used: split 'extra', rows: 1" in dataset.remarks()
    assert [one for one in dataset.remarks() if "; took" in one] == [
        "id_val: found no row of split 'id_val'; took those of val"
    ]
    (absent,) = dataset.missing()
    assert absent.source.startswith("row 1 of")
    held_out = make(tmp_path, IN_ONE | {"id_val": {"from": "train", "fraction": 0.4}}, columns={"split": "part"})
    assert [len(held_out.load(split)) for split in ("train", "id_val")] == [2, 2]
    assert any("not used: split ' VAL', rows: 1" in line for line in held_out.remarks())


def test_another_name_of_a_split_does_not_count_beside_its_own(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(ONE + "i.png,x,id_val\n")
    dataset = make(tmp_path, IN_ONE, columns={"split": "part"})
    assert dataset.load("id_val").images.relative.tolist() == [b"i.png"]  # type: ignore[attr-defined]
    assert any("not used: split ' VAL', rows: 1" in line for line in dataset.remarks())
    assert not any("; took" in line for line in dataset.remarks())


def test_rows_of_no_split_need_no_label(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(ONE + "i.png,,unlabelled\n")
    assert len(make(tmp_path, IN_ONE, columns={"split": "part"}).load("train")) == 4


def test_a_table_of_one_split_needs_no_column_of_splits(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(ONE)
    (tmp_path / "night.csv").write_text("path,label\ni.png,x\nj.png,y\n")
    dataset = make(tmp_path, IN_ONE | {"ood": {"night": "night.csv"}}, columns={"split": "part"})
    assert [len(dataset.load(split)) for split in dataset.splits] == [4, 1, 1, 2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("Night", "day"), ("no row of night among the values of part: ", "day", "expected night")),
        ((" VAL", "dev"), ("no row of id_val among the values of part: ", "expected id_val or val or valid or valid")),
        (("test", ""), ("row 5 below the header: found no part",)),
        ((",part", ",parts"), ("no column 'part'", "did you mean 'parts'")),
        (("e.png,y", "e.png,w"), ("row 5 below the header: found label 'w'",)),
    ],
)
def test_a_column_of_splits_that_lacks_one_is_refused(
    tmp_path: Path, change: tuple[str, str], words: tuple[str, ...]
) -> None:
    (tmp_path / "one.csv").write_text(ONE.replace(*change))
    dataset = make(tmp_path, IN_ONE, columns={"split": "part"})
    refused(lambda: [dataset.load(split) for split in dataset.splits], "one.csv", *words)


def test_an_image_that_cannot_be_decoded_is_refused_by_its_path(root: Path) -> None:
    (root / "photos/2/0.png").write_bytes(b"this is no image")
    images = make(root).load("train").images
    refused(lambda: images[0], str(root / "photos/2/0.png"), "not a readable image")
    assert shade_of(images[1]) == 21


def test_a_trial_trains_on_tables(root: Path, bench: Bench) -> None:
    """Shades tell the classes apart, so a probe learns them; an OOD table with every label exchanged has none right."""
    exchanged = [(f"../photos/{label}/1.png", other) for label, other in (("1", "2"), ("2", "10"), ("10", "1"))]
    write_table(root / "lists/night.csv", exchanged)
    checked = preflight.check(space(TABLES), root, allow_overlap=True)
    birds = checked.data["birds"]
    assert birds.classes == 3
    assert birds.images == {"train": 9, "id_val": 9, "id_test": 3, "ood": 3}
    spec = replace(bench.repeat("lp", alphas=(1.0,)), cell=space(TABLES).cells()[0])
    result = TrialRunner(space(TABLES), root, torch.device("cpu")).result(spec)
    assert result.score == 1.0
    found = {line.split: line.metrics[line.primary] for line in result.evaluations}
    assert (found["id_test"], found["night"]) == (1.0, 0.0)
