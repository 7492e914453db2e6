"""The base classes of methods: starting model, loss and prediction. The room `training` holds the training loop."""

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
"""The momentum of SGD."""


@dataclass(frozen=True)
class Batch:
    """A training batch: `images` [B, 3, H, W] normalised, `labels` int64 [B], and a random stream `rng`.

    A method with `on_features` gets features [B, D] as `images`. `templates`, int64 [B], holds one template index per
    image; None: the method draws them. `drawn` is the result of `GradientMethod.draw`. `captions`, int64 [B, L], holds
    the tokens of each image's own text, which replaces the prompt; None: the data has no captions, or the method does
    not read them.
    """

    images: torch.Tensor
    labels: torch.Tensor
    rng: np.random.Generator
    templates: torch.Tensor | None = None
    drawn: tuple[torch.Tensor, ...] = ()
    captions: torch.Tensor | None = None


@dataclass(frozen=True)
class Step:
    """One optimiser step: its `number`, from 1, out of `total` steps, and the scheduled learning rate `lr`.

    Groups with a learning rate of their own follow the same schedule from their own base.
    """

    number: int
    total: int
    lr: float


@dataclass(frozen=True)
class Group:
    """Parameters with common optimiser settings: `lr` is their learning rate after the warm-up."""

    parameters: Sequence[nn.Parameter]
    lr: float
    weight_decay: float


class Method(Labelled, ABC):
    """What all methods have in common: hyper-parameters, the zero-shot model, and prediction.

    A method is a `GradientMethod` or a `SolvedMethod`. It must not change the contents of `task.shared`: other trials
    read them too. Inherit the test suite `trainers.testing.method_contract` to test every promise of a method.
    """

    name: str
    """The name in the search space. Set it on the class; the registry skips classes that set it per instance."""
    hparams: ClassVar[Mapping[str, Distribution | None]]
    """Hyper-parameter -> its default distribution; None: the search space must give one."""
    in_place_of: ClassVar[Mapping[str, str]] = {}
    """Alternative name in the YAML -> the hyper-parameter that it replaces: the same strength in other units."""
    domains: ClassVar[Mapping[str, Domain]] = {}
    """Hyper-parameter -> its allowed numbers or words; the preflight refuses other values. A hyper-parameter without an
    entry must have the kind (number, text, true/false) of its default."""
    frozen_encoder: ClassVar[bool] = False
    """The image encoder stays pretrained: the classifier takes cached features [B, D] instead of images."""
    seeded: ClassVar[bool] = True
    """False if the result depends on neither chance nor the training images. Such a method runs one repeat, gets no
    interval and is not interpolated."""
    deterministic: ClassVar[bool] = False
    """True if the same training images and configuration give the same model for every seed.

    Such a method runs once on the whole training split. In few-shot cells the seed draws the images, so the method runs
    on every seed there. A subclass that draws at random must set False again.
    """

    retrieves: ClassVar[bool] = False
    """Its models have an image and a text encoder, so images and captions can be compared: `classifier` returns a
    `TwoTowers`. With `frozen_encoder` both encoders are the pretrained ones."""

    open_vocabulary: ClassVar[bool] = False
    """It predicts with class prompts, so it can predict new classes. Given a task with other classes, `zero_shot`,
    `export` and `classifier` build a model for those classes from the trained weights."""

    @abstractmethod
    def zero_shot(self, task: Task) -> nn.Module:
        """A fresh model with the pretrained model's zero-shot predictions: alpha = 0 of WiSE-FT.

        Its state dict has the same names as that of a fitted model.
        """

    def unfitted(self, task: Task) -> nn.Module:
        """A fresh model with the architecture of the trained one. A run keeps only the weights that differ from it.

        Default: `zero_shot`. Override it if the trained model and the predicting model differ in form.
        """
        return self.zero_shot(task)

    def classifier(self, model: nn.Module, task: Task) -> Classifier:
        """A function from a batch to logits [B, C]. Compute here, once, whatever all batches have in common."""
        return model

    def export(self, state: dict[str, torch.Tensor], task: Task) -> dict[str, torch.Tensor]:
        """Convert the trained weights of the best epoch to the weights that predict.

        WiSE-FT interpolates the result with `zero_shot`'s weights. Default: `state` itself. Override it if the trained
        model and the predicting model differ in form.
        """
        return state

    def portable(self, model: nn.Module, task: Task) -> Portable:
        """`model`, a model like `zero_shot`'s, as open_clip parts: `flyp-sweep export` writes them to a folder.

        Its logits equal those of `classifier`, bit for bit. The default handles an `ImageClassifier`, a linear layer
        over the frozen encoder's features, and an open_clip model that predicts with its prompts. Raises InputError for
        other models: their methods must override this hook.
        """
        if isinstance(model, ImageClassifier):
            return Portable(with_encoder(model.encoder, task), model.head.weight, model.head.bias)
        if isinstance(model, nn.Linear) and self.frozen_encoder:
            return Portable(task.pretrained.clip, model.weight, model.bias)
        if type(model) is type(task.pretrained.clip):
            return Portable(model, zero_shot_head(model, task.prompts))
        raise InputError(
            f"{self.name}: its model is a {type(model).__name__}, which cannot be exported as a folder for open_clip; "
            f"define {type(self).__name__}.portable(model, task), which returns a flyp_sweep.Portable"
        )

    def notes(self, task: Task) -> list[str]:
        """Sentences for the reader of the fit's result: the `notes` of its ledger line."""
        return []

    @torch.no_grad()
    def ready(self, model: nn.Module, task: Task) -> Classifier:
        """The classifier of `model` with its current weights, in evaluation mode."""
        model.eval()
        return self.classifier(model, task)

    def logits(self, model: nn.Module, task: Task, split: Split) -> torch.Tensor:
        """Logits [N, C] of `model` on all of `split`."""
        return predict(self.ready(model, task), task, split, self.frozen_encoder)

    def scores(self, model: nn.Module, task: Task, split: Split) -> Scores:
        """The scores of `model` on all of `split`."""
        return score(self.logits(model, task, split), split)


class SolvedMethod(Method):
    """A method without epochs: `solve` computes its model at once."""

    @abstractmethod
    def solve(self, task: Task) -> nn.Module:
        """The fitted model."""


class GradientMethod(Method):
    """A method that the shared training loop fits.

    The loop calls the hooks in this order:

    - once: `start`, `optimizer`;
    - per batch: `draw`, `inputs`, `encode`, `joint_loss`, then, after the optimiser's step, `after_step`;
    - per epoch: `classifier`, to evaluate on `id_val`;
    - at the end: `export`.

    The loop trains those parameters of `start`'s model that require a gradient. `lr` and `weight_decay` apply to all of
    them, unless `parameter_groups` overrides this.

    If memory is short, the loop divides the `inputs` into chunks, calls `encode` twice per chunk, and calls
    `joint_loss` on the concatenated outputs. A method that overrides `loss` instead always gets whole batches.

    The only state between epochs is: the model's parameters and buffers, the optimiser's state, and the curve. A trial
    may resume in another process.
    """

    hparams = {"lr": None, "weight_decay": None}
    pairs_templates: ClassVar[bool] = False
    """Each image of a batch comes with a template: `train.pairs` may then draw images and templates together."""
    reads_captions: ClassVar[bool] = False
    """Its loss reads the captions of training images, if the data has any, instead of class prompts."""
    smooths_labels: ClassVar[bool] = False
    """Its loss has a cross-entropy over the classes, computed by `label_loss`, which reads `train.label_smoothing`."""
    decays_layers: ClassVar[bool] = True
    """It trains layers below the top of an encoder, so `train.layer_decay` changes their learning rates."""
    on_features: ClassVar[bool] = False
    """It trains on the frozen encoder's features of evaluation views, without augmentation."""
    domains = {"lr": Number(above=0), "weight_decay": Number(least=0)}

    def start(self, task: Task) -> nn.Module:
        """The model before the first step. Default: the zero-shot model."""
        return self.zero_shot(task)

    def parameter_groups(self, model: nn.Module, task: Task) -> list[Group]:
        """The parameters to train. Default: all parameters of `model` that require a gradient, at the trial's `lr`.

        `train.layer_decay` multiplies the rate by the decay for each layer below the top of a tower.
        """
        lr, decay = task.hparams["lr"], task.spec.layer_decay
        below = layers.distances(model, task.pretrained.clip) if decay != 1 else {}
        trained: dict[int, list[nn.Parameter]] = {}
        for parameter in model.parameters():
            if parameter.requires_grad:
                trained.setdefault(below.get(id(parameter), 0), []).append(parameter)
        return [Group(own, lr * decay**at, task.hparams["weight_decay"]) for at, own in sorted(trained.items())]

    def optimizer(self, model: nn.Module, task: Task) -> torch.optim.Optimizer:
        """The optimiser of `parameter_groups`. To change its steps, register hooks on it (`register_step_*_hook`).

        Before every step, the loop sets the learning rate of each group from its `base_lr` and the schedule.
        """
        return make_optimizer(self.parameter_groups(model, task), task.spec.optimizer)

    def draw(self, batch: Batch, task: Task) -> tuple[torch.Tensor, ...]:
        """Draw from `batch.rng` for the batch as a whole: `joint_loss` finds the result in `batch.drawn`."""
        return ()

    def inputs(self, batch: Batch, task: Task) -> tuple[torch.Tensor, ...]:
        """The inputs of `encode` for a batch of B images, each [B, ...]. Draw here what each row needs from
        `batch.rng`."""
        return (batch.images,)

    def encode(self, model: nn.Module, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        """Outputs, each [b, ...], of the b rows of `inputs`. A row's output must not depend on the other rows.

        Integer outputs have no gradient.
        """
        raise self._undefined()

    def joint_loss(self, model: nn.Module, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        """The loss of one batch, a scalar, from its `outputs`, each [B, ...]."""
        raise self._undefined()

    def _undefined(self) -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__} has neither `encode` and `joint_loss` nor a `loss`")

    def loss(self, model: nn.Module, batch: Batch, task: Task) -> torch.Tensor:
        """The loss of one batch, a scalar. Calls `draw` if the batch has no `drawn` yet."""
        batch = replace(batch, drawn=batch.drawn or self.draw(batch, task))
        return self.joint_loss(model, self.encode(model, self.inputs(batch, task), task), batch, task)

    @property
    def divisible(self) -> bool:
        """Whether batches can be encoded in chunks: False if the class overrides `loss`."""
        return type(self).loss is GradientMethod.loss

    @property
    def has_loss(self) -> bool:
        """Whether the class defines its loss: `encode` and `joint_loss`, or `loss`."""
        own = type(self)
        parts = own.encode is not GradientMethod.encode and own.joint_loss is not GradientMethod.joint_loss
        return parts or not self.divisible

    def after_step(self, model: nn.Module, task: Task, step: Step) -> None:
        """Called after every step of the optimiser, e.g. to keep a parameter within bounds. Default: does nothing."""


def make_optimizer(groups: Sequence[Group], kind: Optimizer) -> torch.optim.Optimizer:
    """AdamW, or SGD with momentum, over `groups`."""
    told = [
        {"params": list(one.parameters), "lr": one.lr, "base_lr": one.lr, "weight_decay": one.weight_decay}
        for one in groups
    ]
    fused = not any(one.is_meta for group in groups for one in group.parameters)  # meta tensors have no fused kernels
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
    # nn.Linear would draw initial weights from the process's global stream, only to overwrite them.
    head = nn.utils.skip_init(nn.Linear, width, classes, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.zero_() if bias is None else head.bias.copy_(bias)
    return head
