"""A small sweep on image folders of a user's own: UCI digits, written as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from flyp_sweep.trainers.datasets.digits import CLASS_NAMES, uci_digits

PARTS = {"train": (0, 8), "val": (8, 14), "test": (14, 20), "sketch": (20, 26), "night": (26, 32)}
SPACE: dict[str, Any] = {
    "name": "own",
    "dataset": {
        "name": "threes",
        "folders": {"train": "train", "id_val": "val", "id_test": "test", "ood": {"sketch": "sketch"}},
        "templates": ["a photo of the handwritten digit {}."],
    },
    "model": {"arch": "digits-clip", "pretrained": "bundled"},
    "methods": ["zeroshot", "ft"],
    "train": {"epochs": 1, "batch_size": 12, "warmup_steps": 0},
    "search": {
        "algorithm": "random",
        "num_samples": 2,
        "space": {"lr": {"loguniform": [1e-4, 1e-3]}, "weight_decay": 0.1},
    },
    "repeats": {"seeds": 2},
    "wise_ft": {"alphas": 3},
}


def write_tree(root: Path) -> None:
    """`<split>/<digit>/<n>.png` of zeros, ones and twos."""
    pixels, labels = uci_digits()
    for split, rows in PARTS.items():
        for label in range(3):
            folder = root / split / CLASS_NAMES[label]
            folder.mkdir(parents=True)
            for number, image in enumerate(pixels[labels == label][slice(*rows)]):
                Image.fromarray(image).save(folder / f"{number}.png")
