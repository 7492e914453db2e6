"""MaPLe's prompts against the plain formula, layer by layer, in a plain CLIP of two transformers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import open_clip
import pytest
import torch
import torch.nn.functional as F
from gradients import a_batch, assert_equal, gradient_method, gradients, started
from prompted_by_hand import image_features, text_features

from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods.coop import frozen
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench

VISION = {"layers": 3}


def task_of(bench: Bench, clip: Any, context_tokens: int = 2, prompt_depth: int = 2) -> Task:
    hparams = {"lr": 1e-2, "weight_decay": 0.0, "context_tokens": context_tokens, "prompt_depth": prompt_depth}
    worker = bench.worker(pretrained=replace(bench.pretrained, clip=clip))
    return bench.task(bench.spec("maple", hparams=hparams), worker)


def by_hand(model: Any, images: torch.Tensor, task: Task) -> torch.Tensor:
    """Logits [B, C]."""
    clip, words = task.pretrained.clip, list(model.words)
    patches = [one @ layer.weight.T + layer.bias for one, layer in zip(words, model.projections, strict=True)]
    features = image_features(clip.visual, images, patches)
    return clip.logit_scale.exp() * features @ text_features(clip, words, task).T


@pytest.mark.parametrize(("count", "depth"), [(2, 1), (3, 2)])
def test_its_loss_is_cross_entropy_and_its_gradient_reaches_words_and_projections_alone(
    bench: Bench, make_clip: Any, count: int, depth: int
) -> None:
    clip, method = make_clip(vision=VISION), gradient_method("maple")
    task, batch = task_of(bench, clip, count, depth), a_batch(torch.tensor([0, 2, 1, 0]))
    model: Any = started(method, task)
    plain = F.cross_entropy(by_hand(model, batch.images, task), batch.labels)
    wanted = gradients(model, plain)
    clip.zero_grad()
    found = method.loss(model, batch, task)
    torch.testing.assert_close(found, plain, rtol=1e-10, atol=0)
    assert_equal(gradients(model, found), wanted)
    assert len(wanted) == 3 * depth, "words, and a weight and a bias of a projection, for each layer"
    assert all(one.grad is None for one in clip.parameters())


def test_its_predictions_go_over_from_the_zero_shot_model_s_to_the_prompts(bench: Bench, make_clip: Any) -> None:
    clip, method = make_clip(vision=VISION), gradient_method("maple")
    task, images = task_of(bench, clip), a_batch().images
    model: Any = started(method, task)
    own = by_hand(model, images, task)
    zero_shot = F.normalize(clip.visual(images), dim=1) @ task.zero_shot_head.T
    for share in (0.0, 0.25, 1.0):
        model.share.fill_(share)
        with torch.no_grad():
            found = method.ready(model, task)(images)
        torch.testing.assert_close(found, share * own + (1 - share) * zero_shot, rtol=0, atol=1e-10)
    assert (method.zero_shot(task).state_dict()["share"], method.start(task).state_dict()["share"]) == (0, 1)
    tokens, plain = task.prompts[:, 0], frozen(task)  # in which no hook is left
    torch.testing.assert_close(plain.visual(images), clip.visual(images), rtol=0, atol=1e-12)
    torch.testing.assert_close(plain.encode_text(tokens), clip.encode_text(tokens), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "kinds",
    [
        {"kind": open_clip.CustomTextCLIP},
        {"vision": {**VISION, "pool_type": "avg"}},
        {"vision": {**VISION, "attentional_pool": True, "attn_pooler_heads": 2}},
        {"vision": {**VISION, "no_ln_pre": True}},
        {"no_causal_mask": True},
    ],
    ids=str,
)
def test_transformers_of_any_kind_take_prompts_and_the_zero_shot_end_is_exact(
    bench: Bench, make_clip: Any, kinds: dict[str, Any]
) -> None:
    clip, method = make_clip(**kinds), gradient_method("maple")
    task, batch = task_of(bench, clip, 2, 1), a_batch()
    model: Any = method.start(task)
    logits = method.ready(model, task)(batch.images)
    assert logits.shape == (len(batch.labels), 3)
    assert torch.isfinite(logits).all()
    zero_shot = method.ready(method.zero_shot(task), task)(batch.images)
    expected = F.normalize(clip.visual(batch.images), dim=1) @ task.zero_shot_head.T
    torch.testing.assert_close(zero_shot, expected, rtol=0, atol=1e-10)
    assert not torch.allclose(logits, expected, atol=1e-3)


def test_a_tower_without_a_place_for_tokens_or_with_too_few_layers_is_refused_in_a_line(
    bench: Bench, make_clip: Any
) -> None:
    method = gradient_method("maple")
    for clip, words in (
        (make_clip(vision=VISION), r"prompt_depth: found 3; expected at most 2, the layers of a tower"),
        (bench.pretrained.clip, r"found the image encoder TimmModel; expected open_clip's own VisionTransformer"),
    ):
        with pytest.raises(TrialFailed, match=words) as no:
            method.start(task_of(bench, clip, prompt_depth=3))
        assert "\n" not in str(no.value)
