"""FLYP's variants against plain formulas, through open_clip's own towers on full-length prompts."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gradients import LABELS, a_batch, assert_equal, gradient_method, gradients
from torch import nn

from flyp_sweep.trainers import methods
from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.flyp_ce import class_prompts
from flyp_sweep.trainers.methods.flyp_ema import Averaged
from flyp_sweep.trainers.methods.flyp_lora import FLYPLowRank, matrices
from flyp_sweep.trainers.methods.flyp_masked import collisions
from flyp_sweep.trainers.models.objectives import contrastive_loss
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench


@pytest.fixture
def clip(make_clip: Any) -> Any:
    return make_clip()


def task_of(bench: Bench, clip: Any, name: str = "flyp", **hparams: float) -> Task:
    spec = bench.spec(name)
    spec = replace(spec, hparams={**spec.hparams, **hparams})
    return bench.task(spec, bench.worker(pretrained=replace(bench.pretrained, clip=clip)))


def loss_of(name: str, clip: Any, task: Task, batch: Batch | None = None) -> torch.Tensor:
    return gradient_method(name).loss(clip, batch or a_batch(), task)


def assert_loss(name: str, clip: Any, task: Task, plain: torch.Tensor) -> dict[str, torch.Tensor]:
    """The method's loss and gradients are those of the plain formula, which are returned."""
    wanted = gradients(clip, plain)
    found = loss_of(name, clip, task)
    torch.testing.assert_close(found, plain, rtol=1e-12, atol=0)
    assert_equal(gradients(clip, found), wanted)
    return wanted


def logits_of(clip: Any, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return (
        clip.logit_scale.exp() * clip.encode_image(images, normalize=True) @ clip.encode_text(tokens, normalize=True).T
    )


# FLYP-CE


def one_prompt_per_class(task: Task, rng: np.random.Generator) -> torch.Tensor:
    """Tokens [C, L] of each class in a template drawn for it."""
    drawn = rng.integers(task.prompts.shape[1], size=len(task.prompts))
    return torch.stack([task.prompts[label, template] for label, template in enumerate(drawn)])


def test_flyp_ce_is_cross_entropy_over_one_drawn_prompt_per_class(bench: Bench, clip: Any) -> None:
    task, batch = task_of(bench, clip), a_batch()
    tokens = one_prompt_per_class(task, np.random.default_rng(5))
    plain = -logits_of(clip, batch.images, tokens).log_softmax(dim=1)[torch.arange(len(LABELS)), LABELS].mean()
    wanted = assert_loss("flyp_ce", clip, task, plain)
    assert {"visual", "transformer", "logit_scale"} <= {name.partition(".")[0] for name in wanted}


@pytest.mark.parametrize("images", [1, 2, 3, 7, 300])
def test_every_class_has_one_prompt_whatever_the_size_of_the_batch(bench: Bench, clip: Any, images: int) -> None:
    task = task_of(bench, clip)
    batch = a_batch(torch.arange(images) % 3)
    found = class_prompts(batch, task.prompts)
    assert found.shape == (images, max(1, -(-3 // images)), task.prompts.shape[2])
    expected = one_prompt_per_class(task, np.random.default_rng(5))
    dealt = found.flatten(0, 1)
    changes = 1 + int((dealt[1:] != dealt[:-1]).any(dim=1).sum())
    assert changes == 3, "equal prompts are neighbours, so a micro-batch encodes few"
    assert torch.equal(dealt.unique(dim=0), expected.unique(dim=0))
    plain = F.cross_entropy(logits_of(clip, batch.images, expected), batch.labels)
    torch.testing.assert_close(loss_of("flyp_ce", clip, task, a_batch(batch.labels)), plain, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("name", "most"), [("flyp_ce", 3), ("flyp_plus_ce", 12), ("flyp_frozen_text", 0)])
def test_a_step_encodes_no_more_prompts_than_it_must(bench: Bench, clip: Any, name: str, most: int) -> None:
    task = task_of(bench, clip, name)
    loss_of(name, clip, task)  # what a worker computes once, it has now computed
    rows: list[int] = []
    clip.ln_final.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))
    loss_of(name, clip, task)
    assert sum(rows) <= most
    assert bool(rows) == bool(most)


# FLYP + CE


def test_flyp_plus_ce_is_flyp_s_loss_plus_the_weighted_cross_entropy(bench: Bench, clip: Any) -> None:
    for weight in (0.0, 0.3, 2.0):
        rng = np.random.default_rng(5)
        task = task_of(bench, clip, "flyp_plus_ce", ce_weight=weight)
        contrastive = loss_of("flyp", clip, task, replace(a_batch(), rng=rng))
        supervised = loss_of("flyp_ce", clip, task, replace(a_batch(), rng=rng))
        assert_loss("flyp_plus_ce", clip, task, contrastive + weight * supervised)


# FLYP with masking


def plain_masked_loss(logits: torch.Tensor, labels: list[int]) -> torch.Tensor:
    """Pair by pair: the match against itself and the rows of other labels."""
    total = logits.new_zeros(())
    for square in (logits, logits.T):
        for row, label in enumerate(labels):
            against = [row] + [other for other, its in enumerate(labels) if its != label]
            total = total - square[row, row] + square[row, against].logsumexp(0)
    return total / (2 * len(labels))


def test_flyp_masked_leaves_same_class_negatives_out(bench: Bench, clip: Any) -> None:
    task, batch = task_of(bench, clip), a_batch()
    drawn = np.random.default_rng(5).integers(task.prompts.shape[1], size=len(LABELS))
    tokens = task.prompts[LABELS, torch.from_numpy(drawn)]
    plain = plain_masked_loss(logits_of(clip, batch.images, tokens), LABELS.tolist())
    assert_loss("flyp_masked", clip, task, plain)
    assert plain < loss_of("flyp", clip, task), "there were collisions"


def test_without_collisions_masking_changes_nothing_and_with_one_class_nothing_is_left(bench: Bench, clip: Any) -> None:
    task = task_of(bench, clip)
    distinct = torch.arange(3)
    assert loss_of("flyp_masked", clip, task, a_batch(distinct)) == loss_of("flyp", clip, task, a_batch(distinct))
    features = F.normalize(torch.randn(4, 8, dtype=torch.double), dim=1).requires_grad_()
    loss = contrastive_loss(features, features, torch.tensor(100.0), collisions(torch.zeros(4, dtype=torch.int64)))
    loss.backward()
    assert loss == 0
    assert features.grad is not None
    assert not features.grad.any()


# FLYP with a frozen text encoder


def test_flyp_frozen_text_starts_with_flyp_s_loss_and_its_gradients_but_the_text_encoder_s(
    bench: Bench, clip: Any
) -> None:
    task = task_of(bench, clip)
    plain = loss_of("flyp", clip, task)
    wanted = {name: one for name, one in gradients(clip, plain).items() if name.startswith(("visual", "logit"))}
    method: Any = methods.get("flyp_frozen_text")
    model = method.start(task)
    found = loss_of("flyp_frozen_text", model, task)
    torch.testing.assert_close(found, plain, rtol=1e-12, atol=0)
    assert_equal(gradients(model, found), wanted)


def test_its_text_encoder_keeps_every_bit_and_all_else_is_trained(bench: Bench) -> None:
    before, after = bench.pretrained.clip.state_dict(), bench.fit(bench.spec("flyp_frozen_text")).state
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if name.startswith(("visual.", "logit_scale"))}


def test_its_head_is_that_of_its_own_text_encoder_and_scale(bench: Bench, clip: Any) -> None:
    task = task_of(bench, clip)
    model = copy.deepcopy(clip)
    model.logit_scale.data += 0.7
    images = a_batch().images
    frozen, both = (methods.get(name).classifier(model, task)(images) for name in ("flyp_frozen_text", "flyp"))
    torch.testing.assert_close(frozen, both, rtol=1e-10, atol=1e-12)


# The average of the weights


@pytest.mark.parametrize("decay", [0.0, 0.15, 0.999])
def test_it_follows_the_weights_at_the_given_decay_and_faster_at_first(decay: float) -> None:
    current, average = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        average.weight.fill_(5.0)
    model = Averaged(current, average, decay)
    expected = 5.0
    for step in range(1, 20):
        with torch.no_grad():
            current.weight.fill_(step**1.5)
        model.take_in()
        kept = min(decay, step / (step + 9))
        expected = kept * expected + (1 - kept) * step**1.5
        assert average.weight.item() == pytest.approx(expected, rel=1e-5)
        assert current.weight.item() == pytest.approx(step**1.5)
    assert not average.weight.requires_grad


def test_what_is_trained_is_flyp_and_what_predicts_is_its_average(bench: Bench) -> None:
    hparams = {"lr": 1e-3, "weight_decay": 0.1}
    flyp = bench.fit(bench.spec("flyp", epochs=1, hparams=hparams))
    ema = bench.fit(bench.spec("flyp_ema", epochs=1, hparams={**hparams, "ema_decay": 0.999}))
    assert ema.report.curve[0]["train_loss"] == flyp.report.curve[0]["train_loss"]
    part = {name: value for name, value in ema.state.items() if name.startswith("current.")}
    assert bench.same({name.removeprefix("current."): value for name, value in part.items()}, flyp.state)
    assert ema.report.loss != flyp.report.loss
    assert ema.state["steps"] == 3

    task, method = bench.task(bench.spec("flyp_ema", hparams={**hparams, "ema_decay": 0.999})), methods.get("flyp_ema")
    model: Any = method.zero_shot(task)
    images = next(iter(task.shared.evaluation_batches(task.id_val)))
    with torch.no_grad():
        before = method.classifier(model, task)(images)
        model.current.logit_scale.zero_()
        assert torch.equal(method.classifier(model, task)(images), before)
        model.average.logit_scale.zero_()
        assert not torch.equal(method.classifier(model, task)(images), before)


# Low-rank updates


LOW_RANK = {"lr": 1e-3, "weight_decay": 0.1, "lora_rank": 2}
MATRICES = ("in_proj_weight", "out_proj.weight", "c_fc.weight", "c_proj.weight")


def names_of_matrices(clip: nn.Module) -> set[str]:
    found = {id(getattr(module, name)) for module, name in matrices(clip)}
    return {name for name, one in clip.named_parameters() if id(one) in found}


def test_it_starts_as_the_pretrained_model_and_trains_factors_and_the_scale_alone(bench: Bench) -> None:
    model: Any = FLYPLowRank().start(bench.task(bench.spec("flyp_lora", hparams=LOW_RANK)))
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model.visual(images), bench.pretrained.clip.visual(images))
    trained = {name for name, one in model.named_parameters() if one.requires_grad}
    assert {name.rpartition(".")[2] for name in trained} == {"down", "up", "logit_scale"}
    assert {name.partition(".")[0] for name in trained} == {"visual", "transformer", "logit_scale"}
    assert len(trained) == 1 + 2 * len(list(matrices(bench.pretrained.clip)))


@pytest.mark.parametrize("rank", [1, 3])
def test_what_comes_out_is_the_pretrained_model_but_for_updates_of_that_rank(bench: Bench, rank: int) -> None:
    before = bench.pretrained.clip.state_dict()
    after = bench.fit(bench.spec("flyp_lora", hparams={**LOW_RANK, "lr": 1e-2, "lora_rank": rank})).state
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed - {"logit_scale"} == names_of_matrices(bench.pretrained.clip)
    for name in changed - {"logit_scale"}:
        singular = torch.linalg.svdvals((after[name] - before[name]).double())
        assert (singular > 1e-4 * singular[0]).sum() == rank, name


def test_every_attention_and_linear_matrix_of_both_towers_is_reached(bench: Bench, make_clip: Any) -> None:
    clip = make_clip()
    assert names_of_matrices(clip) == {name for name, _ in clip.named_parameters() if name.endswith(MATRICES)}


def test_the_update_of_a_packed_attention_is_that_of_its_merged_weight(bench: Bench, make_clip: Any) -> None:
    worker = bench.worker(pretrained=replace(bench.pretrained, clip=make_clip()))
    task = bench.task(bench.spec("flyp_lora", hparams=LOW_RANK), worker)
    model: Any = FLYPLowRank().start(task)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".up"):
                parameter.normal_(generator=torch.Generator().manual_seed(1))
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    wanted = model.visual(images)
    merged: Any = methods.get("flyp").zero_shot(task)
    assert not torch.allclose(merged.visual(images), wanted)
    with torch.no_grad():
        plain = dict(matrices(merged))
        for (module, name), (onto, _) in zip(matrices(model), plain.items(), strict=True):
            getattr(onto, name).copy_(getattr(module, name))
    torch.testing.assert_close(merged.visual(images), wanted, rtol=1e-12, atol=1e-12)
