"""What a person sees of a data set: numbers, examples and what looks wrong, however broken the data are."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from spaces import space_with
from trees import write_noise

from flyp_sweep.trainers import datasets
from flyp_sweep.trainers.data.cache import Cache
from flyp_sweep.trainers.data.images import Augmentation
from flyp_sweep.trainers.datasets.base import Dataset, Images, Split
from flyp_sweep.trainers.models.preparation import usual
from flyp_sweep.trainers.overview import drawing
from flyp_sweep.trainers.overview.facts import DatasetOverview
from flyp_sweep.trainers.overview.make import Shown, overview, training_views

FOLDERS = {"train": "train", "id_val": "val", "id_test": "test"}
SHOWN = Shown(usual())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_noise(tmp_path, "train", "val", "test")


def look(tree: Path, shown: Shown = SHOWN, **given: object) -> DatasetOverview:
    entry = {"name": "birds", "folders": FOLDERS, "templates": ["a {}.", "the {}.", "no {}."]} | given
    return overview(datasets.make(space_with(dataset=entry).datasets[0], tree), shown, None)


def pixels(png: bytes | None) -> np.ndarray:
    assert png
    return np.asarray(Image.open(io.BytesIO(png)))


class Stored(Dataset):
    """A data set of somebody else: a split of `images`, whose labels are their rows modulo 30."""

    name = "stored"
    class_names = [f"class {label}" for label in range(30)]
    templates = ("a {}.",)
    splits = {"train": "train"}

    def __init__(self, images: Images) -> None:
        super().__init__(Path("nowhere"))
        self.images = images

    def load(self, split: str) -> Split:
        return Split(split, "train", self.images, np.arange(len(self.images)) % 30)


def test_numbers_sizes_and_balance(tree: Path) -> None:
    seen = look(tree)
    assert (seen.name, seen.classes, seen.templates, seen.wrong, seen.suspicious) == ("birds", 2, 3, [], [])
    assert [(split.name, split.role, split.images) for split in seen.splits] == [
        *(("train", "train", 10), ("id_val", "id_val", 10), ("id_test", "id_test", 10)),
    ]
    train = seen.splits[0]
    assert train.counts == [("robin", 5), ("wren", 5)]
    assert train.sizes
    assert (train.sizes.smallest, train.sizes.median, train.sizes.largest) == ((50, 40), (50, 46), (50, 52))
    assert seen.is_whole


def test_examples_are_what_the_model_gets_with_a_prompt_of_their_class(tree: Path) -> None:
    train, val, _ = look(tree).splits
    assert len(train.examples) == 8
    assert {(one.label, one.text[:2]) for one in train.examples} <= {
        (label, template) for label in ("robin", "wren") for template in ("a ", "th", "no")
    }
    for one in train.examples:
        assert one.label in one.text
        shown = SHOWN.view.resize(Image.open(tree / "train" / one.file))
        np.testing.assert_array_equal(pixels(one.view), np.asarray(shown))
        assert (pixels(one.training) != pixels(one.view)).any()
    assert all(one.training is None for one in val.examples)
    assert look(tree).splits[0] == train


def test_training_views_have_the_augmentation_of_the_space() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(256, size=(60, 50, 3), dtype=np.uint8))
    plain = np.asarray(SHOWN.view.resize(image))
    (same,) = training_views([image], Shown(usual(), Augmentation(None)))
    np.testing.assert_array_equal(np.asarray(same), plain)
    mirrored = training_views([image] * 20, Shown(usual(), Augmentation(None, flip=True)))
    kinds = {np.array_equal(np.asarray(view), plain[:, ::-1]) for view in mirrored}
    assert kinds == {True, False}
    batched = training_views([image], Shown(usual(), Augmentation((0.2, 0.2)), batched=True))
    assert np.asarray(batched[0]).shape == plain.shape
    assert (np.asarray(batched[0]) != plain).any()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 0, 0, 0, 1, 2], [0, 0, 1, 2]),
        (list(range(9)), 4),
        ([5, 5], [5, 5]),
        ([], []),
    ],
)
def test_examples_are_spread_over_the_classes(labels: list[int], expected: list[int] | int) -> None:
    rows = drawing.spread(np.array(labels, dtype=np.int64), 4)
    chosen = [labels[row] for row in rows.tolist()]
    assert chosen == sorted(chosen)
    assert len(set(rows.tolist())) == len(rows)
    if isinstance(expected, int):
        assert len(set(chosen)) == expected
    else:
        assert chosen == expected


def test_templates_of_the_space_alone_are_used(tree: Path) -> None:
    seen = look(tree, Shown(usual(), templates=1))
    assert seen.templates == 1
    assert {one.text for one in seen.splits[0].examples} == {"a robin.", "a wren."}


def test_texts_are_captions_where_images_have_them_and_labels_are_of_the_splits_own_classes() -> None:
    class Captioned(Stored):
        def load(self, split: str) -> Split:
            captions = [f"photo {row}" for row in range(4)]
            labels = np.array([1, 0, 1, 0])
            return Split(split, "train", self.images, labels, captions=captions, class_names=["wren", "robin"])

    (train,) = overview(Captioned(Noise(4)), SHOWN, None).splits
    assert train.counts == [("wren", 2), ("robin", 2)]
    assert {(one.label, one.text) for one in train.examples} == {
        *(("robin", "photo 0"), ("wren", "photo 1"), ("robin", "photo 2"), ("wren", "photo 3")),
    }


def flat(tree: Path) -> None:
    Image.new("RGB", (40, 40), (9, 99, 200)).save(tree / "test/wren/0.png")


def dark(tree: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 20, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(grey).save(tree / "test/wren/0.png")


def near(tree: Path) -> None:
    Image.open(tree / "train/wren/1.png").save(tree / "test/wren/0.png", compress_level=0)


def leak(tree: Path) -> None:
    shutil.copy(tree / "train/wren/1.png", tree / "test/wren/0.png")


def torn(tree: Path) -> None:
    (tree / "test/wren/0.png").write_bytes((tree / "test/wren/0.png").read_bytes()[:500])


def stray(tree: Path) -> None:
    (tree / "test/wren/notes.txt").write_text("")


def empty(tree: Path) -> None:
    shutil.rmtree(tree / "val/wren")


def twins(tree: Path) -> None:
    shutil.copytree(tree / "test/wren", tree / "train/Wren ", ignore=lambda *_: ["0.png"])


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (flat, "id_test: 1 of 10 images of one colour (ROOT/test/wren/0.png)"),
        (dark, "id_test: 1 of 10 images nearly black, no pixel above 31 of 255 (ROOT/test/wren/0.png)"),
        (near, "train and id_test: 1 image in two files of other bytes and equal pixels at 224 x 224"),
        (stray, "id_test: left out 1 not "),
        (empty, "id_val: has images of 1 of 2 classes"),
    ],
)
def test_what_is_suspicious_is_said(tree: Path, harm: object, told: str) -> None:
    assert callable(harm)
    harm(tree)
    seen = look(tree)
    assert [line.replace(str(tree), "ROOT")[: len(told)] for line in seen.suspicious] == [told]
    assert not seen.wrong


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (torn, "data set 'birds': 1 of 30 images cannot be decoded: ROOT/test/wren/0.png"),
        (leak, "train and id_test: 1 image in two files of equal bytes (ROOT/train/wren/1.png = ROOT/test/wren/0.png)"),
        (twins, "ROOT/train: found the classes"),
    ],
)
def test_what_a_run_would_refuse_is_said(tree: Path, harm: object, told: str) -> None:
    assert callable(harm)
    harm(tree)
    seen = look(tree)
    assert told in [line.replace(str(tree), "ROOT")[: len(told)] for line in seen.wrong]
    assert not any(split.problem for split in seen.splits)


def test_an_example_that_cannot_be_decoded_says_why(tree: Path) -> None:
    for path in (tree / "test").rglob("*.png"):
        path.write_bytes(b"no image")
    test = look(tree).splits[2]
    assert all(one.view is None and "cannot identify image file" in one.problem for one in test.examples)
    assert test.sizes is None
    assert test.images == 10
    skipped = look(tree, Shown(usual(), skips=True))
    assert not skipped.wrong
    assert skipped.suspicious[0].startswith("id_test: 10 of 10 images left out as unreadable")


def test_what_is_held_out_is_said(tree: Path) -> None:
    held = {"train": "train", "id_val": {"from": "train", "fraction": 0.2}, "id_test": "test"}
    seen = look(tree, folders=held)
    assert seen.rules == ["id_val: 20% of each class, held out of train, drawn with seed 0"]
    assert [split.images for split in seen.splits] == [8, 2, 10]


def test_a_grid_of_splits_has_few_pictures_each(tree: Path) -> None:
    ood = {f"shift{number}": "val" for number in range(20)}
    seen = look(tree, folders=FOLDERS | {"id_val": "val", "ood": ood})
    assert {split.role: len(split.examples) for split in seen.splits} == dict.fromkeys(FOLDERS, 8) | {"ood": 2}


@pytest.mark.parametrize("gone", ["test", "train"])
def test_a_missing_split_is_said_and_the_others_are_shown(tree: Path, gone: str) -> None:
    shutil.rmtree(tree / gone)
    seen = look(tree)
    assert seen.wrong[0].startswith(f"missing: {tree}/{gone} (from dataset.folders.")
    shown = {split.name for split in seen.splits if split.examples}
    assert shown == ({"train", "id_val"} if gone == "test" else set())  # the classes are those of train
    assert all(str(tree / gone) in split.problem for split in seen.splits if not split.examples)
    assert not seen.is_whole


class Noise(Sequence[Image.Image]):
    """Photos of 1 megapixel, and how many of them were decoded."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.decoded = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Image.Image:  # type: ignore[override]
        self.decoded += 1
        image = Image.new("RGB", (1000, 1000))
        image.putpixel((index % 1000, 500), (255, 255, 255))
        return image


@pytest.mark.parametrize(("area", "count"), [(1, 20_000), (1_000_000, 1000), (12_000_000, 100)])
def test_as_many_images_of_a_large_split_are_looked_at_as_take_seconds(area: int, count: int) -> None:
    sizes = drawing.Sizes((1, area), (1, area), (1, area), 1)
    assert drawing.to_decode(10**6, sizes, 1) == count
    assert drawing.to_decode(10**6, sizes, 4) == max(count // 4, 100)
    assert drawing.to_decode(50, sizes, 1) == 50


def test_of_a_large_split_a_sample_is_looked_at_unless_it_is_looked_at_deeply(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "MOST_DECODED", 4)
    monkeypatch.setattr(drawing, "FEWEST_DECODED", 4)
    monkeypatch.setattr(drawing, "OPENED", 3)
    dataset = datasets.make(space_with(dataset={"name": "birds", "folders": FOLDERS}).datasets[0], tree)
    cache = Cache(tree / "cache", 10**9)
    seen = overview(dataset, SHOWN, cache)
    assert [(split.looked, split.sizes and split.sizes.seen) for split in seen.splits] == [(4, 3)] * 3
    assert not seen.is_whole
    assert overview(dataset, SHOWN, cache).splits[0].looked == 4
    assert overview(dataset, SHOWN, cache, deep=True).is_whole
    assert overview(dataset, SHOWN, cache).is_whole, "the cache knows what a look at every image shows"


def test_any_data_set_can_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "DECODED_PIXELS", 10**7)
    monkeypatch.setattr(drawing, "FEWEST_DECODED", 10)
    monkeypatch.setattr(drawing, "OPENED", 10)
    images = Noise(600)
    (train,) = overview(Stored(images), SHOWN, None).splits
    assert (train.images, train.looked) == (600, 10)
    assert len({one.label for one in train.examples}) == 8
    assert images.decoded == 10 + 10 + 8
    assert train.examples[0].file == f"image {drawing.spread(np.arange(600) % 30, 8)[0]}"
