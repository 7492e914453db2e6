"""Model files as people have them: wrapped, compiled, of another library, broken; and how their images are prepared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.model import Model
from flyp_sweep.trainers.models import pretrained, weights
from flyp_sweep.trainers.models.digits_clip import ARCH, CHECKPOINT
from flyp_sweep.trainers.models.preprocessing import preprocess_of
from flyp_sweep.trainers.models.state_dicts import check_fits, resized

State = dict[str, torch.Tensor]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def state() -> State:
    from safetensors.torch import load_file

    return load_file(CHECKPOINT)


def model_of(path: Path) -> Model:
    return Model(arch=ARCH, pretrained=str(path))


WRAPPED: dict[str, Callable[[State], Any]] = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "data parallel": lambda state: {f"module.{name}": one for name, one in state.items()},
    "compiled": lambda state: {f"_orig_mod.{name}": one for name, one in state.items()},
    "compiled in parallel": lambda state: {"state_dict": {f"module._orig_mod.{k}": v for k, v in state.items()}},
    "compiled tower": lambda state: {name.replace("visual.", "visual._orig_mod."): one for name, one in state.items()},
    "lightning": lambda state: {
        "state_dict": {**{f"model.{name}": one for name, one in state.items()}, "loss.weight": torch.ones(1)},
        "global_step": 10,
    },
    "model": lambda state: {"model": state, "optimizer": {"step": 3}},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrapped_weights_are_those_of_the_plain_file(kind: str, state: State, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(WRAPPED[kind](state), path)
    pretrained.check_file(model_of(path))
    loaded = pretrained.load(model_of(path), CPU).clip.state_dict()
    shipped = pretrained.load(Model(arch=ARCH, pretrained="bundled"), CPU).clip.state_dict()
    assert loaded.keys() == shipped.keys()
    assert all(torch.equal(loaded[name], shipped[name]) for name in shipped)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            lambda state: {
                **{f"vision_model.{name}": one for name, one in state.items()},
                "logit_scale": torch.ones(()),
            },
            "Hugging Face's transformers",
        ),
        (
            lambda state: {f"backbone{at}": one for at, one in enumerate(state.values())},
            "expected those of digits-clip",
        ),
        (
            lambda state: {**state, "logit_scale": torch.tensor(float("nan"))},
            "found a NaN or an infinity in logit_scale",
        ),
        (lambda state: {"epoch": 3, "lr": 0.1}, "found epoch, lr; expected the state dict of a CLIP model"),
        (lambda state: {name: one[:1] if one.ndim > 1 else one for name, one in state.items()}, "of shape (1, "),
    ],
    ids=["transformers", "other names", "nan", "no weights", "other shapes"],
)
def test_what_is_no_such_model_is_refused_by_names_before_a_sweep(
    content: Callable[[State], Any], told: str, state: State, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pt"
    torch.save(content(state), path)
    with pytest.raises(InputError) as no:
        pretrained.check_file(model_of(path))
    assert told in str(no.value)
    assert str(path) in str(no.value)
    assert "\n" not in str(no.value)


def test_a_pickled_model_gets_the_advice_to_save_its_state_dict(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(InputError, match=r"pickled torch\.nn\.modules\.linear\.Linear.*model\.state_dict\(\)"):
        weights.fingerprint(model_of(path))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("w.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "git lfs pull"),
        ("w.pt", b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "git lfs pull"),
        ("w.pt", CHECKPOINT.read_bytes(), "name it .safetensors"),
    ],
    ids=["pointer", "pointer named .pt", "safetensors named .pt"],
)
def test_a_file_that_is_another_than_its_name_says_is_called_what_it_is(
    name: str, content: bytes, told: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=told):
        weights.fingerprint(model_of(tmp_path / name))


def test_a_file_of_torch_save_named_safetensors_is_called_what_it_is(tmp_path: Path) -> None:
    torch.save({"logit_scale": torch.ones(())}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"found a file of torch\.save.*name it \.pt"):
        weights.fingerprint(model_of(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("scale", [100.0, 14.2857])
def test_a_logit_scale_in_place_of_its_logarithm_is_refused(state: State, tmp_path: Path, scale: float) -> None:
    save_file({**state, "logit_scale": torch.tensor(scale)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=f"logit_scale of {scale:g}; expected the logarithm"):
        pretrained.load(model_of(tmp_path / "w.safetensors"), CPU)


def test_nan_weights_are_refused_when_they_are_loaded(state: State, tmp_path: Path) -> None:
    name = next(name for name, one in state.items() if one.is_floating_point() and one.ndim > 1)
    broken = {**state, name: state[name].clone()}
    broken[name].view(-1)[-1] = float("inf")
    save_file(broken, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="hold a NaN or an infinity"):
        pretrained.load(model_of(tmp_path / "weights.safetensors"), CPU)


def test_images_are_prepared_by_the_configuration_beside_the_file(state: State, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    without = weights.fingerprint(model_of(path))
    config = {"preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2], "interpolation": "bilinear"}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    assert pretrained.check_file(model_of(path)) == []
    found = pretrained.load(model_of(path), CPU).preprocess.config
    assert (found["mean"], found["std"]) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    assert found["interpolation"] == "bilinear"
    assert weights.fingerprint(model_of(path)) != without, "other images, other numbers"
    (tmp_path / "open_clip_config.json").write_text("[1]")
    with pytest.raises(InputError, match="not a configuration of open_clip"):
        pretrained.check_file(model_of(path))


def test_what_is_assumed_of_images_is_said(tmp_path: Path) -> None:
    siglip, line = preprocess_of(Model(arch="ViT-B-16-SigLIP", pretrained="x.pt"), tmp_path / "x.pt")
    assert (siglip["mean"], siglip["resize_mode"]) == ((0.5, 0.5, 0.5), "squash")
    assert line is not None
    assert "as all tags of ViT-B-16-SigLIP have" in line
    assumed, line = preprocess_of(Model(arch="ViT-B-32", pretrained="x.pt"), tmp_path / "x.pt")
    assert assumed["interpolation"] == "bicubic"
    assert line is not None
    assert "no open_clip_config.json lies beside the file; images get mean (0.4815, 0.4578, 0.4082)" in line


def test_a_file_in_the_hubs_cache_gets_what_its_tag_wants(tmp_path: Path) -> None:
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    tag = list_pretrained_tags_by_model("ViT-B-16-SigLIP")[0]
    repo = get_pretrained_cfg("ViT-B-16-SigLIP", tag)["hf_hub"].rstrip("/")
    path = tmp_path / f"models--{repo.replace('/', '--')}" / "snapshots" / "0" / "open_clip_model.safetensors"
    wanted, line = preprocess_of(Model(arch="ViT-B-16-SigLIP", pretrained=str(path)), path)
    assert (wanted["mean"], line) == ((0.5, 0.5, 0.5), None)


def test_interpolated_position_embeddings_are_said_and_other_shapes_refused() -> None:
    expected = {
        "visual.positional_embedding": torch.Size([50, 8]),
        "visual.proj": torch.Size([8, 4]),
        "logit_scale": torch.Size([]),
    }
    held = {"visual.positional_embedding": torch.ones(197, 8), "visual.proj": torch.ones(8, 4)}
    held["logit_scale"] = torch.ones(1)
    check_fits(Path("x.pt"), "tiny", held, expected)
    assert resized(held, expected) == ["visual.positional_embedding is interpolated from (197, 8) to (50, 8)"]
    with pytest.raises(InputError, match=r"found visual\.proj of shape \(9, 4\); expected \(8, 4\), as tiny has"):
        check_fits(Path("x.pt"), "tiny", {**held, "visual.proj": torch.ones(9, 4)}, expected)
