"""ImageNet and its OOD sets on tiny trees in the publishers' layouts; class numbers are those everybody knows."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from refusal import refused
from trees import shade_of, write_image

from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.datasets.imagenet import MAPPINGS, ImageNet, subset_map
from flyp_sweep.trainers.evaluation.metrics import score

TENCH, GOLDFISH, STINGRAY, TABBY, ACORN, TOILET_TISSUE = 0, 1, 6, 281, 988, 999
BARBER_CHAIR, TANDEM, FOLDING_CHAIR, MOUNTAIN_BIKE, ROCKING_CHAIR, BANANA = 423, 444, 559, 671, 765, 954
WORDNET_IDS = {
    "n01440764": TENCH,
    "n01443537": GOLDFISH,
    "n01498041": STINGRAY,
    "n02123045": TABBY,
    "n12267677": ACORN,
    "n15075141": TOILET_TISSUE,
}
LINES = {
    TANDEM: (160, "bicycle-built-for-two, tandem bicycle, tandem"),
    MOUNTAIN_BIKE: (161, "mountain bike, all-terrain bike, off-roader"),
    BARBER_CHAIR: (214, "barber chair"),
    FOLDING_CHAIR: (216, "folding chair"),
    ROCKING_CHAIR: (217, "rocking chair, rocker"),
    BANANA: (240, "banana"),
}
"""Class -> its line, counted from 0, in the publisher's imagenet_to_label_2012_v2."""
FOLDERS = {"chair": "Chair", "squeegee": "Squeegee", "bicycle": "Bicycle", "banana": "Banana"}
OBJECTS = {
    "Banana": "banana",
    "Bicycle": "mountain bike, all-terrain bike, off-roader; bicycle-built-for-two, tandem bicycle, tandem",
    "Chair": "barber chair; folding chair; rocking chair, rocker",
}


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def write_mappings(root: Path) -> Path:
    """ObjectNet's four mapping files, cut down to four folders and six classes."""
    folder = root / "objectnet-1.0" / "mappings"
    folder.mkdir(parents=True)
    lines = [f"something else {line}" for line in range(1000)]
    for line, description in LINES.values():
        lines[line] = description
    numbers = {str(number): line for number, (line, _) in LINES.items()}
    for name, content in zip(
        MAPPINGS, (json.dumps(FOLDERS), json.dumps(OBJECTS), "\n".join(lines) + "\n", json.dumps(numbers)), strict=True
    ):
        (folder / name).write_text(content)
    return folder


def loud(split: Split, *ranked: int) -> torch.Tensor:
    """The same logits for every image: the given classes in falling order, all others far below."""
    logits = torch.zeros(len(split), 1000)
    for place, number in enumerate(ranked):
        logits[:, number] = 100.0 - 10 * place
    return logits


def test_classes_have_their_well_known_numbers_and_clips_names() -> None:
    dataset = ImageNet(Path("nowhere"))
    names = dataset.class_names
    assert [names[i] for i in (TENCH, GOLDFISH, STINGRAY, TABBY, ACORN)] == [
        "tench",
        "goldfish",
        "stingray",
        "tabby cat",
        "acorn",
    ]
    assert names[TOILET_TISSUE] == "toilet paper"
    assert names[134] == "crane bird"
    assert names[517] == "construction crane"


@pytest.mark.parametrize(
    ("split", "folder"), [("id_test", "imagenet/val"), ("imagenet_sketch", "sketch"), ("train", "imagenet/train")]
)
def test_folders_by_wordnet_id_get_the_numbers_of_their_classes(tmp_path: Path, split: str, folder: str) -> None:
    for wordnet_id, number in WORDNET_IDS.items():
        write_image(tmp_path / folder / wordnet_id / f"{wordnet_id}_1.JPEG", number % 256)
    loaded = ImageNet(tmp_path).load(split)
    assert loaded.labels.tolist() == sorted(WORDNET_IDS.values())
    assert loaded.labels.dtype == np.int64
    assert loaded.class_map is None
    for i, label in enumerate(loaded.labels):
        assert shade_of(loaded.images[i]) == label % 256


def test_folders_of_imagenet_v2_are_numbers_and_10_is_class_10(tmp_path: Path) -> None:
    for number in (0, 2, 9, 10, 100, 999):
        write_image(tmp_path / "imagenetv2-matched-frequency-format-val" / str(number) / "a.png", number % 251)
    loaded = ImageNet(tmp_path).load("imagenet_v2")
    assert loaded.labels.tolist() == [0, 2, 9, 10, 100, 999]
    assert [shade_of(loaded.images[i]) for i in range(6)] == [0, 2, 9, 10, 100, 999 % 251]


def test_two_percent_of_each_training_class_are_held_out_once_and_for_all(tmp_path: Path) -> None:
    for wordnet_id in ("n01440764", "n01443537"):
        for i in range(100):
            touch(tmp_path / "imagenet" / "train" / wordnet_id / f"{wordnet_id}_{i}.JPEG")
    dataset = ImageNet(tmp_path)
    train, held_out = dataset.load("train"), dataset.load("id_val")
    assert held_out.role == "id_val"
    assert (len(train), len(held_out)) == (196, 4)
    assert all(1 <= count <= 3 for count in np.bincount(held_out.labels))
    names = [set(split.images.relative.tolist()) for split in (train, held_out)]  # type: ignore[attr-defined]
    assert len(names[0] | names[1]) == 200
    again = ImageNet(tmp_path).load("id_val")
    assert again.images.relative.tolist() == held_out.images.relative.tolist()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("split", "numbers"),
    [
        (
            "imagenet_r",
            "1 2 4 6 8 9 11 13 22 23 26 29 31 39 47 63 71 76 79 84 ... 945 947 948 949 951 953 954 957 963 965 967 "
            "980 981 983 988",
        ),
        (
            "imagenet_a",
            "6 11 13 15 17 22 23 27 30 37 39 42 47 50 57 70 71 76 79 89 ... 943 945 947 951 954 956 957 959 971 972 "
            "980 981 984 986 987 988",
        ),
    ],
)
def test_r_and_a_hold_their_200_classes_in_imagenets_order(split: str, numbers: str) -> None:
    """The numbers are those in the publisher's own evaluation scripts."""
    first, last = ([int(number) for number in part.split()] for part in numbers.split("..."))
    found = subset_map(split)
    members = np.flatnonzero(found >= 0).tolist()
    assert len(members) == 200
    assert members[: len(first)] == first
    assert members[-len(last) :] == last
    assert found[members].tolist() == list(range(200))


def test_a_prediction_on_r_outside_its_classes_is_impossible(tmp_path: Path) -> None:
    write_image(tmp_path / "imagenet-r" / "n01443537" / "art_0.jpg")
    write_image(tmp_path / "imagenet-r" / "n12267677" / "toy_1.jpg")
    (tmp_path / "imagenet-r" / "README.txt").write_text("ImageNet-R")
    split = ImageNet(tmp_path).load("imagenet_r")
    assert split.labels.tolist() == [0, 199]
    assert score(loud(split, TENCH, TOILET_TISSUE, GOLDFISH), split).score == 0.5
    assert score(loud(split, TENCH, TOILET_TISSUE), split).loss < 10


def test_several_imagenet_classes_count_as_one_class_of_objectnet(tmp_path: Path) -> None:
    write_mappings(tmp_path)
    for folder in ("banana", "bicycle", "chair", "squeegee"):
        write_image(tmp_path / "objectnet-1.0" / "images" / folder / f"{folder}.png")
    split = ImageNet(tmp_path).load("objectnet")
    assert split.labels.tolist() == [0, 1, 2]
    assert split.class_map is not None
    assert {number: label for number, label in enumerate(split.class_map.tolist()) if label >= 0} == {
        BANANA: 0,
        MOUNTAIN_BIKE: 1,
        TANDEM: 1,
        BARBER_CHAIR: 2,
        FOLDING_CHAIR: 2,
        ROCKING_CHAIR: 2,
    }
    logits = torch.cat([loud(split, TENCH, number)[:1] for number in (BANANA, TANDEM, ROCKING_CHAIR)])
    assert score(logits, split).score == 1
    logits = torch.cat([loud(split, number)[:1] for number in (BANANA, MOUNTAIN_BIKE, BANANA)])
    assert score(logits, split).score == pytest.approx(2 / 3)


def test_objectnets_red_border_is_cut_off(tmp_path: Path) -> None:
    write_mappings(tmp_path)
    pixels = np.full((8, 10, 3), (255, 0, 0), np.uint8)
    pixels[2:-2, 2:-2] = (0, 90, 200)
    path = tmp_path / "objectnet-1.0" / "images" / "banana" / "a.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(pixels).save(path)
    image = np.asarray(ImageNet(tmp_path).load("objectnet").images[0])
    assert image.shape == (4, 6, 3)
    assert (image == (0, 90, 200)).all()


@pytest.mark.parametrize("content", ["", "{}", '{"banana": 3}', "[]"])
def test_damaged_mappings_are_an_error_that_names_them(tmp_path: Path, content: str) -> None:
    mappings = write_mappings(tmp_path)
    (mappings / "pytorch_to_imagenet_2012_id.json").write_text(content)
    write_image(tmp_path / "objectnet-1.0" / "images" / "banana" / "a.png")
    refused(lambda: ImageNet(tmp_path).load("objectnet"), "mappings")


def test_each_absent_folder_is_named_with_its_source(tmp_path: Path) -> None:
    for folder in ("imagenet/train", "imagenet/val", "imagenet-a", "imagenet-r", "sketch"):
        (tmp_path / folder).mkdir(parents=True)
    write_mappings(tmp_path)
    missing = ImageNet(tmp_path).missing()
    assert [found.path.relative_to(tmp_path).as_posix() for found in missing] == [
        "imagenetv2-matched-frequency-format-val",
        "objectnet-1.0/images",
    ]
    assert "imagenetv2-matched-frequency.tar.gz" in missing[0].source
    (tmp_path / "objectnet-1.0" / "images").mkdir()
    (tmp_path / "objectnet-1.0" / "mappings" / MAPPINGS[1]).unlink()
    assert [found.path.name for found in ImageNet(tmp_path).missing()][1:] == [MAPPINGS[1]]


def test_folders_that_are_no_classes_are_refused_and_hidden_files_ignored(tmp_path: Path) -> None:
    write_image(tmp_path / "imagenet" / "val" / "n01440764" / "a.JPEG")
    touch(tmp_path / "imagenet" / "val" / "n01440764" / "._a.JPEG")
    touch(tmp_path / "imagenet" / "val" / ".cache" / "b.JPEG")
    assert len(ImageNet(tmp_path).load("id_test")) == 1
    write_image(tmp_path / "imagenet" / "val" / "n99999999" / "a.JPEG")
    refused(lambda: ImageNet(tmp_path).load("id_test"), "n99999999")


def test_a_folder_without_class_folders_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "imagenet" / "val" / "ILSVRC2012_val_00000293.JPEG")
    refused(lambda: ImageNet(tmp_path).load("id_test"), "no image found")
    refused(lambda: ImageNet(tmp_path).load("imagenet_sketch"), "sketch")
