"""Rendered SST-2: sentences of film reviews as images, published by CLIP's authors or built from the text."""

from __future__ import annotations

import numpy as np

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.datasets import fetch
from flyp_sweep.trainers.datasets.base import Dataset, Missing, Split
from flyp_sweep.trainers.datasets.copies import with_copies
from flyp_sweep.trainers.datasets.named_files import below_folder
from flyp_sweep.trainers.datasets.render_text import CLASSES, FOLDER

PARTS = {"train": "train", "id_val": "valid", "id_test": "test"}
SOURCE = (
    "https://openaipublic.azureedge.net/clip/data/rendered-sst2.tgz (or `flyp-sweep data prepare rendered_sst2`; "
    "with --from-text DIR it renders SST-2's train.tsv, dev.tsv and test.tsv)"
)


class RenderedSST2(Dataset):
    """6,920 sentences for training, 872 for validation and 1,821 for testing; the model has to read them.

    The files are ROOT/rendered-sst2/{train,valid,test}/{negative,positive}/*.png. Class names and template are CLIP's,
    the order is that of torchvision's class. torchvision only downloads the files: if a folder is empty, its class
    refuses the whole copy, without naming the folder.
    """

    name = "rendered_sst2"
    summary = "film reviews as images of their text, 2 classes"

    class_names = CLASSES
    templates = ("a {} review of a movie.",)
    splits = {name: name for name in PARTS}
    published = {"train": 6920, "id_val": 872, "id_test": 1821}

    def missing(self) -> list[Missing]:
        folders = [self.root / FOLDER / part / name for part in PARTS.values() for name in CLASSES]
        return [Missing(folder, with_copies(SOURCE, self.name)) for folder in folders if not folder.is_dir()]

    def fetch(self, say: fetch.Say) -> bool:
        fetch.by_torchvision("RenderedSST2", self.root, {"split": "train"}, {"split": "val"}, {"split": "test"})
        return True

    def load(self, split: str) -> Split:
        if split not in self.splits:
            raise InputError(f"data set 'rendered_sst2' has no split {split!r}; it has {', '.join(self.splits)}")
        folder = self.root / FOLDER / PARTS[split]
        parts = [sorted((folder / name).glob("*.png")) for name in CLASSES]
        labels = np.repeat(np.arange(len(CLASSES), dtype=np.int64), [len(part) for part in parts])
        paths = [path for part in parts for path in part]
        return Split(split, self.splits[split], below_folder(folder, paths), labels, self.metric)
