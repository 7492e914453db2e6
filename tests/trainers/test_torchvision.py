"""The reader of torchvision's data sets: files and arrays, splits and options, what is absent and what is refused.

Files pass the contract of all readers. Arrays have sizes, classes and labels of their own, and no files with the bytes
that the contract hands out: their tests stand below.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
from PIL import Image

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers import datasets
from flyp_sweep.trainers.data import content
from flyp_sweep.trainers.data.content import Hashes
from flyp_sweep.trainers.data.identity import content_of
from flyp_sweep.trainers.datasets.base import Dataset
from flyp_sweep.trainers.datasets.named_files import NamedFiles
from flyp_sweep.trainers.datasets.torchvision_sets import OTHER_TASKS, READ_BY_OTHERS, Indexed, names
from flyp_sweep.trainers.testing.reader_contract import Example, ReaderContract, encoded, identity, space

DTD_SPLITS = {"train": "train", "id_val": "val", "id_test": "test"}


class TestFiles(ReaderContract):
    """DTD, whose splits are lists of files."""

    splits = ("train", "id_val", "id_test")

    def write(self, folder: Path, images: Sequence[Example]) -> dict[str, Any]:
        base = folder / "dtd" / "dtd"
        lines: dict[str, list[str]] = {split: [] for split in self.splits}
        for one in images:
            path = base / "images" / one.label / one.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(one.content)
            lines[one.split].append(f"{one.label}/{one.name}\n")
        (base / "labels").mkdir()
        for split, name in DTD_SPLITS.items():
            (base / "labels" / f"{name}1.txt").write_text("".join(lines[split]))
        return {"torchvision": "DTD", "splits": DTD_SPLITS}


def made(folder: Path, **entry: Any) -> Dataset:
    return datasets.make(space(entry).datasets[0], folder)


def mnist(root: Path, train: int = 40, test: int = 20, kind: str = "MNIST") -> np.ndarray:
    """MNIST's files with noise, labels 0 to 9 in turn; returns the training pixels."""
    folder = root / kind / "raw"
    folder.mkdir(parents=True)
    rng, first = np.random.default_rng(3), np.empty(0)
    for part, count in (("train", train), ("t10k", test)):
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, count, 28, 28) + pixels.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels.tobytes())
        first = pixels if part == "train" else first
    return first


HELD_OUT = {"train": "train", "id_val": {"from": "train", "fraction": 0.25}, "id_test": "test"}


def test_arrays_are_given_as_torchvision_indexes_them(tmp_path: Path) -> None:
    pixels = mnist(tmp_path)
    found = made(tmp_path, torchvision="MNIST", splits=HELD_OUT | {"id_val": "test"})
    assert found.missing() == []
    assert list(found.class_names)[:2] == ["0 - zero", "1 - one"]
    split = found.split("train")
    assert split.labels.tolist() == [row % 10 for row in range(40)]
    assert np.array_equal(np.asarray(split.images[7]), np.asarray(Image.fromarray(pixels[7]).convert("RGB")))


def test_arrays_are_divided_by_their_rows(tmp_path: Path) -> None:
    mnist(tmp_path)
    found = made(tmp_path, torchvision="MNIST", splits=HELD_OUT)
    train, val = (found.split(name).images for name in ("train", "id_val"))
    assert isinstance(train, Indexed)
    assert isinstance(val, Indexed)
    assert sorted([*train.rows, *val.rows]) == list(range(40))
    assert np.bincount(found.split("id_val").labels).tolist() == [1] * 10


def test_arrays_are_known_by_their_pixels_wherever_they_lie(tmp_path: Path) -> None:
    entries = []
    for name in ("a", "b", "c"):
        mnist(tmp_path / name)
        entries.append(made(tmp_path / name, torchvision="MNIST", splits=HELD_OUT))
    with (tmp_path / "c/MNIST/raw/train-images-idx3-ubyte").open("r+b") as file:
        file.seek(16)
        file.write(bytes(28 * 28))
    first, same, other = map(identity, entries)
    assert first == same
    assert first.training != other.training


def test_hashes_of_arrays_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist(tmp_path / "data")
    images = made(tmp_path / "data", torchvision="MNIST", splits=HELD_OUT).split("train").images
    monkeypatch.setattr(content, "MANY", 30)
    before = content_of(images, Hashes(tmp_path / "cache"))
    monkeypatch.setattr(Indexed, "__getitem__", lambda self, index: pytest.fail("was hashed before"))
    assert content_of(images, Hashes(tmp_path / "cache")).tolist() == before.tolist()


def photo(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    path.write_bytes(encoded(pixels, {".jpg": "jpeg", ".ppm": "ppm"}.get(path.suffix, "png")))


def pets(root: Path) -> None:
    folder = root / "oxford-iiit-pet"
    for start, part in enumerate(("trainval", "test")):
        rows = []
        for number, (breed, label) in enumerate([("Beagle", 2), ("Abyssinian", 1), ("Beagle", 2), ("Abyssinian", 1)]):
            image = f"{breed}_{10 * start + number}"
            photo(folder / "images" / f"{image}.jpg", 10 * start + number)
            rows.append(f"{image} {label} 1 1\n")
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"{part}.txt").write_text("".join(rows))


def signs(root: Path) -> None:
    folder = root / "gtsrb"
    for number in range(4):
        photo(folder / "GTSRB" / "Training" / f"0000{number % 2}" / f"{number}.ppm", number)
        photo(folder / "GTSRB" / "Final_Test" / "Images" / f"{number}.ppm", number + 10)
    rows = [f"{number}.ppm;8;9;{1 - number % 2}\n" for number in range(4)]
    (folder / "GT-final_test.csv").write_text("Filename;Width;Height;ClassId\n" + "".join(rows))


def places(root: Path) -> None:
    for number in range(4):
        photo(root / "eurosat" / "2750" / ("River", "Forest")[number % 2] / f"{number}.jpg", number)


def objects(root: Path) -> None:
    for label, name in enumerate(("BACKGROUND_Google", "ant", "bass")):
        for number in (1, 2, 3):
            photo(root / "caltech101" / "101_ObjectCategories" / name / f"image_000{number}.jpg", 5 * label + number)
    (root / "caltech101" / "Annotations").mkdir()


def food(root: Path) -> None:
    for part in ("train", "test"):
        for name in ("apple_pie", "baby_back_ribs"):
            photo(root / "food-101" / "images" / name / f"{part}.jpg", len(part + name))
        listed = ", ".join(f'"{name}": ["{name}/{part}"]' for name in ("apple_pie", "baby_back_ribs"))
        (root / "food-101" / "meta").mkdir(exist_ok=True)
        (root / "food-101" / "meta" / f"{part}.json").write_text(f"{{{listed}}}")


@pytest.mark.parametrize(
    ("kind", "write", "split", "made_with", "classes"),
    [
        ("OxfordIIITPet", pets, "trainval", {"split": "trainval"}, ["Abyssinian", "Beagle"]),
        ("GTSRB", signs, "train", {"split": "train"}, ["0", "1"]),
        ("GTSRB", signs, "test", {"split": "test"}, ["0", "1"]),
        ("EuroSAT", places, "all", {}, ["Forest", "River"]),
        ("Caltech101", objects, "all", {}, ["ant", "bass"]),
        ("Food101", food, "test", {"split": "test"}, ["apple pie", "baby back ribs"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_are_those_of_torchvision(
    tmp_path: Path,
    kind: str,
    write: Callable[[Path], None],
    split: str,
    made_with: dict[str, Any],
    classes: list[str],
) -> None:
    write(tmp_path)
    found = made(tmp_path, torchvision=kind, splits={"train": split, "id_val": split})
    assert found.missing() == []
    theirs = getattr(torchvision.datasets, kind)(tmp_path, **made_with)
    ours = found.split("train")
    assert isinstance(ours.images, NamedFiles)
    assert ours.labels.tolist() == [label for _, label in theirs]
    for at, (image, _) in enumerate(theirs):
        assert np.array_equal(np.asarray(ours.images[at]), np.asarray(image.convert("RGB")))
    assert list(found.class_names) == classes


def test_options_are_arguments_of_the_class(tmp_path: Path) -> None:
    folder = tmp_path / "dtd" / "dtd"
    photo(folder / "images" / "a" / "1.jpg", 1)
    photo(folder / "images" / "b" / "2.jpg", 2)
    (folder / "labels").mkdir()
    for name in ("train", "val"):
        (folder / "labels" / f"{name}3.txt").write_text("b/2.jpg\na/1.jpg\n")
    splits = {"train": "train", "id_val": "val"}
    found = made(tmp_path.parent, torchvision="DTD", splits=splits, options={"partition": 3}, root=tmp_path.name)
    assert found.split("train").labels.tolist() == [1, 0]


def test_what_is_absent_is_named_once_per_split_and_where_it_comes_from(tmp_path: Path) -> None:
    first, _ = made(tmp_path, torchvision="DTD", splits={"train": "train", "id_val": "val"}).missing()
    assert first.path == tmp_path
    assert first.source.startswith("torchvision.datasets.DTD (train): Dataset not found; `flyp-sweep data prepare")
    (cars,) = made(tmp_path, torchvision="StanfordCars", splits=HELD_OUT | {"id_test": "train"}).missing()
    assert "{hub: tanganke/stanford_cars}" in cars.source
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"torchvision": "DDT"}, r"found 'DDT'; expected one of CIFAR10, .* \(did you mean 'DTD'\?\)"),
        ({"torchvision": "VOCDetection"}, "'VOCDetection', which is no data set of images with one label each"),
        ({"torchvision": "PCAM"}, "write the data set pcam, which reads the same files faster in its place"),
        (
            {"torchvision": "MNIST", "splits": {"train": "train", "id_val": "val"}},
            "'val'; expected train or test",
        ),
        ({"torchvision": "EuroSAT"}, "found 'train'; expected all for torchvision.datasets.EuroSAT"),
        ({"torchvision": "DTD", "options": {"partitions": 2}}, r"expected one of partition .*did you mean 'partition'"),
        ({"torchvision": "FGVCAircraft", "options": {"annotation_level": "x"}}, "'x' for argument annotation_level"),
        ({"torchvision": "DTD", "splits": {"train": "x", "id_val": "x"}}, "Unknown value 'x' for argument split"),
        ({"torchvision": "MNIST", "options": {"download": True}}, "found 'download'; expected none"),
    ],
    ids=["unknown", "boxes", "pcam", "split", "no split", "option", "its value", "its split", "ours"],
)
def test_what_torchvision_lacks_is_refused_in_one_line(tmp_path: Path, entry: dict[str, Any], said: str) -> None:
    found = made(tmp_path, **{"splits": {"train": "train", "id_val": "train"}} | entry)
    with pytest.raises(InputError, match=said) as caught:
        found.missing()
    assert "\n" not in str(caught.value)


def test_every_class_of_torchvision_is_read_or_refused_on_purpose() -> None:
    from torchvision import datasets

    assert {*OTHER_TASKS, *READ_BY_OTHERS} <= {*datasets.__all__}
    assert {"CIFAR100", "Country211", "FGVCAircraft", "ImageNet", "SUN397", "SVHN"} <= {*names()}
