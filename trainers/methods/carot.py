"""CaRot: FLYP with an orthogonal image projection, distilled from a moving average of itself."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.evaluation.predict import Classifier
from flyp_sweep.trainers.methods.base import Batch, Step
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.flyp import FLYP, without_captions
from flyp_sweep.trainers.methods.portable import Portable
from flyp_sweep.trainers.methods.trailing import Trailing
from flyp_sweep.trainers.task import Task

PROJECTIONS = (("attnpool", "c_proj"), ("head", "proj"))
"""Where open_clip's image encoders have a projection that is a linear layer of a submodule."""
FIRST_DECAY, RISE = 0.05, 0.2
"""The teacher's first decay, and the share of all steps during which the decay rises to `teacher_decay`."""


class CalibratedRobust(FLYP):
    """FLYP's loss plus two terms.

    - `orthogonality` times the Frobenius norm of W'W - I, for the image projection W [width, D].
    - `distillation` times the cross-entropy between the batch's similarities, from images to texts and back, and those
      of a teacher.

    The teacher is a moving average of the weights. It is updated after steps 1, 1 + `teacher_every`, ... Its decay
    rises linearly from 0.05 to `teacher_decay` in the first fifth of the training. The student predicts.

    Source: Oh et al. (2024), Section 4. Losses, teacher and defaults are those of the authors' code, with 0.2 and 1.5
    from its command for ImageNet. That command also adds 0.05 times the norm of the product of both projections, which
    is omitted here.
    """

    name = "carot"
    label = "CaRot"
    summary = "as flyp, plus orthogonality of the image projection and distillation from a moving average"
    hparams = {
        **FLYP.hparams,
        "orthogonality": Constant(0.2),
        "distillation": Constant(1.5),
        "teacher_every": Constant(500),
        "teacher_decay": Constant(0.9),
    }
    domains = {
        **FLYP.domains,
        "orthogonality": Number(least=0),
        "distillation": Number(least=0),
        "teacher_every": Number(least=1, whole=True),
        "teacher_decay": Number(least=0, below=1),
    }

    def zero_shot(self, task: Task) -> nn.Module:
        return Trailing(super().zero_shot(task), super().zero_shot(task))

    def start(self, task: Task) -> nn.Module:
        without_captions(self.name, task)
        if projection(task.pretrained.clip.visual) is None:
            raise TrialFailed(
                f"{self.name}: found {task.pretrained.arch}, whose image encoder has no linear projection; expected one"
            )
        return super().start(task)

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            taught = super().encode(model.average, inputs, task)
        return super().encode(model.current, inputs, task) + taught

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        images, texts, taught_images, taught_texts = outputs
        logits = model.current.logit_scale.exp() * images @ texts.T
        taught = (model.average.logit_scale.exp() * taught_images @ taught_texts.T).detach()
        weights = projection(model.current.visual)
        assert weights is not None, "`start` refuses such a model"
        loss = super().joint_loss(model.current, (images, texts), batch, task)
        loss = loss + task.hparams["orthogonality"] * away_from_orthogonal(weights)
        return loss + task.hparams["distillation"] * (distilled(logits, taught) + distilled(logits.T, taught.T))

    def after_step(self, model: Any, task: Task, step: Step) -> None:
        super().after_step(model.current, task, step)
        if (step.number - 1) % task.hparams["teacher_every"] == 0:
            model.follow(1 - decay(step, task.hparams["teacher_decay"]))

    def classifier(self, model: Any, task: Task) -> Classifier:
        return super().classifier(model.current, task)

    def portable(self, model: Any, task: Task) -> Portable:
        return super().portable(model.current, task)


def projection(visual: Any) -> torch.Tensor | None:
    """The matrix [width, D] that projects into the shared space of images and texts; None if the encoder has none."""
    weights = projector(visual)
    return weights if weights is None or weights is getattr(visual, "proj", None) else weights.T


def projector(visual: Any) -> torch.Tensor | None:
    """The parameter that holds the projection: [width, D], or [D, width] in a linear layer."""
    own = getattr(visual, "proj", None)
    if isinstance(own, nn.Parameter):
        return own
    layers = [getattr(getattr(visual, holder, None), name, None) for holder, name in PROJECTIONS]
    if hasattr(visual, "trunk"):  # timm: its classifier is the projection, unless open_clip adds a layer
        layers.append(visual.trunk.get_classifier())
    return next((layer.weight for layer in layers if isinstance(layer, nn.Linear)), None)


def away_from_orthogonal(weights: torch.Tensor) -> torch.Tensor:
    """Frobenius norm of W'W - I, a scalar, for `weights` [width, D]."""
    gram = weights.T @ weights
    return (gram - torch.eye(len(gram), dtype=gram.dtype, device=gram.device)).norm()


def distilled(logits: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
    """Mean over rows of the cross-entropy, in nats, of the softmax of `logits` with that of `taught`, [B, B] both."""
    return F.cross_entropy(logits, taught.softmax(dim=1))


def decay(step: Step, last: float) -> float:
    """The teacher's decay after `step`: the share of its weights that it keeps."""
    risen = min(1.0, (step.number - 1) / (RISE * step.total))
    return FIRST_DECAY + (last - FIRST_DECAY) * risen
