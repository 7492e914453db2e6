"""A model's preprocessing, determined without its weights: from architecture and tag, or a file beside the weights."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers.data.images import Preprocess
from flyp_sweep.trainers.models import preprocessing, weights
from flyp_sweep.trainers.models.pretrained import is_bundled
from flyp_sweep.trainers.models.text_sides import with_ours

if TYPE_CHECKING:
    from flyp_sweep.search_spaces.model import Model

USUAL_SIZE = 224
"""Default pixels per side, for open_clip architectures without an image size."""


def preparation(model: Model) -> Preprocess | None:
    """As `load(model, ...).preprocess`; None if only the hub has the configuration, and the local cache does not.

    Raises InputError for a configuration that cannot be read.
    """
    if model.arch.startswith(weights.HUB):
        cached = weights.wanted(model)[0].cached()
        return None if cached is None else Preprocess.from_config(_of_file(cached))
    if model.arch.startswith(weights.FOLDER):
        return Preprocess.from_config(_of_file(Path(model.arch.removeprefix(weights.FOLDER)) / preprocessing.CONFIG))
    path = weights.local_file(model)
    if path is None or is_bundled(model):
        told = preprocessing.of_tag(model.arch, "" if is_bundled(model) else str(model.pretrained))
    else:
        told = preprocessing.preprocess_of(model, path)[0]
    return Preprocess.from_config(_whole(with_ours().get_model_config(model.arch) or {}, told))


def views(models: Iterable[Model]) -> list[Preprocess]:
    """The distinct preprocessings that a search space's images are compared by.

    A model whose configuration only the hub has counts as `usual`. Raises InputError as `preparation` does.
    """
    found: dict[str, Preprocess] = {}
    for model in models:
        view = preparation(model) or usual()
        found.setdefault(str(view.geometry), view)
    return list(found.values())


def usual() -> Preprocess:
    """The preprocessing of OpenAI's models at 224 x 224 pixels, for data without a known model."""
    return Preprocess.from_config(_whole({}, preprocessing.of_tag("", "")))


def _of_file(path: Path) -> dict[str, Any]:
    """The content of an `open_clip_config.json`."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return _whole(told["model_cfg"], told.get("preprocess_cfg", {}))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"model.arch: {path}: not a configuration of open_clip ({error}); repair it") from error


def _whole(architecture: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """An architecture's configuration, updated with its weights' settings `told`, and open_clip's defaults."""
    size = architecture.get("vision_cfg", {}).get("image_size", USUAL_SIZE)
    given = {name: value for name, value in told.items() if name != "size" and value is not None}
    return {**preprocessing.of_tag("", ""), "mode": "RGB", "fill_color": 0, **given, "size": size}
