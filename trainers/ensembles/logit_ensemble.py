"""The logit ensemble: a repeat whose logits are mixed with the zero-shot model's."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import torch

from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.ensembles.alpha_curve import AlphaCurve, Logits, zero_shot_logits
from flyp_sweep.trainers.ensembles.base import Ensemble, Members
from flyp_sweep.trainers.ensembles.wise_ft import between
from flyp_sweep.trainers.spec import Epoch
from flyp_sweep.trainers.training.fitted import Fitted


class LogitCurve(AlphaCurve):
    """The models between zero-shot and fine-tuned: logits = alpha * finetuned + (1 - alpha) * zero_shot.

    The fine-tuned model alone has to see the images; those of the zero-shot one are common to all trials.
    """

    def seeing(self, alphas: Iterable[float]) -> list[float]:
        return [1.0] if super().seeing(alphas) else []

    def joined(self, split: Split, logits: Logits, alphas: Iterable[float]) -> dict[float, torch.Tensor]:
        own = self.task.joined(logits.pop(1.0), split).float()
        zero_shot = zero_shot_logits(self.task, split).float()
        return {alpha: between(zero_shot, own, alpha) for alpha in super().seeing(alphas)}


class LogitEnsemble(Ensemble):
    """The one member as it is, which WiSE-FT mixes with the zero-shot model in logits instead of weights."""

    name = "logit_ensemble"
    curve = LogitCurve

    def combine(self, members: Members) -> Generator[Epoch, None, Fitted]:
        (member,) = members.specs
        fitted = members.fitted((yield from members.weights(member)))
        yield fitted.report
        return fitted
