"""Hyper-parameters have a domain: what lies outside is refused before a sweep, by file and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flyp_sweep.search_spaces.complaints import FieldError
from flyp_sweep.search_spaces.distributions import Choice, Distribution, LogUniform, parse
from flyp_sweep.search_spaces.errors import InputError
from flyp_sweep.search_spaces.loading import bundled, from_mapping, load
from flyp_sweep.trainers import methods
from flyp_sweep.trainers.hyper_parameters import hyper_parameters
from flyp_sweep.trainers.methods.domains import Number, check_domain

BASE: dict[str, Any] = {
    "name": "small",
    "dataset": "digits",
    "model": {"arch": "digits-clip", "pretrained": "bundled"},
}


def refused(method: str, name: str, value: object, *overrides: str) -> str:
    """The error line of a space in which `method` searches `name` over `value`."""
    space: dict[str, object] = {"lr": 0.001, "weight_decay": 0.0, **({} if value is None else {name: value})}
    data = {**BASE, "methods": [method], "search": {"num_samples": 2, "space": space}}
    with pytest.raises(InputError) as caught:
        hyper_parameters(from_mapping(data, "my.yaml", overrides), method)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("fast", "found 'fast'; expected a finite number above 0"),
        (-1, "found -1; expected a finite number above 0"),
        (0, "found 0; expected a finite number above 0"),
        (True, "found true; expected a finite number above 0 (true and false are no numbers)"),
        ("1e-3", "found '1e-3'; expected a finite number above 0 (leave out the quotes: 1e-3)"),
        ("1_000", "(write 1000)"),
        ("1e–3", "(write 1e-3)"),  # noqa: RUF001  # an en dash, as word processors make of a hyphen
        ({"choice": [0.001, "fast"]}, "expected a finite number above 0"),
        ({"choice": [0.001, "1e-2"]}, "(leave out the quotes: 1e-2)"),
        ({"uniform": [0.0, 0.1]}, "found {uniform: [0.0, 0.1]}; expected a finite number above 0"),
    ],
)
def test_a_learning_rate_is_a_number_above_zero(value: object, told: str) -> None:
    line = refused("ft", "lr", value)
    assert line.startswith("my.yaml: search.space.lr: found ")
    assert told in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [
        ("ft", "weight_decay", -0.1),
        ("l2sp", "l2sp_strength", {"uniform": [-1.0, 1.0]}),
        ("lp", "l2", 0.0),
        ("flyp_lora", "lora_rank", 4.5),
        ("flyp_lora", "lora_rank", {"uniform": [1.0, 8.0]}),
        ("flyp_ema", "ema_decay", 1.0),
        ("flyp_plus_ce", "ce_weight", "much"),
        ("coop", "context_tokens", 0),
        ("tip_adapter", "cache_weight", True),
    ],
)
def test_every_hyper_parameter_has_its_own_domain(method: str, name: str, value: object) -> None:
    assert f"search.space.{name}: found " in refused(method, name, value)


def test_a_value_from_set_is_refused_by_the_option_that_gave_it() -> None:
    line = refused("ft", "lr", None, "search.per_method.ft.lr=true", "train.epochs=3")
    assert line.startswith("my.yaml with --set search.per_method.ft.lr=true: search.per_method.ft.lr: found true")


@pytest.mark.parametrize(
    ("value", "default", "told"),
    [
        (True, LogUniform(0.1, 1.0), "expected numbers, as the method's default is"),
        ("1e-3", LogUniform(0.1, 1.0), "leave out the quotes"),
        (3, Choice(("mean", "max")), "expected texts, as the method's default is"),
        ({"choice": [0.1, "fast"]}, None, "expected numbers alone"),
        ({"choice": ["fast", "0.1"]}, None, "leave out the quotes"),
    ],
)
def test_without_a_domain_values_are_of_one_kind(value: object, default: Distribution | None, told: str) -> None:
    with pytest.raises(FieldError, match=told):
        check_domain(parse(value), None, default)
    check_domain(parse({"choice": ["sum", "mean"]}), None, Choice(("mean", "max")))


def test_methods_declare_numbers_of_their_own_hyper_parameters() -> None:
    for method in methods.registry().values():
        assert method.hparams.keys() | method.in_place_of.keys() >= method.domains.keys(), method.name
        for name, default in method.hparams.items():
            if default is not None:
                check_domain(default, method.domains.get(name), default)
    assert methods.get("ft").domains["lr"] == Number(above=0)


@pytest.mark.parametrize("name", bundled())
def test_bundled_spaces_lie_within_the_domains(name: str) -> None:
    space = load(name)
    for method in space.methods:
        hyper_parameters(space, method)


def test_a_message_about_methods_models_or_data_names_the_file(tmp_path: Path) -> None:
    from flyp_sweep.trainers.preflight import check

    wrong: list[dict[str, object]] = [
        {"methods": ["finetune"]},
        {"model": {"arch": "ViT-B-99", "pretrained": "openai"}},
        {"dataset": "digitz"},
        {"dataset": {"name": "own", "folders": {"train": str(tmp_path / "a"), "id_val": str(tmp_path / "b")}}},
    ]
    for change in wrong:
        data = {**BASE, "methods": ["zeroshot"], "search": {"num_samples": 1}, **change}
        with pytest.raises(InputError, match=r"^my\.yaml: "):
            check(from_mapping(data, "my.yaml"), tmp_path)


def test_an_absent_folder_is_told_by_its_key_and_a_like_name(tmp_path: Path) -> None:
    from flyp_sweep.trainers.preflight import check_data

    for name in ("train", "val", "sketches"):
        (tmp_path / name / "cat").mkdir(parents=True)
    folders = {"train": "train", "id_val": "val", "ood": {"drawn": "sketchs"}}
    data = {**BASE, "methods": ["zeroshot"], "search": {"num_samples": 1}}
    data["dataset"] = {"name": "own", "folders": folders}
    with pytest.raises(InputError, match=r"dataset\.folders\.ood\.drawn of 'own'.*did you mean 'sketches'"):
        check_data(from_mapping(data, "my.yaml"), tmp_path)
