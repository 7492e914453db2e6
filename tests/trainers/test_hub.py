"""Hugging Face data sets: what their columns and splits mean, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import hub_folders
import numpy as np
import pytest
from refusal import refused

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import from_mapping
from flyp_sweep.search_spaces.readers.hub import HubDataset
from flyp_sweep.trainers import datasets, preflight
from flyp_sweep.trainers.data.content import UNSETTLED_SECONDS, Hashes
from flyp_sweep.trainers.data.identity import content_of
from flyp_sweep.trainers.data.inspection import look_through
from flyp_sweep.trainers.datasets.arrow_images import ArrowImages
from flyp_sweep.trainers.datasets.base import digest_of
from flyp_sweep.trainers.datasets.named_files import NamedFiles
from flyp_sweep.trainers.datasets.readers.hub import HubImages
from flyp_sweep.trainers.testing.reader_contract import Example, examples, identity, space

library = pytest.importorskip("datasets")

NAMES = ("cat", "big_bee", "ant", "dog")
"""Class labels in no natural order, of which no image has the last."""
HELD = {"train": "train", "id_val": {"from": "train", "fraction": 0.5}}
TRAIN = [one for one in examples() if one.split == "train"]


def make(root: Path, **entry: Any) -> HubImages:
    made = datasets.make(space({"hub": "birds", "splits": hub_folders.SPLITS} | entry).datasets[0], root)
    assert isinstance(made, HubImages)
    return made


def write(root: Path, names: Sequence[str] | None = NAMES) -> None:
    for split, rows in hub_folders.by_split(examples()).items():
        hub_folders.write_parquet(root / f"birds/data/{split}-00000-of-00001.parquet", rows, names)


def columns(root: Path, **columns: Any) -> HubImages:
    """A data set of one split, which has these columns."""
    (root / "birds").mkdir()
    made = library.Dataset.from_dict({name: values for name, (values, _) in columns.items()})
    made = made.cast(library.Features({name: kind for name, (_, kind) in columns.items()}))
    made.to_parquet(root / "birds/train.parquet")
    return make(root, splits=HELD)


def test_labels_are_the_publishers_with_names_from_the_yaml_if_there_are_any(tmp_path: Path) -> None:
    write(tmp_path)
    made = make(tmp_path)
    assert list(made.class_names) == ["cat", "big bee", "ant"]
    assert [NAMES[label] for label in made.split("train").labels] == [one.label for one in TRAIN]
    assert any("not used as classes, because" in line and line.endswith(": dog") for line in made.remarks())
    made.check_classes()
    assert list(make(tmp_path, class_names=["a cat", "a bee", "an ant"]).class_names) == ["a cat", "a bee", "an ant"]


def test_whole_numbers_without_names_are_in_their_order(tmp_path: Path) -> None:
    numbers = {"ant": 10, "big_bee": 2, "cat": 1}
    images = [{"bytes": one.content, "path": None} for one in TRAIN]
    labels = [numbers[one.label] for one in TRAIN]
    made = columns(tmp_path, image=(images, library.Image()), label=(labels, library.Value("int32")))
    assert list(made.class_names) == ["1", "2", "10"]
    assert made.read("train").labels.tolist() == [made.classes.index(str(label)) for label in labels]


OWN_NAMES = """---
configs:
- config_name: default
  data_files:
  - {split: train, path: data/train-*}
  - {split: val, path: data/validation-*}
  - {split: test, path: data/test-*}
  - {split: sketch, path: data/sketch-*}
---
"""
"""A data set card that gives the splits names of its own."""


def test_a_split_under_another_usual_name_is_taken_and_told(tmp_path: Path) -> None:
    write(tmp_path)
    plain = make(tmp_path)
    assert not [line for line in plain.remarks() if "; took" in line]
    (tmp_path / "birds/README.md").write_text(OWN_NAMES)
    made = make(tmp_path)
    assert [line for line in made.remarks() if "; took" in line] == [
        "id_val: found no split 'validation'; took 'val'",
    ]
    assert made.split("id_val").labels.tolist() == plain.split("id_val").labels.tolist()


def test_several_files_are_one_split_whose_rows_count_from_0(tmp_path: Path) -> None:
    for number in range(3):
        rows = TRAIN[number * 4 : number * 4 + 4]
        hub_folders.write_parquet(tmp_path / f"birds/data/train-0000{number}-of-00003.parquet", rows)
    images = make(tmp_path, splits=HELD).read("train").images
    assert isinstance(images, ArrowImages)
    assert images.names() == [f"{tmp_path}/birds train row {row}" for row in range(12)]
    part = images.taken(np.array([7, 2]))
    assert part.names() == [f"{tmp_path}/birds train row {row}" for row in (7, 2)]
    assert [part.encoded(at) for at in range(2)] == [TRAIN[7].content, TRAIN[2].content]


@pytest.mark.parametrize("folder", [None, "cache"])
def test_two_columns_of_images_are_two_data_sets(tmp_path: Path, folder: str | None) -> None:
    shown = {name: [{"bytes": one.content, "path": None} for one in TRAIN] for name in ("image", "mask")}
    shown["mask"].reverse()
    labels = ([one.label for one in TRAIN], library.Value("string"))
    columns(tmp_path, label=labels, **{name: (images, library.Image()) for name, images in shown.items()})
    splits = [make(tmp_path, splits=HELD, image=name).read("train") for name in shown]
    hashes = Hashes(tmp_path / folder if folder else None)
    time.sleep(UNSETTLED_SECONDS if folder else 0)  # a hash is remembered of a file that has settled
    contents = [content_of(split.images, hashes) for split in splits]
    assert contents[0].tolist() == contents[1].tolist()[::-1] != contents[1].tolist()
    first, second = (split.images for split in splits)
    assert isinstance(first, ArrowImages)
    assert isinstance(second, ArrowImages)
    assert digest_of(first) != digest_of(second)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    write(tmp_path)
    before = identity(make(tmp_path)).training
    changed = [replace(TRAIN[0], content=TRAIN[0].content + b"x"), *TRAIN[1:]]
    hub_folders.write_parquet(tmp_path / "birds/data/train-00000-of-00001.parquet", changed, NAMES)
    assert identity(make(tmp_path)).training != before


def test_a_folder_of_images_by_class_is_read_from_its_files(tmp_path: Path) -> None:
    for one in TRAIN:
        path = tmp_path / "birds/train" / one.label / one.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one.content)
    split = make(tmp_path, splits=HELD).read("train")
    assert isinstance(split.images, NamedFiles)
    assert split.images.keys() == [f"{one.label}/{one.name}" for one in TRAIN]
    assert split.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4


@pytest.mark.parametrize("kind", ["binary", "large_binary"])
def test_bytes_need_not_be_said_to_be_an_image(tmp_path: Path, kind: str) -> None:
    content, labels = [one.content for one in TRAIN], [one.label for one in TRAIN]
    made = columns(tmp_path, image=(content, library.Value(kind)), label=(labels, library.Value("string")))
    images = made.read("train").images
    assert isinstance(images, ArrowImages)
    assert [images.encoded(at) for at in range(12)] == content


def test_one_saved_data_set_is_a_training_split(tmp_path: Path) -> None:
    hub_folders.as_dataset(TRAIN).select(range(11, -1, -1)).save_to_disk(tmp_path / "birds")
    images = make(tmp_path, splits=HELD).read("train").images
    assert isinstance(images, ArrowImages)
    assert [images.encoded(at) for at in range(12)] == [one.content for one in TRAIN][::-1]


def test_usual_names_of_splits_and_the_name_of_the_data_set_may_be_left_out(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        hub_folders.write_parquet(tmp_path / f"My Birds/{split}.parquet", TRAIN)
    base = {"name": "s", "model": {"arch": "digits-clip"}, "methods": ["zeroshot"], "search": {"num_samples": 1}}
    other = {"name": "other", "hub": "My Birds"}
    whole = from_mapping(base | {"dataset": {"hub": "My Birds/"}, "evaluate": [other]})
    (entry,) = whole.datasets
    assert isinstance(entry, HubDataset)
    assert entry.name == "my-birds"
    made = datasets.make(entry, tmp_path)
    assert {split: len(made.split(split)) for split in made.splits} == {"train": 12, "id_val": 12, "id_test": 12}
    assert datasets.evaluated(whole, tmp_path)[0].splits == {"id_test": "id_test"}


def test_captions_are_a_column(tmp_path: Path) -> None:
    texts = [f"image {number}" for number in range(12)]
    hub_folders.write_parquet(tmp_path / "birds/train.parquet", TRAIN, text=texts)
    assert make(tmp_path, splits=HELD, caption="text").read("train").captions == texts
    refused(lambda: make(tmp_path, splits=HELD, caption="txt").read("train"), "'txt'", "dataset.caption", "'text'")
    hub_folders.write_parquet(tmp_path / "birds/train.parquet", TRAIN, text=[*texts[:7], " ", *texts[8:]])
    refused(lambda: make(tmp_path, splits=HELD, caption="text").read("train"), "train: row 7", "found no text")


def test_groups_are_columns(tmp_path: Path) -> None:
    places = [number % 2 for number in range(12)]
    hub_folders.write_parquet(tmp_path / "birds/train.parquet", TRAIN, NAMES, place=places)
    hub_folders.write_parquet(tmp_path / "birds/test.parquet", TRAIN, NAMES, place=places)
    made = make(tmp_path, splits=HELD | {"id_test": "test"}, group=["label", "place"])
    split = made.split("id_test")
    assert split.groups is not None
    assert [split.group_names[group] for group in split.groups] == [
        f"label={one.label},place={place}" for one, place in zip(TRAIN, places, strict=True)
    ]
    assert made.split("train").groups is None
    refused(lambda: make(tmp_path, splits=HELD | {"id_test": "test"}, group="spot").split("id_test"), "dataset.group")


def test_an_absent_image_is_named_and_can_be_skipped(tmp_path: Path) -> None:
    images = [{"bytes": one.content, "path": None} for one in TRAIN]
    images[7] = None  # type: ignore[call-overload]
    labels = [one.label for one in TRAIN]
    made = columns(tmp_path, image=(images, library.Image()), label=(labels, library.Value("string")))
    found = look_through(made, None)
    assert found.bad == [f"{tmp_path}/birds train row 7"]
    refused(lambda: found.check("birds"), "row 7", "the data set has no image in this row", "unreadable: skip")


IMAGES = ([{"bytes": one.content, "path": None} for one in TRAIN], library.Image())
LABELS = ([one.label for one in TRAIN], library.Value("string"))
CODES = [NAMES.index(one.label) for one in TRAIN]
CLASSES = library.ClassLabel(names=list(NAMES))


@pytest.mark.parametrize(
    ("image", "label", "words"),
    [
        (IMAGES, ([*CODES[:5], -1, *CODES[6:]], CLASSES), ["train: row 5", "-1", "1 row of 12"]),
        (IMAGES, ([*CODES[:5], None, *CODES[6:]], CLASSES), ["train: row 5", "nothing", "1 row of 12"]),
        (IMAGES, ([-1] * 12, library.Value("int64")), ["train: row 0", "-1", "12 rows of 12"]),
        (IMAGES, ([*LABELS[0][:5], None, *LABELS[0][6:]], LABELS[1]), ["train: row 5", "nothing"]),
        (IMAGES, ([[1, 2]] * 12, library.List(library.Value("int64"))), ["list<", "'label'", "dataset.label"]),
        ((["a.png"] * 12, library.Value("string")), LABELS, ["string", "'image'", "dataset.image"]),
    ],
    ids=["no class", "null class", "no number", "null text", "several labels", "no image"],
)
def test_what_is_no_image_or_label_is_refused(tmp_path: Path, image: Any, label: Any, words: list[str]) -> None:
    refused(lambda: columns(tmp_path, image=image, label=label).split("train"), *words)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"image": "img"}, ["birds train", "'img'", "image, label", "dataset.image"]),
        ({"label": "labels"}, ["birds train", "'labels'", "image, label", "dataset.label", "did you mean 'label'?"]),
        ({"splits": HELD | {"id_test": "tests"}}, ["'tests'", "id_test", "train", "did you mean 'test'?"]),
        ({"config": "large"}, ["dataset.config", "'large'", "default"]),
        ({"revision": "v1"}, ["dataset.revision", "'v1'", "is a folder"]),
        ({"class_names": ["a", "b"]}, ["2 names", "expected 3", "cat, big_bee, ant"]),
    ],
    ids=["image", "label", "split", "config", "revision", "names"],
)
def test_what_the_data_set_does_not_have_is_refused(tmp_path: Path, entry: Any, words: list[str]) -> None:
    write(tmp_path)
    made = make(tmp_path, **entry)
    refused(lambda: [made.split(split) for split in made.splits], *words)


CARD = (
    "---\nconfigs:\n- {config_name: small, data_files: data/train*}\n- {config_name: large, data_files: data/*}\n---\n"
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "README.md").write_text(CARD), ["dataset.config", "nothing", "small, large"]),
        (lambda folder: (folder / "data/train-00000-of-00001.parquet").write_bytes(b"PAR1"), ["birds", "Parquet"]),
        (lambda folder: [path.unlink() for path in folder.rglob("*.parquet")], ["birds", "expected Parquet files"]),
        (lambda folder: (folder / "birds.py").touch(), ["birds", "a loading script", "refs/convert/parquet"]),
        (lambda folder: (folder / "state.json").write_text("{"), ["birds", "save_to_disk"]),
    ],
    ids=["several configurations", "damaged", "empty", "script", "half saved"],
)
def test_a_folder_that_cannot_be_read_is_refused(
    tmp_path: Path, change: Callable[[Path], Any], words: list[str]
) -> None:
    write(tmp_path)
    change(tmp_path / "birds")
    refused(lambda: make(tmp_path).split("train"), *words)


@pytest.mark.parametrize(
    ("place", "words"),
    [("org/birds", ["no org/birds", "flyp-sweep data prepare"]), ("./birds", ["/birds", "dataset.hub"])],
    ids=["repository", "folder"],
)
def test_nothing_is_downloaded_but_by_data_prepare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, words: list[str]
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("asked the network"))
    one = space({"hub": place, "splits": HELD})
    refused(lambda: preflight.check(one, tmp_path), *words)


def test_the_library_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'flyp-sweep\[hub\]'"):
        make(tmp_path).split("train")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"label": "image"}, ["dataset.label", "'image'"]),
        ({"hub": "..."}, ["dataset.name"]),
        ({"splits": {"train": "train"}}, ["dataset.splits.id_val", "the name of a split", "from: train"]),
    ],
    ids=["one column", "no name", "no id_val"],
)
def test_an_entry_that_says_too_little_is_refused(entry: Any, words: list[str]) -> None:
    base = {"name": "s", "model": {"arch": "digits-clip"}, "methods": ["zeroshot"], "search": {"num_samples": 1}}
    refused(lambda: from_mapping(base | {"dataset": {"hub": "org/birds"} | entry}), *words)


def test_a_class_that_only_another_split_has_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    other = [Example("id_val", "x.png", TRAIN[0].content, "dog")]
    hub_folders.write_parquet(tmp_path / "birds/data/validation-00000-of-00001.parquet", other, NAMES)
    refused(lambda: make(tmp_path).split("id_val"), "birds validation: row 0", "'dog'", "cat, big_bee, ant")
