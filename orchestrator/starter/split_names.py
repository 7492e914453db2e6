"""What folders and tables of splits are usually called, and what stands for a split that is absent."""

from __future__ import annotations

from typing import Any

MEANT = {
    "train": ("train", "training", "id_train"),
    "id_val": ("val", "valid", "validation", "dev", "id_val"),
    "id_test": ("test", "testing", "id_test"),
}
"""Split -> what it is called, in small letters."""
HELD_OUT = {"id_val": (0.1, "a tenth"), "id_test": (0.2, "a fifth")}
"""The share of the training images that stands for an absent split."""

Splits = dict[str, Any]
"""Split -> its place, as a search space spells it."""


def split_of(name: str) -> str | None:
    """The split that a folder or table of this name holds; None for another name."""
    return next((split for split, names in MEANT.items() if name.lower() in names), None)


def held_out_where_absent(splits: Splits) -> tuple[float, dict[str, str]]:
    """Add absent splits to `splits`, held out of train. Returns the share that they take, and a sentence for each."""
    taken, told = 0.0, {}
    for split, (share, words) in HELD_OUT.items():
        if split not in splits:
            splits[split] = {"from": "train", "fraction": share}
            told[split] = f"Guessed: nothing is named {MEANT[split][0]}, so {words} of each class of train is held out."
            taken += share
    return taken, told
