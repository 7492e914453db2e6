"""FMoW on a tiny copy in WILDS' layout: splits by year, regions by country, images by row."""

from pathlib import Path

import pytest
import torch
from refusal import refused
from trees import shade_of, write_image

from flyp_sweep.trainers.datasets.fmow import CATEGORIES, REGIONS, FMoW
from flyp_sweep.trainers.evaluation.metrics import score

HEADER = "split,img_filename,category,country_code,cloud_cover,timestamp"
ROWS = [
    ("train", "zoo", "USA", "2012-12-31T23:59:59Z"),
    ("seq", "airport", "KEN", "2010-05-01T08:00:00Z"),
    ("train", "airport", "KEN", "2002-06-01T08:12:42Z"),
    ("train", "barn", "FRA", "2013-01-01T00:00:00Z"),
    ("val", "barn", "FRA", "2011-01-01T10:00:00Z"),
    ("val", "barn", "FRA", "2014-01-01T10:00:00Z"),
    ("seq", "zoo", "USA", "2017-01-01T10:00:00Z"),
    ("test", "multi-unit_residential", "XKX", "2012-07-01T10:00:00Z"),
    ("test", "dam", "NAM", "2009-07-01T10:00:00Z"),
    ("test", "dam", "NAM", "2015-12-31T23:59:59Z"),
    ("test", "airport", "USA", "2016-01-01T00:00:00Z"),
    ("train", "airport", "USA", "2016-05-01T00:00:00Z"),
    ("test", "zoo", "KEN", "2017-03-26T10:17:29.123Z"),
    ("test", "barn", "USA", "2016-02-01T00:00:00Z"),
    ("test", "barn", "XKX", "2016-03-01T00:00:00Z"),
]
"""Split, class, country and time; the image of row N is of the grey 10 N, and its file bears N."""
COUNTRIES = """name,alpha-2,alpha-3,country-code,iso_3166-2,region,sub-region
Antarctica,AQ,ATA,010,ISO 3166-2:AQ,,
France,FR,FRA,250,ISO 3166-2:FR,Europe,Western Europe
Kenya,KE,KEN,404,ISO 3166-2:KE,Africa,Sub-Saharan Africa
Namibia,NA,NAM,516,ISO 3166-2:NA,Africa,Sub-Saharan Africa
United States of America,US,USA,840,ISO 3166-2:US,Americas,Northern America
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "fmow_v1.1"
    folder.mkdir()
    lines = [f"{split},{kind}_{i}_rgb.jpg,{kind},{land},0,{time}" for i, (split, kind, land, time) in enumerate(ROWS)]
    (folder / "rgb_metadata.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    (folder / "country_code_mapping.csv").write_text(COUNTRIES)
    for i in range(len(ROWS)):
        write_image(folder / "images" / f"rgb_img_{i}.png", 10 * i)
    return tmp_path


def rows(dataset: FMoW, split: str) -> list[int]:
    images = dataset.load(split).images
    return [shade_of(images[i]) // 10 for i in range(len(images))]


def test_splits_are_by_year_and_images_by_row_counting_sequestered_ones(root: Path) -> None:
    dataset = FMoW(root)
    assert dataset.missing() == []
    assert {split: rows(dataset, split) for split in dataset.splits} == {
        "train": [0, 2],
        "id_val": [4],
        "id_test": [7, 8],
        "ood_val": [5],
        "ood_test": [10, 12, 13, 14],
    }


def test_labels_are_the_classes_in_alphabetical_order(root: Path) -> None:
    assert list(CATEGORIES) == sorted(CATEGORIES)
    assert [CATEGORIES[i] for i in (0, 6, 12, 30, 61)] == ["airport", "barn", "dam", "multi-unit_residential", "zoo"]
    assert FMoW(root).load("train").labels.tolist() == [61, 0]
    assert FMoW(root).load("id_test").labels.tolist() == [30, 12]
    assert FMoW.class_names == CATEGORIES


def test_templates_put_the_article_before_a_name() -> None:
    airport, zoo = FMoW.class_names[0], FMoW.class_names[61]
    assert FMoW.templates[2].format(zoo) == "satellite photo of a zoo."
    assert FMoW.templates[3].format(airport) == "aerial photo of an airport."
    assert FMoW.templates[-1].format(airport) == "airport."
    hangar = FMoW.class_names[1]
    assert FMoW.templates[0].format(hangar) == "satellite photo of a airport_hangar."
    assert FMoW.templates[2].format(hangar) == "satellite photo of an airport hangar."


def test_groups_are_regions_and_countries_without_one_are_in_none(root: Path) -> None:
    split = FMoW(root).load("ood_test")
    assert split.groups is not None
    named = [split.group_names[group] if group >= 0 else None for group in split.groups]
    assert named == ["Americas", "Africa", "Americas", None]


def test_countries_whose_region_is_empty_are_a_group_of_their_own(root: Path) -> None:
    table = root / "fmow_v1.1" / "rgb_metadata.csv"
    table.write_text(table.read_text().replace("KEN", "ATA"))
    split = FMoW(root).load("ood_test")
    assert split.groups is not None
    assert split.groups.tolist() == [1, len(REGIONS), 1, -1]


def test_the_ood_splits_are_scored_on_their_worst_region_and_the_others_on_accuracy(root: Path) -> None:
    dataset = FMoW(root)
    split = dataset.load("ood_test")
    predicted = torch.tensor([0, 61, 0, 0])  # right, right, wrong in the Americas; wrong in no region
    scores = score(torch.nn.functional.one_hot(predicted, 62).float(), split)
    assert scores.primary == "worst_group_accuracy"
    assert scores.score == 0.5
    assert scores.metrics["accuracy"] == 0.5
    predicted = torch.tensor([0, 0, 6, 6])  # wrong in Africa's only image
    assert score(torch.nn.functional.one_hot(predicted, 62).float(), split).score == 0
    assert {dataset.load(name).metric for name in ("train", "id_val", "id_test")} == {"accuracy"}
    assert dataset.load("ood_val").metric == "worst_group_accuracy"


def test_an_image_file_that_is_absent_does_not_count(root: Path) -> None:
    (root / "fmow_v1.1" / "images" / "rgb_img_12.png").unlink()
    assert FMoW(root).load("ood_test").labels.tolist() == [0, 6, 6]


@pytest.mark.parametrize(
    ("file", "before", "after", "named"),
    [
        ("rgb_metadata.csv", "barn,FRA", "shed,FRA", "shed"),
        ("rgb_metadata.csv", "2014-01-01T10:00:00Z", "yesterday", "yesterday"),
        ("rgb_metadata.csv", "category", "kind", "rgb_metadata.csv"),
        ("country_code_mapping.csv", "alpha-3", "code", "country_code_mapping.csv"),
        ("country_code_mapping.csv", "Africa,", "Nowhere,", "region"),
    ],
)
def test_damaged_tables_are_named(root: Path, file: str, before: str, after: str, named: str) -> None:
    path = root / "fmow_v1.1" / file
    path.write_text(path.read_text().replace(before, after))
    refused(lambda: FMoW(root).load("id_test"), named)
