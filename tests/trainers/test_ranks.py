"""Several processes that train one trial: the gradient, the weights and the results of one, and what may go wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gradients import (
    GRADIENT,
    LABELS,
    Cramped,
    Whole,
    a_batch,
    assert_equal,
    batch_for,
    gradient_method,
    gradients,
    started,
)
from ranks import in_ranks
from trees import Counted

from flyp_sweep.trainers import methods, trial
from flyp_sweep.trainers.checkpoints.checkpoint import Checkpoint, Policy
from flyp_sweep.trainers.distributed import Ranks, buckets
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods import GradientMethod
from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.flyp import FLYP
from flyp_sweep.trainers.methods.ft import FineTuning
from flyp_sweep.trainers.shared import Shared
from flyp_sweep.trainers.spec import TrialResult, TrialSpec
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench, finish
from flyp_sweep.trainers.training.fit import fit
from flyp_sweep.trainers.training.fitted import Fitted
from flyp_sweep.trainers.training.grad_cache import Gradients

pytestmark = pytest.mark.slow


def together(task: Task, ranks: Ranks, checkpoint: Checkpoint | None = None) -> Task:
    return dataclasses.replace(task, ranks=ranks, checkpoint=checkpoint)


def same(found: list[Any]) -> Any:
    """What all processes returned, which must be the same bit for bit."""
    for one in found:
        if isinstance(one, BaseException):
            raise one
    first, *others = found
    for other in others:
        if isinstance(first, dict):
            assert first.keys() == other.keys()
            assert all(torch.equal(value, other[name]) for name, value in first.items())
        else:
            assert first == other
    return first


# One step


def step(method: GradientMethod, task: Task, batch: Batch) -> Callable[[Ranks], dict[str, torch.Tensor]]:
    def run(ranks: Ranks) -> dict[str, torch.Tensor]:
        own = together(task, ranks)
        model = started(method, own)
        loss = Gradients(method, model, own).backward(batch)
        return {**gradients(model), "the loss": loss}

    return run


@pytest.mark.parametrize("name", GRADIENT)
@pytest.mark.parametrize(("world", "images", "micro_batch"), [(2, 12, None), (2, 7, 2), (3, 10, None), (3, 2, 1)])
def test_the_gradient_is_that_of_the_whole_batch(
    bench: Bench, worker: Shared, name: str, world: int, images: int, micro_batch: int | None
) -> None:
    method, labels = gradient_method(name), LABELS[:images]
    task = bench.task(bench.spec(name, micro_batch=micro_batch), worker)
    wanted = step(method, bench.task(bench.spec(name), worker), batch_for(method, labels))(Ranks())
    assert_equal(same(in_ranks(world, step(method, task, batch_for(method, labels)))), wanted)


def test_every_process_encodes_its_own_rows_alone(bench: Bench, worker: Shared) -> None:
    encoded: list[torch.Tensor] = []

    class Watched(FLYP):
        def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
            encoded.append(inputs[0])
            return super().encode(model, inputs, task)

    def run(ranks: Ranks) -> list[torch.Tensor]:
        step(Watched(), bench.task(bench.spec("flyp"), worker), a_batch())(ranks)
        return encoded

    (first,), (second,) = in_ranks(2, run)
    assert torch.equal(torch.cat([first, second]), a_batch().images)


class Dropping(FineTuning):
    """Draws in the encoder and in the loss, and remembers what."""

    def __init__(self) -> None:
        self.drawn: list[torch.Tensor] = []

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        self.drawn.append(torch.rand(3))
        return super().encode(model, inputs, task)

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        self.drawn.append(torch.rand(3))
        return super().joint_loss(model, (F.dropout(outputs[0], 0.5),), batch, task)


def test_encoders_draw_each_for_itself_and_the_loss_once_for_all(bench: Bench, worker: Shared) -> None:
    def run(ranks: Ranks) -> tuple[list[torch.Tensor], float]:
        method = Dropping()
        torch.manual_seed(4)
        step(method, bench.task(bench.spec(), worker), a_batch())(ranks)
        return method.drawn, float(torch.rand(1))

    ((own, common), after), ((other, same_for_all), after_too) = in_ranks(2, run)
    assert not torch.equal(own, other)
    assert torch.equal(common, same_for_all)
    assert after == after_too


class Shifted(FineTuning):
    """Makes a row of two: not for several processes."""

    def inputs(self, batch: Batch, task: Task) -> tuple[torch.Tensor, ...]:
        return ((batch.images + batch.images.roll(1, dims=0)) / 2,)


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (Whole(), "resources.processes: found 2; expected 1, for whole defines the loss of whole batches"),
        (Shifted(), "the training loss is nan at step 1"),
    ],
)
def test_what_needs_other_rows_than_its_own_fails(bench: Bench, method: FineTuning, reason: str) -> None:
    def run(ranks: Ranks) -> Fitted:
        return finish(fit(method, together(bench.task(), ranks)))

    for failure in in_ranks(2, run):
        assert isinstance(failure, TrialFailed)
        assert reason in str(failure)


def test_where_one_runs_out_of_memory_all_take_smaller_micro_batches(bench: Bench, worker: Shared) -> None:
    def run(ranks: Ranks) -> tuple[int | None, list[str], dict[str, torch.Tensor]]:
        task = together(bench.task(bench.spec(), worker), ranks)
        method = Cramped(room=2 if ranks.rank else 100)
        model = started(method, task)
        taking = Gradients(method, model, task)
        taking.backward(a_batch())
        return taking.size, taking.notes, gradients(model)

    first, second = in_ranks(2, run)
    assert first[:2] == second[:2] == (1, ["micro-batches of 1: the device ran out of memory with 3"])
    wanted = step(FineTuning(), bench.task(bench.spec(), worker), a_batch())(Ranks())
    assert_equal(first[2], {name: value for name, value in wanted.items() if name != "the loss"})


# A whole trial


@pytest.mark.parametrize("name", ["flyp", "ft", "l2sp"])
def test_after_fifty_steps_loss_and_weights_are_those_of_one_process(bench: Bench, worker: Shared, name: str) -> None:
    spec = bench.spec(name, epochs=25, batch_size=13, patience=25, hparams={**bench.spec(name).hparams, "lr": 1e-4})

    def run(ranks: Ranks) -> Fitted:
        return finish(fit(gradient_method(name), together(bench.task(spec, worker), ranks)))

    alone = run(Ranks())
    first, second = in_ranks(2, run)
    assert first.report == second.report
    assert bench.same(first.state, second.state)
    assert len(alone.report.curve) == 25, "two steps each: 13 and 11 images"
    for point, wanted in zip(first.report.curve, alone.report.curve, strict=True):
        assert point == pytest.approx(wanted, rel=1e-7)
    for key, value in alone.state.items():
        torch.testing.assert_close(first.state[key], value, rtol=1e-6, atol=1e-8, msg=key)


@pytest.mark.parametrize("name", ["flyp", "lp", "zeroshot"])
@pytest.mark.parametrize("batch", [256, 5])
def test_all_get_the_result_of_one(bench: Bench, name: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("task", "shared"):
        monkeypatch.setattr(f"flyp_sweep.trainers.{module}.EVALUATION_BATCH", batch)
    spec, method = bench.repeat(name), methods.get(name)

    def run(ranks: Ranks) -> TrialResult:
        worker = bench.worker(bench.dataset(captioned=True))
        return finish(trial.run(method, together(bench.task(spec, worker), ranks)))

    alone, found = run(Ranks()), same(in_ranks(2, run))
    assert found.alpha == alone.alpha
    assert [(one.alpha, one.split) for one in found.evaluations] == [(o.alpha, o.split) for o in alone.evaluations]
    for one, wanted in zip(found.evaluations, alone.evaluations, strict=True):
        assert one.metrics == pytest.approx(wanted.metrics, abs=1 / one.n_examples + 1e-9)  # retrieval included
    assert found.loss == pytest.approx(alone.loss, rel=1e-3)


def test_order_and_crops_are_those_of_one_and_every_image_is_loaded_once(bench: Bench) -> None:
    batches = [np.array([3, 1, 4, 15, 9]), np.array([2, 6, 5, 8, 7])]

    def run(ranks: Ranks) -> tuple[torch.Tensor, set[int]]:
        task = together(bench.task(), ranks)
        split = task.shared.split("train")
        counted = Counted(split.images)
        task.shared._splits["train"] = dataclasses.replace(split, images=counted)
        return torch.stack(list(task.training_batches(batches, np.random.default_rng(7), 1))), set(counted.decoded)

    whole, _ = run(Ranks())
    (first, mine), (second, yours) = in_ranks(2, run)
    assert mine == {3, 1, 4, 2, 6, 5}
    assert yours == {15, 9, 8, 7}
    assert torch.equal(first[:, :3], whole[:, :3])
    assert torch.equal(second[:, 3:], whole[:, 3:])
    assert first[:, 3:].isnan().all()
    assert second[:, :3].isnan().all()


# Going on


def fitting(bench: Bench, spec: TrialSpec, policy: Policy, epochs: int | None = None) -> Callable[[Ranks], Any]:
    """Fit FLYP, or the first `epochs`; rank 0 keeps checkpoints. Returns the weights and what was looked for."""

    def run(ranks: Ranks) -> Any:
        checkpoint = Checkpoint(policy, spec.trial_id, keeps=ranks.rank == 0)
        running = fit(FLYP(), together(bench.task(spec), ranks, checkpoint))
        if epochs is None:
            return finish(running).state
        return [next(running).epoch for _ in range(epochs)][-1]

    return run


def test_a_trial_goes_on_from_the_checkpoint_of_the_first_with_the_same_bits(bench: Bench, tmp_path: Path) -> None:
    spec = bench.spec("flyp", epochs=3)
    wanted = same(in_ranks(2, fitting(bench, spec, Policy(tmp_path / "never", every_seconds=1e9))))
    policy = Policy(tmp_path / "running", every_seconds=0)
    assert same(in_ranks(2, fitting(bench, spec, policy, epochs=2))) == 2
    assert [path.name for path in policy.folder.iterdir()] == [f"{spec.trial_id}.safetensors"]
    found = same(in_ranks(2, fitting(bench, spec, policy)))
    assert bench.same(found, wanted)


def test_where_one_cannot_read_the_checkpoint_all_begin_anew(bench: Bench, tmp_path: Path) -> None:
    spec, policy = bench.spec("flyp", epochs=2), Policy(tmp_path / "running", every_seconds=0)
    in_ranks(2, fitting(bench, spec, policy, epochs=1))

    def run(ranks: Ranks) -> int:
        elsewhere = Policy(tmp_path / "elsewhere", every_seconds=1e9)
        checkpoint = Checkpoint(elsewhere if ranks.rank else policy, spec.trial_id, keeps=False)
        return next(fit(FLYP(), together(bench.task(spec), ranks, checkpoint))).epoch

    assert same(in_ranks(2, run)) == 1


# The parts


def test_rows_are_equally_many_and_cover_the_batch() -> None:
    for count in range(1, 20):
        for world in range(1, 6):
            rows = [Ranks(rank, world).rows(count) for rank in range(world)]
            assert len({len(own) for own in rows}) == 1
            assert torch.cat(rows)[:count].tolist() == list(range(count))
            assert set(torch.cat(rows).tolist()) == set(range(count))


def test_buckets_hold_a_bounded_number_of_bytes() -> None:
    tensors = [torch.zeros(size) for size in (1, 2, 10, 1, 1, 1)]
    assert [[len(one) for one in bucket] for bucket in buckets(tensors, 12)] == [[1, 2], [10], [1, 1, 1]]
    assert list(buckets([], 12)) == []
