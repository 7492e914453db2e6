"""The base classes of ensembles: one model from several trials."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import nn

from flyp_sweep.search_spaces.complaints import counted
from flyp_sweep.trainers.ensembles.alpha_curve import AlphaCurve, OutputCurve
from flyp_sweep.trainers.ensembles.wise_ft import State, interpolate
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.evaluation.metrics import Scores
from flyp_sweep.trainers.methods.base import Method
from flyp_sweep.trainers.plugins import Labelled
from flyp_sweep.trainers.spec import Epoch, TrialSpec
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.fit import fit, found
from flyp_sweep.trainers.training.fitted import Fitted, point, report


class Ensemble(Labelled, ABC):
    """What all ensembles have in common. An ensemble is a `Soup` or a `Mixture`.

    Inherit the test suite `trainers.testing.ensemble_contract` to test every promise of an ensemble.
    """

    name: ClassVar[str]

    @abstractmethod
    def combine(self, members: Members) -> Generator[Epoch, None, Fitted]:
        """Make one model from the members, best first; yields at least one report."""

    def curve(self, method: Method, task: Task, fitted: Fitted) -> AlphaCurve:
        """The models between zero-shot and the ensemble. Default: interpolated in weight space."""
        return AlphaCurve(method, task, fitted)


class Soup(Ensemble):
    """One model from the weights of a search's completed trials: one soup per search seed."""

    tries_members: ClassVar[bool] = False
    """Whether it evaluates a model on `id_val` for every member; otherwise it evaluates only the soup."""


class Mixture(Ensemble):
    """A mixture of a repeat's outputs and the zero-shot model's outputs: one mixture per repeat.

    At alpha = 1 it equals the repeat, bit for bit, and at alpha = 0 the zero-shot model.
    """

    @abstractmethod
    def mixed(self, zero_shot: torch.Tensor, finetuned: torch.Tensor, alpha: float) -> torch.Tensor:
        """Logits [N, C] at an alpha between 0 and 1, from the two models' logits, in float32.

        Each row must depend only on the same row of the inputs, not on other images or on labels.
        """

    def combine(self, members: Members) -> Generator[Epoch, None, Fitted]:
        """Return its only member unchanged."""
        (member,) = members.specs
        own = yield from members.fit(member)
        fitted = replace(members.fitted(own.state), trained=own.trained)
        yield fitted.report
        return fitted

    def curve(self, method: Method, task: Task, fitted: Fitted) -> AlphaCurve:
        return OutputCurve(method, task, fitted, self.mixed)


@dataclass
class Members:
    """The trials that an ensemble combines: their weights, and the scores of their mixtures.

    `model` is a buffer for weights. `retrained` lists members that were retrained because their weights were missing.
    """

    method: Method
    task: Task
    model: nn.Module
    retrained: list[TrialSpec] = field(default_factory=list)

    @property
    def specs(self) -> tuple[TrialSpec, ...]:
        return self.task.spec.members

    def weights(self, member: TrialSpec) -> Generator[Epoch, None, State]:
        """The best weights of a trial, loaded or retrained, see `fit`."""
        return (yield from self.fit(member)).state

    def fit(self, member: TrialSpec) -> Generator[Epoch, None, Fitted]:
        """The fit of a trial: the kept one, or a new training with a report per epoch."""
        # A checkpoint holds one fit, so several members cannot use it; each is kept after its training instead.
        checkpoint = self.task.checkpoint if len(self.specs) == 1 else None
        task = replace(self.task, spec=member, checkpoint=checkpoint)
        kept, _ = found(self.method, task)
        if kept is not None:
            return kept
        fitted = yield from fit(self.method, task)
        self.retrained.append(member)
        return fitted

    def mixed(self, soup: State, member: State, share: float) -> State:
        """`soup` with a `share` of a member."""
        if shapes(soup) != shapes(member):
            raise TrialFailed("the models of its trials differ in shape and cannot be averaged; leave this method out")
        return interpolate(soup, member, share)

    def scores(self, state: State) -> Scores:
        """Scores on `id_val` of the model with these weights."""
        self.model.load_state_dict(state)
        return self.method.scores(self.model, self.task, self.task.id_val)

    def fitted(self, state: State) -> Fitted:
        """The ensemble with these weights, and one report."""
        scores = self.scores(state)
        return Fitted(state, scores, report(1, scores, 1, [point(1, scores)], self.notes), state)

    @property
    def notes(self) -> Iterator[str]:
        if self.retrained:
            count = f"{len(self.retrained)} of {counted(len(self.specs), 'trial')}"
            yield f"the weights of {count} were missing: these trials were trained again"


def shapes(state: State) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}
