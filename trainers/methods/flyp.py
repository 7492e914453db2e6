"""FLYP: fine-tune like you pretrain."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.evaluation.predict import Classifier, TwoTowers
from flyp_sweep.trainers.methods.base import Batch, GradientMethod, Step
from flyp_sweep.trainers.methods.portable import Portable
from flyp_sweep.trainers.models.objectives import Captioning
from flyp_sweep.trainers.models.prompts import zero_shot_head
from flyp_sweep.trainers.task import Task


class FLYP(GradientMethod):
    """The loss of the model's pretraining, between images and prompts of their classes (Goyal et al., 2023, Section 3).

    It trains both encoders and the loss's own parameters (logit scale, SigLIP's bias, CoCa's decoder). In each step,
    every image gets a random template, or its caption if training images have captions.

    After each step the logit scale is clamped to the bound of the model's family, or to its loaded value if that is
    larger. FLYP's code has no bound; no run of ours with a CLIP has reached it.
    """

    name = "flyp"
    label = "FLYP"
    summary = "both encoders and the logit scale, the loss of the model's pretraining"
    retrieves = True
    open_vocabulary = True
    pairs_templates = True
    reads_captions = True

    def zero_shot(self, task: Task) -> nn.Module:
        return copy.deepcopy(task.pretrained.clip)

    def inputs(self, batch: Batch, task: Task) -> tuple[torch.Tensor, ...]:
        return batch.images, texts_of(batch, task)

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        images, tokens = inputs
        return task.pretrained.objective.encode(model, images, tokens)

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        return task.pretrained.objective.joint_loss(model, outputs)

    def after_step(self, model: Any, task: Task, step: Step) -> None:
        task.pretrained.objective.keep_in_bounds(model, task.pretrained.clip.logit_scale)

    def classifier(self, model: Any, task: Task) -> Classifier:
        """Zero-shot prediction with the model's own encoders."""
        return TwoTowers(model, self.head(model, task))

    def head(self, model: Any, task: Task) -> torch.Tensor:
        """Weights [C, D] of the head from the prompts."""
        return zero_shot_head(model, task.prompts)

    def portable(self, model: Any, task: Task) -> Portable:
        return Portable(model, self.head(model, task))


def texts_of(batch: Batch, task: Task) -> torch.Tensor:
    """Tokens [B, L] of each image's text: its caption, or, without captions, a prompt of its class."""
    if batch.captions is not None:
        return batch.captions
    return task.prompts[batch.labels, templates_of(batch, task)]


def templates_of(batch: Batch, task: Task) -> torch.Tensor:
    """The template of each image, int64 [B]: the batch's, or a random one."""
    if batch.templates is not None:
        return batch.templates
    return torch.from_numpy(batch.rng.integers(task.prompts.shape[1], size=len(batch.labels))).to(task.device)


def without_captions(method: str, task: Task) -> None:
    """Raise TrialFailed for a model with a captioning objective: `method` encodes texts in its own way."""
    if isinstance(task.pretrained.objective, Captioning):
        raise TrialFailed(
            f"{method}: found {task.pretrained.arch}, whose pretraining also wrote captions; expected a model with "
            "features of images and texts alone, or method flyp, flyp_masked or flyp_ce"
        )
