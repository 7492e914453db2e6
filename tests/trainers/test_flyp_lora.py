"""FLYP through low-rank updates: what is trained, and what is left of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from flyp_sweep.trainers import methods
from flyp_sweep.trainers.methods.flyp_lora import FLYPLowRank, matrices
from flyp_sweep.trainers.testing.bench import Bench

HPARAMS = {"lr": 1e-3, "weight_decay": 0.1, "lora_rank": 2}
MATRICES = ("in_proj_weight", "out_proj.weight", "c_fc.weight", "c_proj.weight")


def start(bench: Bench, **changes: Any) -> nn.Module:
    return FLYPLowRank().start(bench.task(bench.spec("flyp_lora", **{"hparams": HPARAMS, **changes})))


def names_of_matrices(clip: nn.Module) -> set[str]:
    found = {id(getattr(module, name)) for module, name in matrices(clip)}
    return {name for name, one in clip.named_parameters() if id(one) in found}


def test_it_starts_as_the_pretrained_model_and_trains_factors_and_the_scale_alone(bench: Bench) -> None:
    model: Any = start(bench)
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
    after = bench.fit(bench.spec("flyp_lora", hparams={**HPARAMS, "lr": 1e-2, "lora_rank": rank})).state
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
    task = bench.task(bench.spec("flyp_lora", hparams=HPARAMS), worker)
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
