"""PatchCamelyon on real HDF5 files of a few patches."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
from refusal import refused
from trees import shade_of

from flyp_sweep.trainers.datasets.pcam import Patches, PCam

COUNTS = {"train": 6, "valid": 3, "test": 4}


def tree(root: Path) -> PCam:
    """Patch i has shade i + 1; every third one is positive. Labels are (N, 1, 1, 1), as published."""
    (root / "pcam").mkdir()
    for part, count in COUNTS.items():
        pixels = np.broadcast_to(np.arange(1, count + 1, dtype=np.uint8)[:, None, None, None], (count, 96, 96, 3))
        labels = (np.arange(count) % 3 == 2).astype(np.uint8).reshape(-1, 1, 1, 1)
        for kind, array in (("x", pixels), ("y", labels)):
            with h5py.File(root / "pcam" / f"camelyonpatch_level_2_split_{part}_{kind}.h5", "w") as file:
                file.create_dataset(kind, data=array, compression="gzip", chunks=(1, *array.shape[1:]))
    return PCam(root)


def test_labels_of_shape_n_1_1_1_become_one_number_for_each_patch(tmp_path: Path) -> None:
    dataset = tree(tmp_path)
    assert dataset.missing() == []
    split = dataset.load("train")
    assert split.labels.shape == (6,)
    assert split.labels.dtype == np.int64
    assert split.labels.tolist() == [0, 0, 1, 0, 0, 1]
    assert [shade_of(split.images[i]) for i in range(6)] == [1, 2, 3, 4, 5, 6]
    assert split.images[0].size == (96, 96)
    assert dataset.counts() == {"train": 6, "id_val": 3, "id_test": 4}


def test_threads_and_other_processes_read_with_files_of_their_own(tmp_path: Path) -> None:
    images = tree(tmp_path).load("train").images
    assert shade_of(images[3]) == 4
    assert b"h5py" not in pickle.dumps(images)
    copy = pickle.loads(pickle.dumps(images))
    assert isinstance(copy, Patches)
    assert shade_of(copy[5]) == 6
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda i: shade_of(images[i % 6]), range(60))) == [i % 6 + 1 for i in range(60)]
    with get_context("spawn").Pool(1) as pool_of_processes:
        assert pool_of_processes.apply(images.__getitem__, (4,)).getpixel((0, 0)) == (5, 5, 5)


def test_labels_that_do_not_fit_the_patches_are_refused(tmp_path: Path) -> None:
    dataset = tree(tmp_path)
    (tmp_path / "pcam" / "camelyonpatch_level_2_split_valid_y.h5").rename(
        tmp_path / "pcam" / "camelyonpatch_level_2_split_test_y.h5"
    )
    refused(lambda: dataset.load("id_test"), "test_y.h5: found labels of shape (3, 1, 1, 1); expected (4, 1, 1, 1)")


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    dataset = tree(tmp_path)
    path = tmp_path / "pcam" / "camelyonpatch_level_2_split_train_x.h5"
    path.write_bytes(path.read_bytes()[:500])
    refused(lambda: dataset.load("train"), "train_x.h5: not a readable HDF5 file")
