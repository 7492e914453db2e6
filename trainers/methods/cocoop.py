"""CoCoOp: CoOp with learned words that a small net shifts per image, based on its features."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import nn

from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.trainers.evaluation.predict import Classifier
from flyp_sweep.trainers.methods.base import Batch, GradientMethod
from flyp_sweep.trainers.methods.coop import DEVIATION, learned, prompts, words_of
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.label_loss import label_loss
from flyp_sweep.trainers.methods.portable import NotPortable, Portable
from flyp_sweep.trainers.models.images import encode_image
from flyp_sweep.trainers.models.prompts import CHUNK, encode_text
from flyp_sweep.trainers.task import Task

WORDS = ("a", "photo", "of", "a")
"""The words that initialise the vectors, as in the paper."""
NARROWING = 16
"""The net's hidden layer is this many times narrower than the features."""


class Conditional(nn.Module):
    """M context vectors [M, width], and a net that maps an image's features [D] to a common shift [width] of them.

    `share` is the weight of the prompts' logits; the zero-shot logits have the rest.
    """

    def __init__(self, context: torch.Tensor, net: nn.Module, share: float) -> None:
        super().__init__()
        self.context = nn.Parameter(context)
        self.net = net
        self.share: torch.Tensor
        self.register_buffer("share", context.new_tensor(share))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Context vectors [B, M, width] for images of normalised `features` [B, D]."""
        return self.context + self.net(features)[:, None]


class CoCoOp(GradientMethod):
    """Cross-entropy over prompts `[V]_1 + s ... [V]_M + s class.`, where s depends on the image (Zhou et al., 2022b).

    "Conditional Prompt Learning for Vision-Language Models", Section 3.2: s is the output of a net on the frozen
    encoder's normalised features, with one hidden layer of D / 16 units and ReLU. The M = `context_tokens` vectors
    start as the first of the words "a photo of a", or at random for M above 4. The net has torch's default
    initialisation. These choices and the default of 4 were compared with the authors' code; their numbers were not
    reproduced. The authors train by SGD at 0.002 on batches of one image.

    Each image has its own C prompts: a batch of B images takes B x C passes through the text encoder, also in
    evaluation. `train.micro_batch` bounds the memory. The fitted model has no linear head, so it cannot be exported.

    At the zero-shot end of WiSE-FT `share` is 0, with the initial weights. In between, the interpolated prompts have a
    share alpha of the logits, and the zero-shot head has the rest.
    """

    name = "cocoop"
    label = "CoCoOp"
    summary = "as coop, but a small net shifts the vectors for every image; each image has its own prompts"
    hparams = {**GradientMethod.hparams, "context_tokens": Constant(4)}
    domains = {**GradientMethod.domains, "context_tokens": Number(least=1, whole=True)}
    frozen_encoder = True
    open_vocabulary = True
    smooths_labels = True
    decays_layers = False

    def zero_shot(self, task: Task) -> nn.Module:
        return conditional(task, share=0.0)

    def start(self, task: Task) -> nn.Module:
        return conditional(task, share=1.0)

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        (images,) = inputs
        with torch.no_grad():
            features = encode_image(task.pretrained.clip.visual, images)
        return (prompted(model, features, task),)

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        (logits,) = outputs
        return label_loss(logits, batch, task)

    def classifier(self, model: Any, task: Task) -> Classifier:
        at_once = max(1, CHUNK // len(task.shared.dataset.class_names))

        def logits(features: torch.Tensor) -> torch.Tensor:
            own = torch.cat([prompted(model, some, task) for some in features.split(at_once)])
            return torch.lerp(features @ task.zero_shot_head.T, own, model.share)

        return logits

    def portable(self, model: nn.Module, task: Task) -> Portable:
        refuse(self.name, "each image has a head of its own")


def refuse(method: str, why: str) -> NoReturn:
    raise NotPortable(f"{method}: its models cannot be exported for open_clip, because {why}; export at --alpha 0")


def prompted(model: Any, features: torch.Tensor, task: Task) -> torch.Tensor:
    """Logits [B, C] of images with normalised `features` [B, D], by each image's own prompts."""
    tokens = prompts(task)[0].flatten(0, 1)
    contexts = model(features).repeat_interleave(len(tokens), dim=0)
    with learned(contexts, task) as clip:
        texts = encode_text(clip, tokens.repeat(len(features), 1)).unflatten(0, (len(features), len(tokens)))
        return clip.logit_scale.exp() * torch.einsum("bd,bcd->bc", features, texts)


def conditional(task: Task, share: float) -> Conditional:
    """The initial model, with the given share of the prompts' logits."""
    generator = torch.Generator().manual_seed(int(task.stream("context").integers(2**63)))
    context = first_context(task, generator)
    width = task.zero_shot_head.shape[1]
    middle = max(1, width // NARROWING)
    layers = linear(width, middle, context, generator), nn.ReLU(), linear(middle, context.shape[1], context, generator)
    return Conditional(context, nn.Sequential(*layers), share)


@torch.no_grad()
def first_context(task: Task, generator: torch.Generator) -> torch.Tensor:
    """Vectors [M, width] of the first words of "a photo of a"; random for M above 4."""
    count, words = task.hparams["context_tokens"], words_of(task.pretrained.clip)
    if count > len(WORDS):
        return (DEVIATION * torch.randn(count, words.weight.shape[1], generator=generator)).to(words.weight)
    name = task.shared.dataset.class_names[0].replace("_", " ")
    tokens = task.pretrained.tokenizer([f"{' '.join(WORDS[:count])} {name}."]).to(task.device)
    return words(tokens[0, prompts(task)[1]]).clone()


def linear(inputs: int, outputs: int, like: torch.Tensor, generator: torch.Generator) -> nn.Linear:
    """A layer with torch's initialisation for linear layers, drawn from `generator`."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, device=like.device, dtype=like.dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            drawn = torch.rand(parameter.shape, generator=generator) * 2 - 1
            parameter.copy_(drawn / inputs**0.5)
    return layer
