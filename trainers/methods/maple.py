"""MaPLe: learned words in the first layers of the text tower, and image tokens computed from them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from flyp_sweep.search_spaces.distributions import Constant
from flyp_sweep.trainers.errors import TrialFailed
from flyp_sweep.trainers.evaluation.predict import Classifier
from flyp_sweep.trainers.methods.base import Batch, GradientMethod
from flyp_sweep.trainers.methods.cocoop import first_context, linear, refuse
from flyp_sweep.trainers.methods.coop import DEVIATION, frozen, learned, prompts
from flyp_sweep.trainers.methods.domains import Number
from flyp_sweep.trainers.methods.flyp_ce import class_prompts, cross_entropy
from flyp_sweep.trainers.methods.portable import Portable
from flyp_sweep.trainers.models.images import encode_image
from flyp_sweep.trainers.models.prompts import CHUNK, encode_text, encode_unique
from flyp_sweep.trainers.task import Task


class Coupled(nn.Module):
    """Words [M, width of the text tower] per layer, and linear maps from them to tokens for the image tower.

    `share` is the weight of the prompts' logits; the zero-shot logits have the rest.
    """

    def __init__(self, words: Sequence[torch.Tensor], projections: Sequence[nn.Module], share: float) -> None:
        super().__init__()
        self.words = nn.ParameterList(map(nn.Parameter, words))
        self.projections = nn.ModuleList(projections)
        self.share: torch.Tensor
        self.register_buffer("share", words[0].new_tensor(share))

    @property
    def patches(self) -> list[torch.Tensor]:
        """Tokens [M, width of the image tower] for each layer."""
        return [projection(words) for projection, words in zip(self.projections, self.words, strict=True)]


class MaPLe(GradientMethod):
    """Cross-entropy over prompts in both towers, coupled by linear maps (Khattak et al., 2023, "MaPLe", Section 3.2).

    As in CoOp, M = `context_tokens` vectors precede the class name. Linear maps turn them into M tokens that follow an
    image's patches. In each of the first J = `prompt_depth` layers, new vectors and tokens replace the outputs of the
    layer before at these places. The first vectors start as words, like CoCoOp's; the others are random.

    Compared with the authors' code, not with the paper's text; their numbers were not reproduced. The defaults, 2 and
    9, are the code's. The authors train by SGD at 0.0035 on batches of 4 images, for 5 epochs.

    Both towers must be open_clip's own transformers. At the zero-shot end of WiSE-FT `share` is 0, with the initial
    weights. In between, the interpolated prompts have a share alpha of the logits.
    """

    name = "maple"
    label = "MaPLe"
    summary = "learned words in the first prompt_depth layers of the text tower, and tokens made of them beside patches"
    hparams = {**GradientMethod.hparams, "context_tokens": Constant(2), "prompt_depth": Constant(9)}
    domains = {
        **GradientMethod.domains,
        "context_tokens": Number(least=1, whole=True),
        "prompt_depth": Number(least=1, whole=True),
    }
    open_vocabulary = True
    smooths_labels = True
    decays_layers = False

    def zero_shot(self, task: Task) -> nn.Module:
        return coupled(task, share=0.0)

    def start(self, task: Task) -> nn.Module:
        return coupled(task, share=1.0)

    def inputs(self, batch: Batch, task: Task) -> tuple[torch.Tensor, ...]:
        return batch.images, class_prompts(batch, prompts(task)[0])

    def encode(self, model: Any, inputs: tuple[torch.Tensor, ...], task: Task) -> tuple[torch.Tensor, ...]:
        images, tokens = inputs
        with prompted(model.words, model.patches, task) as clip:
            texts = encode_unique(clip, tokens.flatten(0, 1))
            return encode_image(clip.visual, images), texts.unflatten(0, tokens.shape[:2])

    def joint_loss(self, model: Any, outputs: tuple[torch.Tensor, ...], batch: Batch, task: Task) -> torch.Tensor:
        images, texts = outputs
        return cross_entropy(images, texts, task.pretrained.clip.logit_scale.detach().exp(), batch, task)

    def classifier(self, model: Any, task: Task) -> Classifier:
        with prompted(model.words, model.patches, task) as clip:
            texts = [encode_text(clip, some) for some in prompts(task)[0].flatten(0, 1).split(CHUNK)]
        head, share = clip.logit_scale.exp() * torch.cat(texts), float(model.share)
        words, patches = ([one.detach().clone() for one in some] for some in (model.words, model.patches))

        def logits(images: torch.Tensor) -> torch.Tensor:
            with prompted(words, patches, task) as clip:
                own = encode_image(clip.visual, images) @ head.T
            if share == 1:
                return own
            return torch.lerp(encode_image(task.pretrained.clip.visual, images) @ task.zero_shot_head.T, own, share)

        return logits

    def portable(self, model: nn.Module, task: Task) -> Portable:
        refuse(self.name, "its image encoder sees learned tokens beside the patches")


def coupled(task: Task, share: float) -> Coupled:
    """The initial model, with the given share of the prompts' logits."""
    generator = torch.Generator().manual_seed(int(task.stream("context").integers(2**63)))
    first = first_context(task, generator)
    deep = torch.randn(task.hparams["prompt_depth"] - 1, *first.shape, generator=generator)
    width = image_tower(task).conv1.out_channels
    one, other = (linear(first.shape[1], width, first, generator) for _ in range(2))
    deeper = [copy.deepcopy(other) for _ in deep]
    return Coupled([first, *(DEVIATION * deep).to(first)], [one, *deeper], share)


def image_tower(task: Task) -> Any:
    """The frozen image tower. Raises TrialFailed if it cannot take extra tokens, or has too few layers."""
    from open_clip.transformer import VisionTransformer  # takes a second, which listing methods should not wait for

    clip, depth = frozen(task), task.hparams["prompt_depth"]
    if not isinstance(clip.visual, VisionTransformer):
        raise TrialFailed(
            f"found the image encoder {type(clip.visual).__name__}; expected open_clip's own VisionTransformer"
        )
    layers = min(len(tower.transformer.resblocks) for tower in (clip.visual, getattr(clip, "text", clip)))
    if depth > layers:
        raise TrialFailed(f"prompt_depth: found {depth}; expected at most {layers}, the layers of a tower")
    return clip.visual


@contextmanager
def prompted(words: Sequence[torch.Tensor], patches: Sequence[torch.Tensor], task: Task) -> Iterator[Any]:
    """The frozen model, with `words` [M, width] and `patches` [K, width] in its towers, one of each per layer.

    Words replace the placeholders. Patches follow the image's own, and are removed from the last layer's output.
    """
    visual, places, count = image_tower(task), prompts(task)[1], len(patches[0])

    def replace(tokens: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        return tokens.index_copy(1, places, vectors)

    def append(tokens: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        return torch.cat([tokens, vectors], dim=1)

    def append_anew(tokens: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        return append(tokens[:, :-count], vectors)

    def take_out(module: nn.Module, inputs: Any, tokens: torch.Tensor) -> torch.Tensor:
        return tokens[:, :-count]

    with ExitStack() as stack, learned(words[0], task) as clip:
        texts = getattr(clip, "text", clip).transformer
        hooks = [before(visual.ln_pre, append, patches[0])]
        hooks += [before(texts.resblocks[at], replace, words[at]) for at in range(1, len(words))]
        hooks += [before(visual.transformer.resblocks[at], append_anew, patches[at]) for at in range(1, len(patches))]
        hooks += [visual.transformer.register_forward_hook(take_out)]
        for hook in hooks:
            stack.callback(hook.remove)
        yield clip


def before(
    module: nn.Module, put: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], vectors: torch.Tensor
) -> RemovableHandle:
    """Register a hook: `put` changes the first input of `module`, tokens [B, L, width], by `vectors` [M, width]."""

    def hook(module: nn.Module, inputs: Any) -> Any:
        tokens, *rest = inputs
        return put(tokens, vectors.to(tokens.dtype).expand(len(tokens), -1, -1)), *rest

    return module.register_forward_pre_hook(hook)
