"""A CLIP that was fine-tuned elsewhere: its file, checked against a pretrained model and loaded in its form."""

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

EXPECTED = "expected the weights of a CLIP alone, for its own text encoder makes the head"


def content(path: Path, key: str) -> str:
    """16 hexadecimal digits of the file's content. Raises InputError, which names `key`, when it is no checkpoint."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no file"
        raise InputError(f"{key}: {path}: found {found}; expected a checkpoint: .pt, .pth, .bin or .safetensors")
    try:
        weights.check_readable(path, key)
        return weights.content_digest([path])
    except OSError as error:
        raise InputError(f"{key}: {path}: cannot be read ({error.strerror}); mend that or name another") from error


def check(path: Path, model: Model, key: str) -> list[str]:
    """What is worth knowing of a checkpoint beside the pretrained `model`, a line each.

    Raises InputError, which names `key`, when the file does not hold weights of that architecture, and those alone.
    """
    found = file_weights(path, key)
    clip = pretrained.skeleton(model)
    if clip is None:  # of a hub, whose files may have to be fetched: what is wrong is found when it is loaded
        return []
    lines = pretrained.check_weights(found, path, model.arch, clip, key)
    if beside := [*found.beside, *state_dicts.surplus(found.state, clip.state_dict())]:
        raise InputError(f"{key}: {path}: found {', '.join(beside[:3])} beside the weights of {model.arch}; {EXPECTED}")
    return [*lines, *_activation(found, path, model, clip, key)]


def _activation(found: FileWeights, path: Path, model: Model, clip: Clip, key: str) -> list[str]:
    """A line where the file does not say its activation, though its library would; InputError for another one."""
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
    """Give `clip`, an open_clip model, the weights in `path`. Raises InputError, which names `key`, if they differ."""
    import open_clip

    found = file_weights(path, key)
    with for_open_clip(path, found) as file:
        try:
            open_clip.load_checkpoint(clip, str(file))
        except Exception as error:  # key and shape errors, in many types
            reason = one_line(" ".join(str(error).split()))[:200]
            raise InputError(f"{key}: {path} could not be loaded ({reason}); {EXPECTED}") from error
