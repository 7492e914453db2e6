"""Gradients taken in micro-batches: those of the whole batch, in less memory; and how they come in when it runs out."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from gradients import (
    GRADIENT,
    Cramped,
    Whole,
    a_batch,
    assert_equal,
    batch_for,
    gradient_method,
    gradients,
    started,
    worker_of,
)
from torch import nn

from flyp_sweep.trainers import trial
from flyp_sweep.trainers.checkpoints.checkpoint import Checkpoint, Policy
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods import GradientMethod
from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.coop import frozen
from flyp_sweep.trainers.methods.flyp import FLYP
from flyp_sweep.trainers.methods.ft import FineTuning
from flyp_sweep.trainers.methods.zeroshot import ZeroShot
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.spec import TrialSpec
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench
from flyp_sweep.trainers.testing.bench import finish as end_of
from flyp_sweep.trainers.training.fit import fit
from flyp_sweep.trainers.training.grad_cache import Gradients

pytestmark = pytest.mark.slow


# The gradient


@pytest.mark.parametrize("name", GRADIENT)
@pytest.mark.parametrize(
    ("size", "encoded"), [(1, [1] * 24), (3, [3] * 8), (5, [5, 5, 2] * 2), (11, [11, 1] * 2), (12, [12])]
)
def test_it_is_that_of_the_whole_batch(bench: Bench, worker: Shared, name: str, size: int, encoded: list[int]) -> None:
    method, task = gradient_method(name), bench.task(bench.spec(name, micro_batch=size), worker)
    model = started(method, task)
    loss = method.loss(model, batch_for(method), task)
    loss.backward()
    wanted = gradients(model)
    model.zero_grad()
    sizes: list[int] = []
    towers = (one for path, one in model.named_modules() if path.rpartition(".")[2] in ("visual", "encoder"))
    shared = worker.pretrained.clip.visual, frozen(task).visual  # for methods that leave the tower alone
    for tower in [next(towers, shared[0]), shared[1]]:
        tower.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    found = Gradients(method, model, task).backward(batch_for(method))
    assert sizes == ([] if method.on_features else encoded)
    assert not found.requires_grad
    torch.testing.assert_close(found, loss.detach(), rtol=1e-12, atol=0)
    assert wanted.keys() == {key for key, one in model.named_parameters() if one.requires_grad}
    assert_equal(gradients(model), wanted)


class Dropping(FineTuning):
    """Draws in the encoder and in the loss."""

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        (features,) = super().encode(model, inputs, task)
        return (F.dropout(features, 0.5),)

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        return super().joint_loss(model, (F.dropout(outputs[0], 0.5),), batch, task)


def test_both_passes_draw_the_same_dropout(bench: Bench, make_clip: Any) -> None:
    method = Dropping()
    worker = worker_of(bench, make_clip(vision={"patch_dropout": 0.5}))
    task = bench.task(bench.spec(micro_batch=5), worker)
    model, batch = started(method, task), a_batch()

    def plainly(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        model.zero_grad()
        parts = [method.encode(model, (images,), task)[0] for images in batch.images.split(5)]
        method.joint_loss(model, (torch.cat(parts),), batch, task).backward()
        return gradients(model)

    with torch.random.fork_rng():
        other, wanted = plainly(seed=2), plainly(seed=1)
        state = torch.get_rng_state()
        torch.manual_seed(1)
        Gradients(method, model, task).backward(batch)
        assert torch.equal(torch.get_rng_state(), state), "what is drawn later must not repeat what was drawn"
    assert_equal(gradients(model), wanted)
    with pytest.raises(AssertionError):
        assert_equal(other, wanted)


class Partial(GradientMethod):
    """Has an output without a gradient, one that the loss does not use, and, when frozen, none with a gradient."""

    name = "partial"
    summary = "a method for tests"

    def __init__(self, frozen: bool) -> None:
        self.frozen = frozen

    def zero_shot(self, task: Task) -> nn.Module:
        model = FineTuning().zero_shot(task)
        model.get_submodule("encoder").requires_grad_(not self.frozen)
        return model

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        features = model.features(inputs[0])
        return features.detach().square(), 2 * features, features

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        return F.cross_entropy(model.head(outputs[0] + outputs[2]), batch.labels)


@pytest.mark.parametrize("frozen", [True, False])
def test_not_every_output_needs_to_have_or_to_get_a_gradient(bench: Bench, worker: Shared, frozen: bool) -> None:
    method, task = Partial(frozen), bench.task(bench.spec(micro_batch=5), worker)
    model = started(method, task)
    method.loss(model, a_batch(), task).backward()
    wanted = gradients(model)
    Gradients(method, model, task).backward(a_batch())
    assert_equal(gradients(model), wanted)
    assert frozen == (wanted.keys() == {"head.weight", "head.bias"})


@contextmanager
def bytes_held(model: nn.Module) -> Generator[list[int]]:
    """The largest number of bytes that autograd held at a time for backward passes, weights not counted."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    held, most = 0, [0]

    class Held:
        def __init__(self, tensor: torch.Tensor) -> None:
            nonlocal held
            self.tensor = tensor
            self.size = 0 if tensor.untyped_storage().data_ptr() in weights else tensor.nbytes
            held += self.size
            most[0] = max(most[0], held)

        def __del__(self) -> None:
            nonlocal held
            held -= self.size

    with torch.autograd.graph.saved_tensors_hooks(Held, lambda one: one.tensor):
        yield most


@pytest.mark.parametrize("name", ["ft", "flyp"])
def test_it_takes_the_memory_of_a_micro_batch(bench: Bench, worker: Shared, name: str) -> None:
    method, held = gradient_method(name), {}
    batch = a_batch(torch.arange(64) % 3)
    for size in (64, 4):
        task = bench.task(bench.spec(name, micro_batch=size), worker)
        model = started(method, task)
        with bytes_held(model) as most:
            Gradients(method, model, task).backward(batch)
        held[size] = most[0]
    assert 0 < held[4] < held[64] / 5


# What cannot be divided


def test_a_model_that_normalises_over_the_batch_refuses(bench: Bench, make_clip: Any) -> None:
    clip = make_clip(image=32, vision={"layers": (1, 1, 1, 1), "width": 8, "head_width": 16})
    worker = worker_of(bench, clip)
    with pytest.raises(TrialFailed, match=r"micro_batch: found 3; expected nothing, .* \(BatchNorm2d\) normalises"):
        bench.fit(bench.spec("ft", micro_batch=3), worker)
    with pytest.raises(TrialFailed, match=r"out of memory with 10 images at once, .* lower train.batch_size"):
        bench.fit(bench.spec("ft"), worker, Cramped(3))
    assert bench.fit(bench.spec("ft"), worker).report.epoch == 2
    task = bench.task(bench.spec("ft"), worker)
    assert Gradients(FineTuning(), FineTuning().start(task).eval(), task).obstacle is None, "frozen statistics divide"


class CrampedWhole(Whole):
    """On a device without room for a batch."""

    def loss(self, model: nn.Module, batch: Batch, task: Task) -> torch.Tensor:
        raise torch.OutOfMemoryError


def test_a_method_with_a_loss_alone_gets_whole_batches(bench: Bench) -> None:
    fitted = bench.fit(bench.spec("ft"), method=Whole())
    assert bench.same(fitted.state, bench.fit(bench.spec("ft")).state)
    with pytest.raises(TrialFailed, match="micro_batch: found 3; expected nothing, for whole defines the loss of"):
        bench.fit(bench.spec("ft", micro_batch=3), method=Whole())
    with pytest.raises(TrialFailed, match=r"out of memory with 10 images at once, and whole defines .*; lower train"):
        bench.fit(bench.spec("ft"), method=CrampedWhole())


def test_a_method_with_neither_says_so(bench: Bench) -> None:
    class Nothing(GradientMethod):
        name = "nothing"
        zero_shot = ZeroShot.zero_shot  # type: ignore[assignment]

    with pytest.raises(NotImplementedError, match="Nothing has neither"):
        bench.fit(bench.spec("ft"), method=Nothing())


# When memory runs out


class CrampedFLYP(Cramped, FLYP):
    """FLYP on such a device: it also draws templates."""

    zero_shot = FLYP.zero_shot
    inputs = FLYP.inputs
    joint_loss = FLYP.joint_loss
    classifier = FLYP.classifier
    after_step = FLYP.after_step

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        encoded = FLYP.encode(self, model, inputs, task)
        if len(inputs[0]) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return encoded


NOTE = "micro-batches of 2: the device ran out of memory with 5"


@pytest.mark.parametrize("backward", [False, True])
def test_the_batch_is_halved_until_it_fits_as_if_asked_for(bench: Bench, backward: bool) -> None:
    method = Cramped(room=3, backward=backward)
    fitted = bench.fit(bench.spec("ft"), method=method)
    expected = bench.fit(bench.spec("ft", micro_batch=2))
    assert fitted.report == dataclasses.replace(expected.report, notes=[NOTE])
    assert bench.same(fitted.state, expected.state)
    assert len(method.attempts) == 2, "10 and 5 images were tried once"
    assert method.kept == 0, "an attempt's tensors have to go before the next one"


def test_what_was_drawn_stays_drawn(bench: Bench, make_clip: Any) -> None:
    worker = worker_of(bench, make_clip(vision={"patch_dropout": 0.5}))
    fitted = bench.fit(bench.spec("flyp"), worker, CrampedFLYP(room=3))
    expected = bench.fit(bench.spec("flyp", micro_batch=2), worker)
    assert fitted.report.notes == [NOTE]
    assert bench.same(fitted.state, expected.state)


def test_a_device_without_room_for_one_image_fails_the_trial(bench: Bench) -> None:
    with pytest.raises(TrialFailed, match="out of memory with 1 image at once; take a smaller model"):
        bench.fit(bench.spec("ft"), method=Cramped(room=0))


def test_a_trial_that_is_taken_up_again_keeps_its_micro_batches(bench: Bench, tmp_path: Path) -> None:
    spec = bench.spec("ft", epochs=3)
    policy = Policy(tmp_path, every_seconds=0)
    next(fit(Cramped(room=3), Task(bench.worker(), spec, Checkpoint(policy, spec.trial_id))))
    result = finish(bench, spec, FineTuning(), Checkpoint(policy, spec.trial_id))
    assert result == finish(bench, spec, Cramped(room=3))
    assert result.to_json()["notes"] == [NOTE]


def test_trouble_with_a_checkpoint_is_noted(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    spec = bench.spec("ft")
    result = finish(bench, spec, FineTuning(), Checkpoint(Policy(tmp_path / "taken", every_seconds=0), spec.trial_id))
    (note,) = result.notes
    assert "no checkpoint was written" in note


def finish(bench: Bench, spec: TrialSpec, method: GradientMethod, checkpoint: Checkpoint | None = None) -> Any:
    """The result of a trial of this method."""
    return end_of(trial.run(method, Task(bench.worker(), spec, checkpoint)))
