"""CoOp's splits: where images are, what the file must hold, and CoOp's own few-shot draws."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import from_mapping
from flyp_sweep.trainers import datasets, preflight
from flyp_sweep.trainers.data.content import Hashes
from flyp_sweep.trainers.data.identity import identify
from flyp_sweep.trainers.data_checks import check_splits
from flyp_sweep.trainers.datasets.base import Dataset, Subset
from flyp_sweep.trainers.datasets.readers.coop import sampled
from flyp_sweep.trainers.testing.bench import Bench

FILE = "oxford_pets/split_zhou_OxfordPets.json"
NAMES = ("sphynx", "great_pyrenees", "pug")
COUNTS = {"train": (6, 9, 3), "val": (5, 2, 6), "test": (2, 2, 2)}
OWN: dict[str, Any] = {"coop": FILE}
DRAWN = OWN | {"draws": "coop"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The file and its images; classes follow each other as in no order of theirs."""
    folder, shade = tmp_path / "oxford_pets/images", 0
    folder.mkdir(parents=True)
    rows: dict[str, list[list[Any]]] = {}
    for split, counts in COUNTS.items():
        own = [(label, at) for label, count in enumerate(counts) for at in range(count)]
        random.Random(split).shuffle(own)
        for label, at in own:
            shade += 1
            Image.new("RGB", (4, 4), (shade, 0, 70)).save(folder / f"{split}_{label}_{at}.png")
            rows.setdefault(split, []).append([f"{split}_{label}_{at}.png", label, NAMES[label]])
    (tmp_path / FILE).write_text(json.dumps(rows))
    return tmp_path


def space(own: dict[str, Any], **more: Any) -> Any:
    model = {"model": {"arch": "digits-clip", "pretrained": "bundled"}, "methods": ["zeroshot"]}
    return from_mapping({"name": "own", "dataset": own, **model, "search": {"num_samples": 1}, **more})


def made(root: Path, own: dict[str, Any]) -> Dataset:
    return datasets.make(space(own).datasets[0], root)


def rows_of(root: Path, split: str) -> list[list[Any]]:
    found: list[list[Any]] = json.loads((root / FILE).read_text())[split]
    return found


def test_names_templates_and_the_folder_of_images_are_those_of_coop(root: Path) -> None:
    found = made(root, OWN)
    assert found.missing() == []
    assert found.name == "coop-oxfordpets"
    assert list(found.class_names) == ["sphynx", "great pyrenees", "pug"]
    assert list(found.templates) == ["a photo of a {}, a type of pet."]
    assert found.splits == {"train": "train", "id_val": "id_val", "id_test": "id_test"}
    assert found.split("id_val").labels.tolist() == [label for _, label, _ in rows_of(root, "val")]
    assert list(made(root, OWN | {"templates": ["{}"]}).templates) == ["{}"]


@pytest.mark.parametrize(
    ("called", "folder", "template"),
    [
        ("StanfordCars", ".", "a photo of a {}."),
        ("DescribableTextures", "images", "{} texture."),
        ("EuroSAT", "2750", "a centered satellite photo of {}."),
        ("Birds", ".", "a photo of a {}."),
    ],
)
def test_every_data_set_of_coop_has_its_own_folder(root: Path, called: str, folder: str, template: str) -> None:
    (root / f"split_zhou_{called}.json").write_text((root / FILE).read_text())
    (root / "oxford_pets/images").rename(root / "moved")
    if folder == ".":
        for path in (root / "moved").iterdir():
            path.rename(root / path.name)
    else:
        (root / "moved").rename(root / folder)
    found = made(root, {"coop": f"split_zhou_{called}.json"})
    assert (found.missing(), list(found.templates)) == ([], [template])


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda rows: {"train": rows["train"]}, "found no image in split 'val'; expected one of train"),
        (lambda rows: [1], "could not be read"),
        (lambda rows: rows | {"test": [["a.png", "x", "pug"]]}, "could not be read .*x.*expected"),
        (
            lambda rows: rows | {"test": [["a.png", 1, "pug"]]},
            "found 'a.png' of class 'pug' with label 1; expected one",
        ),
        (
            lambda rows: rows | {"test": [["a.png", 2, "cat"]]},
            "found 'a.png' of class 'cat' with label 2; expected one",
        ),
        (lambda rows: rows | {"test": [["a.png", 2, "pug"]]}, r"found no .*images/a.png \(.* of the 32 images listed"),
    ],
    ids=["no split", "no mapping", "no number", "two labels", "two classes", "no image"],
)
def test_what_is_wrong_with_a_file_is_one_line(root: Path, edit: Any, said: str) -> None:
    (root / FILE).write_text(json.dumps(edit(json.loads((root / FILE).read_text()))))
    with pytest.raises(InputError, match=said) as error:
        preflight.check_data(space(OWN), root)
    assert "\n" not in str(error.value)


def test_a_file_that_is_absent_comes_from_coops_page(root: Path) -> None:
    (missing,) = made(root, {"coop": "split_zhou_UCF101.json"}).missing()
    assert "CoOp/blob/main/DATASETS.md" in missing.source


def by_coop(root: Path, shots: int, seed: int) -> tuple[list[str], list[str]]:
    """The paths that CoOp draws, in its words: one global stream, train first, then at most 4 of val."""
    before, drawn = random.getstate(), []
    random.seed(seed)
    for split, count in (("train", shots), ("val", min(shots, 4))):
        classes: dict[int, list[str]] = {}
        for path, label, _ in rows_of(root, split):
            classes.setdefault(label, []).append(path)
        chosen = [random.sample(x, count) if len(x) >= count else random.choices(x, k=count) for x in classes.values()]
        drawn.append(sorted(path for own in chosen for path in own))
    random.setstate(before)
    return drawn[0], drawn[1]


@pytest.mark.parametrize("stage", ["search", "repeat"])
@pytest.mark.parametrize(("shots", "seed"), [(1, 0), (2, 1), (8, 2)])
def test_few_shot_trials_train_on_coops_draws(root: Path, bench: Bench, shots: int, seed: int, stage: str) -> None:
    found = made(root, DRAWN)
    task = bench.task(bench.spec(shots=shots, seed=seed, stage=stage), bench.worker(found))
    for split, expected in zip((task.train, task.id_val), by_coop(root, shots, seed + 1), strict=True):
        assert isinstance(split.images, Subset)
        rows = split.images.indices
        names = {"train": "train", "id_val": "val"}
        paths = [rows_of(root, names[split.name])[row][0] for row in rows.tolist()]
        assert sorted(paths) == expected
        assert split.labels.tolist() == [int(path.split("_")[1]) for path in paths]
        assert np.bincount(split.labels).tolist() == [min(shots, 4) if split.name == "id_val" else shots] * 3


def test_draws_are_the_same_in_every_version_of_python() -> None:
    labels, rng = np.array([2, 0, 1, 0, 2, 1, 0, 1, 2, 0] * 3), random.Random(1)
    assert sampled(labels, 2, rng).tolist() == [3, 4, 8, 11, 25, 27]
    assert sampled(labels, 4, rng).tolist() == [1, 2, 3, 4, 12, 16, 17, 19, 20, 22, 24, 28]


def test_draws_of_coop_are_asked_for_told_and_another_training(root: Path) -> None:
    plain, drawn = made(root, OWN), made(root, DRAWN)
    assert plain.few_shot_draw(2, seed=0) is None
    assert identify(plain, Hashes(None)).training != identify(drawn, Hashes(None)).training
    assert any("seed 0 is CoOp's seed 1" in line for line in drawn.rules())
    for split in ("id_val", "id_test"):
        with pytest.raises(InputError, match=f"draws: found 'coop'; expected {split} to be a split of the file"):
            space(DRAWN | {"splits": {split: {"from": "train", "fraction": 0.2}}})


def test_scarce_classes_stop_a_cell_unless_coop_draws(root: Path) -> None:
    with pytest.raises(InputError, match="shots can be at most 3"):
        check_splits(made(root, OWN), space(OWN, shots=4), allow_incomplete=False)
    check_splits(made(root, DRAWN), space(DRAWN, shots=4), allow_incomplete=False)
