"""Downloads, asked for by `flyp-sweep data prepare` alone: what torchvision can fetch and verify."""

from __future__ import annotations

from pathlib import Path

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.datasets.base import Dataset

FETCHED: dict[str, tuple[str, tuple[dict[str, str], ...]]] = {
    "caltech101": ("Caltech101", ({},)),
    "flowers102": ("Flowers102", ({},)),
    "pcam": ("PCAM", ({"split": "train"}, {"split": "val"}, {"split": "test"})),
    "rendered_sst2": ("RenderedSST2", ({"split": "train"}, {"split": "val"}, {"split": "test"})),
}
"""Data set -> torchvision's class, and the arguments it has to be made with to fetch everything."""


def fetch(dataset: Dataset, root: Path) -> None:
    """Download what is missing of `dataset` into `root`; torchvision compares the publisher's checksums.

    Raises InputError when that fails, and for a data set that cannot be fetched, saying where its files come from.
    """
    missing = dataset.missing()
    if not missing:
        return
    origin = f"{missing[0].path} comes from {missing[0].source}"
    if dataset.name not in FETCHED:
        raise InputError(f"data set {dataset.name!r} cannot be downloaded with this command; {origin}")
    from torchvision import datasets

    kind, calls = FETCHED[dataset.name]
    try:
        root.mkdir(parents=True, exist_ok=True)
        for arguments in calls:
            getattr(datasets, kind)(root, download=True, **arguments)
    except Exception as error:  # the network, the archive and an absent gdown raise many types
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"data set {dataset.name!r}: the download failed ({reason}); {origin}") from error
