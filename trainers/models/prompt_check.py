"""Checks whether a tokenizer distinguishes the prompts of the user's own classes, and which prompts it truncates."""

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
"""Truncation is checked with a context this many times longer."""
MOST_CAPTIONS = 50_000
"""Captions of a split that are checked: a few seconds of work."""


def remarks(of: str, classes: Sequence[str], names: Sequence[str], model: Model, templates: Sequence[str]) -> list[str]:
    """Remarks about the prompts of `classes` with display `names`, one line each; `of` names their origin in errors.

    Raises InputError if two classes have the same tokens.
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
    """Remarks about the captions of a split, one line each. If there are very many, it checks the first ones."""
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
    """The first two classes whose prompts have the same tokens in every template; None if all classes differ."""
    rows = tokenize(tokenizer, class_names, templates).flatten(start_dim=1)
    seen: dict[tuple[int, ...], int] = {}
    for label, row in enumerate(rows.tolist()):
        other = seen.setdefault(tuple(row), label)
        if other != label:
            return other, label
    return None


def cut(tokenizer: Tokenizer, class_names: Sequence[str], templates: Sequence[str]) -> list[str]:
    """The prompts that are longer than the model's context, which truncates them."""
    return cut_texts(tokenizer, [template.format(name) for name in class_names for template in templates])


def cut_texts(tokenizer: Tokenizer, texts: list[str]) -> list[str]:
    """The `texts` that are longer than the model's context."""
    tokens = tokenizer(texts)
    length = tokens.shape[1]
    longer = tokenizer([*texts, ""], LONGER * length)
    padding = longer[-1, -1]
    beyond: torch.Tensor = (longer[:-1, :length] != tokens).any(dim=1) | (longer[:-1, length:] != padding).any(dim=1)
    return [texts[index] for index in beyond.nonzero().flatten().tolist()]
