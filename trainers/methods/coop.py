"""CoOp: learns the words in front of the class names, as vectors. Both encoders stay as pretrained."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from flyp_sweep.search_spaces.distributions import Choice
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.evaluation.predict import Classifier
from flyp_sweep.trainers.methods.base import Batch, GradientMethod, linear_head
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.flyp_ce import class_prompts, cross_entropy
from flyp_sweep.trainers.models.images import encode_image
from flyp_sweep.trainers.models.prompts import CHUNK, encode_text, encode_unique
from flyp_sweep.trainers.task import Task

DEVIATION = 0.02
"""Standard deviation of random initial vectors (Zhou et al., 2022, Section 4.1)."""


class CoOp(GradientMethod):
    """Cross-entropy over prompts `[V]_1 ... [V]_M class.`; only the M = `context_tokens` vectors are trained.

    Source: Zhou et al. (2022), "Learning to Prompt for Vision-Language Models", Section 3.2: the unified context, in
    front of the class. As there, training images are randomly cropped, so they pass the frozen encoder once per epoch;
    only evaluation uses cached features. A fit exports the prompts' embeddings, a linear head. WiSE-FT therefore mixes
    heads, as for `lp`. The search space `adapters` trains it by SGD at 0.002, as its authors do.
    """

    name = "coop"
    label = "CoOp"
    summary = "context_tokens vectors before the class names, by cross-entropy; both encoders stay as pretrained"
    hparams = {**GradientMethod.hparams, "context_tokens": Choice((4, 16))}
    domains = {**GradientMethod.domains, "context_tokens": Number(least=1, whole=True)}
    frozen_encoder = True
    open_vocabulary = True
    smooths_labels = True
    decays_layers = False

    def zero_shot(self, task: Task) -> nn.Module:
        return linear_head(task.zero_shot_head)

    def start(self, task: Task) -> nn.Module:
        count, words = task.hparams["context_tokens"], words_of(task.pretrained.clip).weight
        generator = torch.Generator().manual_seed(int(task.stream("context").integers(2**63)))
        context = DEVIATION * torch.randn(count, words.shape[1], generator=generator)
        return nn.ParameterDict({"context": nn.Parameter(context.to(words))})

    def inputs(self, batch: Batch, task: Task) -> tuple[torch.Tensor, ...]:
        return batch.images, class_prompts(batch, prompts(task)[0])

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        images, tokens = inputs
        with torch.no_grad():
            features = encode_image(task.pretrained.clip.visual, images)
        with learned(model["context"], task) as clip:
            texts = encode_unique(clip, tokens.flatten(0, 1))
        return features, texts.unflatten(0, tokens.shape[:2])

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        images, texts = outputs
        return cross_entropy(images, texts, task.pretrained.clip.logit_scale.detach().exp(), batch, task)

    def classifier(self, model: Any, task: Task) -> Classifier:
        return model if isinstance(model, nn.Linear) else linear_head(head(model["context"], task))

    def unfitted(self, task: Task) -> nn.Module:
        return self.start(task)

    def export(self, state: dict[str, torch.Tensor], task: Task) -> dict[str, torch.Tensor]:
        return linear_head(head(state["context"], task)).state_dict()


@torch.no_grad()
def head(context: torch.Tensor, task: Task) -> torch.Tensor:
    """Weights [C, D] of the head from `context` [M, width]: embeddings of the classes' prompts, scaled."""
    with learned(context, task) as clip:
        embeddings = [encode_text(clip, chunk) for chunk in prompts(task)[0].flatten(0, 1).split(CHUNK)]
        return clip.logit_scale.exp() * torch.cat(embeddings)


@contextmanager
def learned(context: torch.Tensor, task: Task) -> Iterator[Any]:
    """The frozen model; its text tower reads `context` [M, width] in place of the prompts' placeholders."""

    def put(module: nn.Module, tokens: Any, words: torch.Tensor) -> torch.Tensor:
        return words.index_copy(1, places, context.expand(len(words), -1, -1))

    _, places = prompts(task)
    clip = frozen(task)
    hook = words_of(clip).register_forward_hook(put)
    try:
        yield clip
    finally:
        hook.remove()


def words_of(clip: Any) -> nn.Embedding:
    """The token embedding of a model's text tower. In a plain CLIP, the model itself is the text tower.

    Raises TrialFailed for a tower of another library, which stores it elsewhere.
    """
    tower = getattr(clip, "text", clip)
    embedding = getattr(tower, "token_embedding", None)
    if not isinstance(embedding, nn.Embedding):
        raise TrialFailed(f"found the text encoder {type(tower).__name__}; expected one of open_clip's own")
    return embedding


def frozen(task: Task) -> Any:
    """The pretrained model without gradients, sharing its memory; one per worker, for hooks."""

    def compute() -> tuple[Any]:
        clip = task.pretrained.clip
        weights = {id(one): nn.Parameter(one.detach(), requires_grad=False) for one in clip.parameters()}
        return (copy.deepcopy(clip, weights),)

    return task.shared.once(("frozen model",), compute)[0]


def prompts(task: Task) -> list[torch.Tensor]:
    """Tokens [C, 1, L] of the classes' prompts with placeholders for the M vectors, and the placeholders' places [M].

    Raises TrialFailed if a prompt exceeds the text tower's context.
    """
    count, names, tokenizer = task.hparams["context_tokens"], task.shared.dataset.class_names, task.pretrained.tokenizer

    def compute() -> list[torch.Tensor]:
        first, second = (
            [f"{' '.join([word] * count)} {name.replace('_', ' ')}." for name in names] for word in ("x", "a")
        )
        tokens = tokenizer(first)
        length = tokens.shape[1]
        cut = (tokens != tokenizer(first, length + 1)[:, :length]).any(dim=1)
        if cut.any():
            raise TrialFailed(
                f"context_tokens: found {count}, which with the class name {names[int(cut.nonzero()[0])]!r} take more "
                f"than the {length} tokens that the text encoder reads; expected fewer"
            )
        places = (tokens != tokenizer(second)).any(dim=0).nonzero().flatten()
        return [tokens[:, None].to(task.device), places.to(task.device)]

    return task.shared.once(("placeholders", count), compute)
