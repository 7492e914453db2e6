"""The promises of every reader of own data as tests to inherit. The built-in readers pass the same tests.

    class TestFolders(ReaderContract):
        def write(self, folder: Path, images: Sequence[Example]) -> dict[str, Any]:
            ...  # put the bytes there as people have them
            return {"folders": {"train": "train", "id_val": "val", "id_test": "test", "ood": {"sketch": "sketch"}}}

Every form of data is compared with a table of the same files: a trial's id must not depend on the form. For assertion
details in failures, call `pytest.register_assert_rewrite("flyp_sweep.trainers.testing.reader_contract")` in a
conftest. This module needs pytest.
"""

from __future__ import annotations

import csv
import io
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import dump, from_mapping, load
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.trainers import datasets
from flyp_sweep.trainers.data.content import Hashes
from flyp_sweep.trainers.data.identity import Identity, identify
from flyp_sweep.trainers.data.inspection import look_through
from flyp_sweep.trainers.datasets.base import Dataset
from flyp_sweep.trainers.datasets.decoding import ORIENTATION
from flyp_sweep.trainers.datasets.encoded import EncodedImages

CLASSES = ("ant", "big_bee", "cat")
NAMES = {"cat": "house cat", "ant": "red ant", "big_bee": "bumblebee"}
SPLITS = {"train": "train", "id_val": "id_val", "id_test": "id_test", "sketch": "ood"}
"""Split -> role; a form without OOD sets leaves the OOD set out."""
PER_CLASS = {"train": 4, "id_val": 2, "id_test": 2, "sketch": 1}


def _shades() -> np.ndarray:
    """uint8 [9, 12]: from black to white, in steps."""
    return np.linspace(0, 255, 9 * 12).astype(np.uint8).reshape(9, 12)


def _in_colours(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _sixteen_bits(suffix: str, kind: str) -> tuple[str, bytes, np.ndarray]:
    deep = Image.fromarray(_shades().astype(np.uint16) * 257)
    return suffix, _saved(deep, kind), _in_colours(_shades())


def _transparent() -> tuple[str, bytes, np.ndarray]:
    """Invisible noise on the left; a viewer shows white there."""
    pixels = np.random.default_rng(5).integers(0, 256, (9, 12, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[:, :6, 3] = 0
    shown = pixels[..., :3].copy()
    shown[:, :6] = 255
    return ".png", _saved(Image.fromarray(pixels), "png"), shown


def _separated() -> tuple[str, bytes, np.ndarray]:
    content = _saved(Image.fromarray(_in_colours(_shades())).convert("CMYK"), "jpeg", quality=95)
    return ".jpg", content, np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def _moving() -> tuple[str, bytes, np.ndarray]:
    first = Image.fromarray(_in_colours(_shades()))
    later = first.transpose(Image.Transpose.ROTATE_180)
    return ".webp", _saved(first, "webp", save_all=True, append_images=[later], lossless=True), np.asarray(first)


ODD: dict[str, Callable[[], tuple[str, bytes, np.ndarray]]] = {
    "grey": lambda: (".png", _saved(Image.fromarray(_shades()), "png"), _in_colours(_shades())),
    "palette": lambda: (".gif", _saved(Image.fromarray(_shades()), "gif"), _in_colours(_shades())),
    "16 bits, PNG": lambda: _sixteen_bits(".png", "png"),
    "16 bits, TIFF": lambda: _sixteen_bits(".tif", "tiff"),
    "transparent": _transparent,
    "CMYK": _separated,
    "animated": _moving,
    "one pixel": lambda: (".png", _saved(Image.new("RGB", (1, 1), "white"), "png"), np.full((1, 1, 3), 255)),
}
"""Unusual image files -> the suffix, the bytes, and what a viewer shows, uint8 [height, width, 3]."""


@dataclass(frozen=True)
class Example:
    """An image for a reader's form: its split, file name, bytes and class."""

    split: str
    name: str
    content: bytes
    label: str


def examples() -> list[Example]:
    """Small PNG files with noise, in order of split, class and name."""
    rng = np.random.default_rng(7)
    return [
        Example(
            split, f"{label}_{split}_{number}.png", encoded(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)), label
        )
        for split, count in PER_CLASS.items()
        for label in CLASSES
        for number in range(count)
    ]


def encoded(pixels: np.ndarray, kind: str = "png", **options: Any) -> bytes:
    """An image file of uint8 pixels [height, width, 3]."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


class ReaderContract(ABC):
    """A subclass writes images in its form; `extra` holds YAML keys that all of its search spaces have."""

    splits = tuple(SPLITS)
    """The splits that the form supports."""
    holds_new_classes = True
    """Whether an OOD set of this form may have classes that training lacks."""

    @abstractmethod
    def write(self, folder: Path, images: Sequence[Example]) -> dict[str, Any]:
        """Write `images`, in their order, into the empty `folder`; returns the YAML section, without `name`.

        Its paths are relative to `folder`.
        """

    @pytest.fixture
    def images(self) -> list[Example]:
        return [one for one in examples() if one.split in self.splits]

    def made(self, folder: Path, images: Sequence[Example], **more: Any) -> Dataset:
        """The data set of `images` in this form."""
        folder.mkdir(parents=True)
        return datasets.make(space(self.write(folder, images) | more).datasets[0], folder)

    def test_it_has_the_images_in_their_order_with_labels_and_roles(
        self, tmp_path: Path, images: list[Example]
    ) -> None:
        made = self.made(tmp_path / "a", images)
        assert made.missing() == []
        assert made.splits == {split: SPLITS[split] for split in self.splits}
        assert list(made.class_names) == ["ant", "big bee", "cat"]
        for name in self.splits:
            split, own = made.split(name), [one for one in images if one.split == name]
            assert (split.name, split.role, split.metric) == (name, SPLITS[name], "accuracy")
            assert split.labels.dtype == np.int64
            assert [CLASSES[label] for label in split.labels] == [one.label for one in own]
            for at, one in enumerate(own):
                assert np.array_equal(np.asarray(split.images[at]), np.asarray(Image.open(io.BytesIO(one.content))))

    def test_a_trial_does_not_depend_on_the_form_of_the_data(self, tmp_path: Path, images: list[Example]) -> None:
        here = identity(self.made(tmp_path / "a", images))
        moved = identity(self.made(tmp_path / "b", images))
        table = identity(datasets.make(space(in_table(tmp_path, images)).datasets[0], tmp_path))
        assert here == moved == table

    def test_other_bytes_or_labels_are_another_training(self, tmp_path: Path, images: list[Example]) -> None:
        before = identity(self.made(tmp_path / "a", images)).training
        noise = encoded(np.random.default_rng(8).integers(0, 256, (9, 12, 3), dtype=np.uint8))
        assert identity(self.made(tmp_path / "b", [replace(images[0], content=noise), *images[1:]])).training != before
        renamed = [replace(one, label="dog" if one.label == "cat" else one.label) for one in images]
        assert identity(self.made(tmp_path / "c", renamed)).training != before

    def test_names_and_keys_tell_images_apart(self, tmp_path: Path, images: list[Example]) -> None:
        made, moved = self.made(tmp_path / "a", images), self.made(tmp_path / "b", images)
        for name in self.splits:
            here, there = made.split(name).images, moved.split(name).images
            assert isinstance(here, EncodedImages)
            assert isinstance(there, EncodedImages)
            assert len({*here.names()}) == len({*here.keys()}) == len(here)
            assert here.keys() == there.keys()
            assert all(Path(file).is_file() for file in here.files())

    def test_a_worker_gets_the_images_without_their_bytes(self, tmp_path: Path, images: list[Example]) -> None:
        large = [replace(one, content=one.content + bytes(20_000)) for one in images]  # after the end of a PNG
        split = self.made(tmp_path / "a", large).split("train")
        split.images[0]
        sent = pickle.dumps(split.images)
        assert len(sent) < 20_000
        assert np.array_equal(np.asarray(pickle.loads(sent)[3]), np.asarray(split.images[3]))  # noqa: S301

    def test_a_photo_is_upright(self, tmp_path: Path, images: list[Example]) -> None:
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        sideways = encoded(np.full((6, 20, 3), 90, dtype=np.uint8), "jpeg", exif=exif)
        turned = self.made(tmp_path / "a", [replace(images[0], name="ant_train_0.jpg", content=sideways), *images[1:]])
        assert turned.split("train").images[0].size == (6, 20)

    @pytest.mark.parametrize("kind", ODD)
    def test_an_odd_image_is_shown_as_by_a_viewer(self, tmp_path: Path, images: list[Example], kind: str) -> None:
        suffix, content, shown = ODD[kind]()
        odd = replace(images[0], name=f"ant_train_0{suffix}", content=content)
        found = np.asarray(self.made(tmp_path / "a", [odd, *images[1:]]).split("train").images[0])
        assert found.shape == shown.shape
        assert np.abs(found.astype(int) - shown).max() <= 1

    @pytest.mark.parametrize("content", [b"", b"<html>404 Not Found</html>"], ids=["empty", "a web page"])
    def test_what_is_no_image_is_named(self, tmp_path: Path, images: list[Example], content: bytes) -> None:
        made = self.made(tmp_path / "a", [replace(images[0], content=content), *images[1:]])
        try:  # a form that identifies images by content leaves such a file out, and reports that
            told = made.left_out("train")  # type: ignore[attr-defined]
            bad = look_through(made, None).bad
        except InputError as error:
            told, bad = str(error), []
        assert "ant_train_0" in told or len(bad) == 1

    def test_names_are_in_any_script(self, tmp_path: Path, images: list[Example]) -> None:
        names = dict(zip(CLASSES, ("Frosch \u00e4", "\u732b", "\u8239 \U0001f6a2"), strict=True))
        changed = [replace(one, name=f"\u7167\u7247 {one.name}", label=names[one.label]) for one in images]
        made = self.made(tmp_path / "a", changed)
        assert list(made.class_names) == list(names.values())
        split = made.split("train")
        assert [made.class_names[label] for label in split.labels] == [one.label for one in changed][:12]
        assert np.array_equal(np.asarray(split.images[5]), np.asarray(Image.open(io.BytesIO(changed[5].content))))

    def test_one_class_is_refused(self, tmp_path: Path, images: list[Example]) -> None:
        made = self.made(tmp_path / "a", [one for one in images if one.label == "ant"])
        with pytest.raises(InputError, match=r"the one class 'ant'.*expected at least 2 classes"):
            made.check_classes()  # type: ignore[attr-defined]

    def test_a_damaged_image_is_named(self, tmp_path: Path, images: list[Example]) -> None:
        cut = replace(images[1], content=images[1].content[:60])
        made = self.made(tmp_path / "a", [images[0], cut, *images[2:]])
        found = look_through(made, None)
        split = made.split("train").images
        assert isinstance(split, EncodedImages)
        assert found.unreadable == {"train": [split.names()[1]]}
        with pytest.raises(InputError, match="not a readable image"):
            split[1]

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda train, test: [train, replace(test, content=train.content)], "that train and id_test share"),
            (lambda train, test: [train, replace(train, name="z.png", label="cat"), test], "of train under two labels"),
        ],
        ids=["two roles", "two classes"],
    )
    def test_images_seen_before_are_found_by_their_bytes(
        self, tmp_path: Path, images: list[Example], change: Callable[[Example, Example], list[Example]], said: str
    ) -> None:
        if "id_test" not in self.splits:
            pytest.skip("this form holds no id_test")
        first = next(at for at, one in enumerate(images) if one.split == "id_test")
        changed = change(images[0], images[first])
        rest = images[1:first] + images[first + 1 :]
        ordered = sorted(changed + rest, key=lambda one: (list(SPLITS).index(one.split), one.label))
        with pytest.raises(InputError, match=said):
            identity(self.made(tmp_path / "a", ordered))

    def test_classes_that_look_alike_are_refused(self, tmp_path: Path, images: list[Example]) -> None:
        alike = [
            replace(one, label="Ant" if one.name.endswith("_3.png") and one.label == "ant" else one.label)
            for one in images
        ]
        ordered = sorted(alike, key=lambda one: (list(SPLITS).index(one.split), one.label))
        made = self.made(tmp_path / "a", ordered)
        with pytest.raises(InputError, match="'Ant' and 'ant', which differ only in case"):
            made.check_classes()  # type: ignore[attr-defined]

    def test_a_label_that_training_lacks_is_refused(self, tmp_path: Path, images: list[Example]) -> None:
        other = [
            replace(one, label="dog" if one.split == "id_val" and one.label == "cat" else one.label) for one in images
        ]
        made = self.made(tmp_path / "a", other)
        with pytest.raises(InputError, match="'dog'"):
            made.split("id_val")

    def test_a_split_may_have_classes_of_its_own(self, tmp_path: Path, images: list[Example]) -> None:
        if "sketch" not in self.splits or not self.holds_new_classes:
            pytest.skip("this form holds no OOD set of other classes")
        new = dict(zip(CLASSES, ("dog", "elk_cow", "fox"), strict=True))
        other = [replace(one, label=new[one.label] if one.split == "sketch" else one.label) for one in images]
        made = self.made(tmp_path / "a", other, predict_among={"sketch": "own"}, class_names=NAMES | {"fox": "red fox"})
        split = made.split("sketch")
        names = split.class_names
        assert names is not None
        assert (list(names), list(split.templates)) == (["dog", "elk cow", "red fox"], list(made.templates))
        assert [list(new.values())[label] for label in split.labels] == [one.label for one in other][-len(split) :]
        assert list(made.class_names) == list(NAMES.values())

    def test_labels_of_a_split_with_classes_of_its_own_are_numbers_of_these(
        self, tmp_path: Path, images: list[Example]
    ) -> None:
        split = next((one for one in ("sketch", "id_test") if one in self.splits), "")
        if not split:
            pytest.skip("this form holds no reported split")
        fewer = [one for one in images if one.split != split or one.label != "ant"]
        found = self.made(tmp_path / "a", fewer, predict_among={split: "own"}).split(split)
        assert list(found.class_names or ()) == ["big bee", "cat"]
        expected = [("big_bee", "cat").index(one.label) for one in fewer if one.split == split]
        assert found.labels.tolist() == expected

    def test_class_names_and_templates_come_from_the_yaml(self, tmp_path: Path, images: list[Example]) -> None:
        made = self.made(tmp_path / "a", images, class_names=NAMES, templates=["a {}."])
        assert list(made.class_names) == list(NAMES.values())
        assert [list(NAMES)[label] for label in made.split("train").labels] == [one.label for one in images][:12]

    def test_the_space_that_is_written_loads_as_equal(self, tmp_path: Path, images: list[Example]) -> None:
        (tmp_path / "a").mkdir()
        own = space(self.write(tmp_path / "a", images))
        (tmp_path / "space.yaml").write_text(dump(own), encoding="utf-8")
        assert load(tmp_path / "space.yaml") == own


def space(own: dict[str, Any]) -> SearchSpace:
    """A search space with the single data set `own`, named `mine`."""
    rest = {"name": "s", "model": {"arch": "digits-clip"}, "methods": ["zeroshot"], "search": {"num_samples": 1}}
    return from_mapping({**rest, "dataset": {"name": "mine", **own}})


def identity(made: Dataset) -> Identity:
    return identify(made, Hashes(None))


def in_table(folder: Path, images: Sequence[Example]) -> dict[str, Any]:
    """`images` as files with a table per split, as a YAML section."""
    splits = dict.fromkeys(one.split for one in images)
    for split in splits:
        own = [one for one in images if one.split == split]
        (folder / "files" / split).mkdir(parents=True)
        for one in own:
            (folder / "files" / split / one.name).write_bytes(one.content)
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["path", "label"])
            rows.writerows([f"files/{split}/{one.name}", one.label] for one in own)
    tables: dict[str, Any] = {split: f"{split}.csv" for split in splits if SPLITS[split] != "ood"}
    return {"tables": tables | {"ood": {split: f"{split}.csv" for split in splits if SPLITS[split] == "ood"}}}
