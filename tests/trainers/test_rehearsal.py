"""What a trial would fail of is found before the sweep: every method takes one step on the model's architecture."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import refusal
import torch
from gradients import TRANSFORMERS
from spaces import space_with

from flyp_sweep.search_spaces import SearchSpace
from flyp_sweep.trainers import methods, preflight, rehearsal
from flyp_sweep.trainers.datasets.digits import Digits
from flyp_sweep.trainers.hyper_parameters import facts_of
from flyp_sweep.trainers.models.without_values import META, WithoutValues

HPARAMS = {"lr": 1e-3, "weight_decay": 0.1, "l2sp_strength": 0.1}


def space(*names: str, arch: str = "digits-clip", tag: str = "bundled", **changes: Any) -> SearchSpace:
    search = {"num_samples": 1, "space": HPARAMS}
    model = {"arch": arch, "pretrained": tag}
    return space_with(**{"methods": list(names), "search": search, "model": model, **changes})


def rehearsed(given: SearchSpace, dataset: Digits | None = None) -> list[str]:
    """The lines of a rehearsal of the methods of `given`."""
    kinds = {name: facts_of(given, name) for name in given.method_names}
    return rehearsal.rehearse(given, [dataset or Digits(Path("data"))], kinds)


def refused(given: SearchSpace, *words: str, dataset: Digits | None = None) -> None:
    refusal.refused(lambda: rehearsed(given, dataset), *words)


def test_all_methods_go_through_on_the_bundled_model_and_leave_the_global_stream_alone() -> None:
    before = torch.get_rng_state()
    assert rehearsed(space(*sorted(methods.registry().keys() - TRANSFORMERS))) == []
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "tag"),
    [
        ("RN50", "openai"),
        ("ViT-L-14", "openai"),
        ("convnext_base", "laion400m_s13b_b51k"),
        ("EVA02-B-16", "merged2b_s8b_b131k"),
        ("PE-Core-B-16", "meta"),
    ],
)
def test_all_methods_go_through_on_models_of_other_families(arch: str, tag: str) -> None:
    own = {"flyp", "ft", "lp", "zeroshot", *TRANSFORMERS} & methods.registry().keys()
    names = own if arch == "ViT-L-14" else methods.registry().keys() - TRANSFORMERS
    assert rehearsed(space(*sorted(names), arch=arch, tag=tag)) == []


def test_an_error_of_shapes_is_told_with_model_and_method() -> None:
    refused(space("zeroshot", "rehearsed:Misshapen"), "misshapen fails on digits-clip", "RuntimeError", "leave out one")


@pytest.mark.parametrize("name", ["rehearsed:Choosy", "rehearsed:Detour"])
def test_a_method_that_fails_for_want_of_values_is_run_with_values(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rehearsed(space(name)) == []
    monkeypatch.setattr(rehearsal, "MOST_PARAMETERS", 0)
    (line,) = rehearsed(space(name))
    assert "not tried out beforehand" in line


def test_an_image_tower_that_takes_no_tokens() -> None:
    refused(space("ft", "maple"), "maple fails on digits-clip (found the image encoder TimmModel; expected open_clip's")


def test_a_method_that_does_not_know_the_model_s_pretraining() -> None:
    coca = {"arch": "coca_ViT-B-32", "tag": "laion2b_s13b_b90k"}
    assert rehearsed(space("flyp", "flyp_lora", **coca)) == []
    refused(space("flyp", "flyp_frozen_text", **coca), "flyp_frozen_text fails on coca_ViT-B-32", "captions")


def test_a_prompt_that_is_too_long_for_its_learned_context() -> None:
    dataset = Digits(Path("data"))
    dataset.class_names = [*dataset.class_names[:-1], "a very long name " * 16]
    refused(space("coop"), "coop fails on digits-clip", "context_tokens: found 16", dataset=dataset)


@pytest.mark.parametrize(
    ("divided", "found"),
    [
        ({"train": {"micro_batch": 2}}, "train.micro_batch: found 2; expected nothing"),
        ({"resources": {"cpu": 2, "processes": 2}}, "resources.processes: found 2; expected 1"),
    ],
)
def test_batch_normalisation_takes_whole_batches_where_the_tower_is_trained(divided: Any, found: str) -> None:
    mobile = {"arch": "RN50", "tag": "openai"}
    assert rehearsed(space("coop", "lp", **mobile, **divided)) == []
    refused(space("ft", **mobile, **divided), found, "normalises over whole batches", "ft fails on RN50")
    (line,) = preflight.batch_normalisation(space("ft", **mobile))
    assert "layers of batch normalisation" in line
    assert "exclude train.micro_batch" in line


@pytest.mark.skipif(importlib.util.find_spec("transformers") is not None, reason="transformers is installed")
@pytest.mark.parametrize(
    ("arch", "tag", "part"),
    [
        ("ViT-B-16-SigLIP", "webli", "whose Hugging Face tokenizer needs"),
        ("xlm-roberta-base-ViT-B-32", "laion5b_s13b_b90k", "whose Hugging Face tokenizer and text encoder need"),
    ],
)
def test_a_model_that_needs_transformers_names_the_extra(arch: str, tag: str, part: str) -> None:
    given = space("flyp", arch=arch, tag=tag)
    refusal.refused(lambda: preflight.check(given, Path("data")), arch, part, "pip install 'flyp-sweep[hf]'")


def test_a_tensor_without_values_answers_as_zeros_and_is_finite() -> None:
    tensor = torch.empty(2, 3, device=META)
    with WithoutValues() as told:
        assert tensor.tolist() == [[0.0] * 3] * 2
        assert int(tensor.argmax()) == 0
        rows, inverse = torch.unique(tensor, dim=0, return_inverse=True)
        assert (rows.shape, inverse.shape, rows.device) == ((1, 3), (2,), META)
        assert tensor.cpu().shape == tensor.to("cpu", torch.double).shape == (2, 3)
        assert not told.guessed
        assert torch.isfinite(tensor).all()
        assert not (tensor > 0).any()
        assert told.guessed
