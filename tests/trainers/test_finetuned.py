"""A model that was fine-tuned elsewhere: all kinds of files hold the same model, and its numbers are its fit's."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import open_clip
import pytest
import refusal
import torch
from safetensors.torch import load_file, save_file
from spaces import space_with
from tiny_clip import TINY, archive, some_clip

from flyp_sweep.search_spaces import SearchSpace
from flyp_sweep.search_spaces.model import Model
from flyp_sweep.trainers import methods, preflight
from flyp_sweep.trainers.methods import FineTuned, Method
from flyp_sweep.trainers.models import finetuned, pretrained
from flyp_sweep.trainers.models.digits_clip import CHECKPOINT
from flyp_sweep.trainers.testing.bench import Bench
from flyp_sweep.trainers.testing.method_contract import MethodContract

State = dict[str, torch.Tensor]
CPU = torch.device("cpu")
THEIRS = Path(__file__).with_name("clip_of_transformers.safetensors")
"""A random CLIPModel in half precision, written by transformers 5.24."""
THEIR_FORM = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "head_width": 8, "layers": 1},
    "text_cfg": {"context_length": 16, "vocab_size": 64, "width": 16, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def tuned() -> State:
    """The bundled model after some noise."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return {
            name: value + 0.01 * torch.randn_like(value) if value.is_floating_point() and value.ndim > 1 else value
            for name, value in load_file(CHECKPOINT).items()
        }


def training_checkpoint(state: State, path: Path) -> None:
    """As open_clip's own training writes after an epoch."""
    parallel = {f"module.{name}": value for name, value in state.items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": parallel, "optimizer": {"state": {}}}, path)


FILES: dict[str, Callable[[State, Path], None]] = {
    "epoch_3.pt": training_checkpoint,
    "plain.pt": lambda state, path: torch.save(state, path),
    "plain.safetensors": lambda state, path: save_file(state, path),
    "half.safetensors": lambda state, path: save_file(
        {name: value.half() if value.is_floating_point() else value for name, value in state.items()}, path
    ),
    "compiled.bin": lambda state, path: torch.save(
        {"model": {f"_orig_mod.{name}": value for name, value in state.items()}}, path
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_holds_the_same_model(name: str, tuned: State, bench: Bench, tmp_path: Path) -> None:
    FILES[name](tuned, tmp_path / name)
    task = bench.task()
    method = FineTuned("ours", tmp_path / name)
    model = method.zero_shot(task)
    finetuned.load_into(model, method.path, method.key)
    expected = {key: value.half().float() for key, value in tuned.items()} if "half" in name else tuned
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())
    untouched = task.pretrained.clip.state_dict()
    assert any(not torch.equal(untouched[key], value) for key, value in model.state_dict().items())


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:`torch.jit:FutureWarning")
def test_openai_s_own_archives_are_read(tmp_path: Path) -> None:
    archive(some_clip(True), tmp_path / "ours.pt", {"input_resolution": 16, "context_length": 77, "vocab_size": 49408})
    clip = open_clip.CLIP(**TINY, quick_gelu=True)
    finetuned.load_into(clip, tmp_path / "ours.pt", "methods: ours")
    expected = some_clip(True).half().float().state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in clip.state_dict().items())


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """The file that transformers wrote, in a folder of its own, in an architecture that open_clip knows."""
    config = tmp_path / "configs" / "their-clip.json"
    config.parent.mkdir()
    config.write_text(json.dumps(THEIR_FORM))
    open_clip.add_model_config(config)
    (tmp_path / "theirs").mkdir()
    path = tmp_path / "theirs" / "model.safetensors"
    path.write_bytes(THEIRS.read_bytes())
    return path


@pytest.mark.parametrize(
    ("activation", "logits"),
    [
        ("gelu", [[-3.1225, -7.3079], [-10.0426, -8.9770]]),
        ("quick_gelu", [[-3.0457, -7.2783], [-10.0583, -8.9669]]),
        (None, [[-3.0457, -7.2783], [-10.0583, -8.9669]]),  # transformers' own default
    ],
)
def test_a_file_of_transformers_gives_the_logits_that_transformers_computes(
    activation: str | None, logits: list[list[float]], theirs: Path
) -> None:
    said = {} if activation is None else {"hidden_act": activation}
    theirs.with_name("config.json").write_text(json.dumps({"vision_config": said}))
    model = Model(arch="their-clip", pretrained=str(theirs))
    assert not any("activation" in line for line in pretrained.check_file(model))
    clip = pretrained.load(model, CPU).clip
    images = torch.linspace(-2, 2, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)
    texts = torch.tensor([[1, 5, 9, 63, *[0] * 12], [1, 7, 63, *[0] * 13]])
    with torch.no_grad():
        found, words, scale = clip(images, texts)
    torch.testing.assert_close(scale * found @ words.T, torch.tensor(logits), atol=1e-3, rtol=0)


def test_the_activation_of_a_file_of_transformers_is_said_or_checked(theirs: Path) -> None:
    model = Model(arch="their-clip", pretrained=str(theirs))
    assert "no config.json lies beside the file; the activation is GELU" in pretrained.check_file(model)[-1]
    assert finetuned.check(theirs, model, "methods: ours") == ["the activation is GELU, as their-clip/model has"]
    theirs.with_name("config.json").write_text("[1]")
    refusal.refused(lambda: pretrained.check_file(model), "config.json", "not the configuration of a CLIPModel")
    tuned = theirs.with_name("tuned")
    tuned.mkdir()
    (tuned / "model.safetensors").write_bytes(theirs.read_bytes())
    (tuned / "config.json").write_text(json.dumps({"vision_config": {"hidden_act": "gelu"}}))
    theirs.with_name("config.json").write_text(json.dumps({"vision_config": {}}))
    refusal.refused(
        lambda: finetuned.check(tuned / "model.safetensors", model, "methods: ours"),
        "methods: ours",
        "found a model trained with GELU; expected QuickGELU, as their-clip/model has",
    )


def test_its_numbers_are_those_of_the_fit_that_its_weights_come_from(bench: Bench, tmp_path: Path) -> None:
    grid: dict[str, Any] = {"alphas": (0.0, 0.25, 0.5, 0.75, 1.0), "frontier": True}
    spec = bench.repeat("flyp", hparams={"lr": 3e-3, "weight_decay": 0.1}, **grid)
    result, fitted = bench.run(spec), bench.fit(spec)
    training_checkpoint(fitted.state, tmp_path / "epoch_2.pt")
    method = FineTuned("ours", tmp_path / "epoch_2.pt")
    row = bench.run(bench.repeat(method, hparams={"checkpoint": method.content()}, **grid), method=method)
    assert row.evaluations == result.evaluations, "on id_val, ID test and OOD, at every alpha"
    assert (row.alpha, row.score, row.loss) == (result.alpha, result.score, result.loss)
    assert len({line.metrics["accuracy"] for line in row.evaluations if line.split == "inverted"}) > 1


class TestContract(MethodContract):
    @pytest.fixture
    def method(self, tuned: State, tmp_path: Path) -> Method:
        save_file(tuned, tmp_path / "ours.safetensors")
        return FineTuned("ours", tmp_path / "ours.safetensors")

    @pytest.fixture
    def hparams(self, method: FineTuned) -> Mapping[str, Any]:
        return {"checkpoint": method.content()}


def space(path: Path, label: str = "ours", **changes: Any) -> SearchSpace:
    return space_with(**{"methods": ["zeroshot", {"checkpoint": str(path), "label": label}], **changes})


def test_its_one_configuration_is_the_content_of_the_file_whatever_its_path(tuned: State, tmp_path: Path) -> None:
    names = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path in names:
        save_file(tuned, path)
    first, second = (preflight.check(space(path), Path("data")).methods["ours"] for path in names)
    assert first == second
    (content,) = (one.values()[0] for one in first.searched.values())
    assert str(content).startswith("sha256:")
    assert (first.deterministic, first.seeded, first.trained) == (True, True, False)
    save_file({**tuned, "logit_scale": tuned["logit_scale"] + 0.1}, names[1])
    assert preflight.check(space(names[1]), Path("data")).methods["ours"] != first
    refusal.refused(
        lambda: preflight.check(
            space(names[1], search={"num_samples": 1, "per_method": {"ours": {"checkpoint": content}}}), Path()
        ),
        "my.yaml: search.per_method.ours.checkpoint",
        f"found {content}",
        "b.safetensors has the content sha256:",
    )


def test_what_a_user_has_to_know_is_said_before_the_start(tuned: State, tmp_path: Path) -> None:
    save_file(tuned, tmp_path / "ours.safetensors")
    (line,) = preflight.check(space(tmp_path / "ours.safetensors"), Path("data")).remarks
    assert line.startswith(f"methods: ours: {tmp_path}/ours.safetensors, sha256:")
    assert "alpha = 0 is digits-clip, whose prompts" in line


def with_head(state: State) -> dict[str, Any]:
    return {
        **{f"image_encoder.model.{name}": value for name, value in state.items()},
        "classification_head.weight": torch.ones(10, 64),
    }


WRONG: dict[str, tuple[Callable[[State, Path], object], tuple[str, ...]]] = {
    "absent": (lambda state, path: None, ("found no file; expected a checkpoint",)),
    "garbage": (lambda state, path: path.write_bytes(b"garbage"), ("is not a readable checkpoint",)),
    "pickled": (lambda state, path: torch.save(torch.nn.Linear(2, 2), path), ("found a pickled torch.nn",)),
    "no weights": (lambda state, path: torch.save({"epoch": 3}, path), ("found epoch; expected the state dict",)),
    "other architecture": (
        lambda state, path: torch.save(some_clip().state_dict(), path),
        ("found weights ln_final.bias", "expected those of digits-clip"),
    ),
    "another's head": (
        lambda state, path: torch.save(with_head(state), path),
        ("found classification_head.weight beside the weights of digits-clip", "weights of a CLIP alone"),
    ),
    "a head within": (
        lambda state, path: torch.save({**state, "head.weight": torch.ones(10, 64)}, path),
        ("found head.weight beside the weights of digits-clip",),
    ),
    "nan": (
        lambda state, path: torch.save({**state, "logit_scale": torch.tensor(float("nan"))}, path),
        ("found a NaN or an infinity in logit_scale",),
    ),
    "folder": (lambda state, path: path.mkdir(), ("found a folder; expected a checkpoint: .pt",)),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_such_model_is_refused_in_one_line(kind: str, tuned: State, tmp_path: Path) -> None:
    write, words = WRONG[kind]
    path = tmp_path / "ours.pt"
    write(copy.copy(tuned), path)
    refusal.refused(lambda: preflight.check(space(path), Path("data")), "my.yaml: methods: ours: ", str(path), *words)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (lambda path: ["zeroshot", {"checkpoint": path, "label": "flyp"}], ("label 'flyp'", "no method's name")),
        (lambda path: ["ft", {"checkpoint": path, "label": "ft"}], ("methods", "every item once, not 'ft' twice")),
        (lambda path: 2 * [{"checkpoint": path, "label": "ours"}], ("every item once, not 'ours' twice",)),
        (
            lambda path: [{"checkpoint": path, "label": "a:b"}],
            ("methods[0].label: found 'a:b'; expected a name for its row",),
        ),
        (lambda path: [{"checkpoint": path, "label": "our model"}], ("found 'our model'",)),
        (lambda path: [{"checkpoint": path}], ("methods[0].label: found nothing",)),
        (
            lambda path: [{"checkpiont": path, "label": "ours"}],
            ("unknown key 'checkpiont'", "did you mean 'checkpoint'?"),
        ),
        (lambda path: [7], ("methods[0]", "found 7")),
    ],
    ids=["a method's", "twice", "twice alike", "plug-in", "words", "none", "misspelt", "number"],
)
def test_a_label_that_cannot_be_one_is_refused(entries: Callable[[str], list[Any]], words: tuple[str, ...]) -> None:
    given = entries(str(CHECKPOINT))
    refusal.refused(lambda: preflight.check(space_with(methods=given), Path("data")), "my.yaml", *words)


def test_a_file_that_changes_during_a_sweep_is_not_taken_for_the_one_before(
    tuned: State, bench: Bench, tmp_path: Path
) -> None:
    save_file(tuned, tmp_path / "ours.safetensors")
    method = FineTuned("ours", tmp_path / "ours.safetensors")
    spec = bench.repeat(method, hparams={"checkpoint": method.content()})
    save_file(load_file(CHECKPOINT), tmp_path / "ours.safetensors")
    refusal.refused(lambda: bench.run(spec, method=method), "ours.safetensors: found sha256:", "as at the start")


def test_it_is_in_no_catalogue() -> None:
    assert all(type(method) is not FineTuned for method in methods.registry().values())
