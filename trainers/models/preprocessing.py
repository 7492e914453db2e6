"""The image preprocessing of a model file: from a configuration beside the file, from tags, or assumed with a
remark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyp_sweep.search_spaces.errors import InputError

if TYPE_CHECKING:
    from flyp_sweep.search_spaces.model import Model

CONFIG = "open_clip_config.json"
KEYS = ("mean", "std", "interpolation", "resize_mode")


def config_beside(path: Path) -> Path | None:
    """The configuration in a checkpoint's folder, if there is one."""
    beside = path.with_name(CONFIG)
    return beside if beside.is_file() else None


def preprocess_of(model: Model, path: Path) -> tuple[dict[str, Any], str | None]:
    """open_clip's image settings for the weights in `path`, and a remark if they are assumed.

    Raises InputError for a configuration that cannot be read.
    """
    beside = config_beside(path)
    if beside is not None:
        return _read(beside), None
    by_tag = {tag: of_tag(model.arch, tag) for tag in _tags(model.arch)}
    if tag := _cached_as(model.arch, path):
        return by_tag[tag], None
    told = [dict(pairs) for pairs in {tuple(one.items()) for one in by_tag.values()}]
    assumed = told[0] if len(told) == 1 else of_tag("", "")
    differing = [tag for tag, one in by_tag.items() if one != assumed]
    whose = f"as all tags of {model.arch} have" if len(told) == 1 else "as OpenAI's models have"
    others = f" (the tags {', '.join(differing[:3])} of {model.arch} have others)" if differing else ""
    numbers = ", ".join(f"{key} {_shown(value)}" for key, value in assumed.items())
    line = f"model.pretrained: {path}: no {CONFIG} lies beside the file; images get {numbers}, {whose}{others}"
    return assumed, line


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        given = told.get("preprocess_cfg", told)
        return {key: tuple(given[key]) if key in ("mean", "std") else str(given[key]) for key in KEYS if key in given}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"model.pretrained: {path}: not a configuration of open_clip ({error}); repair it") from error


def _tags(arch: str) -> list[str]:
    import open_clip

    return list(open_clip.list_pretrained_tags_by_model(arch))


def of_tag(arch: str, tag: str) -> dict[str, Any]:
    """The image settings of a tag; without a tag, those of OpenAI's models."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    told = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    told |= {"interpolation": "bicubic", "resize_mode": "shortest"}
    known = get_pretrained_cfg(arch, tag) if tag else {}
    return {key: known.get(key) or value for key, value in told.items()}


def _cached_as(arch: str, path: Path) -> str | None:
    """The tag whose repository in the hub's cache contains `path`."""
    from open_clip.pretrained import get_pretrained_cfg

    for tag in _tags(arch):
        repo = str(get_pretrained_cfg(arch, tag).get("hf_hub", "")).rpartition("/")[0]
        if repo and f"models--{repo.replace('/', '--')}" in path.parts:
            return tag
    return None


def _shown(value: object) -> str:
    return f"({', '.join(f'{one:.4g}' for one in value)})" if isinstance(value, tuple) else str(value)
