"""Prompts and the zero-shot head, against a loop written by hand over open_clip's own text tower."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from flyp_sweep.trainers.models import prompts
from flyp_sweep.trainers.testing.bench import Bench

NAMES = ("zero", "one", "forty-two", "a very long name of a class that takes many tokens")
TEMPLATES = ("a photo of a {}.", "{}", "a {} drawn by a child with a blunt pencil on a rainy day")


def by_hand(clip: Any, tokenizer: Any, names: tuple[str, ...], templates: tuple[str, ...]) -> torch.Tensor:
    rows = []
    for name in names:
        total = 0
        for template in templates:
            embedding = clip.encode_text(tokenizer([template.format(name)]))[0]
            total = total + embedding / embedding.norm()
        mean = total / len(templates)
        rows.append(clip.logit_scale.exp() * mean / mean.norm())
    return torch.stack(rows)


@pytest.mark.parametrize("text", [{}, {"pool_type": "eos", "eos_id": 49407}, {"no_causal_mask": True}])
@pytest.mark.parametrize("chunk", [1, 5, 1024])
def test_the_zero_shot_head_equals_a_loop_by_hand_in_chunks_of_any_size(
    bench: Bench, make_clip: Any, monkeypatch: pytest.MonkeyPatch, text: dict[str, Any], chunk: int
) -> None:
    monkeypatch.setattr(prompts, "CHUNK", chunk)
    clip, tokenizer = make_clip(**text), bench.pretrained.tokenizer
    with torch.no_grad():
        head = prompts.zero_shot_head(clip, prompts.tokenize(tokenizer, NAMES, TEMPLATES))
        torch.testing.assert_close(head, by_hand(clip, tokenizer, NAMES, TEMPLATES), rtol=0, atol=1e-11)


@pytest.mark.parametrize("templates", [None, 2])
def test_a_trial_s_head_is_that_of_its_first_templates_by_hand(bench: Bench, templates: int | None) -> None:
    task = bench.task(bench.spec("zeroshot", templates=templates))
    pretrained, dataset = bench.pretrained, task.shared.dataset
    with torch.no_grad():
        expected = by_hand(pretrained.clip, pretrained.tokenizer, dataset.class_names, dataset.templates[:templates])
    assert task.prompts.shape == (3, templates or 4, 77)
    torch.testing.assert_close(task.zero_shot_head, expected, rtol=1e-5, atol=1e-4)


def test_tokens_are_laid_out_by_class_then_template(bench: Bench) -> None:
    tokens = prompts.tokenize(bench.pretrained.tokenizer, NAMES, TEMPLATES)
    assert tokens.shape == (4, 3, 77)
    for i, name in enumerate(NAMES):
        for j, template in enumerate(TEMPLATES):
            assert torch.equal(tokens[i, j], bench.pretrained.tokenizer([template.format(name)])[0])
