"""The contract that methods are held to notices what it is there for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gradients import Whole
from torch import nn

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.methods import GradientMethod
from flyp_sweep.trainers.methods.base import Batch
from flyp_sweep.trainers.methods.ft import FineTuning
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench, hyper_parameters
from flyp_sweep.trainers.testing.method_contract import MethodContract
from flyp_sweep.trainers.testing.trials import Trials

pytestmark = pytest.mark.slow

CONTRACT = MethodContract()


class Rising(FineTuning):
    """Goes uphill."""

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        loss = super().joint_loss(model, outputs, batch, task)
        return 2 * loss.detach() - loss


class Neighbours(FineTuning):
    """Lets a row's output depend on the rows beside it."""

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        (features,) = super().encode(model, inputs, task)
        return (features - features.mean(dim=0),)


class Careless(FineTuning):
    """Draws from numpy's global generator."""

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        return super().joint_loss(model, outputs, batch, task) * (1 + np.random.rand())


class Forgetful(FineTuning):
    """Keeps something in itself, which another process does not have."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        self.seen[id(model)] = self.seen.get(id(model), 0) + 1
        return super().joint_loss(model, outputs, batch, task) / self.seen[id(model)]


class Greedy(FineTuning):
    """Trains the model that all trials share."""

    def start(self, task: Task) -> nn.Module:
        model: Any = super().start(task)
        model.encoder = task.pretrained.clip.visual
        return model


class Peeking(FineTuning):
    """Looks at the ID test set."""

    def start(self, task: Task) -> nn.Module:
        next(task.reported())
        return super().start(task)


class Renaming(FineTuning):
    """Its fitted weights have other names than its zero-shot ones."""

    def start(self, task: Task) -> nn.Module:
        return nn.ModuleDict({"inner": super().start(task)})

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        return super().encode(model["inner"], inputs, task)

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        return super().joint_loss(model["inner"], outputs, batch, task)

    def classifier(self, model: Any, task: Task) -> Any:
        return model["inner"] if isinstance(model, nn.ModuleDict) else model


class Untrue(FineTuning):
    """Has a zero-shot model that is not the pretrained one."""

    def zero_shot(self, task: Task) -> nn.Module:
        model: Any = super().zero_shot(task)
        model.head.bias.data[1] += 1
        return model


class Doubled(FineTuning):
    """Predicts otherwise than its model does, and does not say so in `portable`."""

    def classifier(self, model: Any, task: Task) -> Any:
        return lambda images: 2 * model(images)


BROKEN: dict[Callable[[], GradientMethod], str] = {
    Rising: "test_training_lowers_the_loss",
    Neighbours: "test_micro_batches_give_the_whole_batch_s_gradient_or_are_refused",
    Careless: "test_a_trial_is_the_same_in_any_worker_whatever_global_streams_hold",
    Forgetful: "test_taken_up_from_a_checkpoint_it_ends_as_if_undisturbed",
    Renaming: "test_its_two_ends_have_the_same_names_shapes_and_types",
    Untrue: "test_its_zero_shot_model_predicts_as_the_pretrained_one_and_is_a_fresh_one",
}


def trials_of(method: GradientMethod, bench: Bench) -> Trials:
    return Trials(method, bench, hyper_parameters(method))


@pytest.mark.parametrize("broken", BROKEN, ids=lambda one: one.__name__)
def test_a_method_that_breaks_it_fails_the_test_of_that_promise_and_ft_does_not(
    bench: Bench, broken: Callable[[], GradientMethod], tmp_path: Path
) -> None:
    promise = getattr(CONTRACT, BROKEN[broken])
    told = {"tmp_path": tmp_path} if "checkpoint" in BROKEN[broken] else {}
    promise(trials_of(FineTuning(), bench), **told)
    with pytest.raises(AssertionError):
        promise(trials_of(broken(), bench), **{name: path / "broken" for name, path in told.items()})


def test_one_whose_exported_model_predicts_otherwise_is_found_out(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise = CONTRACT.test_its_models_come_out_and_plain_open_clip_predicts_the_same_bits_or_they_are_refused
    with pytest.raises(AssertionError, match=r"`portable` and `classifier` differ at 0\.5"):
        promise(trials_of(Doubled(), bench), True, tmp_path, monkeypatch)
    with pytest.raises(AssertionError):
        promise(trials_of(FineTuning(), bench), False, tmp_path, monkeypatch)


def test_one_that_trains_the_shared_model_is_found_out(bench: Bench) -> None:
    own = type(bench)(replace(bench.pretrained, clip=copy.deepcopy(bench.pretrained.clip)))  # it will be spoilt
    with pytest.raises(AssertionError):
        CONTRACT.test_it_leaves_what_trials_share_as_it_was(trials_of(Greedy(), own))


def test_one_that_looks_at_the_test_set_is_found_out(bench: Bench) -> None:
    with pytest.raises(InputError, match="id_test was opened"):
        CONTRACT.test_a_search_trial_opens_no_test_split_and_holds_id_val_alone(trials_of(Peeking(), bench), None)
    with pytest.raises(AssertionError):
        CONTRACT.test_test_labels_change_no_choice_and_no_weight_and_are_opened_last(trials_of(Peeking(), bench))


def test_one_that_takes_batches_whole_has_to_say_so(bench: Bench) -> None:
    class Lying(Whole):
        divisible = True  # type: ignore[assignment]

        def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
            raise TrialFailed("not in pieces")

    CONTRACT.test_micro_batches_give_the_whole_batch_s_gradient_or_are_refused(trials_of(Whole(), bench))
    with pytest.raises(TrialFailed, match="not in pieces"):
        CONTRACT.test_micro_batches_give_the_whole_batch_s_gradient_or_are_refused(trials_of(Lying(), bench))
