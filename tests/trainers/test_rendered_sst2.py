"""Rendered SST-2: the published folders, and the same folders built from text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from refusal import refused
from trees import shade_of, write_image

from flyp_sweep.trainers.datasets import render_text
from flyp_sweep.trainers.datasets.render_text import prepare_from_text, read_tsv, render
from flyp_sweep.trainers.datasets.rendered_sst2 import RenderedSST2

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "sst2"
LONG = " ".join(["incomprehensible"] * 60)


def texts(folder: Path, **lines: str) -> Path:
    """SST-2's three files; those not given hold one sentence of each class."""
    folder.mkdir(exist_ok=True)
    for name in ("train", "dev", "test"):
        content = lines.get(name, "a delight\t1\n` dull ' and \" long\t0")
        (folder / f"{name}.tsv").write_text(content, encoding="utf-8")
    return folder


def test_folders_are_read_with_negative_as_0_and_positive_as_1(tmp_path: Path) -> None:
    base = tmp_path / "rendered-sst2"
    for shade, (part, name) in enumerate((p, n) for p in ("train", "valid", "test") for n in ("negative", "positive")):
        write_image(base / part / name / "00000.png", shade, mode="L")
    dataset = RenderedSST2(tmp_path)
    assert dataset.missing() == []
    for number, name in enumerate(("train", "id_val", "id_test")):
        split = dataset.load(name)
        assert split.labels.tolist() == [0, 1]
        assert [shade_of(split.images[i]) for i in range(2)] == [2 * number, 2 * number + 1]


@pytest.mark.parametrize("text", ["a delight", LONG, "x" * 80, "one two three four five six seven eight nine ten"])
def test_text_is_black_on_white_whole_and_centred(text: str) -> None:
    image = render(text)
    assert image.size == (448, 448)
    pixels = np.asarray(image)
    ink = np.argwhere(pixels < 128)
    assert len(ink) > 50
    assert pixels[:4].min() == pixels[-4:].min() == pixels[:, :4].min() == pixels[:, -4:].min() == 255
    centre = (ink.min(axis=0) + ink.max(axis=0)) / 2
    assert abs(centre - 224).max() <= 16
    assert (pixels == render(text)).all()


def test_preparing_writes_every_sentence_under_its_label(tmp_path: Path) -> None:
    source = texts(tmp_path / "text", train="sentence\tlabel\nbad\t0\ngood\t1\nbetter\t1\n")
    assert prepare_from_text(source, tmp_path) == {"train": 3, "valid": 2, "test": 2}
    base = tmp_path / "rendered-sst2"
    assert sorted(str(path.relative_to(base)) for path in base.rglob("*.png")) == [
        "test/negative/00001.png",
        "test/positive/00000.png",
        "train/negative/00000.png",
        "train/positive/00001.png",
        "train/positive/00002.png",
        "valid/negative/00001.png",
        "valid/positive/00000.png",
    ]
    dataset = RenderedSST2(tmp_path)
    assert dataset.missing() == []
    assert dataset.load("train").labels.tolist() == [0, 1, 1]
    assert (np.asarray(dataset.load("train").images[1])[..., 0] == np.asarray(render("good"))).all()


def test_an_interrupted_call_leaves_no_split_and_is_redone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = texts(tmp_path / "text")

    def interrupted(text: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(render_text, "render", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare_from_text(source, tmp_path)
    assert prepare_from_text(source, tmp_path) == {"train": 2, "valid": 2, "test": 2}
    assert {path.name for path in (tmp_path / "rendered-sst2").iterdir()} == {"train", "valid", "test"}
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    prepare_from_text(source, tmp_path)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}


def test_a_folder_with_other_images_is_not_touched(tmp_path: Path) -> None:
    there = write_image(tmp_path / "rendered-sst2" / "train" / "negative" / "mine.png", 9)
    refused(lambda: prepare_from_text(texts(tmp_path / "text"), tmp_path), "move the folder away")
    assert there.is_file()


@pytest.mark.parametrize("line", ["no label", "a label of three\t3", "\t1"])
def test_a_line_that_is_no_sentence_is_named(tmp_path: Path, line: str) -> None:
    source = texts(tmp_path / "text", test=f"fine\t1\n{line}\n")
    refused(lambda: prepare_from_text(source, tmp_path), "test.tsv, line 2: found")
    assert not (tmp_path / "rendered-sst2").exists()


def test_absent_text_is_named(tmp_path: Path) -> None:
    refused(lambda: prepare_from_text(tmp_path, tmp_path), "train.tsv: cannot be read")


@pytest.mark.skipif(not REAL.is_dir(), reason="the real SST-2 is not here")
def test_the_real_text_has_the_published_numbers_of_each_class() -> None:
    found = {
        name: np.bincount([label for _, label in read_tsv(REAL / f"{name}.tsv")]) for name in ("train", "dev", "test")
    }
    assert {name: counts.tolist() for name, counts in found.items()} == {
        "train": [3310, 3610],
        "dev": [428, 444],
        "test": [912, 909],
    }
