"""The state dict in a checkpoint file, whichever wrapper it has, and whether it fits an architecture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from flyp_sweep.search_spaces.errors import InputError

SECTIONS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts store the weights, next to optimiser and epoch."""

COMPILED = "_orig_mod."
"""The prefix that `torch.compile` adds to a module's names."""

ANCHOR = "logit_scale"
"""A weight of every CLIP: its prefix is the prefix of all names."""

FOREIGN = "image_encoder.model."
"""MobileCLIP's own names, which open_clip converts."""

HUGGING_FACE = ("vision_model.", "text_model.")
POSITIONS = ("visual.positional_embedding", "positional_embedding", "visual.trunk.pos_embed")
MOST_NAMED = 3

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Found:
    """The `state` dict of a CLIP, whether open_clip needs a converted file for it, and the names of other tensors."""

    state: State
    wrapped: bool
    beside: tuple[str, ...] = ()


def read(path: Path, key: str) -> Found:
    """The weights in a file other than a TorchScript archive.

    Raises InputError, which names `key`, for a file without a CLIP's weights.
    """
    if path.suffix == ".safetensors":
        content: Any = load_file(path)
    else:
        content = torch.load(path, map_location="cpu", weights_only=True)
    found = unwrapped(content)
    if not found.state:
        held = ", ".join(map(str, list(content)[:MOST_NAMED])) if isinstance(content, Mapping) else type(content)
        raise InputError(f"{key}: {path}: found {held}; expected the state dict of a CLIP model")
    return found


def unwrapped(content: object) -> Found:
    """The state dict in a file's content, by the model's own names; empty if there is none."""
    if not isinstance(content, Mapping):
        return Found({}, False)
    section = next((name for name in SECTIONS if isinstance(content.get(name), Mapping)), None)
    inner = content if section is None else content[section]
    tensors = {name: value for name, value in inner.items() if isinstance(value, torch.Tensor)}
    plain = {name.replace(COMPILED, ""): value for name, value in tensors.items()}
    anchors = [name.removesuffix(ANCHOR) for name in plain if name == ANCHOR or name.endswith(f".{ANCHOR}")]
    prefix = min(anchors, key=len, default="")
    state = {name.removeprefix(prefix): value for name, value in plain.items() if name.startswith(prefix)}
    beside = tuple(name for name in plain if not name.startswith(prefix))
    return Found(state, state.keys() != inner.keys() or section not in (None, "state_dict"), beside)


def is_hugging_face(state: Mapping[str, torch.Tensor]) -> bool:
    """Whether the names are transformers' names."""
    return any(name.startswith(HUGGING_FACE) for name in state)


def check_fits(
    path: Path,
    arch: str,
    state: Mapping[str, torch.Tensor],
    expected: Mapping[str, torch.Size],
    key: str = "model.pretrained",
) -> None:
    """Raise InputError, which names `key`, if `state` does not fit the architecture, with the names found and expected.

    `expected` holds the shapes of the architecture's weights. Position embeddings may have another grid.
    """
    if any(name.startswith(FOREIGN) for name in state):
        return
    wanted = {_short(name): shape for name, shape in expected.items()}
    found = {_short(name): value.shape for name, value in state.items()}
    other = [name for name in found if name in wanted and not _same(name, found[name], wanted[name])]
    absent = [name for name in wanted if name not in found and name not in ("logit_bias", "attn_mask")]
    if len(absent) > len(wanted) // 2:
        hint = (
            "the names are those of Hugging Face's transformers, of another model than its CLIPModel: convert the file"
        )
        theirs = is_hugging_face(state)
        raise InputError(
            f"{key}: {path}: found weights {_listed(found)}; expected those of {arch}: {_listed(wanted)}"
            f"{f' ({hint})' if theirs else ''}"
        )
    if other:
        name = other[0]
        raise InputError(
            f"{key}: {path}: found {name} of shape {tuple(found[name])}; expected {tuple(wanted[name])}, as "
            f"{arch} has; name the architecture of the file as model.arch"
        )


def resized(state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Size]) -> list[str]:
    """A remark for each position embedding of `state` that open_clip interpolates to the architecture's shape."""
    wanted = {_short(name): shape for name, shape in expected.items()}
    return [
        f"{name} is interpolated from {tuple(value.shape)} to {tuple(wanted[_short(name)])}"
        for name, value in state.items()
        if _short(name) in wanted and _short(name) in POSITIONS and value.shape != wanted[_short(name)]
    ]


def surplus(state: Mapping[str, torch.Tensor], expected: Iterable[str]) -> list[str]:
    """The weights of `state` that are not among the names `expected` of an architecture."""
    if any(name.startswith(FOREIGN) for name in state):
        return []
    wanted = {_short(name) for name in expected}
    return [name for name in state if _short(name) not in wanted and not name.endswith("position_ids")]


def not_finite(state: Mapping[str, torch.Tensor]) -> str | None:
    """The name of the first weight with a NaN or an infinity."""
    return next((name for name, value in state.items() if not torch.isfinite(value).all()), None)


def _short(name: str) -> str:
    """A name common to CLIPs with a separate text tower and CLIPs that contain theirs."""
    return name.removeprefix("text.")


def _same(name: str, found: torch.Size, wanted: torch.Size) -> bool:
    return found == wanted or name in POSITIONS or found.numel() == wanted.numel() == 1


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
