"""Images in the forms of the `datasets` library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyp_sweep.trainers.testing.reader_contract import Example

if TYPE_CHECKING:
    import datasets

SPLITS = {"train": "train", "id_val": "validation", "id_test": "test", "ood": {"sketch": "sketch"}}
"""What the YAML says of the splits below."""
NAMES = {"train": "train", "id_val": "validation", "id_test": "test", "sketch": "sketch"}


def by_split(images: Sequence[Example]) -> dict[str, list[Example]]:
    """The images of each split, by the name that a publisher gives it."""
    found: dict[str, list[Example]] = {}
    for one in images:
        found.setdefault(NAMES[one.split], []).append(one)
    return found


def as_dataset(rows: Sequence[Example], names: Sequence[str] | None = None, **more: Any) -> datasets.Dataset:
    """A data set of images and labels: class labels with `names`, else texts; `more` are columns more."""
    import datasets

    labels = [one.label if names is None else list(names).index(one.label) for one in rows]
    label = datasets.Value("string") if names is None else datasets.ClassLabel(names=list(names))
    found = {"image": [{"bytes": one.content, "path": one.name} for one in rows], "label": labels}
    made = datasets.Dataset.from_dict(
        found, features=datasets.Features({"image": datasets.Image(), "label": label}), split="train"
    )
    for name, values in more.items():
        made = made.add_column(name, values)
    return made


def write_parquet(path: Path, rows: Sequence[Example], names: Sequence[str] | None = None, **more: Any) -> None:
    """The same in a Parquet file, as `push_to_hub` writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    as_dataset(rows, names, **more).to_parquet(path)
