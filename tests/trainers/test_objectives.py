"""The loss of each family's pretraining: equal to open_clip's own, in parts and in several processes too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from gradients import LABELS, a_batch, assert_equal, gradient_method, gradients, started, worker_of
from ranks import in_ranks
from torch import nn

from flyp_sweep.trainers.distributed import Ranks
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods.base import Batch, Step
from flyp_sweep.trainers.methods.flyp_masked import collisions
from flyp_sweep.trainers.models.objectives import Captioning, Sigmoid, Softmax, objective_of, pairwise_loss
from flyp_sweep.trainers.models.precision import set_precision
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench
from flyp_sweep.trainers.training.grad_cache import Gradients

SCALE, BIAS = 117.3, -12.93
"""Those of a published SigLIP."""


def siglip(make_clip: Any) -> Any:
    """A small SigLIP, whose text tower sees all tokens."""
    clip = make_clip(kind=open_clip.CustomTextCLIP, no_causal_mask=True, pool_type="last")
    clip.logit_scale.data.fill_(np.log(SCALE))
    clip.logit_bias = nn.Parameter(torch.tensor(BIAS, dtype=torch.double))
    return clip


def coca() -> Any:
    """A small CoCa."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        clip = open_clip.CoCa(
            embed_dim=16,
            multimodal_cfg={"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
            text_cfg={
                "context_length": 77,
                "vocab_size": 49408,
                "width": 16,
                "heads": 2,
                "layers": 1,
                "embed_cls": True,
                "output_tokens": True,
            },
            vision_cfg={
                "image_size": 16,
                "patch_size": 8,
                "width": 16,
                "layers": 1,
                "head_width": 8,
                "attentional_pool": True,
                "attn_pooler_heads": 2,
                "output_tokens": True,
            },
        )
        for parameter in clip.parameters():  # open_clip leaves some of them as memory was
            parameter.data = 0.1 * torch.randn(parameter.shape)
        clip.logit_scale.data.fill_(2.0)
    return clip.double().eval()


def task_of(bench: Bench, clip: Any, method: str = "flyp", **changes: Any) -> Task:
    return bench.task(bench.spec(method, **changes), worker_of(bench, clip))


def tokens_of(batch: Batch, task: Task) -> torch.Tensor:
    return gradient_method("flyp").inputs(batch, task)[1]


def test_a_model_says_by_its_parts_what_it_was_pretrained_with(bench: Bench, make_clip: Any) -> None:
    kinds = [type(objective_of(clip)) for clip in (bench.pretrained.clip, siglip(make_clip), coca())]
    assert kinds == [Softmax, Sigmoid, Captioning]


def test_siglip_s_loss_and_all_gradients_are_those_of_open_clip(bench: Bench, make_clip: Any) -> None:
    clip = siglip(make_clip)
    task, batch = task_of(bench, clip), a_batch()
    tokens = tokens_of(a_batch(), task)
    clip.output_dict = True
    own = clip(batch.images, tokens)
    expected = open_clip.loss.SigLipLoss()(*(own[name] for name in NAMES))
    wanted = gradients(clip, expected)
    loss = gradient_method("flyp").loss(clip, a_batch(), task)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    found = gradients(clip, loss)
    assert {"logit_scale", "logit_bias"} < found.keys()
    assert found["logit_bias"] != 0
    assert_equal(found, wanted)


NAMES = ("image_features", "text_features", "logit_scale", "logit_bias")


def test_coca_s_loss_and_all_gradients_are_those_of_open_clip(bench: Bench) -> None:
    clip = coca()
    task, batch = task_of(bench, clip), a_batch()
    told = clip(batch.images, tokens_of(a_batch(), task))
    own = open_clip.loss.CoCaLoss(caption_loss_weight=2.0, clip_loss_weight=1.0, pad_id=clip.pad_id)
    expected = sum(own(**told))
    wanted = gradients(clip, expected)
    loss = gradient_method("flyp").loss(clip, a_batch(), task)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    assert_equal(gradients(clip, loss), wanted)


def test_siglip_s_scale_stays_as_loaded_and_is_not_brought_to_clip_s_bound(bench: Bench, make_clip: Any) -> None:
    task = task_of(bench, siglip(make_clip))
    model: Any = gradient_method("flyp").start(task)
    gradient_method("flyp").after_step(model, task, Step(1, 1, 0.1))
    assert model.logit_scale.exp().item() == pytest.approx(SCALE)


def test_collisions_are_no_pairs_of_the_sigmoid_loss() -> None:
    features = F.normalize(torch.randn(3, 4, dtype=torch.double), dim=1)
    scale, bias = torch.tensor(5.0, dtype=torch.double), torch.tensor(-1.0, dtype=torch.double)
    found = pairwise_loss(features, features, scale, bias, collisions(torch.tensor([0, 1, 0])))
    logits = 5 * features @ features.T - 1
    counted = [(i, j) for i in range(3) for j in range(3) if {i, j} != {0, 2}]
    expected = -sum(F.logsigmoid(logits[i, j] * (1 if i == j else -1)) for i, j in counted) / 3
    torch.testing.assert_close(found, torch.as_tensor(expected))


@pytest.mark.parametrize("method", ["flyp_plus_ce", "flyp_frozen_text"])
def test_variants_that_encode_texts_themselves_refuse_a_model_that_writes_captions(bench: Bench, method: str) -> None:
    task = task_of(bench, coca(), method)
    with pytest.raises(TrialFailed, match=f"{method}: found digits-clip, whose pretraining also wrote captions"):
        gradient_method(method).start(task)


def test_a_captioning_model_trains_in_bfloat16_too(bench: Bench) -> None:
    clip = coca().float()
    set_precision(clip, "bf16")
    outputs = Captioning().encode(clip, a_batch().images[:2].float(), bench.pretrained.tokenizer(["one", "a two"]))
    assert {one.dtype for one in outputs} == {torch.float32}


# In parts

RATE = 1e-5


def after_steps(method: str, task: Task, steps: int) -> Callable[[Ranks], dict[str, torch.Tensor]]:
    """The weights after so many steps of SGD on one batch."""

    def run(ranks: Ranks) -> dict[str, torch.Tensor]:
        own = replace(task, ranks=ranks)
        fitted = gradient_method(method)
        model = started(fitted, own)
        optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=RATE)
        for step in range(steps):
            Gradients(fitted, model, own).backward(a_batch(LABELS[:7], seed=step))
            optimizer.step()
            fitted.after_step(model, own, Step(step + 1, steps, RATE))
        return {name: one.detach().clone() for name, one in model.named_parameters()}

    return run


@pytest.mark.slow
@pytest.mark.parametrize("family", ["siglip", "coca"])
@pytest.mark.parametrize("method", ["flyp", "flyp_masked", "flyp_ce"])
@pytest.mark.parametrize(("world", "micro_batch"), [(1, 2), (2, None), (2, 3)])
def test_steps_in_parts_or_in_two_processes_are_those_of_whole_batches(
    bench: Bench, make_clip: Any, family: str, method: str, world: int, micro_batch: int | None
) -> None:
    steps = 50 if (family, method, micro_batch) == ("siglip", "flyp", None) else 3
    worker = worker_of(bench, siglip(make_clip) if family == "siglip" else coca())
    whole = bench.task(bench.spec(method), worker)
    parts = bench.task(bench.spec(method, micro_batch=micro_batch), worker)
    wanted = after_steps(method, whole, steps)(Ranks())
    assert all(one.isfinite().all() for one in wanted.values())
    for found in in_ranks(world, after_steps(method, parts, steps)):
        assert_equal(found, wanted)
