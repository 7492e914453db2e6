"""What a method is: where it starts, what its loss is, how it predicts. How it is trained is `training`'s subject."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from flyp_sweep.search_spaces.distributions import Distribution
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.training import Optimizer
from flyp_sweep.trainers.datasets.base import Split
from flyp_sweep.trainers.evaluation.metrics import Scores, score
from flyp_sweep.trainers.evaluation.predict import Classifier, predict
from flyp_sweep.trainers.methods.domains import Domain, Number
from flyp_sweep.trainers.methods.portable import Portable, with_encoder
from flyp_sweep.trainers.models import layers
from flyp_sweep.trainers.models.images import encode_image
from flyp_sweep.trainers.models.prompts import zero_shot_head
from flyp_sweep.trainers.plugins import Labelled
from flyp_sweep.trainers.task import Task

MOMENTUM = 0.9
"""Of SGD."""


@dataclass(frozen=True)
class Batch:
    """A training batch: `images` [B, 3, H, W] normalised, `labels` int64 [B], and a stream for more chance.

    In place of images, a method that is trained `on_features` gets features [B, D]. `templates`, int64 [B], is the
    template that each image comes with; None: the method draws one. `drawn` is what `GradientMethod.draw` gave.
    `captions`, int64 [B, L], are the tokens of each image's own text, which takes the place of a prompt; None: there
    are none, or the method does not read them.
    """

    images: torch.Tensor
    labels: torch.Tensor
    rng: np.random.Generator
    templates: torch.Tensor | None = None
    drawn: tuple[torch.Tensor, ...] = ()
    captions: torch.Tensor | None = None


@dataclass(frozen=True)
class Step:
    """A step of the optimiser: its `number`, from 1, of the `total` of the training, and the learning rate that the
    schedule gave it, for parameters without one of their own."""

    number: int
    total: int
    lr: float


@dataclass(frozen=True)
class Group:
    """Parameters that the optimiser treats alike: `lr` is their learning rate after the warm-up."""

    parameters: Sequence[nn.Parameter]
    lr: float
    weight_decay: float


class Method(Labelled, ABC):
    """What all methods have: what they search, their zero-shot end, and how they predict.

    A method is a `GradientMethod` or a `SolvedMethod`. It must not change what `task.shared` holds, which other trials
    see too. `trainers.testing.method_contract`, a suite to inherit, tests all that a method promises.
    """

    name: str
    """Of a class, unless its instances have names of their own: those are no methods that a registry could make."""
    hparams: ClassVar[Mapping[str, Distribution | None]]
    """Hyper-parameter -> the distribution it is searched over when the YAML gives none; None: the YAML must."""
    in_place_of: ClassVar[Mapping[str, str]] = {}
    """Another name that the YAML may give -> the hyper-parameter whose place it takes: a strength in other units."""
    domains: ClassVar[Mapping[str, Domain]] = {}
    """Hyper-parameter -> the numbers, or words, it may be; other values are refused before a sweep starts. One that is
    not named here may be of the kind (number, text, true/false) of its default."""
    frozen_encoder: ClassVar[bool] = False
    """The image encoder stays as pretrained: the classifier takes cached features [B, D] in place of images."""
    seeded: ClassVar[bool] = True
    """False where neither chance nor the training images play a part: one repeat, no interval, nothing to interpolate.
    """
    deterministic: ClassVar[bool] = False
    """True where the same training images and the same configuration give the same model, whatever the seed.

    Such a method runs once on the whole training split. In few-shot cells the seed draws the images: it runs on every
    seed there, like any other method. A subclass that draws at random says False again.
    """

    retrieves: ClassVar[bool] = False
    """Its models have both encoders, so that images and captions can be compared: `classifier` returns a `TwoTowers`.
    With a `frozen_encoder` both are the pretrained ones."""

    open_vocabulary: ClassVar[bool] = False
    """It predicts by prompts of classes, which may be others than those of training: with a task of other classes,
    `zero_shot`, `export` and `classifier` make a model of these from what was trained."""

    @abstractmethod
    def zero_shot(self, task: Task) -> nn.Module:
        """A fresh model that predicts as the pretrained one does zero-shot: alpha = 0 of WiSE-FT.

        Its state dict has the names that a fitted one has.
        """

    def unfitted(self, task: Task) -> nn.Module:
        """A fresh model of the form that a fit has: what is kept of a fit are the weights that differ from its weights.

        The zero-shot one, unless a method trains a model of another form than it predicts with.
        """
        return self.zero_shot(task)

    def classifier(self, model: nn.Module, task: Task) -> Classifier:
        """A function from a batch to logits [B, C]; what can be computed once for many batches is computed here."""
        return model

    def export(self, state: dict[str, torch.Tensor], task: Task) -> dict[str, torch.Tensor]:
        """The weights that a fit gives, from those of its best epoch: WiSE-FT interpolates them with `zero_shot`'s.

        The fit's own weights, unless a method trains a model of another form than it predicts with.
        """
        return state

    def portable(self, model: nn.Module, task: Task) -> Portable:
        """What `model`, of the form of `zero_shot`'s, consists of in open_clip's terms: `flyp-sweep export` writes it.

        Its logits are those of `classifier`, to the bit. By default that is known of an `ImageClassifier`, of a linear
        layer over the frozen encoder's features, and of an open_clip model that predicts by its prompts. Raises
        InputError for a model of another form: its method defines this hook.
        """
        if isinstance(model, ImageClassifier):
            return Portable(with_encoder(model.encoder, task), model.head.weight, model.head.bias)
        if isinstance(model, nn.Linear) and self.frozen_encoder:
            return Portable(task.pretrained.clip, model.weight, model.bias)
        if type(model) is type(task.pretrained.clip):
            return Portable(model, zero_shot_head(model, task.prompts))
        raise InputError(
            f"{self.name}: its model is a {type(model).__name__}, of which no folder for open_clip can be made; define "
            f"{type(self).__name__}.portable(model, task), which returns a flyp_sweep.Portable"
        )

    def notes(self, task: Task) -> list[str]:
        """What a reader of the fit's result should know, a sentence each: the `notes` of its ledger line."""
        return []

    @torch.no_grad()
    def ready(self, model: nn.Module, task: Task) -> Classifier:
        """The classifier of `model` as it now is, in evaluation mode."""
        model.eval()
        return self.classifier(model, task)

    def logits(self, model: nn.Module, task: Task, split: Split) -> torch.Tensor:
        """Logits [N, C] of `model` on all of `split`."""
        return predict(self.ready(model, task), task, split, self.frozen_encoder)

    def scores(self, model: nn.Module, task: Task, split: Split) -> Scores:
        """The scores of `model` on all of `split`."""
        return score(self.logits(model, task, split), split)


class SolvedMethod(Method):
    """A method without epochs: its model is computed at once."""

    @abstractmethod
    def solve(self, task: Task) -> nn.Module:
        """The fitted model."""


class GradientMethod(Method):
    """A method that the shared training loop fits.

    The loop calls `start` and `optimizer` once; for every batch `draw`, `inputs`, `encode` and `joint_loss` and, after
    the optimiser's step, `after_step`; after every epoch `classifier`, for the evaluation on `id_val`; at the end
    `export`. The loop trains the parameters of `start`'s model that require a gradient. `lr` and `weight_decay` are
    those of the optimiser, unless `parameter_groups` says otherwise.

    Where memory is short, `encode` is called twice on each of several chunks of `inputs`, and `joint_loss` on all
    outputs put together. A method that defines `loss` in place of the three is given whole batches alone.

    Between epochs nothing is kept but the model's parameters and buffers, the optimiser's state and the curve: a trial
    may go on in another process.
    """

    hparams = {"lr": None, "weight_decay": None}
    pairs_templates: ClassVar[bool] = False
    """Each image of a batch comes with a template: `train.pairs` may then draw both together."""
    reads_captions: ClassVar[bool] = False
    """Its loss takes the captions of training images, where there are some, in place of prompts of their classes."""
    smooths_labels: ClassVar[bool] = False
    """Its loss has a cross-entropy over the classes, by `label_loss`, which reads `train.label_smoothing`."""
    decays_layers: ClassVar[bool] = True
    """It trains layers below the top of an encoder, which `train.layer_decay` tells apart."""
    on_features: ClassVar[bool] = False
    """It is trained on the frozen encoder's features of the images as evaluation sees them: without augmentation."""
    domains = {"lr": Number(above=0), "weight_decay": Number(least=0)}

    def start(self, task: Task) -> nn.Module:
        """The model as training finds it; the zero-shot one unless a method says otherwise."""
        return self.zero_shot(task)

    def parameter_groups(self, model: nn.Module, task: Task) -> list[Group]:
        """The parameters to train: by default all of `model` that require a gradient, at the trial's `lr`.

        With `train.layer_decay` the rate is multiplied by the decay for each layer from the top of a tower.
        """
        lr, decay = task.hparams["lr"], task.spec.layer_decay
        below = layers.distances(model, task.pretrained.clip) if decay != 1 else {}
        trained: dict[int, list[nn.Parameter]] = {}
        for parameter in model.parameters():
            if parameter.requires_grad:
                trained.setdefault(below.get(id(parameter), 0), []).append(parameter)
        return [Group(own, lr * decay**at, task.hparams["weight_decay"]) for at, own in sorted(trained.items())]

    def optimizer(self, model: nn.Module, task: Task) -> torch.optim.Optimizer:
        """The optimiser of `parameter_groups`. A method that changes steps adds hooks to it (`register_step_*_hook`).

        The loop gives each group the rate of its `base_lr` by the schedule, before every step.
        """
        return make_optimizer(self.parameter_groups(model, task), task.spec.optimizer)

    def draw(self, batch: Batch, task: Task) -> tuple[torch.Tensor, ...]:
        """What is drawn from `batch.rng` for the batch as a whole: `joint_loss` finds it in `batch.drawn`."""
        return ()

    def inputs(self, batch: Batch, task: Task) -> tuple[torch.Tensor, ...]:
        """What `encode` takes of a batch of B images, each [B, ...]. What rows draw from `batch.rng` is drawn here."""
        return (batch.images,)

    def encode(self, model: nn.Module, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        """Outputs, each [b, ...], of the b rows of `inputs`: every row of its own, whatever the others are.

        Integers among the outputs have no gradient.
        """
        raise self._undefined()

    def joint_loss(self, model: nn.Module, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        """The loss of one batch, a scalar, from its `outputs`, each [B, ...]."""
        raise self._undefined()

    def _undefined(self) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__} has neither `encode` and `joint_loss` nor a `loss`")

    def loss(self, model: nn.Module, batch: Batch, task: Task) -> torch.Tensor:
        """The loss of one batch, a scalar; what the batch has not `drawn` is drawn here."""
        batch = replace(batch, drawn=batch.drawn or self.draw(batch, task))
        return self.joint_loss(model, self.encode(model, self.inputs(batch, task), task), batch, task)

    @property
    def divisible(self) -> bool:
        """Whether a batch can be encoded in chunks: not where `loss` may be something else than its three parts."""
        return type(self).loss is GradientMethod.loss

    @property
    def has_loss(self) -> bool:
        """Whether it defines its loss: as `encode` and `joint_loss`, or as `loss`."""
        own = type(self)
        parts = own.encode is not GradientMethod.encode and own.joint_loss is not GradientMethod.joint_loss
        return parts or not self.divisible

    def after_step(self, model: nn.Module, task: Task, step: Step) -> None:
        """Called after every step of the optimiser, e.g. to keep a parameter within bounds."""


def make_optimizer(groups: Sequence[Group], kind: Optimizer) -> torch.optim.Optimizer:
    """AdamW, or SGD with momentum, over `groups`."""
    told = [
        {"params": list(one.parameters), "lr": one.lr, "base_lr": one.lr, "weight_decay": one.weight_decay}
        for one in groups
    ]
    fused = not any(one.is_meta for group in groups for one in group.parameters)  # there are no kernels without memory
    if kind == "sgd":
        return torch.optim.SGD(told, momentum=MOMENTUM, fused=fused)
    return torch.optim.AdamW(told, fused=fused)


class ImageClassifier(nn.Module):
    """An image encoder and a linear head over its normalised features.

    `weight` is [C, D], `bias` [C] or None for zeros. Maps images [B, 3, H, W] to logits [B, C].
    """

    def __init__(self, encoder: nn.Module, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = linear_head(weight, bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised features [B, D]."""
        return encode_image(self.encoder, images)


def linear_head(weight: torch.Tensor, bias: torch.Tensor | None = None) -> nn.Linear:
    """A linear layer with a copy of `weight` [C, D] and `bias` [C] (None: zeros)."""
    classes, width = weight.shape
    # Random initial weights, soon overwritten, would be drawn from the process's global stream.
    head = nn.utils.skip_init(nn.Linear, width, classes, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.zero_() if bias is None else head.bias.copy_(bias)
    return head
