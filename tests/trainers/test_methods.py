"""The built-in methods keep the contract that others inherit, and methods are found by their names."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from gradients import TRANSFORMERS, worker_of
from spaces import space_with

from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.trainers import methods, preflight
from flyp_sweep.trainers.methods import Method
from flyp_sweep.trainers.models.pretrained import Pretrained
from flyp_sweep.trainers.task import Task
from flyp_sweep.trainers.testing.bench import Bench, shipped
from flyp_sweep.trainers.testing.method_contract import MethodContract

pytestmark = pytest.mark.slow

PAPER = {"zeroshot", "lp", "ft", "l2sp", "lpft", "flyp"}
OWN: dict[str, dict[str, Any]] = {
    "clip_adapter": {"lr": 1e-2},
    "clip_lora": {"lr": 1e-2},
    "cocoop": {"lr": 1e-2},
    "maple": {"lr": 1e-2, "prompt_depth": 2},
    "promptsrc": {"lr": 1e-2, "prompt_depth": 2},
}
"""Hyper-parameters of methods that learn too little in five epochs with those of the others."""
ABLATIONS = {"flyp_ce", "flyp_frozen_text", "flyp_masked", "flyp_plus_ce"}


class TestBuiltIn(MethodContract):
    """A new method is held to it by being in the registry."""

    @pytest.fixture(params=methods.registry())
    def method(self, request: pytest.FixtureRequest) -> Method:
        return methods.get(request.param)

    @pytest.fixture
    def pretrained(self, method: Method, make_clip: Any) -> Pretrained:
        if method.name not in TRANSFORMERS:
            return shipped()
        return worker_of(Bench(shipped()), make_clip(vision={"layers": 2})).pretrained

    @pytest.fixture
    def is_portable(self, method: Method) -> bool:
        return method.name not in {"cocoop", "maple", "promptsrc"}

    @pytest.fixture
    def hparams(self, method: Method) -> Mapping[str, Any]:
        return OWN.get(method.name, {})


def test_the_registry_holds_the_methods_of_the_paper_in_order() -> None:
    assert set(methods.registry()) >= PAPER | ABLATIONS
    assert list(methods.registry()) == sorted(methods.registry())
    assert all(methods.get(name) is found and found.name == name for name, found in methods.registry().items())


class Mine(Method):
    name = "mine"
    summary = "a method of the user's"
    hparams = {}

    def zero_shot(self, task: Task) -> torch.nn.Module:
        return torch.nn.Identity()

    fit = zero_shot  # type: ignore[assignment]


class Unfinished(methods.GradientMethod):
    name = "unfinished"
    summary = "for the test"


class Lossless(Unfinished):
    zero_shot = methods.get("ft").zero_shot  # type: ignore[assignment]


def test_a_method_that_lacks_a_part_is_refused_before_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("my_unfinished_methods")
    module.Unfinished, module.Lossless = Unfinished, Lossless  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(InputError, match="my_unfinished_methods:Unfinished' lacks zero_shot; define"):
        methods.get("my_unfinished_methods:Unfinished")
    name = "my_unfinished_methods:Lossless"
    with pytest.raises(InputError, match="Lossless'; expected a method that defines `encode` and `joint_loss`, or"):
        preflight.check(space_with(methods=[name]), Path("absent"))


def test_a_method_of_the_user_s_is_found_by_module_and_class(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("my_methods_for_a_test")
    module.Mine, module.other = Mine, 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert isinstance(methods.get("my_methods_for_a_test:Mine"), Mine)
    with pytest.raises(InputError, match="cannot be imported"):
        methods.get("my_methods_for_a_test:Absent")
    with pytest.raises(InputError, match="not a subclass"):
        methods.get("my_methods_for_a_test:other")
    with pytest.raises(InputError, match="cannot be imported"):
        methods.get("no_such_module_at_all:Mine")
    assert "mine" not in methods.registry()
