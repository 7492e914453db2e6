"""A CLIP that was fine-tuned elsewhere: checks its file against a pretrained model, and loads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flyp_sweep.search_spaces.complaints import one_line
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.models import pretrained, state_dicts, weights
from flyp_sweep.trainers.models.model_files import FileWeights, file_weights, for_open_clip

if TYPE_CHECKING:
    from flyp_sweep.search_spaces.model import Model
    from flyp_sweep.trainers.models.pretrained import Clip

EXPECTED = "expected the weights of a CLIP alone: its own text encoder computes the head"


def content(path: Path, key: str) -> str:
    """16 hexadecimal digits of the file's content. Raises InputError, which names `key`, if it is no checkpoint."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no file"
        raise InputError(f"{key}: {path}: found {found}; expected a checkpoint: .pt, .pth, .bin or .safetensors")
    try:
        weights.check_readable(path, key)
        return weights.content_digest([path])
    except OSError as error:
        raise InputError(
            f"{key}: {path}: cannot be read ({error.strerror}); solve that, or name another file"
        ) from error


def check(path: Path, model: Model, key: str) -> list[str]:
    """Remarks about a checkpoint for the pretrained `model`, one line each.

    Raises InputError, which names `key`, if the file does not hold exactly the weights of that architecture.
    """
    found = file_weights(path, key)
    clip = pretrained.skeleton(model)
    if clip is None:  # a hub's model may have to be downloaded first: loading it will find errors
        return []
    lines = pretrained.check_weights(found, path, model.arch, clip, key)
    if beside := [*found.beside, *state_dicts.surplus(found.state, clip.state_dict())]:
        raise InputError(f"{key}: {path}: found {', '.join(beside[:3])} beside the weights of {model.arch}; {EXPECTED}")
    return [*lines, *_activation(found, path, model, clip, key)]


def _activation(found: FileWeights, path: Path, model: Model, clip: Clip, key: str) -> list[str]:
    """A remark if the file lacks an activation that its library records; InputError for another activation."""
    quick = pretrained.computes_quick_gelu(clip) or weights.trained_with_quick_gelu(model)
    if (file := weights.local_file(model)) is not None and not pretrained.is_bundled(model):
        quick = quick or bool(file_weights(file).quick_gelu)
    names = {True: "QuickGELU", False: "GELU"}
    if found.quick_gelu not in (None, quick):
        other, own = names[not quick], names[quick]
        raise InputError(f"{key}: {path}: found a model trained with {other}; expected {own}, as {model.label} has")
    is_unsaid = found.hugging_face and found.quick_gelu is None
    return [f"the activation is {names[quick]}, as {model.label} has"] if is_unsaid else []


def load_into(clip: Clip, path: Path, key: str) -> None:
    """Load the weights in `path` into `clip`, an open_clip model. Raises InputError, which names `key`, if they
    differ."""
    import open_clip

    found = file_weights(path, key)
    with for_open_clip(path, found) as file:
        try:
            open_clip.load_checkpoint(clip, str(file))
        except Exception as error:  # key and shape errors, in many types
            reason = one_line(" ".join(str(error).split()))[:200]
            raise InputError(f"{key}: {path} could not be loaded ({reason}); {EXPECTED}") from error
