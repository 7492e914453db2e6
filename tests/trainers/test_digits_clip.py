"""The bundled CLIP: the checkpoint that ships, and the code that rebuilds it."""

from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file

from flyp_sweep.search_spaces.model import Model
from flyp_sweep.trainers.datasets.digits import STYLES, Digits
from flyp_sweep.trainers.models import pretrained
from flyp_sweep.trainers.models.digits_clip import ARCH, CHECKPOINT, CONFIG_DIR, PARAMETERS, pretrain
from flyp_sweep.trainers.models.digits_clip.captions import DRAWS, caption
from flyp_sweep.trainers.models.digits_clip.fonts import printed
from flyp_sweep.trainers.models.digits_clip.render import Bank, build_bank, low_resolution, render
from flyp_sweep.trainers.models.digits_clip.strokes import CANVAS, SKELETONS, handwritten

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bank() -> Bank:
    return build_bank(per_digit=12)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# The checkpoint


def test_the_checkpoint_is_small_and_in_half_precision() -> None:
    assert CHECKPOINT.stat().st_size <= 8_000_000
    assert {weight.dtype for weight in load_file(CHECKPOINT).values()} == {torch.float16}


def test_the_checkpoint_loads_through_open_clip_alone() -> None:
    open_clip.add_model_config(CONFIG_DIR)
    clip = open_clip.create_model(ARCH, pretrained=str(CHECKPOINT), require_pretrained=True)
    saved = load_file(CHECKPOINT)
    assert saved.keys() == clip.state_dict().keys()
    assert all(torch.equal(weight, saved[name].float()) for name, weight in clip.state_dict().items())
    assert not any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in clip.modules())
    assert 1 < clip.logit_scale.exp() <= 101
    assert sum(parameter.numel() for parameter in clip.parameters()) == PARAMETERS


def test_a_model_that_pads_beforehand_is_the_same_model() -> None:
    """As open_clip has it and as trials train it: the same outputs bit by bit, the same gradients to rounding."""
    ours = pretrained.load(Model(arch=ARCH, pretrained="bundled"), torch.device("cpu")).clip.visual
    plain = pretrain.load().visual
    images = torch.randn(8, 3, 32, 32, generator=generator())
    outputs = [encoder(images) for encoder in (ours, plain)]
    assert torch.equal(*outputs)
    for output in outputs:
        output.square().sum().backward()
    for (name, one), (_, other) in zip(ours.named_parameters(), plain.named_parameters(), strict=True):
        assert (one.grad - other.grad).norm() <= 1e-5 * other.grad.norm(), name
    padded = [name for name, module in ours.named_modules() if getattr(module, "padding_mode", "zeros") != "zeros"]
    assert padded == [f"trunk.stages.{stage}.blocks.0.conv_dw" for stage in (1, 2, 3)]


def test_zero_shot_is_above_chance_on_handwriting_and_every_shift_and_leaves_room() -> None:
    found = pretrain.zero_shot_accuracy(pretrain.load(), Digits(Path()))
    assert 0.35 <= found["id_test"] <= 0.85
    assert all(0.2 <= found[style] <= 0.95 for style in STYLES)


# Rendering


def test_bank_pictures_and_captions_are_decided_by_the_seed(bank: Bank) -> None:
    again, another = build_bank(per_digit=12), build_bank(per_digit=12, seed=8)
    assert all(torch.equal(a, b) for a, b in zip(bank.fields, again.fields, strict=True))
    assert not torch.equal(bank.fields[1], another.fields[1])
    first, same, other = (render(bank, 64, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.pictures, same.pictures)
    assert first.captions == same.captions
    assert not torch.equal(first.pictures, other.pictures)
    assert first.captions != other.captions


def test_pictures_have_the_documented_shape_and_show_something(bank: Bank) -> None:
    batch = render(bank, 256, generator())
    assert batch.pictures.shape == (256, 32, 32)
    assert batch.pictures.dtype == torch.uint8
    assert set(batch.digits.tolist()) == set(range(10))
    assert batch.pictures.float().flatten(1).std(dim=1).min() > 2


def test_captions_name_their_digit(bank: Bank) -> None:
    batch = render(bank, 256, generator())
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    for digit, text in zip(batch.digits.tolist(), batch.captions, strict=True):
        spoken = text.replace('"', " ").replace(".", " ").split()
        assert [w for w in spoken if w in words or w.isdigit()] in ([words[digit]], [str(digit)])


def test_captions_tell_the_medium_and_the_styles_with_the_right_article() -> None:
    assert caption(3, "handwritten", ["inverted"], [0.0, 0.0, 0.0, 0.0]) == "a photo of an inverted handwritten three."
    assert caption(8, "printed", [], [0.0, 0.9, 0.9, 0.9]) == "a photo of an 8."
    assert caption(1, "printed", ["thin"], [0.99, 0.0, 0.9, 0.9]) == "the number one in print."
    assert caption(1, "printed", [], [0.0, 0.0, 0.9, 0.9][:DRAWS]) == "a photo of a one."


@pytest.mark.parametrize("digit", range(10))
def test_every_digit_has_several_skeletons_and_fills_its_box(digit: int) -> None:
    assert len(SKELETONS[digit]) >= 3
    fields = handwritten(digit, 6, generator())
    assert fields.shape == (6, CANVAS, CANVAS)
    rows = (fields < 0.1).any(dim=2).sum(dim=1)
    assert (rows >= CANVAS * 0.6).all()
    assert (rows <= CANVAS * 0.8).all()


def test_printed_fields_are_negative_inside_the_ink_and_all_digits_differ() -> None:
    fields = torch.stack([printed(digit) for digit in range(10)])
    assert fields.shape[1] >= 15
    assert (fields.flatten(2).amin(dim=2) < 0).all()
    assert (fields[:, :, 0, 0] > 0.3).all()
    for font in fields.unbind(dim=1):
        assert torch.cdist(font.flatten(1), font.flatten(1)).fill_diagonal_(9).min() > 1


def test_low_resolution_softens_edges_and_keeps_the_ink() -> None:
    ink = torch.zeros(1, 32, 32)
    ink[:, 8:24, 12:20] = 1
    coarse = low_resolution(ink)
    assert coarse.shape == ink.shape
    assert 0 < coarse[0, 16, 11] < 1
    assert coarse[0, 16, 16] > 0.9
    assert coarse[0, 0, 0] == 0


# Pretraining


def test_a_short_pretraining_writes_a_checkpoint_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pretrain, "BATCH_SIZE", 8)
    monkeypatch.setattr(pretrain, "HANDWRITING_PER_DIGIT", 4)
    out = tmp_path / "deep" / "tiny.safetensors"
    pretrain.main(["--steps", "3", "--out", str(out), "--seed", "1"])
    printed_lines = capsys.readouterr().out
    assert "step 3/3" in printed_lines
    assert "zero-shot id_test" in printed_lines
    assert load_file(out).keys() == load_file(CHECKPOINT).keys()


def test_pretraining_is_decided_by_the_seed() -> None:
    first, same, other = (pretrain.pretrain(2, seed, batch_size=8, per_digit=4).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
