"""The distance of parameters from the top of their tower, in layers, for layer-wise learning rate decay."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

_OF_THE_STEM = re.compile(r"(^|\.)(conv|bn|stem|patch|ln_pre|shared)|emb")
"""Names, outside the blocks, of parameters below the blocks; pooling layers are above them."""


def distances(model: nn.Module, clip: Any) -> dict[int, int]:
    """`id` of a parameter -> layers from the top of its tower, for all towers in `model` built like those of `clip`.

    The two encoders are counted separately: projection, last normalisation and head have distance 0, the last block 1,
    and the embeddings one more than the first block. Parameters outside the towers are absent. This follows the
    fine-tuning of BEiT (Bao et al., 2022) and MAE (He et al., 2022); timm towers use timm's own grouping.
    """
    found: dict[int, int] = {}
    for tower, beside in _towers(model, clip):
        named = {name: one for name, one in tower.named_parameters() if not (beside and name.startswith(beside))}
        layers = _of_timm(tower) or _of_blocks(_blocks(tower, beside), named)
        found |= {id(parameter): layers.get(name, 0) for name, parameter in named.items()}
    return found


def _towers(model: nn.Module, clip: Any) -> Iterator[tuple[nn.Module, str]]:
    """Each tower, and the name prefix of those of its module's parameters that belong to another tower (none:
    empty)."""
    for module in model.modules():
        if type(module) is type(clip.visual):
            yield module, ""
        elif type(module) is type(clip):
            text = getattr(module, "text", None)
            yield (text, "") if isinstance(text, nn.Module) else (module, "visual.")


def _of_timm(tower: nn.Module) -> dict[str, int]:
    """Name -> distance in a tower with a timm trunk, by timm's layer groups; empty for other towers."""
    trunk: Any = getattr(tower, "trunk", None)
    if not hasattr(trunk, "group_matcher"):
        return {}
    from timm.models import group_parameters

    matcher = trunk.group_matcher(coarse=False)
    layer = group_parameters(trunk, matcher, reverse=True)
    top = 1 + max(at for name, at in layer.items() if _matched(name, matcher))
    return {f"trunk.{name}": max(0, top - at) for name, at in layer.items()}


def _matched(name: str, matcher: Mapping[str, Any]) -> bool:
    """Whether a parameter belongs to the stem or a block. Parameters above the blocks match nothing."""
    patterns = [one for spec in matcher.values() if spec for one in ([spec] if isinstance(spec, str) else spec)]
    return any(re.match(one if isinstance(one, str) else one[0], name) for one in patterns)


def _blocks(tower: nn.Module, beside: str) -> list[str]:
    """The names of a tower's blocks in order: a ResNet's stages, else the longest sequence of equal modules."""
    stages = [f"layer{number}" for number in (1, 2, 3, 4)]
    children = dict(tower.named_children())
    if children.keys() >= set(stages):
        return [f"{stage}.{at}" for stage in stages for at, _ in children[stage].named_children()]
    rows = {
        name: sum(parameter.numel() for parameter in row.parameters())
        for name, row in tower.named_modules()
        if isinstance(row, nn.ModuleList | nn.Sequential) and len({type(one) for one in row}) == 1 < len(row)
        if not (beside and name.startswith(beside))
    }
    if not rows:
        return []
    row = max(rows, key=lambda name: rows[name])
    return [f"{row}.{at}" for at, _ in tower.get_submodule(row).named_children()]


def _of_blocks(blocks: list[str], named: Mapping[str, nn.Parameter]) -> dict[str, int]:
    """Name -> distance; a tower without blocks is a single layer."""
    place = {block: len(blocks) - at for at, block in enumerate(blocks)}
    depth = blocks[0].count(".") + 1 if blocks else 0
    found = {}
    for name in named if blocks else ():
        block = ".".join(name.split(".")[:depth])
        is_stem = "pool" not in name and _OF_THE_STEM.search(name) is not None
        found[name] = place.get(block, len(blocks) + 1 if is_stem else 0)
    return found
