"""MNIST from IDX files: tiny ones written here, and the real ones where they lie."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from refusal import refused

from flyp_sweep.trainers.datasets.digits import uci_digits
from flyp_sweep.trainers.datasets.mnist import IMAGES, LABELS, MNIST, read_idx

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"


def idx(array: np.ndarray) -> bytes:
    """An array of unsigned bytes in the publisher's format."""
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.fixture
def tiny() -> tuple[np.ndarray, np.ndarray]:
    """100 images, each of one grey level of its own in the middle, ten of each digit."""
    images = np.zeros((100, 28, 28), np.uint8)
    images[:, 10:18, 10:18] = 50 + np.arange(100)[:, None, None]
    return images, np.arange(100) % 10


@pytest.mark.parametrize("folder", ["mnist", "."])
@pytest.mark.parametrize("end", [".gz", ""])
def test_files_are_found_gzipped_or_not_in_the_root_or_its_mnist_folder(
    tmp_path: Path, tiny: tuple[np.ndarray, np.ndarray], folder: str, end: str
) -> None:
    write(tmp_path / folder / (IMAGES + end), idx(tiny[0]))
    write(tmp_path / folder / (LABELS + end), idx(tiny[1]))
    dataset = MNIST(tmp_path)
    assert dataset.missing() == []
    assert {name: len(dataset.load(name)) for name in ("train", "id_val", "id_test")} == {
        "train": 60,
        "id_val": 20,
        "id_test": 20,
    }


def tiny_dataset(root: Path, images: np.ndarray, labels: np.ndarray) -> MNIST:
    write(root / f"{IMAGES}.gz", idx(images))
    write(root / f"{LABELS}.gz", idx(labels))
    return MNIST(root)


def test_splits_are_disjoint_stratified_and_keep_each_image_with_its_label(
    tmp_path: Path, tiny: tuple[np.ndarray, np.ndarray]
) -> None:
    dataset = tiny_dataset(tmp_path, *tiny)
    seen = []
    for name in ("train", "id_val", "id_test"):
        split = dataset.load(name)
        numbers = [255 - int(np.asarray(split.images[i])[16, 16, 0]) - 50 for i in range(len(split))]
        assert [tiny[1][number] for number in numbers] == split.labels.tolist()
        assert np.ptp(np.bincount(split.labels, minlength=10)) <= 2
        seen += numbers
    assert sorted(seen) == list(range(100))


def test_images_are_padded_and_dark_on_light_like_the_uci_digits(
    tmp_path: Path, tiny: tuple[np.ndarray, np.ndarray]
) -> None:
    image = np.asarray(tiny_dataset(tmp_path, *tiny).load("train").images[0])
    assert image.shape == (32, 32, 3)
    assert (image[:12] == 255).all()
    assert (image[20:] == 255).all()
    assert (image[12:20, 12:20] < 255).all()


def test_ood_splits_are_the_uci_digits_plain_and_in_two_styles(tmp_path: Path) -> None:
    dataset = MNIST(tmp_path)
    assert dataset.named("ood") == ["uci_digits", "uci_inverted", "uci_noisy"]
    for name in dataset.named("ood"):
        assert np.array_equal(dataset.load(name).labels, uci_digits()[1])
    plain, inverted = dataset.load("uci_digits").images[5], dataset.load("uci_inverted").images[5]
    assert np.array_equal(np.asarray(plain), 255 - np.asarray(inverted))


def test_missing_lists_each_absent_file_with_its_source(tmp_path: Path) -> None:
    write(tmp_path / "mnist" / f"{LABELS}.gz", idx(np.zeros(3)))
    (absent,) = MNIST(tmp_path).missing()
    assert absent.path == tmp_path / "mnist" / f"{IMAGES}.gz"
    assert IMAGES in absent.source
    refused(lambda: MNIST(tmp_path).load("train"), IMAGES, str(tmp_path / "mnist"), "https://")


GOOD = idx(np.zeros((2, 28, 28)))


@pytest.mark.parametrize(
    ("content", "found", "expected"),
    [
        (b"", "empty file", "00 00 08 03"),
        (b"<html>no</html>", "3c 68 74 6d", "00 00 08 03"),
        (idx(np.zeros(4)), "00 00 08 01", "00 00 08 03"),
        (GOOD[:10], "found 10 bytes", "header of 16"),
        (GOOD[:-1], "found 1567 bytes", "expected 1568"),
        (GOOD + b"x", "found 1569 bytes", "expected 1568"),
    ],
)
def test_a_damaged_file_is_named_with_what_was_found_and_expected(
    tmp_path: Path, content: bytes, found: str, expected: str
) -> None:
    path = write(tmp_path / IMAGES, content)
    refused(lambda: read_idx(path, dims=3), str(path), found, expected)


@pytest.mark.parametrize("damage", [lambda packed: packed[:-20], lambda packed: b"not gzip", lambda packed: b""])
def test_a_broken_gzip_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / f"{IMAGES}.gz"
    path.write_bytes(damage(gzip.compress(GOOD)))
    refused(lambda: read_idx(path, dims=3), path.name)


@pytest.mark.parametrize(
    ("images", "labels", "found"),
    [
        (np.zeros((3, 28, 28)), np.zeros(2), "found 2 labels; expected 3"),
        (np.zeros((3, 28, 28)), np.array([1, 2, 10]), "found the label 10"),
        (np.zeros((3, 14, 28)), np.zeros(3), "14x28"),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, found: str
) -> None:
    refused(lambda: tiny_dataset(tmp_path, images, labels).load("train"), found)


@pytest.mark.skipif(not (REAL / "mnist" / f"{IMAGES}.gz").is_file(), reason=f"no MNIST files in {REAL / 'mnist'}")
def test_the_real_files_give_the_documented_splits() -> None:
    dataset = MNIST(REAL)
    assert dataset.missing() == []
    sizes = {name: len(dataset.load(name)) for name in dataset.splits}
    assert sizes == {"train": 6000, "id_val": 2000, "id_test": 2000} | dict.fromkeys(dataset.named("ood"), 1797)
    assert all(len(np.unique(dataset.load(name).labels)) == 10 for name in dataset.splits)
    total = np.concatenate([dataset.load(name).labels for name in ("train", "id_val", "id_test")])
    assert np.bincount(total).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
