"""CoCoOp's prompts for each image against the plain formula, one image and one class at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import open_clip
import pytest
import torch
import torch.nn.functional as F
from gradients import a_batch, assert_equal, gradient_method, gradients, started
from prompted_by_hand import text_features

from flyp_sweep.trainers import methods
from flyp_sweep.trainers.methods import cocoop
from flyp_sweep.trainers.methods.cocoop import first_context
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench


def task_of(bench: Bench, clip: Any, context_tokens: int = 4) -> Task:
    hparams = {"lr": 1e-2, "weight_decay": 0.0, "context_tokens": context_tokens}
    worker = bench.worker(pretrained=replace(bench.pretrained, clip=clip))
    return bench.task(bench.spec("cocoop", hparams=hparams), worker)


def by_hand(model: Any, features: torch.Tensor, task: Task) -> torch.Tensor:
    """Logits [B, C] by a plain CLIP."""
    clip = task.pretrained.clip
    first, _, second = model.net
    rows = []
    for image in features:
        hidden = (first.weight @ image + first.bias).clamp(min=0)
        vectors = model.context + second.weight @ hidden + second.bias
        rows.append(clip.logit_scale.exp() * text_features(clip, [vectors], task) @ image)
    return torch.stack(rows)


@pytest.mark.parametrize("count", [2, 6])
def test_its_loss_is_cross_entropy_over_each_image_s_own_prompts(bench: Bench, make_clip: Any, count: int) -> None:
    clip, method = make_clip(), gradient_method("cocoop")
    task, batch = task_of(bench, clip, count), a_batch(torch.tensor([0, 2, 1, 0]))
    model: Any = started(method, task)
    features = F.normalize(clip.visual(batch.images), dim=1).detach()
    plain = F.cross_entropy(by_hand(model, features, task), batch.labels)
    wanted = gradients(model, plain)
    clip.zero_grad()
    found = method.loss(model, batch, task)
    torch.testing.assert_close(found, plain, rtol=1e-10, atol=0)
    assert_equal(gradients(model, found), wanted)
    assert wanted.keys() == {"context", "net.0.weight", "net.0.bias", "net.2.weight", "net.2.bias"}
    assert all(one.grad is None for one in clip.parameters())


@pytest.mark.parametrize("chunk", [1, 7])
def test_its_predictions_go_over_from_the_zero_shot_head_s_to_the_prompts(
    bench: Bench, make_clip: Any, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cocoop, "CHUNK", chunk)
    clip, method = make_clip(), gradient_method("cocoop")
    task = task_of(bench, clip)
    model: Any = started(method, task)
    features = F.normalize(torch.randn(5, 12, generator=torch.Generator().manual_seed(1), dtype=torch.double), dim=1)
    own, zero_shot = by_hand(model, features, task), features @ task.zero_shot_head.T
    for share in (0.0, 0.25, 1.0):
        model.share.fill_(share)
        with torch.no_grad():
            found = method.ready(model, task)(features)
        torch.testing.assert_close(found, share * own + (1 - share) * zero_shot, rtol=0, atol=1e-10)
    assert (method.zero_shot(task).state_dict()["share"], method.start(task).state_dict()["share"]) == (0, 1)


@pytest.mark.parametrize(
    ("kind", "words"), [(open_clip.CLIP, "a photo"), (open_clip.CLIP, "a photo of a"), (open_clip.CustomTextCLIP, "a")]
)
def test_the_vectors_are_at_first_those_of_words(bench: Bench, make_clip: Any, kind: Any, words: str) -> None:
    clip, count = make_clip(kind), len(words.split())
    task = task_of(bench, clip, count)
    tokens = bench.pretrained.tokenizer([words])[0, 1 : 1 + count]
    expected = getattr(clip, "text", clip).token_embedding(tokens)
    assert torch.equal(first_context(task, torch.Generator()), expected)
    more = methods.get("cocoop").zero_shot(task_of(bench, clip, 16)).state_dict()["context"]
    assert more.std() == pytest.approx(0.02, rel=0.15)
