"""Layer-wise decay of the learning rate: the distance of each parameter from the top of its tower."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import open_clip
import pytest
import torch
from open_clip import CLIPTextCfg, CLIPVisionCfg
from torch import nn

from flyp_sweep.trainers import methods
from flyp_sweep.trainers.models.layers import distances

if TYPE_CHECKING:
    from tests.trainers.conftest import Bench

TEXT = CLIPTextCfg(context_length=16, vocab_size=64, width=32, heads=2, layers=3)
TOWERS: dict[str, tuple[CLIPVisionCfg, dict[str, int]]] = {
    "vit": (
        CLIPVisionCfg(layers=4, width=32, head_width=16, patch_size=8, image_size=32),
        {
            "visual.conv1.weight": 5,
            "visual.class_embedding": 5,
            "visual.positional_embedding": 5,
            "visual.ln_pre.weight": 5,
            "visual.transformer.resblocks.0.attn.in_proj_weight": 4,
            "visual.transformer.resblocks.3.mlp.c_fc.weight": 1,
            "visual.ln_post.weight": 0,
            "visual.proj": 0,
        },
    ),
    "resnet": (
        CLIPVisionCfg(layers=(1, 2, 1, 1), width=8, image_size=32),
        {
            "visual.conv1.weight": 6,
            "visual.bn3.bias": 6,
            "visual.layer1.0.conv1.weight": 5,
            "visual.layer2.0.downsample.0.weight": 4,
            "visual.layer2.1.bn1.weight": 3,
            "visual.layer4.0.conv3.weight": 1,
            "visual.attnpool.positional_embedding": 0,
            "visual.attnpool.c_proj.weight": 0,
        },
    ),
    "vit of timm": (
        CLIPVisionCfg(timm_model_name="test_vit", timm_pool="", timm_proj="linear", image_size=32),
        {
            "visual.trunk.cls_token": 7,
            "visual.trunk.pos_embed": 7,
            "visual.trunk.patch_embed.proj.weight": 7,
            "visual.trunk.blocks.0.mlp.fc1.weight": 6,
            "visual.trunk.blocks.5.mlp.fc1.weight": 1,
            "visual.head.proj.weight": 0,
        },
    ),
    "convnext of timm": (
        CLIPVisionCfg(timm_model_name="test_convnext", timm_pool="avg", timm_proj="linear", image_size=32),
        {
            "visual.trunk.stem.0.weight": 0,  # replaced below by what timm's groups say
            "visual.head.proj.weight": 0,
        },
    ),
}
OF_TEXT = {
    "token_embedding.weight": 4,
    "positional_embedding": 4,
    "transformer.resblocks.0.ln_1.weight": 3,
    "transformer.resblocks.2.mlp.c_proj.bias": 1,
    "ln_final.weight": 0,
    "text_projection": 0,
}


def clip_of(kind: str, custom_text: bool) -> nn.Module:
    torch.manual_seed(0)
    vision, _ = TOWERS[kind]
    make: Any = open_clip.CustomTextCLIP if custom_text else open_clip.CLIP
    return make(32, vision, TEXT)


@pytest.mark.parametrize("custom_text", [False, True])
@pytest.mark.parametrize("kind", ["vit", "resnet", "vit of timm"])
def test_both_towers_count_from_their_own_top(kind: str, custom_text: bool) -> None:
    clip = clip_of(kind, custom_text)
    found = distances(clip, clip)
    named = dict(clip.named_parameters())
    text = {f"text.{name}" if custom_text else name: at for name, at in OF_TEXT.items()}
    wanted = {**TOWERS[kind][1], **text}
    assert {name: found[id(named[name])] for name in wanted} == wanted
    assert found.get(id(named["logit_scale"]), 0) == 0


def test_layers_of_a_convnext_are_those_that_timm_tells_apart() -> None:
    clip = clip_of("convnext of timm", custom_text=False)
    found, named = distances(clip, clip), dict(clip.named_parameters())
    blocks = [name for name in named if ".blocks." in name and name.endswith("conv_dw.weight")]
    assert [found[id(named[name])] for name in blocks] == sorted({found[id(named[name])] for name in blocks})[::-1]
    assert found[id(named[blocks[-1]])] == 1
    assert found[id(named["visual.trunk.stem.0.weight"])] == max(found.values())
    assert {found[id(named[name])] for name in named if name.startswith(("visual.trunk.head", "visual.head"))} == {0}


@pytest.mark.parametrize("name", ["flyp", "ft", "flyp_ema", "flyp_lora", "clipood", "flyp_frozen_text"])
def test_rates_fall_with_the_distance_in_whatever_a_method_makes_of_the_towers(bench: Bench, name: str) -> None:
    task = bench.task(bench.spec(name, layer_decay=0.5))
    method: Any = methods.get(name)
    model = method.start(task)
    groups = method.parameter_groups(model, task)
    lr = task.hparams["lr"]
    below = distances(model, task.pretrained.clip)
    for group in groups:
        assert {lr * 0.5 ** below.get(id(parameter), 0) for parameter in group.parameters} == {group.lr}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert sum(len(group.parameters) for group in groups) == len(trained)
    assert min(group.lr for group in groups) < lr / 4
    (plain,) = method.parameter_groups(model, bench.task(bench.spec(name)))
    assert plain.lr == lr
    assert [id(one) for one in plain.parameters] == [id(one) for one in trained], "in the order of today"
