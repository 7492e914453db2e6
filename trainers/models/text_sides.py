"""The text sides of models: tokenizers, and the parts that come from Hugging Face's transformers."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from huggingface_hub import constants

from flyp_sweep.search_spaces.complaints import one_line
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.models import digits_clip, weights
from flyp_sweep.trainers.models.hub import cache_where_silent

if TYPE_CHECKING:
    from types import ModuleType

    from flyp_sweep.search_spaces.model import Model
    from flyp_sweep.trainers.models.prompts import Tokenizer

OF_TRANSFORMERS = {"hf_tokenizer_name": "tokenizer", "hf_model_name": "text encoder"}
"""Key of `text_cfg` in open_clip's configurations -> the part that comes from transformers if the key is set."""

EXTRA = "pip install 'flyp-sweep[hf]'"


def with_ours() -> ModuleType:
    """open_clip, with the architecture of the bundled model registered."""
    import open_clip

    open_clip.add_model_config(digits_clip.CONFIG_DIR)
    return open_clip


def check_packages(arch: str) -> None:
    """Raise InputError if the architecture needs transformers and it is not installed. Hub models are not checked."""
    text = text_config(arch)
    needs = [what for key, what in OF_TRANSFORMERS.items() if text.get(key)]
    if needs and find_spec("transformers") is None:
        verb = "needs" if len(needs) == 1 else "need"
        raise InputError(
            f"model.arch: found {arch!r}, whose Hugging Face {' and '.join(needs)} {verb} the package transformers; "
            f"it is not installed: {EXTRA}"
        )


def tokenizer_of(model: Model) -> Tokenizer | None:
    """The tokenizer of `model`; None if the model's files must be downloaded from a hub first.

    Raises InputError if the model's files are local, but those of the tokenizer are unavailable.
    """
    hugging = model.arch.startswith(weights.HUB) or _hugging_face_tokenizer(model) is not None
    return None if hugging and weights.absent(model) else tokenizer(model)


def context_length(model: Model) -> int:
    """The architecture's number of tokens per prompt."""
    return int(text_config(model.arch).get("context_length", 77))


def _hugging_face_tokenizer(model: Model) -> str | None:
    """The repository of the architecture's tokenizer; None if open_clip has its own."""
    return text_config(model.arch).get("hf_tokenizer_name")


def text_config(arch: str) -> dict[str, Any]:
    """The text tower in open_clip's configuration; empty if only a hub has it, or if it is unknown."""
    if arch.startswith(weights.HUB):
        return {}
    config: dict[str, Any] = {}
    with suppress(OSError, ValueError):  # the checks of local folders report these errors
        config = with_ours().get_model_config(arch) or {}
    return config.get("text_cfg", {})


def tokenizer(model: Model) -> Tokenizer:
    """The tokenizer of `model`, from the cache or a hub. Raises InputError if it is unavailable."""
    open_clip, repository = with_ours(), _hugging_face_tokenizer(model)
    own = repository is None and not model.arch.startswith(weights.HUB)
    try:
        with nullcontext() if own else cache_where_silent():
            return open_clip.get_tokenizer(model.arch)
    except Exception as error:  # many types, of transformers and the hub
        if wants_transformers(error):
            raise InputError(
                f"model.arch: the tokenizer of {model.arch} needs the package transformers; it is not installed: "
                f"{EXTRA}"
            ) from error
        raise InputError(unfetched(model.arch, "tokenizer", repository or model.arch, error)) from error


def unfetched(arch: str, part: str, repository: str, error: Exception) -> str:
    return (
        f"model.arch: the {part} of {arch} ({repository}) is not in the cache and cannot be fetched "
        f"({in_short(error)}); run once with network, or copy its folder in {constants.HF_HUB_CACHE} from a machine "
        "that did"
    )


def wants_transformers(error: BaseException) -> bool:
    """Whether `error` results from a missing transformers package."""
    return find_spec("transformers") is None and "transformers" in str(error)


def in_short(error: Exception) -> str:
    return one_line(" ".join(str(error).split()))[:200]
