"""Whether a model's tokenizer tells the prompts of the user's own classes apart, and which prompts it cuts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from flyp_sweep.search_spaces.complaints import show
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.datasets.class_labels import spelt
from flyp_sweep.trainers.models import text_sides
from flyp_sweep.trainers.models.prompts import CHUNK, Tokenizer, tokenize

if TYPE_CHECKING:
    from flyp_sweep.search_spaces.model import Model

LONGER = 8
"""Context lengths in which a prompt that is cut is looked at."""
MOST_CAPTIONS = 50_000
"""Captions of a split that are looked at: a few seconds of work."""


def remarks(of: str, classes: Sequence[str], names: Sequence[str], model: Model, templates: Sequence[str]) -> list[str]:
    """What to know of the prompts of `classes` with these display `names`, a line each; `of` says what has them.

    Raises InputError when two classes have the same tokens.
    """
    tokenizer = text_sides.tokenizer_of(model)
    if tokenizer is None:
        return [f"prompts: not compared, as the tokenizer of {model.label} is not in the cache"]
    too_long = cut(tokenizer, names, templates)
    told = f"the context of {model.label} cuts {len(too_long)} of {len(names) * len(templates)}"
    if pair := indistinct(tokenizer, names, templates):
        first, second = (classes[label] for label in pair)
        prompt = templates[0].format(names[pair[1]])
        raise InputError(
            f"{of}: the prompts of classes {spelt(first)} and {spelt(second)} have the same "
            f"tokens, e.g. {show(prompt)}{f'; {told}' if too_long else ''}; expected names that {model.label} can tell "
            "apart in dataset.class_names"
        )
    return [f"prompts: {told}, e.g. {show(too_long[0])}"] if too_long else []


def caption_remarks(captions: Sequence[str], model: Model) -> list[str]:
    """What to know of the captions of a split, a line each. Of very many, the first ones are looked at."""
    tokenizer = text_sides.tokenizer_of(model)
    if tokenizer is None:
        return [f"captions: not compared, as the tokenizer of {model.label} is not in the cache"]
    texts = list(dict.fromkeys(captions))
    seen = texts[:MOST_CAPTIONS]
    too_long = [text for at in range(0, len(seen), CHUNK) for text in cut_texts(tokenizer, seen[at : at + CHUNK])]
    of = f"{len(seen):,}" if len(seen) == len(texts) else f"the first {len(seen):,} of {len(texts):,}"
    told = f"the context of {model.label} cuts {len(too_long):,} of {of} captions"
    return [f"{told}, e.g. {show(too_long[0])}"] if too_long else []


def indistinct(tokenizer: Tokenizer, class_names: Sequence[str], templates: Sequence[str]) -> tuple[int, int] | None:
    """The first two classes whose prompts have the same tokens in every template; None when all can be told apart."""
    rows = tokenize(tokenizer, class_names, templates).flatten(start_dim=1)
    seen: dict[tuple[int, ...], int] = {}
    for label, row in enumerate(rows.tolist()):
        other = seen.setdefault(tuple(row), label)
        if other != label:
            return other, label
    return None


def cut(tokenizer: Tokenizer, class_names: Sequence[str], templates: Sequence[str]) -> list[str]:
    """The prompts that are longer than the model's context, so that it never sees their ends."""
    return cut_texts(tokenizer, [template.format(name) for name in class_names for template in templates])


def cut_texts(tokenizer: Tokenizer, texts: list[str]) -> list[str]:
    """Those of `texts` that are longer than the model's context."""
    tokens = tokenizer(texts)
    length = tokens.shape[1]
    longer = tokenizer([*texts, ""], LONGER * length)
    padding = longer[-1, -1]
    beyond: torch.Tensor = (longer[:-1, :length] != tokens).any(dim=1) | (longer[:-1, length:] != padding).any(dim=1)
    return [texts[index] for index in beyond.nonzero().flatten().tolist()]
