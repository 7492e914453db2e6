"""Loads pretrained CLIP models through open_clip."""

from __future__ import annotations

import hashlib
import logging
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from flyp_sweep.search_spaces.errors import InputError, nearest
from flyp_sweep.trainers.models import digits_clip, hugging_face, preprocessing, state_dicts, text_sides, weights
from flyp_sweep.trainers.models.compilation import compile_training
from flyp_sweep.trainers.models.hub import cache_where_silent
from flyp_sweep.trainers.models.model_files import PRETRAINED, FileWeights, file_weights, for_open_clip
from flyp_sweep.trainers.models.objectives import Objective, Softmax, objective_of
from flyp_sweep.trainers.models.precision import set_precision
from flyp_sweep.trainers.models.text_sides import with_ours

if TYPE_CHECKING:
    from flyp_sweep.search_spaces.model import Model
    from flyp_sweep.search_spaces.training import Precision
    from flyp_sweep.trainers.data.images import Preprocess
    from flyp_sweep.trainers.models.prompts import Tokenizer

BATCH_NORMALISATION = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)

MOST_LOG_SCALE = 10.0
"""Bound of the logit scale's logarithm. It is at most 4.6 in CLIP and 4.8 in SigLIP: no model has e^10, 22,026."""

Clip = Any
"""An open_clip model: `CLIP` or a relative with `visual`, `logit_scale` and `encode_text`, but without a common
type."""


@dataclass(frozen=True)
class Pretrained:
    """A pretrained CLIP on its device, with tokenizer and preprocessing. `clip` is shared: copy before training."""

    clip: Clip
    tokenizer: Tokenizer
    preprocess: Preprocess
    arch: str
    precision: Precision

    @cached_property
    def objective(self) -> Objective:
        """The loss of its pretraining."""
        return objective_of(self.clip)

    @cached_property
    def digest(self) -> str:
        """Hash of the architecture and all weights. It determines the outputs on one kind of machine."""
        digest = hashlib.sha256(f"{self.arch} {self.precision} {version('open_clip_torch')} {self.clip!r}".encode())
        for name, tensor in self.clip.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return digest.hexdigest()


def load(model: Model, device: torch.device, precision: Precision = "fp32", compiled: bool = False) -> Pretrained:
    """Load `model` with float32 weights and in evaluation mode; its encoders compute in `precision`.

    With `compiled`, copies of its image encoder train in compiled code. Weights of tags and hub ids come from the local
    cache, or are downloaded to it.

    Raises InputError if the architecture is unknown, or if the weights are unknown, unreadable, unavailable or do not
    fit it.
    """
    from flyp_sweep.trainers.data.images import Preprocess

    check_architecture(model)
    weights.fetch(model)
    path = weights.local_file(model)
    try:
        with cache_where_silent() if weights.wanted(model) else nullcontext():
            clip = _create(model, path, device)
        tokenizer = text_sides.tokenizer(model)
    except InputError:
        raise
    except Exception as error:  # open_clip raises many types: hub, pickle, key and shape errors
        raise _unloadable(model, path, error) from error
    if (name := state_dicts.not_finite(dict(clip.named_parameters()))) is not None:
        raise InputError(f"model: {weights.called(model)} hold a NaN or an infinity in {name}; expected finite weights")
    if (scale := clip.logit_scale.max().item()) > MOST_LOG_SCALE:
        raise InputError(
            f"model: {weights.called(model)} have a logit_scale of {scale:g}; expected the logarithm of a scale, as "
            "4.6 for 100; store the logarithm in the file"
        )
    if is_bundled(model):
        _pad_beforehand(clip)
    clip.eval()
    set_precision(clip, precision)
    if compiled:
        compile_training(clip)
    return Pretrained(
        clip=clip, tokenizer=tokenizer, preprocess=Preprocess.of(clip), arch=model.arch, precision=precision
    )


def _create(model: Model, path: Path | None, device: torch.device) -> Clip:
    if path is None:
        return _open(model.arch, model.pretrained, device, quick_gelu=weights.trained_with_quick_gelu(model))
    if is_bundled(model):
        return _open(model.arch, str(path), device)
    images = preprocessing.preprocess_of(model, path)[0]
    found = file_weights(path)
    with for_open_clip(path, found) as file:
        return _open(model.arch, str(file), device, quick_gelu=bool(found.quick_gelu), images=images)


def architecture_of(model: Model) -> dict[str, Any]:
    """open_clip's configuration of the architecture, as JSON values, with the activation that the weights need."""
    config: dict[str, Any] = with_ours().get_model_config(model.arch)
    path = weights.local_file(model)
    of_file = path is not None and not is_bundled(model) and file_weights(path).quick_gelu
    if of_file or weights.trained_with_quick_gelu(model):
        config["quick_gelu"] = True
    return config


def check_file(model: Model) -> list[str]:
    """Read the local checkpoint of `model`, if it names one; returns remarks for the user, one line each.

    Raises InputError, with names of weights, if they are not those of the architecture or are not finite.
    """
    path = weights.local_file(model)
    if path is None or is_bundled(model):
        return []
    found = file_weights(path)
    clip = without_memory(model.arch)
    lines = check_weights(found, path, model.arch, clip)
    if found.quick_gelu is False and computes_quick_gelu(clip):
        raise InputError(
            f"model.pretrained: {path}: found a model trained with GELU, by the {hugging_face.CONFIG} beside the file; "
            f"expected an architecture that computes so, not {model.arch}"
        )
    if found.hugging_face and found.quick_gelu is None:
        computed = "QuickGELU" if computes_quick_gelu(clip) else "GELU"
        lines.append(
            f"no {hugging_face.CONFIG} lies beside the file; the activation is {computed}, as {model.arch} has"
        )
    assumed = preprocessing.preprocess_of(model, path)[1]
    return [*([assumed] if assumed else []), *(f"model.pretrained: {path}: {line}" for line in lines)]


def check_weights(found: FileWeights, path: Path, arch: str, clip: Clip, key: str = PRETRAINED) -> list[str]:
    """Remarks about the weights in `path` for the architecture of `clip`, one line each.

    Raises InputError, which names `key` and weights, if they are not those of the architecture or are not finite.
    """
    if (name := state_dicts.not_finite(found.state)) is not None:
        raise InputError(f"{key}: {path}: found a NaN or an infinity in {name}; expected finite weights")
    expected = {name: value.shape for name, value in clip.state_dict().items()}
    state_dicts.check_fits(path, arch, found.state, expected, key)
    return state_dicts.resized(found.state, expected)


def computes_quick_gelu(clip: Clip) -> bool:
    """Whether the activation of an open_clip model is QuickGELU."""
    from open_clip.transformer import QuickGELU

    return any(isinstance(module, QuickGELU) for module in clip.modules())


def _open(
    arch: str,
    pretrained: str | None,
    device: torch.device,
    *,
    quick_gelu: bool = False,
    images: dict[str, Any] | None = None,
) -> Clip:
    open_clip = with_ours()

    # open_clip first draws random weights, which must not advance the process's global stream.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        return open_clip.create_model(
            arch,
            pretrained=pretrained,
            device=device,
            force_quick_gelu=quick_gelu,
            force_preprocess_cfg=images,
            require_pretrained=True,
        )


def _pad_beforehand(clip: Clip) -> None:
    """Make the bundled model's later stages pad their inputs explicitly, before each convolution.

    Forward passes are bit for bit the same. oneDNN's fast gradient code does not support kernels larger than their
    input; without explicit padding a training step takes a quarter longer.
    """
    for stage in clip.visual.trunk.stages[1:]:
        for block in stage.blocks:
            block.conv_dw.padding_mode = "constant"


def parameter_count(model: Model) -> int | None:
    """Number of parameters of the architecture, counted without memory for them; None if only a hub knows it."""
    if is_bundled(model):
        return digits_clip.PARAMETERS
    clip = skeleton(model)
    return None if clip is None else sum(parameter.numel() for parameter in clip.parameters())


def objective_summary(model: Model) -> str:
    """The loss of its pretraining, in words; empty if only a hub knows it."""
    if is_bundled(model):
        return Softmax.summary
    clip = skeleton(model)
    return "" if clip is None else objective_of(clip).summary


def batch_normalisations(model: Model) -> int:
    """Number of batch normalisation layers of the architecture; 0 if only a hub knows it."""
    clip = None if is_bundled(model) else skeleton(model)
    return 0 if clip is None else sum(isinstance(module, BATCH_NORMALISATION) for module in clip.modules())


def skeleton(model: Model) -> Clip | None:
    """The architecture without memory for its weights; None if only a hub knows it.

    It is built once per process: copy it before changing it.
    """
    if model.arch.startswith(weights.HUB):
        return None
    return without_memory(model.arch) if model.arch.startswith(weights.FOLDER) else _skeleton(model.arch)


@lru_cache(maxsize=8)
def _skeleton(arch: str) -> Clip:
    return without_memory(arch)


def without_memory(arch: str) -> Clip:
    """The architecture with weights that have shapes but no values."""
    return without_weights(arch, torch.device("meta"))


def without_weights(arch: str, device: torch.device) -> Clip:
    """The architecture with random weights on `device`.

    Raises InputError if the configuration of a Hugging Face text tower is unavailable.
    """
    open_clip, tower = with_ours(), text_sides.text_config(arch).get("hf_model_name")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # open_clip warns about random weights, which are intended here
    try:
        # Outside the `device` context, open_clip would first build it on the CPU, in up to 20 GB.
        with torch.random.fork_rng(devices=[]), cache_where_silent() if tower else nullcontext(), device:
            return open_clip.create_model(arch, load_weights=False, pretrained_text=False, device=device)
    except Exception as error:  # many types, of transformers and the hub
        if tower is None:
            raise
        raise InputError(text_sides.unfetched(arch, "text encoder", tower, error)) from error
    finally:
        logging.disable(before)


def is_bundled(model: Model) -> bool:
    """Whether it is the model that ships with the package. open_clip does not know its weights."""
    return (model.arch, model.pretrained) == (digits_clip.ARCH, "bundled")


def check_architecture(model: Model) -> None:
    """Raise InputError if open_clip does not know the architecture, or the weights, that `model` names."""
    if is_bundled(model):
        return
    open_clip = with_ours()
    if model.arch.startswith((weights.HUB, weights.FOLDER)):
        if model.pretrained is not None:
            raise InputError(
                f"model.pretrained: found {model.pretrained!r}; {model.arch} names its own weights: leave it out"
            )
        weights.wanted(model)
        text_sides.check_packages(model.arch)
        return
    known = open_clip.list_models()
    if model.arch not in known:
        raise InputError(
            f"model.arch: found {model.arch!r}; expected one of open_clip's {len(known)} architectures, such as "
            f"ViT-B-16 or RN50, {weights.HUB}organisation/name or {weights.FOLDER}path{nearest(model.arch, known)}"
        )
    text_sides.check_packages(model.arch)
    tags = ["bundled"] if model.arch == digits_clip.ARCH else open_clip.list_pretrained_tags_by_model(model.arch)
    if str(model.pretrained).startswith(weights.HUB):
        raise InputError(
            f"model.pretrained: found {model.pretrained!r}; a hub id brings its own architecture: "
            f"expected it as model.arch, with no model.pretrained, or a tag of {model.arch}: {', '.join(tags)}"
        )
    if weights.local_file(model) is None and model.pretrained not in tags:
        raise InputError(
            f"model.pretrained: found {model.pretrained!r}; expected a checkpoint file or a tag of {model.arch}: "
            f"{', '.join(tags) or 'it has none'}{nearest(str(model.pretrained), tags)}"
        )
    if model.pretrained == "bundled" and model.arch != digits_clip.ARCH:
        raise InputError(
            f"model.pretrained: found 'bundled', the weights of {digits_clip.ARCH}; "
            f"expected a checkpoint file or a tag of {model.arch}: {', '.join(tags) or 'it has none'}"
        )


def check_loads(model: Model) -> None:
    """Load `model` as a test if its weights are the user's own files; raises InputError as `load` does."""
    own = model.arch.startswith(weights.FOLDER) or weights.local_file(model) is not None
    if own and not is_bundled(model):
        load(model, torch.device("cpu"))


def _unloadable(model: Model, path: Path | None, error: Exception) -> InputError:
    if text_sides.wants_transformers(error):
        return InputError(f"model.arch: {model.arch} needs transformers, which is not installed: {text_sides.EXTRA}")
    reason = text_sides.in_short(error)
    if path is not None:
        return InputError(
            f"model.pretrained: {path} could not be loaded as {model.arch} ({reason}); "
            "expected a CLIP state dict of that architecture"
        )
    return InputError(f"model: {weights.called(model)} could not be loaded ({reason}); choose others or a local file")
