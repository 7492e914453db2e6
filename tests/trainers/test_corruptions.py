"""Grids of corruptions: in folders as ImageNet-C, in arrays as CIFAR-10-C, and which part of them is taken."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trees import shade_of, write_image

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import from_mapping
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers.data.content import Hashes
from flyp_sweep.trainers.data.identity import content_of
from flyp_sweep.trainers.datasets import added, make
from flyp_sweep.trainers.datasets.base import Dataset
from flyp_sweep.trainers.datasets.imagenet import ImageNet
from flyp_sweep.trainers.datasets.imagenet_classes import wordnet_ids
from flyp_sweep.trainers.datasets.readers.corruptions import ALEXNET
from flyp_sweep.trainers.datasets.readers.folders import ImageFolders


def made(root: Path, **entry: Any) -> Dataset:
    space = from_mapping(
        {
            "name": "own",
            "dataset": {"name": "birds", "folders": {"train": "train", "id_val": "train"}},
            "evaluate": [{"name": "birds_c", "corruptions": "grid"} | entry],
            "model": {"arch": "digits-clip", "pretrained": "bundled"},
            "methods": ["zeroshot"],
            "search": "none",
        }
    )
    (other,) = space.evaluate or ()
    return make(other, root)


def own_space() -> SearchSpace:
    return from_mapping(
        {
            "name": "own",
            "dataset": {"name": "birds", "folders": {"train": "train", "id_val": "train"}},
            "model": {"arch": "digits-clip", "pretrained": "bundled"},
            "methods": ["zeroshot"],
            "search": "none",
        }
    )


def write_folders(root: Path, corruptions: Any, severities: Any = (1, 2), classes: Any = ("owl", "robin")) -> Path:
    """Two images of each class: their shades count up."""
    shade = 0
    for corruption in corruptions:
        for severity in severities:
            for name in classes:
                for number in range(2):
                    write_image(root / "grid" / corruption / str(severity) / name / f"{number}.png", shade % 256)
                    shade += 1
    return root


def write_arrays(root: Path, *corruptions: str, severities: int = 5) -> Path:
    """Three images of each severity, whose labels are 1, 0, 1; the shades count up."""
    (root / "grid").mkdir()
    shades = np.arange(3 * severities, dtype=np.uint8)
    for number, corruption in enumerate(corruptions):
        pixels = np.broadcast_to(shades[:, None, None, None] + np.uint8(100 * number), (len(shades), 8, 8, 3))
        np.save(root / "grid" / f"{corruption}.npy", np.ascontiguousarray(pixels))
    np.save(root / "grid" / "labels.npy", np.tile([1, 0, 1], severities))
    return root


def test_folders_are_one_split_with_a_group_for_each_corruption_and_severity(tmp_path: Path) -> None:
    split = made(write_folders(tmp_path, ["snow", "fog"])).split("birds_c")
    assert (split.role, len(split)) == ("ood", 16)
    assert split.group_names == ("snow/1", "snow/2", "fog/1", "fog/2")
    assert split.groups is not None
    assert split.groups.tolist() == np.repeat([0, 1, 2, 3], 4).tolist()
    assert split.labels.tolist() == [0, 0, 1, 1] * 4
    assert [shade_of(split.images[at]) for at in (0, 7, 8)] == [0, 7, 8]
    assert split.reference_errors == {}


def test_a_folder_around_corruptions_is_looked_into(tmp_path: Path) -> None:
    write_folders(tmp_path, ["weather/snow", "blur/zoom_blur"])
    assert made(tmp_path).split("birds_c").group_names == ("zoom_blur/1", "zoom_blur/2", "snow/1", "snow/2")


def test_arrays_are_the_same_with_their_labels_as_classes(tmp_path: Path) -> None:
    dataset = made(write_arrays(tmp_path, "fog", "snow"), severities=[2, 5], class_names=["owl", "robin"])
    split = dataset.split("birds_c")
    assert dataset.class_names == ["owl", "robin"]
    assert split.group_names == ("snow/2", "snow/5", "fog/2", "fog/5")
    assert split.labels.tolist() == [1, 0, 1] * 4
    assert [shade_of(split.images[at]) for at in range(12)] == [103, 104, 105, 112, 113, 114, 3, 4, 5, 12, 13, 14]
    again = pickle.loads(pickle.dumps(split.images))
    assert shade_of(again[3]) == 112
    assert len(set(content_of(split.images, Hashes(None)).tolist())) == 12


def test_a_part_of_the_grid_can_be_taken(tmp_path: Path) -> None:
    write_folders(tmp_path, ["snow", "fog", "mine"], severities=(1, 2, 3))
    split = made(tmp_path, only=["mine", "fog"], severities=[3]).split("birds_c")
    assert split.group_names == ("fog/3", "mine/3")


def test_beside_the_usual_fifteen_others_are_left_out_and_said(tmp_path: Path) -> None:
    write_folders(tmp_path, [*ALEXNET, "spatter", "saturate"], severities=(1,))
    dataset = made(tmp_path)
    assert dataset.split("birds_c").group_names == tuple(f"{name}/1" for name in ALEXNET)
    assert any(
        "left out 2 further corruptions (saturate, spatter; `only` takes them)" in one for one in dataset.remarks()
    )
    assert made(tmp_path, only=["spatter"]).split("birds_c").group_names == ("spatter/1",)


def test_the_whole_of_imagenet_c_maps_onto_imagenet_and_has_alexnets_errors(tmp_path: Path) -> None:
    """A class has an image at one corruption and severity alone, so that the tree is small."""
    cells = [(name, severity) for name in ALEXNET for severity in range(1, 6)]
    for at, wordnet_id in enumerate(wordnet_ids()):
        name, severity = cells[at % len(cells)]
        write_image(tmp_path / "grid" / name / str(severity) / wordnet_id / "a.png", at % 256)
    other, base = made(tmp_path), ImageNet(tmp_path)
    added.add([base], [other])
    split = base.split("birds_c")
    assert split.reference_errors == ALEXNET
    assert sorted(split.labels.tolist()) == list(range(1000))
    assert split.labels[:3].tolist() == [0, 75, 150]
    assert base.splits["birds_c"] == "ood"


@pytest.mark.parametrize(
    ("written", "entry", "found"),
    [
        ([], {}, r"grid: found no corruption; expected corruption/severity/class/image files, or arrays"),
        (["fog"], {"only": ["fogg"]}, r"found no corruption 'fogg', which .*did you mean 'fog'"),
        (
            ["fog"],
            {"severities": [1, 9]},
            r"found fog without severity 9; expected severities 1, 9 of every",
        ),
        (["a/fog", "b/fog"], {}, r"b/fog: found this corruption in .*a/fog too; expected it once"),
    ],
)
def test_what_is_wrong_with_folders_is_one_line(tmp_path: Path, written: Any, entry: Any, found: str) -> None:
    (tmp_path / "grid").mkdir()
    write_folders(tmp_path, written)
    with pytest.raises(InputError, match=found):
        made(tmp_path, **entry).split("birds_c")


@pytest.mark.parametrize("write", [write_folders, write_arrays])
def test_a_class_that_class_names_lack_is_one_line(tmp_path: Path, write: Any) -> None:
    write(tmp_path, ["fog"], classes=("0", "1", "2")) if write is write_folders else write(tmp_path, "fog")
    if write is write_arrays:
        np.save(tmp_path / "grid" / "labels.npy", np.tile([1, 0, 2], 5))
    with pytest.raises(InputError, match=r"found class '2'; expected one of evaluate.class_names: '?0'?, '?1'?"):
        made(tmp_path, class_names={"0": "owl", "1": "robin"}).split("birds_c")


def test_a_corruption_that_lacks_a_severity_is_one_line(tmp_path: Path) -> None:
    write_folders(tmp_path, ["fog"], severities=(1, 2))
    write_folders(tmp_path, ["snow"], severities=(1,))
    with pytest.raises(InputError, match=r"found snow without severity 2; .* complete the copy, or take fewer"):
        made(tmp_path).split("birds_c")


@pytest.mark.parametrize(
    ("file", "array", "found"),
    [
        ("fog", np.zeros((15, 8, 8), np.uint8), r"fog.npy: found uint8 \[15, 8, 8\]; expected uint8 \[N, height"),
        ("fog", np.zeros((14, 8, 8, 3), np.uint8), r"fog.npy: found 14 images; expected 3 of each severity"),
        ("labels", np.zeros((15, 2), np.int64), r"labels.npy: found int64 \[15, 2\]; expected whole numbers"),
        ("labels", None, r"labels.npy: not a readable array"),
    ],
)
def test_what_is_wrong_with_arrays_is_one_line(tmp_path: Path, file: str, array: Any, found: str) -> None:
    write_arrays(tmp_path, "fog")
    path = tmp_path / "grid" / f"{file}.npy"
    path.write_bytes(b"no array") if array is None else np.save(path, array)
    with pytest.raises(InputError, match=found):
        made(tmp_path).split("birds_c")


def test_classes_that_are_numbers_have_to_be_named(tmp_path: Path) -> None:
    write_arrays(tmp_path, "fog")
    write_image(tmp_path / "train" / "owl" / "a.png")
    write_image(tmp_path / "train" / "robin" / "a.png")
    base = make(own_space().datasets[0], tmp_path)
    assert isinstance(base, ImageFolders)
    with pytest.raises(InputError, match="name those of 'birds_c' in its class_names, in the order of their numbers"):
        added.add([base], [made(tmp_path)])
    added.add([base], [made(tmp_path, class_names=["owl", "robin"])])
    assert base.split("birds_c").labels.tolist() == [1, 0, 1] * 5


def test_an_incomplete_copy_is_said(tmp_path: Path) -> None:
    write_folders(tmp_path, ["fog"])
    (tmp_path / "grid" / "fog" / "2" / "owl" / "0.png").unlink()
    told = "images per corruption and severity: 3 to 4; is the copy whole?"
    assert told in made(tmp_path).remarks()
    base = make(own_space().datasets[0], tmp_path)
    for split in ("train/owl/a.png", "train/robin/b.png"):
        write_image(tmp_path / split)
    added.add([base], [made(tmp_path)])
    assert f"birds_c: {told}" in added.remarks(base)
