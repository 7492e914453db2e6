"""The location of a model's weights: a local file or folder, or hub files that open_clip will download."""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import hf_hub_url
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError, safe_open

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.models import digits_clip
from flyp_sweep.trainers.models.hub import HubError, HubFile, silent
from flyp_sweep.trainers.models.preprocessing import CONFIG, config_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flyp_sweep.search_spaces.model import Model

WEIGHT_FILES = (".safetensors", ".pt", ".pth", ".bin")
HUB = "hf-hub:"
FOLDER = "local-dir:"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""Files that open_clip looks for in a repository whose tag names no file, in order."""

LFS_POINTER = b"version https://git-lfs"
"""The beginning of a Git LFS pointer file."""

OPENAI_EXTRAS = ("input_resolution", "context_length", "vocab_size")
"""Entries of OpenAI's archives that are not weights."""


def local_file(model: Model) -> Path | None:
    """The checkpoint that `model.pretrained` names; None if it is a tag of open_clip, or empty."""
    if model.pretrained == "bundled":
        return digits_clip.CHECKPOINT
    if model.pretrained is None or _tag(model):
        return None
    path = Path(model.pretrained).expanduser()
    return path if model.pretrained.endswith(WEIGHT_FILES) or path.is_file() else None


def fingerprint(model: Model) -> str:
    """The identity of the weights in a trial id: a digest of local files, else architecture and tag.

    Raises InputError if a local file is absent or is not a checkpoint.
    """
    if model.arch.startswith(FOLDER):
        return f"{FOLDER}{content_digest(_folder_files(Path(model.arch.removeprefix(FOLDER))))}"
    path = local_file(model)
    if path is None:
        return f"{model.arch}:{model.pretrained}"
    if not path.is_file():
        raise InputError(
            f"model.pretrained: found no file {path}; expected a local checkpoint, an open_clip tag or 'bundled'"
        )
    check_readable(path)
    beside = None if model.pretrained == "bundled" else config_beside(path)
    return f"{model.arch}:{content_digest([path] if beside is None else [path, beside])}"


def check_readable(path: Path, key: str = "model.pretrained") -> None:
    """Raise InputError, which names `key`, if `path` is no checkpoint.

    Reads the description of its tensors, but not their values.
    """
    if (instead := _mistaken(path)) is not None:
        raise InputError(f"{key}: {path}: found {instead[0]}; expected weights: {instead[1]}")
    if path.suffix == ".safetensors":
        kind = "safetensors checkpoint"
        try:
            with safe_open(path, "pt") as file:
                file.keys()
            return
        except (SafetensorError, OSError) as error:
            reason = str(error)
    else:
        kind = "checkpoint of weights alone"
        try:
            if not is_torchscript(path):
                torch.load(path, map_location="meta", weights_only=True, mmap=zipfile.is_zipfile(path))
            return
        except pickle.UnpicklingError as error:  # torch's message recommends loading without the check
            if whole := re.search(r"GLOBAL ([\w.]+)", str(error)):
                raise InputError(
                    f"{key}: {path}: found a pickled {whole[1]}, which only its own code can read; expected only "
                    "weights: save them with torch.save(model.state_dict(), PATH)"
                ) from error
            reason = "it is incomplete, or holds more than tensors"
        except Exception as error:  # zip and torch raise many types
            reason = str(error)
    raise InputError(
        f"{key}: {path} is not a readable {kind} ({' '.join(reason.split())[:200]}); copy or download it again"
    )


def _mistaken(path: Path) -> tuple[str, str] | None:
    """What the file really is, if its name is misleading, and what to do; None if the name seems right."""
    with suppress(OSError), path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            return "a Git LFS pointer, which stands for a file", "fetch it with `git lfs pull`"
    if path.suffix == ".safetensors":
        return ("a file of torch.save", "name it .pt") if zipfile.is_zipfile(path) else None
    with suppress(SafetensorError, OSError), safe_open(path, "pt"):
        return "a file in the format of safetensors", "name it .safetensors"
    return None


def is_torchscript(path: Path) -> bool:
    """Whether `path` is a TorchScript archive, as OpenAI's own CLIP files are."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def torchscript_weights(path: Path) -> tuple[dict[str, torch.Tensor], bool]:
    """The state dict of a TorchScript archive, and whether it is one of OpenAI's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch deprecates the format, which users cannot change
        state = torch.jit.load(path, map_location="cpu").state_dict()
    weights = {name: value.contiguous() for name, value in state.items() if name not in OPENAI_EXTRAS}
    return weights, len(weights) < len(state)


def wanted(model: Model) -> tuple[HubFile, ...]:
    """The files that open_clip will request from the hub; none for local weights.

    Raises InputError for a malformed hub id.
    """
    if model.arch.startswith(HUB):
        repo = model.arch.removeprefix(HUB)
        try:
            hf_hub_url(repo, CONFIG)
        except HFValidationError as error:
            raise InputError(f"model.arch: found {model.arch!r}; expected {HUB}organisation/name") from error
        return HubFile(repo, (CONFIG,)), HubFile(repo, WEIGHTS)
    repo, _, name = _tag(model).get("hf_hub", "").rpartition("/")
    return (HubFile(repo, _alternatives(name)),) if repo else ()


def absent(model: Model) -> tuple[HubFile, ...]:
    """The `wanted` files that are not in the local cache."""
    return tuple(file for file in wanted(model) if file.cached() is None)


def described(model: Model, file: HubFile) -> str:
    """A download in words: weights, source and destination."""
    return f"{called(model)} from {file.url} into {file.folder}"


def fetch(model: Model, say: Callable[[str], None] | None = None) -> None:
    """Download absent files into the cache; calls `say` before each file.

    Raises InputError if that fails; without network, within seconds.
    """
    for file in absent(model):
        try:
            if silence := silent():
                raise HubError(silence)
            if say is not None:
                say(f"fetching {described(model, file)}")
            file.fetch()
        except HubError as error:
            raise InputError(
                f"{_key(model)}: {called(model)} are not in the cache and cannot be fetched ({error}); expected "
                f"{file.url}; run once with network, or copy {file.folder} from a machine that did, or {_local(model)}"
            ) from error


def called(model: Model) -> str:
    """A description of the weights."""
    own = model.arch.startswith((HUB, FOLDER))
    return f"weights of {model.arch}" if own else f"weights {model.pretrained!r} of {model.arch}"


def trained_with_quick_gelu(model: Model) -> bool:
    """Whether the tag's weights were trained with QuickGELU; open_clip only warns about a mismatch."""
    return bool(_tag(model).get("quick_gelu"))


def _key(model: Model) -> str:
    return "model.arch" if model.arch.startswith(HUB) else "model.pretrained"


def _local(model: Model) -> str:
    """How to specify the same weights as local files. Tags imply QuickGELU, so it must be specified for files."""
    if model.arch.startswith(HUB):
        return f"name a folder that holds {CONFIG} and the weights: --set model.arch={FOLDER}/path"
    quick = trained_with_quick_gelu(model) and not model.arch.endswith("-quickgelu")
    arch = f"--set model.arch={model.arch}-quickgelu " if quick else ""
    return f"name the file, with {CONFIG} beside it: {arch}--set model.pretrained=/path/{wanted(model)[0].names[0]}"


def _tag(model: Model) -> dict[str, Any]:
    """open_clip's record of the weights; empty if they are not one of its tags."""
    if model.pretrained in (None, "bundled"):
        return {}
    from open_clip.pretrained import get_pretrained_cfg  # takes seconds: a misspelt YAML key should fail before it

    return get_pretrained_cfg(model.arch, model.pretrained)


def _alternatives(name: str) -> tuple[str, ...]:
    """The file names that open_clip tries for a tag, in order: safetensors first."""
    if name in ("", WEIGHTS[1]):
        return WEIGHTS
    if name.endswith((".bin", ".pth")):
        return str(PurePath(name).with_suffix(".safetensors")), name
    return (name,)


def _folder_files(folder: Path) -> list[Path]:
    """The configuration in `folder` and the checkpoints that open_clip may choose."""
    config = folder / CONFIG
    if not config.is_file():
        raise InputError(
            f"model.arch: found no file {config}; expected a folder with it and a checkpoint of open_clip's"
        )
    checkpoints = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".pth"))
    if not checkpoints:
        raise InputError(f"model.arch: found no checkpoint in {folder}; expected {WEIGHTS[0]} beside {config}")
    return [config, *checkpoints]


def content_digest(files: Iterable[Path]) -> str:
    """16 hexadecimal digits of one file's content, or of several files' contents."""
    digests = []
    for path in files:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    whole = digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    return whole[:16]
