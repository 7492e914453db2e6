"""Pretrained CLIP models: found, identified by content, loaded through open_clip."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open

from search_spaces.errors import InputError, nearest
from trainers import digits_clip

if TYPE_CHECKING:
    from search_spaces.model import Model
    from trainers.images import Preprocess
    from trainers.prompts import Tokenizer

WEIGHT_FILES = (".safetensors", ".pt", ".pth", ".bin")

Clip = Any
"""An open_clip model: `CLIP` or its kin, with `visual`, `logit_scale` and `encode_text` but no common type."""


@dataclass(frozen=True)
class Pretrained:
    """A pretrained CLIP on its device, with what belongs to it. `clip` is shared: copy before training."""

    clip: Clip
    tokenizer: Tokenizer
    preprocess: Preprocess


def weights_path(model: Model) -> Path | None:
    """The local file that `model` names, or None when its weights are one of open_clip's tags or a hub id."""
    if model.pretrained == "bundled":
        return digits_clip.CHECKPOINT
    if model.pretrained and (model.pretrained.endswith(WEIGHT_FILES) or Path(model.pretrained).is_file()):
        return Path(model.pretrained).expanduser()
    return None


def fingerprint(model: Model) -> str:
    """What identifies the weights in a trial id: the digest of a local file, else architecture and tag.

    Raises InputError when a local file is absent or is not a checkpoint.
    """
    path = weights_path(model)
    if path is None:
        return f"{model.arch}:{model.pretrained}"
    if not path.is_file():
        raise InputError(
            f"model.pretrained: found no file {path}; expected a local checkpoint, an open_clip tag or 'bundled'"
        )
    if path.suffix == ".safetensors":
        _check_safetensors(path)
    with path.open("rb") as file:
        return f"{model.arch}:{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"


def load(model: Model, device: torch.device) -> Pretrained:
    """Load `model` in float32 and evaluation mode.

    Raises InputError when the architecture is unknown, or the weights are unknown, unreadable or do not fit it.
    """
    import open_clip

    from trainers.images import Preprocess

    open_clip.add_model_config(digits_clip.CONFIG_DIR)
    check_architecture(model)
    path = weights_path(model)
    try:
        # open_clip first draws random weights, which the process's global stream must not notice.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            clip = open_clip.create_model(
                model.arch, pretrained=str(path or model.pretrained), device=device, require_pretrained=True
            )
    except Exception as error:  # open_clip raises many types: hub, pickle, key and shape errors
        raise _unloadable(model, path, error) from error
    clip.eval()
    return Pretrained(clip=clip, tokenizer=open_clip.get_tokenizer(model.arch), preprocess=Preprocess.of(clip))


def check_architecture(model: Model) -> None:
    """Raise InputError when open_clip knows no architecture, or no tag of it, by the names in `model`."""
    import open_clip

    open_clip.add_model_config(digits_clip.CONFIG_DIR)
    if ":" in model.arch:  # hf-hub:org/name and local-dir:path name architecture and weights at once
        return
    known = open_clip.list_models()
    if model.arch not in known:
        raise InputError(
            f"model.arch: found {model.arch!r}; expected one of open_clip's {len(known)} architectures, "
            f"such as ViT-B-16 or RN50{nearest(model.arch, known)}"
        )
    tags = open_clip.list_pretrained_tags_by_model(model.arch)
    if weights_path(model) is None and model.pretrained not in tags:
        raise InputError(
            f"model.pretrained: found {model.pretrained!r}; expected a checkpoint file or a tag of {model.arch}: "
            f"{', '.join(tags) or 'it has none'}{nearest(str(model.pretrained), tags)}"
        )


def _check_safetensors(path: Path) -> None:
    try:
        with safe_open(path, "pt") as file:
            file.keys()
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"model.pretrained: {path} is not a readable safetensors checkpoint ({error}); copy or download it again"
        ) from error


def _unloadable(model: Model, path: Path | None, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    if path is not None:
        return InputError(
            f"model.pretrained: {path} could not be loaded as {model.arch} ({reason}); "
            "expected a CLIP state dict of that architecture"
        )
    return InputError(
        f"model.pretrained: weights {model.pretrained!r} of {model.arch} could not be fetched ({reason}); "
        "give a local .safetensors or .pt file, or run once where the hub can be reached"
    )
