"""The weights in a local model file, by open_clip's names, whichever library wrote the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors.torch import save_file

from flyp_sweep.trainers.models import hugging_face, state_dicts, weights

PRETRAINED = "model.pretrained"
"""The default key of a search space that an error names."""


@dataclass(frozen=True)
class FileWeights:
    """The content of a file: the `state` of a CLIP, and the names of other tensors in the file.

    `quick_gelu`: whether the model was trained with that activation (None: the file does not say). `plain`: open_clip
    can read the file itself.
    """

    state: state_dicts.State
    plain: bool = False
    quick_gelu: bool | None = None
    beside: tuple[str, ...] = ()
    hugging_face: bool = False


def file_weights(path: Path, key: str = PRETRAINED) -> FileWeights:
    """Read a checkpoint. Raises InputError, which names `key`, for a file without a CLIP's weights."""
    if weights.is_torchscript(path):
        state, openai = weights.torchscript_weights(path)
        return FileWeights(state, quick_gelu=True if openai else None)
    found = state_dicts.read(path, key)
    theirs = hugging_face.converted(found.state) if state_dicts.is_hugging_face(found.state) else None
    if theirs is not None:
        return FileWeights(theirs, False, hugging_face.quick_gelu(path), found.beside, hugging_face=True)
    return FileWeights(found.state, not found.wrapped, beside=found.beside)


@contextmanager
def for_open_clip(path: Path, found: FileWeights) -> Iterator[Path]:
    """A file of these weights that open_clip's loader reads: `path` itself, or a temporary file."""
    if found.plain:
        yield path
        return
    # open_clip's TorchScript loader accepts any architecture, so use its loader of state dicts instead.
    with TemporaryDirectory() as folder:
        file = Path(folder) / "weights.safetensors"
        save_file({name: value.contiguous().clone() for name, value in found.state.items()}, file)
        yield file
