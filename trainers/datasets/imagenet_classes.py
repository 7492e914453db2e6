"""ImageNet's classes, from files of open_clip and timm, without importing those packages, which takes seconds."""

from __future__ import annotations

import importlib.util
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType


@cache
def wordnet_ids(subset: str = "imagenet") -> tuple[str, ...]:
    """The WordNet ids of `imagenet`, `imagenet_r` or `imagenet_a`, in the order of their labels."""
    return tuple((_folder("timm") / "data" / "_info" / f"{subset}_synsets.txt").read_text().split())


def class_names() -> tuple[str, ...]:
    """CLIP's names of the 1000 classes."""
    return tuple(_zero_shot_metadata().IMAGENET_CLASSNAMES)


def templates() -> tuple[str, ...]:
    """CLIP's 80 templates."""
    return tuple(template("{}") for template in _zero_shot_metadata().OPENAI_IMAGENET_TEMPLATES)


@cache
def _zero_shot_metadata() -> ModuleType:
    """`open_clip.zero_shot_metadata`, which imports nothing, loaded without its package."""
    path = _folder("open_clip") / "zero_shot_metadata.py"
    loader = SourceFileLoader("_open_clip_zero_shot_metadata", str(path))
    module = ModuleType(loader.name)
    loader.exec_module(module)
    return module


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed", name=package)
    return Path(spec.origin).parent
