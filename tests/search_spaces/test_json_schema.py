"""The JSON Schema of search spaces: it takes what the loader takes, refuses typos, and says what each key means."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from flyp_sweep.search_spaces import InputError, bundled, from_mapping, load, yaml_text
from flyp_sweep.search_spaces.fields import Section
from flyp_sweep.search_spaces.json_schema import schema
from flyp_sweep.search_spaces.loading import bundled_text
from flyp_sweep.search_spaces.meanings import meanings
from flyp_sweep.search_spaces.model import SearchSpace
from flyp_sweep.search_spaces.sections import EarlyStopping, Repeats

BASE: dict[str, Any] = {
    "name": "x",
    "dataset": "digits",
    "model": {"arch": "a"},
    "methods": ["ft"],
    "search": {"num_samples": 3, "space": {"lr": 1e-3}},
}
SPLITS = {"train": "a", "id_val": {"from": "train", "fraction": 0.1}, "ood": {"s": "c"}}


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(schema())
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def is_valid(made: dict[str, Any], data: Any) -> bool:
    return jsonschema.Draft202012Validator(made).is_valid(data)


@pytest.mark.parametrize("name", sorted(bundled()))
def test_it_accepts_every_bundled_space(made: dict[str, Any], name: str) -> None:
    jsonschema.validate(yaml_text.read(bundled_text(name), name), made)


@pytest.mark.parametrize("name", sorted(bundled()))
def test_it_accepts_a_resolved_space(made: dict[str, Any], name: str) -> None:
    jsonschema.validate(load(name).model_dump(mode="json", exclude_none=True), made)


@pytest.mark.parametrize(
    "change",
    [
        {"search": "none"},
        {"train": {"micro_batch": "auto"}},
        {"train": {"micro_batch": None, "grad_clip": {"ft": 1.0}, "crop_scale": [0.5, 1]}},
        {"early_stopping": {"patience": None}},
        {"early_stopping": {"patience": "none"}},
        {"weights": {"keep": None}},
        {"shots": [1, 2]},
        {"search": {"num_samples": 3, "space": {"a": "x", "b": True, "c": {"int": [1, 3]}, "d": {"choice": ["x", 1]}}}},
        {"wise_ft": {"alphas": [0, 0.5, 1]}},
        {"images": {"as": "torchvision"}, "mlflow": {"register": True}},
        {"methods": ["ft", {"checkpoint": "a.pt", "label": "ours"}], "ensembles": {"greedy_soup": ["ft"]}},
        {"dataset": {"name": "own", "folders": SPLITS, "class_names": {"a": "b", "c": "d"}}},
        {"dataset": ["digits", {"name": "own", "folders": SPLITS}]},
        {"dataset": {"hub": "org/name"}},
        {"dataset": {"webdataset": "shards", "splits": SPLITS}},
        {"dataset": {"torchvision": "DTD", "splits": SPLITS, "options": {"partition": 2, "x": True}}},
        {"dataset": {"coop": "split_zhou_OxfordPets.json"}},
        {"dataset": {"name": "d", "domains": "d", "leave_one_out": ["a", "b"]}},
        {"evaluate": [{"name": "c", "corruptions": "c", "severities": [1]}, "mnist"]},
        {
            "dataset": {
                "name": "t",
                "tables": {"train": "a.csv", "id_val": "a.csv"},
                "columns": {"split": {"train": {"split": 0}, "id_val": {"split": ["val", 1]}}},
            }
        },
    ],
)
def test_it_accepts_what_the_loader_accepts(made: dict[str, Any], change: dict[str, Any]) -> None:
    from_mapping(BASE | change)
    jsonschema.validate(BASE | change, made)


@pytest.mark.parametrize(
    "change",
    [
        {"trian": {}},
        {"train": {"epoch": 3}},
        {"train": {"epochs": "3"}},
        {"train": {"epochs": 0}},
        {"train": {"precision": "bf32"}},
        {"early_stopping": {"patience": "never"}},
        {"search": "nothing"},
        {"search": {"num_samples": 3, "space": {"lr": {"logunifrom": [1, 2]}}}},
        {"search": {"num_samples": 3, "space": {"lr": {"loguniform": [0, 1]}}}},
        {"search": {"num_samples": 3, "space": {"lr": [1, 2]}}},
        {"dataset": {"name": "own", "folders": {**SPLITS, "vla": "b"}}},
        {"dataset": {"name": "own", "folder": SPLITS}},
        {"dataset": {"name": "own", "folders": SPLITS, "tables": {}}},
        {"dataset": {"folders": SPLITS}},
        {"weights": {"keep": "some"}},
        {"images": {"shown_as": "viewer"}},
        {"model": None},
        {"resources": {"gpu": 1}},
    ],
)
def test_it_refuses_typos_and_so_does_the_loader(made: dict[str, Any], change: dict[str, Any]) -> None:
    assert not is_valid(made, BASE | change)
    with pytest.raises(InputError):
        from_mapping(BASE | change)


def sections(section: type[Section]) -> Iterator[type[Section]]:
    for one in section.__subclasses__():
        if one.__module__.startswith("flyp_sweep.search_spaces.") and not one.__name__.startswith("_"):
            yield one
        yield from sections(one)


def test_every_key_has_a_meaning_below_its_field_and_the_schema_tells_it(made: dict[str, Any]) -> None:
    found = list(sections(Section))
    assert {SearchSpace, EarlyStopping} <= {*found}
    assert not [f"{one.__name__}.{key}" for one in found for key in one.model_fields if key not in meanings(one)]
    seeds = made["$defs"]["Repeats"]["properties"]["seeds"]["description"]
    assert seeds == f"{meanings(Repeats)['seeds']} Value: a whole number, 1 or more."
    assert made["$defs"]["HeldOut"]["properties"]["from"]["description"].startswith("The split from which")
    assert all("description" in one for one in made["properties"].values())
