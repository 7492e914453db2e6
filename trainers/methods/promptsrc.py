"""PromptSRC: learned words and image tokens, regularised towards the pretrained model and averaged over epochs."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.trainers.evaluation.predict import Classifier
from flyp_sweep.trainers.methods.base import Batch, Step
from flyp_sweep.trainers.methods.car_ft import divergence
from flyp_sweep.trainers.methods.cocoop import first_context
from flyp_sweep.trainers.methods.coop import DEVIATION
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.flyp_ce import dealt
from flyp_sweep.trainers.methods.label_loss import label_loss
from flyp_sweep.trainers.methods.maple import MaPLe, image_tower
from flyp_sweep.trainers.methods.trailing import Trailing
from flyp_sweep.trainers.models.images import encode_image
from flyp_sweep.trainers.task import Task


class Independent(nn.Module):
    """Words [M, width of the text tower] and tokens [M, width of the image tower] per layer.

    `share` is the weight of the prompts' logits; the zero-shot logits have the rest.
    """

    def __init__(self, words: list[torch.Tensor], patches: list[torch.Tensor], share: float) -> None:
        super().__init__()
        self.words = nn.ParameterList(map(nn.Parameter, words))
        self.patches = nn.ParameterList(map(nn.Parameter, patches))
        self.share: torch.Tensor
        self.register_buffer("share", words[0].new_tensor(share))


class PromptSRC(MaPLe):
    """Self-regulating prompts (Khattak et al., 2023b): as `maple`, with separate image tokens and three
    regularisations.

    1. The loss adds three terms to the cross-entropy. `text_weight` and `image_weight` weigh the mean absolute
       differences between the normalised features of classes and of images and the pretrained model's. The third is
       the divergence KL(zero-shot || prompts) of the predictions, divided by the number of classes as in the code.
    2. The prompts are averaged over epochs. Epoch e of E has the weight of a normal density at e / E, with mean
       `average_mean` and deviation `average_deviation`. The average predicts. An epoch is evaluated with the average
       so far.
    3. The pretrained class features average many templates: here those of the zero-shot head, there 60 of ImageNet's.

    The M = `context_tokens` words and as many image tokens are in the first `prompt_depth` layers of the towers.
    Compared with the authors' code, not with the paper's text. Defaults are the code's for few shots. There, mean and
    deviation are 30 and 30 of 50 epochs, or 45 and 5 for fine-grained data sets. The authors' numbers were not
    reproduced. They train by SGD at 0.0025 on batches of 4 images.
    """

    name = "promptsrc"
    label = "PromptSRC"
    summary = "as maple, with image tokens of their own, held to the pretrained model, and averaged over epochs"
    hparams = {
        **MaPLe.hparams,
        "context_tokens": Constant(4),
        "text_weight": Constant(25.0),
        "image_weight": Constant(10.0),
        "average_mean": Constant(0.6),
        "average_deviation": Constant(0.6),
    }
    domains = {
        **MaPLe.domains,
        "text_weight": Number(least=0),
        "image_weight": Number(least=0),
        "average_mean": Number(least=0),
        "average_deviation": Number(above=0),
    }

    def zero_shot(self, task: Task) -> nn.Module:
        return Trailing(independent(task, share=0.0), independent(task, share=0.0))

    def start(self, task: Task) -> nn.Module:
        return Trailing(independent(task, share=1.0), independent(task, share=1.0))

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            pretrained = encode_image(task.pretrained.clip.visual, inputs[0])
        return *super().encode(model.current, inputs, task), pretrained

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        images, texts, pretrained = outputs
        texts, scale = dealt(texts, task), task.pretrained.clip.logit_scale.detach().exp()
        logits, zero_shot = scale * images @ texts.T, pretrained @ task.zero_shot_head.T
        kept = divergence(zero_shot, logits) / logits.shape[1]
        of_texts = task.hparams["text_weight"] * F.l1_loss(texts, F.normalize(task.zero_shot_head, dim=1))
        of_images = task.hparams["image_weight"] * F.l1_loss(images, pretrained)
        return label_loss(logits, batch, task) + kept + of_texts + of_images

    def after_step(self, model: Any, task: Task, step: Step) -> None:
        epochs = task.spec.epochs
        if step.number % (step.total // epochs) == 0:
            epoch = step.number * epochs // step.total
            model.follow(share(epoch, epochs, task.hparams["average_mean"], task.hparams["average_deviation"]))

    def classifier(self, model: Any, task: Task) -> Classifier:
        return super().classifier(model.average, task)


def share(epoch: int, epochs: int, mean: float, deviation: float) -> float:
    """The weight of an epoch, from 1, in the average over the epochs so far: 1 for the first one."""
    logs = [-0.5 * ((one / epochs - mean) / deviation) ** 2 for one in range(1, epoch + 1)]
    return math.exp(logs[-1] - max(logs)) / sum(math.exp(one - max(logs)) for one in logs)


def independent(task: Task, share: float) -> Independent:
    """The initial prompts, with the given share of their logits."""
    generator = torch.Generator().manual_seed(int(task.stream("context").integers(2**63)))
    first, depth = first_context(task, generator), task.hparams["prompt_depth"]
    width = image_tower(task).conv1.out_channels
    deep = DEVIATION * torch.randn(depth - 1, *first.shape, generator=generator)
    patches = DEVIATION * torch.randn(depth, len(first), width, generator=generator)
    return Independent([first, *deep.to(first)], list(patches.to(first)), share)
