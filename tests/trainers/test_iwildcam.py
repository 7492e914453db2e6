"""iWildCam on a tiny copy in WILDS' layout."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from flyp_sweep.search_spaces.errors import InputError
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
    (folder / "train").mkdir(parents=True)
    lines = [
        f"{split},{i},{i + 300},{i},{i}-ab,2013-06-05 05:44:19.000,{y},{y + 1},{name},{name[:-4]}"
        for i, (split, y, name) in enumerate(ROWS)
    ]
    (folder / "metadata.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    for i, (_, _, name) in enumerate(ROWS):
        Image.new("L", (6, 5), 10 * i).save(folder / "train" / name, quality=100)
    return tmp_path


def test_splits_labels_and_images_are_those_of_the_metadata(root: Path) -> None:
    dataset = IWildCam(root)
    assert dataset.missing() == []
    found = {}
    for name, role in dataset.splits.items():
        split = dataset.load(name)
        assert split.role == role
        assert split.labels.dtype == np.int64
        rows = [round(np.asarray(split.images[i]).mean() / 10) for i in range(len(split))]
        assert all(np.asarray(split.images[i]).shape == (5, 6, 3) for i in range(len(split)))
        found[name] = list(zip(rows, split.labels.tolist(), strict=True))
    assert found == {
        "train": [(0, 0), (4, 24)],
        "id_val": [(3, 0)],
        "id_test": [(5, 99)],
        "ood_test": [(1, 181), (6, 24), (7, 0)],
    }


def test_the_182_names_are_in_label_order() -> None:
    names = IWildCam.class_names
    assert len(names) == 182
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
    with pytest.raises(InputError, match="id_test"):
        IWildCam(root).load("id_test")


def test_what_is_missing_is_named_with_its_source(tmp_path: Path) -> None:
    missing = IWildCam(tmp_path).missing()
    assert [found.path for found in missing] == [
        tmp_path / "iwildcam_v2.0" / "metadata.csv",
        tmp_path / "iwildcam_v2.0" / "train",
    ]
    assert all("worksheets.codalab.org" in found.source for found in missing)


def test_damaged_files_are_named(root: Path) -> None:
    table = root / "iwildcam_v2.0" / "metadata.csv"
    (root / "iwildcam_v2.0" / "train" / "89eb9b42.jpg").write_bytes(b"no image")
    split = IWildCam(root).load("id_val")
    with pytest.raises(InputError, match=r"89eb9b42\.jpg"):
        split.images[0]
    table.write_text(table.read_text().replace(",181,", ",99999,"))
    with pytest.raises(InputError, match="99999"):
        IWildCam(root).load("train")
    table.write_text("split,filename\ntrain,a.jpg\n")
    with pytest.raises(InputError, match=r"metadata\.csv"):
        IWildCam(root).load("train")
    with pytest.raises(InputError, match="no split 'val'"):
        IWildCam(root).load("val")


def test_published_numbers_are_given_for_every_split() -> None:
    assert IWildCam.published == {"train": 129809, "id_val": 7314, "id_test": 8154, "ood_test": 42791}
    assert list(IWildCam.published) == list(IWildCam.splits)
