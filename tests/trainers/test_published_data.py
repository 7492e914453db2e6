"""What all readers of published data promise; what a publisher's own layout means is in the file of each reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from refusal import refused

from flyp_sweep.trainers import datasets
from flyp_sweep.trainers.datasets.imagenet import MAPPINGS

MISSING: dict[str, tuple[str, list[str]]] = {
    "caltech101": ("https://data.caltech.edu", ["caltech101/101_ObjectCategories"]),
    "digits": ("", []),
    "flowers102": (
        "robots.ox.ac.uk",
        ["flowers-102/imagelabels.mat", "flowers-102/setid.mat", "flowers-102/jpg"],
    ),
    "fmow": (
        "worksheets.codalab.org",
        ["fmow_v1.1/rgb_metadata.csv", "fmow_v1.1/country_code_mapping.csv", "fmow_v1.1/images"],
    ),
    "imagenet": (
        "",
        [
            *("imagenet/train", "imagenet/val", "imagenetv2-matched-frequency-format-val"),
            *("imagenet-r", "imagenet-a", "sketch", "objectnet-1.0/images"),
            *(f"objectnet-1.0/mappings/{name}" for name in MAPPINGS),
        ],
    ),
    "iwildcam": ("worksheets.codalab.org", ["iwildcam_v2.0/metadata.csv", "iwildcam_v2.0/train"]),
    "mnist": ("https://", ["mnist/t10k-images-idx3-ubyte.gz", "mnist/t10k-labels-idx1-ubyte.gz"]),
    "pcam": (
        "zenodo.org",
        [f"pcam/camelyonpatch_level_2_split_{part}_{kind}.h5" for part in ("train", "valid", "test") for kind in "xy"],
    ),
    "rendered_sst2": (
        "--from-text",
        [f"rendered-sst2/{part}/{sign}ive" for part in ("train", "valid", "test") for sign in ("negat", "posit")],
    ),
    "stanford_cars": (
        "issues/7545",
        ["devkit/cars_train_annos.mat", "cars_train", "cars_test_annos_withlabels.mat", "cars_test"],
    ),
}
"""Data set -> what its sources name, and the files that an empty folder lacks."""

PUBLISHED = {
    "caltech101": {"train": 5206, "id_val": 1736, "id_test": 9144 - 467 - 5206 - 1736},
    "digits": {},
    "flowers102": {"train": 1020, "id_val": 1020, "id_test": 6149},
    "fmow": {"train": 76863, "id_val": 11483, "id_test": 11327, "ood_val": 19915, "ood_test": 22108},
    "imagenet": {
        "train": 1_281_167 - 25_623,
        "id_val": 25_623,
        "id_test": 50_000,
        "imagenet_v2": 10_000,
        "imagenet_r": 30_000,
        "imagenet_a": 7_500,
        "imagenet_sketch": 50_889,
        "objectnet": 18_574,
    },
    "iwildcam": {"train": 129809, "id_val": 7314, "id_test": 8154, "ood_val": 14961, "ood_test": 42791},
    "mnist": {},
    "pcam": {"train": 2**18, "id_val": 2**15, "id_test": 2**15},
    "rendered_sst2": {"train": 3610 + 3310, "id_val": 444 + 428, "id_test": 909 + 912},
    "stanford_cars": {"train": 8144 - 1629, "id_val": 1629, "id_test": 8041},
}

PROMPTS = {
    "caltech101": (101, 34, "a photo of a off-center face."),
    "digits": (10, 8, "a photo of a handwritten zero."),
    "flowers102": (102, 1, "a photo of a pink primrose, a type of flower."),
    "fmow": (62, 16, "satellite photo of a airport."),
    "imagenet": (1000, 80, "a bad photo of a tench."),
    "iwildcam": (182, 2, "a photo of empty."),
    "mnist": (10, 8, "a photo of a handwritten zero."),
    "pcam": (2, 1, "this is a photo of lymph node"),
    "rendered_sst2": (2, 1, "a negative review of a movie."),
    "stanford_cars": (196, 8, "a photo of a AM General Hummer SUV 2000."),
}
"""Data set -> its classes, its templates, and the first class in the first template."""

ALL = sorted(PUBLISHED)


def test_every_reader_is_held_to_it() -> None:
    assert list(datasets.registry()) == ALL


@pytest.mark.parametrize("name", ALL)
def test_what_an_empty_folder_lacks_is_named_with_its_source(name: str, tmp_path: Path) -> None:
    source, files = MISSING[name]
    missing = datasets.make(name, tmp_path).missing()
    found = [one.path.relative_to(tmp_path).as_posix().removeprefix("stanford_cars/") for one in missing]
    assert found == files
    assert all(one.source and source in one.source for one in missing)


@pytest.mark.parametrize("name", ALL)
def test_the_numbers_of_images_are_those_that_were_published(name: str, tmp_path: Path) -> None:
    dataset = datasets.make(name, tmp_path)
    assert dict(dataset.published) == PUBLISHED[name]
    assert list(dataset.published) in ([], list(dataset.splits))


@pytest.mark.parametrize("name", ALL)
def test_classes_and_templates_make_prompts(name: str, tmp_path: Path) -> None:
    dataset = datasets.make(name, tmp_path / "absent")  # nothing is read before it is asked for
    names, templates = dataset.class_names, dataset.templates
    assert dataset.name == name
    assert dataset.summary
    assert dataset.summary.isprintable()
    assert "train" in dataset.splits.values()
    assert (len(names), len(set(templates)), templates[0].format(names[0])) == PROMPTS[name]
    assert all(one.format("{}").count("{}") == 1 for one in templates if ":a" not in one)


@pytest.mark.parametrize("name", ALL)
def test_an_unknown_split_is_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    dataset = datasets.make(name, tmp_path)
    refused(lambda: dataset.load("other"), "no split 'other'", *dataset.splits)
