"""iWildCam on a tiny copy in WILDS' layout."""

from pathlib import Path

import numpy as np
import pytest
import torch
from refusal import refused
from trees import shade_of, write_image

from flyp_sweep.trainers.datasets.iwildcam import IWildCam
from flyp_sweep.trainers.evaluation.metrics import score

HEADER = "split,location_remapped,location,sequence_remapped,seq_id,datetime,y,category_id,filename,image_id"
ROWS = [
    ("train", 0, "8b31d3be.jpg"),
    ("test", 181, "8cf202be.jpg"),
    ("val", 3, "8a87ad12.jpg"),
    ("id_val", 0, "89eb9b42.jpg"),
    ("train", 24, "8d2a6d3e.jpg"),
    ("id_test", 99, "8e0a2a4c.jpg"),
    ("test", 24, "8fd79e86.jpg"),
    ("test", 0, "901e1bc4.jpg"),
]
"""Split, label and file; row N's image is of the grey 10 N."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "iwildcam_v2.0"
    folder.mkdir()
    lines = [
        f"{split},{i},{i + 300},{i},{i}-ab,2013-06-05 05:44:19.000,{y},{y + 1},{name},{name[:-4]}"
        for i, (split, y, name) in enumerate(ROWS)
    ]
    (folder / "metadata.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    for i, (_, _, name) in enumerate(ROWS):
        write_image(folder / "train" / name, 10 * i, mode="L")
    return tmp_path


def test_splits_labels_and_images_are_those_of_the_metadata(root: Path) -> None:
    dataset = IWildCam(root)
    assert dataset.missing() == []
    found = {}
    for name, role in dataset.splits.items():
        split = dataset.load(name)
        assert split.role == role
        assert split.labels.dtype == np.int64
        rows = [shade_of(split.images[i]) // 10 for i in range(len(split))]
        found[name] = list(zip(rows, split.labels.tolist(), strict=True))
    assert found == {
        "train": [(0, 0), (4, 24)],
        "id_val": [(3, 0)],
        "id_test": [(5, 99)],
        "ood_val": [(2, 3)],
        "ood_test": [(1, 181), (6, 24), (7, 0)],
    }


def test_the_182_names_are_in_label_order() -> None:
    names = IWildCam.class_names
    assert {y: names[y] for y in (0, 1, 24, 52, 81, 99, 148, 172, 181)} == {
        0: "empty",
        1: "white-lipped peccary",
        24: "cattle cow bull",
        52: "günther's dik-dik",
        81: "dog",
        99: "greater kudu",
        148: "lowland paca",
        172: "motorcycle",
        181: "central american red brocket",
    }
    assert IWildCam.templates[1].format(names[81]) == "dog in the wild."


def test_macro_f1_is_over_the_classes_that_occur_in_the_split(root: Path) -> None:
    split = IWildCam(root).load("ood_test")
    predicted = [181, 24, 5]  # labels 181, 24, 0: class 5 occurs in no label and does not count
    logits = torch.nn.functional.one_hot(torch.tensor(predicted), 182).float()
    scores = score(logits, split)
    assert scores.primary == "macro_f1"
    assert scores.score == pytest.approx((1 + 1 + 0) / 3)


def test_an_image_file_that_is_absent_does_not_count(root: Path) -> None:
    (root / "iwildcam_v2.0" / "train" / "8fd79e86.jpg").unlink()
    assert IWildCam(root).load("ood_test").labels.tolist() == [181, 0]
    (root / "iwildcam_v2.0" / "train" / "8e0a2a4c.jpg").unlink()
    refused(lambda: IWildCam(root).load("id_test"), "id_test")


def test_damaged_tables_are_named(root: Path) -> None:
    table = root / "iwildcam_v2.0" / "metadata.csv"
    table.write_text(table.read_text().replace(",181,", ",99999,"))
    refused(lambda: IWildCam(root).load("train"), "99999")
    table.write_text("split,filename\ntrain,a.jpg\n")
    refused(lambda: IWildCam(root).load("train"), "metadata.csv")
