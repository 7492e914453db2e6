"""The UCI digits and their style shifts."""

import subprocess
import sys
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from flyp_sweep.trainers.data.content import Hashes
from flyp_sweep.trainers.data.identity import identify
from flyp_sweep.trainers.datasets.digits import STYLES, Digits, restyle, stratified_order, uci_digits

ID_SPLITS = ("train", "id_val", "id_test")


@pytest.fixture
def digits() -> Digits:
    return Digits(Path("nowhere"))


def pixels(dataset: Digits, split: str) -> np.ndarray:
    images = dataset.load(split).images
    return np.stack([np.asarray(images[i]) for i in range(len(images))])


def test_splits_have_the_documented_sizes_and_roles(digits: Digits) -> None:
    sizes = {name: len(digits.load(name)) for name in digits.splits}
    assert sizes == {"train": 800, "id_val": 400, "id_test": 597} | dict.fromkeys(STYLES, 300)
    assert digits.named("ood") == list(STYLES)
    assert all(digits.load(name).role == role for name, role in digits.splits.items())


def test_id_splits_are_disjoint_and_stratified_and_cover_everything(digits: Digits) -> None:
    parts = [{image.tobytes() for image in pixels(digits, name)} for name in ID_SPLITS]
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert sum(len(digits.load(name)) for name in ID_SPLITS) == len(uci_digits()[0]) == 1797
    shares = np.bincount(uci_digits()[1]) / 1797
    for name in ID_SPLITS:
        labels = digits.load(name).labels
        assert np.abs(np.bincount(labels, minlength=10) - shares * len(labels)).max() <= 3


def test_images_are_dark_ink_on_light_paper_in_rgb(digits: Digits) -> None:
    image = digits.load("train").images[0]
    assert isinstance(image, Image.Image)
    assert image.mode == "RGB"
    assert image.size == (32, 32)
    border = np.concatenate([pixels(digits, "id_test")[:, 0].ravel(), pixels(digits, "id_test")[:, :, 0].ravel()])
    assert np.median(border) == 255
    assert pixels(digits, "id_test").min() < 30


@pytest.mark.parametrize("style", STYLES)
def test_a_style_keeps_the_labels_and_changes_every_image(digits: Digits, style: str) -> None:
    plain, shifted = digits.load("id_test"), digits.load(style)
    assert np.array_equal(plain.labels[:300], shifted.labels)
    assert (pixels(digits, "id_test")[:300] != pixels(digits, style)).reshape(300, -1).any(axis=1).all()
    some = uci_digits()[0][:20].copy()
    assert restyle(some, style).dtype == np.uint8
    assert np.array_equal(some, uci_digits()[0][:20]), "the input is left alone"


def test_everything_is_the_same_in_a_fresh_process(digits: Digits) -> None:
    script = """
import zlib
from pathlib import Path
from flyp_sweep.trainers.data.content import Hashes
from flyp_sweep.trainers.data.identity import identify
from flyp_sweep.trainers.datasets.digits import Digits
digits = Digits(Path("elsewhere"))
print(identify(digits, Hashes(None)).training)
for name in digits.splits:
    print(zlib.crc32(digits.load(name).images.pixels.tobytes()))
"""
    fresh = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    here = [str(crc32(pixels(digits, name)[..., 0].tobytes())) for name in digits.splits]
    assert fresh == [identify(digits, Hashes(None)).training, *here]


def test_stratified_order_is_a_permutation_with_even_stretches() -> None:
    labels = np.repeat(np.arange(4), (40, 40, 40, 80))
    order = stratified_order(labels, seed=3)
    assert sorted(order) == list(range(200))
    counts = np.bincount(labels[order[:100]])
    assert np.abs(counts - (20, 20, 20, 40)).max() <= 1
