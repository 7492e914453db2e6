"""What captions and new classes mean for the methods and models of a sweep, a line each, before it starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from flyp_sweep.trainers.datasets.base import Dataset

if TYPE_CHECKING:
    from flyp_sweep.search_spaces.model import SearchSpace
    from flyp_sweep.trainers.hyper_parameters import MethodFacts


def caption_lines(space: SearchSpace, datasets: Iterable[Dataset], kinds: Mapping[str, MethodFacts]) -> Iterator[str]:
    """Lines that name the methods which do not read captions, and those without retrieval."""
    for dataset in datasets:
        captioned = [split for split in dataset.splits if dataset.split(split).captions is not None]
        roles = {dataset.splits[split] for split in captioned}
        if "train" in roles:
            reading = [name for name, kind in kinds.items() if kind.reads_captions]
            if without := [name for name, kind in kinds.items() if kind.seeded and name not in reading]:
                yield f"captions of {dataset.name}: not read by the losses of {', '.join(without)}"
            if reading and space.train.pairs != "images":
                told = f"read one caption for each image of {dataset.name}, so an epoch takes each image once"
                yield f"train.pairs: not read by {', '.join(reading)}: these {told}"
        without = [name for name, kind in kinds.items() if not kind.retrieves]
        if without and roles - {"train", "id_val"}:
            told = "whose models have no text encoder of their own"
            yield f"captions of {dataset.name}: no retrieval for {', '.join(without)}, {told}"


def new_class_lines(datasets: Iterable[Dataset], kinds: Mapping[str, MethodFacts]) -> Iterator[str]:
    """Lines that name the methods which cannot predict among classes that training did not have."""
    without = [name for name, kind in kinds.items() if not kind.open_vocabulary]
    for dataset in datasets:
        new = [split for split in dataset.splits if dataset.split(split).class_names is not None]
        if new and without:
            told = "which predict among the classes of training alone"
            yield f"{', '.join(new)} of {dataset.name}: no numbers for {', '.join(without)}, {told}"


def cut_captions(space: SearchSpace, dataset: Dataset) -> Iterator[str]:
    """A line for each model whose context is too short for some captions of a split."""
    from flyp_sweep.trainers.models import prompt_check  # seconds of torch

    for split in dataset.splits:
        captions = None if dataset.splits[split] == "id_val" else dataset.split(split).captions
        if captions is not None:
            for model in space.models:
                yield from (f"{split}: {line}" for line in prompt_check.caption_remarks(captions, model))
