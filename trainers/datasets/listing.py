"""Files that a publisher lists: a fixed order for them, and which of them exist."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flyp_sweep.search_spaces.errors import InputError


def fixed_order(names: Sequence[str], salt: str) -> list[int]:
    """A random-like permutation of range(len(names)), determined by each name separately.

    An absent file therefore does not move other files to another split.
    """
    digests = [hashlib.sha256(f"{salt}/{name}".encode()).digest() for name in names]
    return sorted(range(len(names)), key=digests.__getitem__)


def present(folder: Path, names: Sequence[str]) -> np.ndarray:
    """Which of `names` exist in `folder`: bool [N]. Lists the folder once."""
    try:
        found = set(os.listdir(folder))
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read ({error.strerror}); expected images in it") from error
    return np.array([name in found for name in names], dtype=bool)


def read_mat(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """The variables `keys` of a MATLAB file, without axes of length 1.

    Raises InputError, with the file's name, if it cannot be read or lacks a variable.
    """
    from scipy.io import loadmat

    try:
        content = loadmat(path, squeeze_me=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: found no such file; `flyp-sweep data check` says where it comes from") from error
    except Exception as error:  # scipy raises many types for a damaged file
        raise InputError(f"{path}: not a readable MATLAB file ({error}); download it again") from error
    absent = [key for key in keys if key not in content]
    if absent:
        raise InputError(f"{path}: found no variable {absent[0]!r}; expected {', '.join(keys)}; download it again")
    return {key: np.atleast_1d(content[key]) for key in keys}


def from_one(path: Path, labels: np.ndarray, classes: int) -> np.ndarray:
    """Labels that count from 1, converted to count from 0, int64 [N]. Raises InputError for a label out of range."""
    shifted = labels.astype(np.int64) - 1
    if len(shifted) and not 0 <= shifted.min() <= shifted.max() < classes:
        raise InputError(
            f"{path}: found labels from {shifted.min() + 1} to {shifted.max() + 1}; expected 1 to {classes}; "
            "download it again"
        )
    return shifted
