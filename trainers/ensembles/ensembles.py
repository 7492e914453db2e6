"""Ensembles of trials: soups of the models of a search, and a repeat whose logits are mixed with the zero-shot ones.

An ensemble is a trial like any other: its specification names what it is made of, and so determines its result.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from flyp_sweep.search_spaces.ensembles import GREEDY_SOUP, LOGIT_ENSEMBLE
from flyp_sweep.trainers.evaluation.alpha_curve import AlphaCurve, LogitCurve
from flyp_sweep.trainers.evaluation.predict import Scores, score
from flyp_sweep.trainers.evaluation.wise_ft import State, interpolate
from flyp_sweep.trainers.methods.base import Method
from flyp_sweep.trainers.spec import Epoch, TrialSpec
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.training.failure import TrialFailed
from flyp_sweep.trainers.training.loop import Fitted, point, predict, report


def ensemble(method: Method, task: Task) -> Generator[Epoch, None, AlphaCurve]:
    """The models between zero-shot and the ensemble of the task. Raises TrialFailed where a member cannot be trained.

    `members` of the specification come best first: hyper-parameters that a model is made with, or predicts with, are
    those of the best.
    """
    best = replace(task, spec=replace(task.spec, hparams=task.spec.members[0].hparams))
    pot = Pot(method, best, method.zero_shot(best))
    name = task.spec.cell.ensemble
    fitted = yield from (greedy if name == GREEDY_SOUP else uniform)(pot)
    return (LogitCurve if name == LOGIT_ENSEMBLE else AlphaCurve)(method, best, fitted)


@dataclass
class Pot:
    """Where an ensemble is made: `model` is a place to put weights; `trained` are members whose weights were gone."""

    method: Method
    task: Task
    model: nn.Module
    trained: list[TrialSpec] = field(default_factory=list)

    @property
    def members(self) -> tuple[TrialSpec, ...]:
        return self.task.spec.members

    def weights(self, member: TrialSpec) -> Generator[Epoch, None, State]:
        """The best weights of a trial: those that were kept, else it is trained again, with a report per epoch."""
        kept = self.task.kept
        state = None if kept is None else kept.find(member)
        if state is not None and shapes(state) != shapes(self.model.state_dict()):
            state = None
        if not self.task.ranks.any(state is None):
            assert state is not None
            return {name: tensor.to(self.task.device) for name, tensor in state.items()}
        # The one checkpoint of this trial can hold one fit; of several members each is kept once it is trained.
        checkpoint = self.task.checkpoint if len(self.members) == 1 else None
        task = replace(self.task, spec=member, checkpoint=checkpoint)
        fitted = yield from self.method.fit(task)
        task.keep(fitted.state)
        self.trained.append(member)
        return fitted.state

    def mixed(self, soup: State, member: State, share: float) -> State:
        """`soup` with a `share` of a member."""
        if shapes(soup) != shapes(member):
            raise TrialFailed("the models of its trials differ in shape and cannot be averaged; leave this method out")
        return interpolate(soup, member, share)

    def scores(self, state: State) -> Scores:
        """Scores on `id_val` of the model with these weights."""
        self.model.load_state_dict(state)
        split = self.task.id_val
        return score(predict(self.method, self.model, self.task, split), split)

    @property
    def notes(self) -> Iterator[str]:
        if self.trained:
            count = f"{len(self.trained)} of {len(self.members)}"
            yield f"the weights of {count} trials that it is made of were gone: these were trained again"


def uniform(pot: Pot) -> Generator[Epoch, None, Fitted]:
    """The mean of the weights of all members: of one, these themselves (Wortsman et al., 2022, Table 2)."""
    soup: State = {}
    for count, member in enumerate(pot.members, start=1):
        state = yield from pot.weights(member)
        soup = pot.mixed(soup, state, 1 / count) if soup else state
    scores = pot.scores(soup)
    fitted = Fitted(dict(soup), scores, report(1, scores, 1, [point(1, scores)], pot.notes))
    yield fitted.report
    return fitted


def greedy(pot: Pot) -> Generator[Epoch, None, Fitted]:
    """The mean of the weights of those members that do not lower its score on `id_val` (the same, Recipe 1).

    The best member comes first, so the soup's score is never below that one's. A report per member, with the soup that
    it was tried in as a point of the curve, and whether it was `taken`.
    """
    soup: State = {}
    best: Scores | None = None
    taken, last, curve = 0, 0, []
    for number, member in enumerate(pot.members, start=1):
        state = yield from pot.weights(member)
        tried = pot.mixed(soup, state, 1 / (taken + 1)) if soup else state
        scores = pot.scores(tried)
        is_finite = math.isfinite(scores.loss)
        is_taken = best is None or (is_finite and scores.score >= best.score)
        if is_taken or best is None:
            soup, best, taken, last = tried, scores, taken + 1, number
        if is_finite:
            curve.append(point(number, scores, taken=float(is_taken)))
        yield report(number, best, last, curve, pot.notes)
    assert best is not None, "an ensemble has a member"
    return Fitted(dict(soup), best, report(len(pot.members), best, last, curve, pot.notes))


def shapes(state: State) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}
