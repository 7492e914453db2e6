"""Remarks, before a sweep, on what captions and new classes mean for its methods and models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from flyp_sweep.trainers.datasets.base import Dataset
from flyp_sweep.trainers.datasets.own import OwnData

if TYPE_CHECKING:
    from flyp_sweep.search_spaces.model import SearchSpace
    from flyp_sweep.trainers.hyper_parameters import MethodFacts


def caption_lines(space: SearchSpace, datasets: Iterable[Dataset], kinds: Mapping[str, MethodFacts]) -> Iterator[str]:
    """Remarks that name the methods that ignore captions, and those without retrieval."""
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
    """Remarks that name the methods that cannot predict new classes."""
    without = [name for name, kind in kinds.items() if not kind.open_vocabulary]
    for dataset in datasets:
        new = [split for split in dataset.splits if dataset.split(split).class_names is not None]
        if new and without:
            told = "which predict among the classes of training alone"
            yield f"{', '.join(new)} of {dataset.name}: no numbers for {', '.join(without)}, {told}"


def check_prompts(dataset: Dataset, space: SearchSpace) -> list[str]:
    """Remarks about the prompts of the user's own data; published prompts are not checked.

    Raises InputError if a model's tokenizer gives two classes the same tokens.
    """
    from flyp_sweep.trainers.models import prompt_check  # imports torch, which takes seconds

    count = None if space.train.templates == "all" else space.train.templates
    of, lines = f"data set {dataset.name!r}", list[str]()
    for model in space.models:
        if isinstance(dataset, OwnData):
            names, templates = dataset.class_names, dataset.templates[:count]
            lines += prompt_check.remarks(of, dataset.classes, names, model, templates)
        for split in map(dataset.split, dataset.splits):
            if (own := split.class_names) is not None:
                found = prompt_check.remarks(f"{split.name} of {of}", own, own, model, split.templates[:count])
                lines += [f"{split.name}: {line}" for line in found]
    return lines


def cut_captions(dataset: Dataset, space: SearchSpace) -> Iterator[str]:
    """A remark for each model whose context truncates some captions of a split."""
    from flyp_sweep.trainers.models import prompt_check

    for split in dataset.splits:
        captions = None if dataset.splits[split] == "id_val" else dataset.split(split).captions
        if captions is not None:
            for model in space.models:
                yield from (f"{split}: {line}" for line in prompt_check.caption_remarks(captions, model))
