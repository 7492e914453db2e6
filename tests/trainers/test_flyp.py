"""FLYP's loss and gradients against the plain formula, on full-length prompts through open_clip's own text tower."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from gradients import LABELS, a_batch, assert_equal, gradient_method, gradients

from flyp_sweep.trainers.methods.base import Step
from flyp_sweep.trainers.models import prompts
from flyp_sweep.trainers.testing.bench import Bench

EOT = 49407
TOWERS: dict[str, dict[str, Any]] = {
    "shipped": {},
    "argmax": {"pool_type": "argmax"},
    "eos": {"pool_type": "eos", "eos_id": EOT},
    "biased projection": {"proj_bias": True},
    "bidirectional": {"no_causal_mask": True},
    "last token": {"pool_type": "last"},
    "separate tower": {"kind": open_clip.CustomTextCLIP},
}
CAUSAL = ("shipped", "argmax", "eos", "biased projection", "separate tower")


@pytest.fixture(params=TOWERS)
def tower(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def clip(tower: str, bench: Bench, make_clip: Any) -> Any:
    return copy.deepcopy(bench.pretrained.clip).double() if tower == "shipped" else make_clip(**TOWERS[tower])


def plain_loss(clip: Any, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """-1/2B of the summed log-probabilities of the matching pairs, by rows and by columns."""
    image, text = clip.encode_image(images), clip.encode_text(tokens)
    image, text = image / image.norm(dim=1, keepdim=True), text / text.norm(dim=1, keepdim=True)
    logits = clip.logit_scale.exp() * (image @ text.T)
    by_image, by_text = logits - logits.logsumexp(1, keepdim=True), logits - logits.logsumexp(0, keepdim=True)
    return -(by_image.diagonal().sum() + by_text.diagonal().sum()) / (2 * len(logits))


@pytest.mark.parametrize("seed", [0, 1])
def test_loss_and_every_gradient_equal_the_plain_formula_on_full_prompts(
    bench: Bench, clip: Any, tower: str, seed: int
) -> None:
    task = bench.task(bench.spec("flyp"), bench.worker(pretrained=replace(bench.pretrained, clip=clip)))
    batch = a_batch(seed=seed, side=32 if tower == "shipped" else 16)
    names, templates = task.shared.dataset.class_names, task.shared.dataset.templates
    drawn = np.random.default_rng(seed).integers(len(templates), size=len(LABELS))
    texts = [templates[t].format(names[label]) for label, t in zip(LABELS.tolist(), drawn, strict=True)]
    assert len(set(texts)) < len(texts)
    tokens = open_clip.get_tokenizer("ViT-B-32")(texts)
    assert tokens.shape == (len(LABELS), 77)

    expected = plain_loss(clip, batch.images, tokens)
    wanted = gradients(clip, expected)
    loss = gradient_method("flyp").loss(clip, batch, task)
    found = gradients(clip, loss)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    assert found.keys() == {name for name, _ in clip.named_parameters()}
    assert_equal(found, wanted)
    towers = {name.partition(".")[0] for name, gradient in found.items() if gradient.abs().max() > 0}
    assert {"visual", "logit_scale"} < towers


def test_a_causal_tower_sees_prompts_cut_after_the_last_end_token_and_others_all_of_them(
    bench: Bench, clip: Any, tower: str
) -> None:
    tokens = bench.pretrained.tokenizer(["two", "a photo of a two"])
    seen: list[torch.Size] = []
    layers = clip.text.transformer if tower == "separate tower" else clip.transformer
    layers.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape))
    prompts.encode_text(clip, tokens)
    longest = int((tokens != 0).sum(dim=1).max())
    assert [shape[1] for shape in seen] == [longest if tower in CAUSAL else 77]


def test_embeddings_equal_those_of_open_clip_and_every_distinct_prompt_is_encoded_once(
    bench: Bench, clip: Any, tower: str
) -> None:
    texts = ["two", "one", "two", "two", "a photo of the handwritten digit two, " * 12, "one"]
    tokens = bench.pretrained.tokenizer(texts)
    rows: list[int] = []
    norm = clip.text.ln_final if tower == "separate tower" else clip.ln_final
    norm.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))
    found = prompts.encode_unique(clip, tokens)
    assert sum(rows) == len(set(texts)) == 3
    expected = torch.cat([clip.encode_text(row[None], normalize=True) for row in tokens])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("loaded", "value", "kept"), [(2.6, 3.0, 3.0), (2.6, 4.7, float(np.log(100))), (4.76, 4.7, 4.7), (4.76, 4.9, 4.76)]
)
def test_the_logit_scale_is_kept_at_most_100_or_where_it_was_loaded(
    bench: Bench, loaded: float, value: float, kept: float
) -> None:
    clip = copy.deepcopy(bench.pretrained.clip)
    clip.logit_scale.data.fill_(loaded)
    task = bench.task(bench.spec("flyp"), bench.worker(pretrained=replace(bench.pretrained, clip=clip)))
    model: Any = gradient_method("flyp").start(task)
    model.logit_scale.data.fill_(value)
    gradient_method("flyp").after_step(model, task, Step(1, 2, 0.1))
    assert model.logit_scale.item() == pytest.approx(kept, abs=1e-6)
