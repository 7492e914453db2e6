"""bfloat16 in the encoders, float32 everywhere else."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from spaces import space_with

from flyp_sweep.search_spaces.model import Model
from flyp_sweep.trainers.models import pretrained, prompts
from flyp_sweep.trainers.runner import TrialRunner
from flyp_sweep.trainers.testing.bench import Bench

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def mixed() -> pretrained.Pretrained:
    return pretrained.load(Model(arch="digits-clip", pretrained="bundled"), CPU, "bf16")


def test_encoders_compute_in_bfloat16_and_so_do_their_copies(bench: Bench, mixed: pretrained.Pretrained) -> None:
    images = torch.rand(4, 3, 32, 32)
    full = bench.pretrained.clip.visual(images)
    found = mixed.clip.visual(images)
    assert found.dtype == torch.float32
    assert not torch.equal(found, full)
    torch.testing.assert_close(found, full, rtol=0.1, atol=0.1 * full.abs().max().item())
    torch.testing.assert_close(copy.deepcopy(mixed.clip.visual)(images), found, rtol=0, atol=0)


def test_prompts_are_encoded_alike(bench: Bench, mixed: pretrained.Pretrained) -> None:
    tokens = bench.task().prompts.flatten(0, 1)
    with torch.no_grad():
        full, found = (prompts.encode_text(one.clip, tokens) for one in (bench.pretrained, mixed))
    assert found.dtype == torch.float32
    assert not torch.equal(found, full)
    assert (found * full).sum(dim=1).min() > 0.99


def test_weights_and_their_names_are_those_of_the_full_model(bench: Bench, mixed: pretrained.Pretrained) -> None:
    assert bench.same(bench.pretrained.clip.state_dict(), mixed.clip.state_dict())
    assert bench.pretrained.digest != mixed.digest


@pytest.mark.parametrize("method", ["ft", "flyp", "lpft"])
def test_training_keeps_float32_and_comes_near_the_full_one(
    bench: Bench, mixed: pretrained.Pretrained, method: str
) -> None:
    spec = bench.repeat(method, precision="bf16", epochs=3)
    spec = replace(spec, hparams={**spec.hparams, "lr": 1e-4, "weight_decay": 0.1})
    first, second = (bench.fit(spec, bench.worker(pretrained=mixed)) for _ in range(2))
    assert bench.same(first.state, second.state)
    assert {tensor.dtype for tensor in first.state.values() if tensor.is_floating_point()} == {torch.float32}
    full = bench.fit(replace(spec, precision="fp32"))
    assert not bench.same(first.state, full.state)
    assert first.scores.loss == pytest.approx(full.scores.loss, rel=0.05)


def test_a_runner_runs_each_trial_in_its_precision(bench: Bench) -> None:
    space = space_with()
    runner = TrialRunner(space, Path("absent"), CPU)
    full = replace(bench.repeat("zeroshot", alphas=(0.0,)), cell=space.cells()[0])
    mixed = replace(full, precision="bf16")
    found = [runner.result(spec).loss for spec in (full, mixed, full, mixed)]
    assert found[:2] == found[2:]
    assert found[0] != found[1]
    assert found[0] == pytest.approx(found[1], rel=0.1)
