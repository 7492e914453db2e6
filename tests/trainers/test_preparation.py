"""How models want their images, known before their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from refusal import refused

from flyp_sweep.search_spaces.sections import Model
from flyp_sweep.trainers.models import pretrained
from flyp_sweep.trainers.models.preparation import preparation, usual, views

BUNDLED = Model(arch="digits-clip", pretrained="bundled")
OPENAI = {"interpolation": "bicubic", "resize_mode": "shortest", "fill_color": 0}


def test_it_is_that_of_the_loaded_model() -> None:
    known, loaded = preparation(BUNDLED), pretrained.load(BUNDLED, torch.device("cpu")).preprocess
    assert known
    assert known.geometry == loaded.geometry
    assert known.size == loaded.size
    assert torch.equal(known.mean, loaded.mean)
    assert torch.equal(known.std, loaded.std)


@pytest.mark.parametrize(
    ("arch", "tag", "expected"),
    [
        ("ViT-B-16", "openai", {"size": [224, 224], **OPENAI}),
        ("ViT-L-14-336", "openai", {"size": [336, 336], **OPENAI}),
        ("ViT-B-16-SigLIP-384", "webli", {"size": [384, 384], **OPENAI, "resize_mode": "squash"}),
        ("MobileCLIP-S1", "datacompdr", {"size": [256, 256], **OPENAI, "interpolation": "bilinear"}),
    ],
)
def test_it_is_that_of_the_tag(arch: str, tag: str, expected: dict[str, Any]) -> None:
    known = preparation(Model(arch=arch, pretrained=tag))
    assert known
    assert known.geometry == expected


def test_a_folder_says_it_in_its_configuration(tmp_path: Path) -> None:
    told = {
        "model_cfg": {"vision_cfg": {"image_size": 64}},
        "preprocess_cfg": {"resize_mode": "squash", "mean": [0, 0, 0]},
    }
    model = Model(arch=f"local-dir:{tmp_path}")
    refused(lambda: preparation(model), "open_clip_config.json: not a configuration")
    (tmp_path / "open_clip_config.json").write_text(json.dumps(told))
    known = preparation(model)
    assert known
    assert known.geometry == {"size": [64, 64], **OPENAI, "resize_mode": "squash"}
    assert known.mean.flatten().tolist() == [0, 0, 0]


def test_models_that_make_the_same_pixels_share_a_view_and_a_hubs_is_taken_for_a_usual_one() -> None:
    models = [
        Model(arch="ViT-B-16", pretrained="openai"),
        Model(arch="ViT-B-32", pretrained="laion2b_s34b_b79k"),
        Model(arch="hf-hub:nobody/of-this-name"),
        BUNDLED,
    ]
    assert preparation(models[2]) is None
    assert [view.size for view in views(models)] == [(224, 224), (32, 32)]
    assert views(models[:1])[0].geometry == usual().geometry
