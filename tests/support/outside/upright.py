"""Ones and sevens of the UCI digits; OOD: the same in white on black."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from flyp_sweep import Dataset, Split

ROWS = {"train": (0, 20), "id_val": (20, 40), "id_test": (40, 80), "inverted": (80, 120)}
"""Split -> which of a class's images are in it."""


@dataclass(frozen=True)
class Pictures:
    grey: np.ndarray

    def __len__(self) -> int:
        return len(self.grey)

    def __getitem__(self, index: int, /) -> Image.Image:
        return Image.fromarray(self.grey[index]).resize((32, 32)).convert("RGB")


class Upright(Dataset):
    name = "upright"
    summary = "ones and sevens of the UCI digits"
    class_names = ("one", "seven")
    templates = ("a photo of the digit {}.", "{}")
    splits = {"train": "train", "id_val": "id_val", "id_test": "id_test", "inverted": "ood"}

    def load(self, split: str) -> Split:
        ink, digits = load_digits(return_X_y=True)
        rows = np.concatenate([np.flatnonzero(digits == digit)[slice(*ROWS[split])] for digit in (1, 7)])
        grey = (ink[rows].reshape(-1, 8, 8) * 15).astype(np.uint8)
        pictures = Pictures(grey if split == "inverted" else 255 - grey)
        return Split(split, self.splits[split], pictures, (digits[rows] == 7).astype(np.int64))
